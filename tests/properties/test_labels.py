"""Labels outlive the registry's own files: after any history, a rebuild from nothing but the stored files has them all.

`HYPOTHESIS_EXAMPLES=n`, as in `make test-registry`, plays n histories instead of a few.
"""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model_inbox import EntryExists, EntryNotFound, EntryProtected, ModelRegistry
from support.crash_disk import QuickDisk
from support.crash_kit import Clock, open_registry, plain, register
from support.examples import examples
from support.rebuilding import lose_registry, problems, run

MODELS = ("a", "b", "c")
Step = Callable[[ModelRegistry], object]

_id, _alias, _text = st.sampled_from(MODELS), st.sampled_from(("champion", "next")), st.sampled_from(("x", "y"))
STEPS: st.SearchStrategy[tuple[str, ...]] = st.one_of(
    st.tuples(st.just("set_alias"), _alias, _id),
    st.tuples(st.just("remove_alias"), _alias, _id),
    st.tuples(st.sampled_from(("pin", "unpin", "delete_model", "restore", "take")), _id),
    st.tuples(st.sampled_from(("tag", "untag", "record")), _id, _text),
    st.tuples(st.sampled_from(("change_segment", "checkpoint", "check_labels", "reopen"))),
)


def do(registry: ModelRegistry, step: tuple[str, ...]) -> None:
    """Do one step; what the registry refuses is no step."""
    name, *words = step
    try:
        if name in ("tag", "untag"):
            registry.tag(words[0], {words[1]: "v" if name == "tag" else None})
        elif name == "record":
            registry.record(words[0], {words[1]: 0.5}, f"2026-01-0{len(registry.history()) % 9 + 1}")
        elif name == "take":
            if words[0] not in registry.registry:
                register(registry, words[0], pickle.dumps([words[0], registry.sequence]))
        else:
            getattr(registry, name)(*words)
    except (EntryNotFound, EntryProtected, EntryExists):
        pass


def labels(entries: dict[str, Any]) -> dict[str, Any]:
    names = ("aliases", "pinned", "tags", "recorded")
    return {model_id: {name: entry.get(name) for name in names} for model_id, entry in entries.items()}


def stored(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in (folder / "prediction").glob("*.labels.json")}


@settings(max_examples=examples(40), deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(STEPS, st.booleans()), max_size=14))
def test_a_rebuild_from_nothing_has_the_labels(steps: list[tuple[tuple[str, ...], bool]]) -> None:
    """Also where the writer of some of the lines died before the files followed, and the next one went on."""
    root = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(prefix="model-inbox-", dir=root) as name:
        folder = Path(name) / "models"
        registry = open_registry(folder, disk=QuickDisk(), clock=Clock())
        for model_id in MODELS:
            register(registry, model_id, pickle.dumps([model_id]))
        for step, dies in steps:
            is_label = step[0] in ("set_alias", "remove_alias", "pin", "unpin", "tag", "untag", "record")
            before = stored(folder)
            if step[0] != "reopen":
                do(registry, step)
            if is_label and dies:
                for path in stored(folder).keys() - before.keys():
                    path.unlink()
                for path, data in before.items():
                    path.chmod(0o640)
                    path.write_bytes(data)
            if step[0] == "reopen" or (is_label and dies):
                registry._store.json_file.is_dirty = False  # it is killed
                registry.close()
                registry = open_registry(folder, disk=QuickDisk(), clock=Clock())
        registry.finish_retirements()  # as the next writer does
        expected = plain(registry)
        registry.close()
        assert problems(folder) == []
        lose_registry(folder)
        if not expected:
            return
        made = run(folder)
        assert made.from_sidecars == tuple(sorted(expected))
        with open_registry(folder, read_only=True) as rebuilt:
            found = plain(rebuilt)
        assert labels(found) == labels(expected)
        assert problems(folder) == []
