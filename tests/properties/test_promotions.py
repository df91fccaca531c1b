"""After any history an alias names what a stack would have on top, and a rollback gives the model before.

`HYPOTHESIS_EXAMPLES=n`, as in `make test-registry`, plays n histories instead of a few.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model_inbox import EntryExists, EntryNotFound, EntryProtected, ModelRegistry
from model_inbox.errors import PromotionRefused
from support.crash_disk import QuickDisk
from support.crash_kit import Clock, open_registry, register
from support.examples import examples
from support.rebuilding import problems

MODELS = ("a", "b", "c")
PAIR = "USD/EUR"
_id = st.sampled_from(MODELS)
STEPS: st.SearchStrategy[tuple[str, ...]] = st.one_of(
    st.tuples(st.sampled_from(("promote", "promote", "alias", "unalias", "retire", "restore", "purge", "take")), _id),
    st.tuples(st.just("rollback"), st.sampled_from(("1", "2", "3"))),
    st.tuples(st.just("to"), _id),
    st.tuples(st.sampled_from(("change_segment", "checkpoint", "reopen", "prune"))),
)


@dataclass
class Known:
    """What a reader of the history knows: each registration has a number, and the alias a stack of them."""

    registered: dict[str, int]
    trash: list[tuple[str, int]] = field(default_factory=list)
    stack: list[tuple[str, int]] = field(default_factory=list)
    is_held: bool = False
    """Whether the last of the stack holds the alias: it may have been removed from it."""

    @property
    def holder(self) -> str | None:
        return self.stack[-1][0] if self.is_held else None

    def pushed(self, model_id: str) -> None:
        one = model_id, self.registered[model_id]
        while self.stack and self.stack[-1] == one:
            self.stack.pop()
        self.stack.append(one)
        self.is_held = True

    def is_there(self, one: tuple[str, int]) -> bool:
        return self.registered.get(one[0]) == one[1] or (one[0] not in self.registered and one in self.trash)

    def rolled_back(self, place: int) -> bool:
        """Go back to that place of the stack. Return whether that is possible."""
        if place < 0 or not self.is_there(self.stack[place]):
            return False
        del self.stack[place + 1 :]
        self.is_held = True
        model_id, number = self.stack[-1]
        if model_id not in self.registered:
            self.trash.remove((model_id, number))
            self.registered[model_id] = number
        return True


def do(registry: ModelRegistry, known: Known, name: str, word: str) -> None:
    """Do one step to both, and compare what becomes of it."""
    if name in ("promote", "alias"):
        act: Callable[[], object] = lambda: registry.promote(word)  # noqa: E731  # one of two
        if name == "alias":
            act = lambda: registry.set_alias("champion", word)  # noqa: E731  # the other
        if word not in known.registered:
            with pytest.raises(EntryNotFound):
                act()
            return
        act()
        if known.holder != word:
            known.pushed(word)
    elif name == "unalias":
        if known.holder != word:
            with pytest.raises(EntryNotFound):
                registry.remove_alias("champion", word)
            return
        registry.remove_alias("champion", word)
        known.is_held = False
    elif name == "retire":
        # Where it kept the stack of an alias that was removed, that goes with it.
        if known.holder == word:
            with pytest.raises(EntryProtected):
                registry.delete_model(word)
        elif (known.is_held or (word, known.registered.get(word)) not in known.stack[-1:]) and registry.delete_model(
            word
        ):
            known.trash.append((word, known.registered.pop(word)))
    elif name == "restore":
        held = [one for one in known.trash if one[0] == word]
        if word in known.registered or not held:
            with pytest.raises((EntryExists, EntryNotFound)):
                registry.restore(word)
            return
        registry.restore(word)
        known.trash.remove(held[-1])
        known.registered[word] = held[-1][1]
    elif name == "purge":
        for retired in registry.retired():
            if retired.model_id == word:
                registry.purge(retired)
                known.trash.remove((word, retired.sequence))
    elif name == "take":
        if word not in known.registered:
            known.registered[word] = register(registry, word, f"{word} {registry.sequence}".encode())["sequence"]
    else:
        count = len(known.stack)
        places = [at for at, one in enumerate(known.stack) if one[0] == word]
        if name == "to":
            place = max(places, default=-1)
        else:
            place = count - int(word) - known.is_held
        if known.rolled_back(place):
            moved = registry.rollback(PAIR, to=word) if name == "to" else registry.rollback(PAIR, steps=int(word))
            assert moved.to_id == known.stack[-1][0]
        else:
            with pytest.raises(PromotionRefused):
                registry.rollback(PAIR, **({"to": word} if name == "to" else {"steps": int(word)}))


@settings(max_examples=examples(60), deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(STEPS, max_size=25))
def test_a_rollback_gives_the_holder_before(steps: list[tuple[str, ...]]) -> None:
    """Whatever was promoted, retired, restored, purged, registered again under its id, or rolled back before."""
    root = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(prefix="model-inbox-", dir=root) as name:
        folder = Path(name) / "models"
        clock = Clock()
        registry = open_registry(folder, disk=QuickDisk(), clock=clock)
        known = Known({model_id: register(registry, model_id, model_id.encode())["sequence"] for model_id in MODELS})
        for step, *words in steps:
            if step in ("change_segment", "checkpoint"):
                getattr(registry, step)()
            elif step == "prune":
                clock.ahead(1000)
                registry.prune_history(100)
            elif step == "reopen":
                registry._store.json_file.is_dirty = False  # it is killed
                registry.close()
                registry = open_registry(folder, disk=QuickDisk(), clock=clock)
            else:
                do(registry, known, step, words[0])
            entry = registry.get_model(PAIR, alias="champion")
            assert (entry["model_id"] if entry is not None else None) == known.holder
            assert {model_id: entry["sequence"] for model_id, entry in registry.registry.items()} == known.registered
        registry.close()
        assert problems(folder) == []
