"""Moving an alias: promotion, rollback, and the plain setting and removing of it, each one line of the journal.

Owns what is checked before a move, under the writer lock: that the user may move the alias, that the model is there and
not held, that a model to go back to is still the one that held it. One that was retired is brought back from the trash:
its files first, then the line. Which entries a move changes is `alias_stack`'s to say. Never decides that an alias is
to move.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple

from ..base.accounts import Account, Accounts
from ..base.users import invoker
from ..errors import EntryNotFound, EntryProtected, PromotionRefused
from ..model.metadata import is_valid_id
from ..model.slot import Slot, slot_of
from ..problems import quoted
from .alias_stack import Stack, Target, give, promotion_of, read_stack, release, take, target_of
from .entry import Entry, EntryFields, as_fields
from .history import state_at
from .journal import Draft, Line, Operation, format_time
from .label_files import LabelFiles
from .outcomes import Retired
from .position import Position
from .protection import protection_draft
from .segments import lines_of_operation
from .state import State
from .store import Store
from .trash import Trash

__all__ = ["Holder", "Move", "Promotions"]


class Move(NamedTuple):
    """What became of an alias: it named the model `from_id` (None: none), and names the model `to_id`, with its entry.

    Both are the same if nothing had to be changed.
    """

    alias: str
    from_id: str | None
    to_id: str
    entry: Entry


class Holder(NamedTuple):
    """A model that holds an alias: since when, by whom and why, and the ids of those before it, the latest first.

    `at` is None, and `actor` empty, where that is not known any more. `may_move` are the users who may move it; None is
    everybody.
    """

    alias: str
    slot: Slot
    model_id: str
    at: str | None
    actor: str
    reason: str
    former: tuple[str, ...]
    may_move: tuple[str, ...] | None


class Promotions:
    """Moves the aliases of one registry. `who` says which user runs this process, None if nobody knows."""

    def __init__(
        self, store: Store, label_files: LabelFiles, trash: Trash, who: Callable[[], int | None] = invoker
    ) -> None:
        self._store = store
        self._label_files = label_files
        self._trash = trash
        self._who = who

    # --- moves ------------------------------------------------------------------------------------------------

    def promote(
        self,
        alias: str,
        model_id: str,
        *,
        reason: str,
        actor: str,
        operation: Operation = "promote",
        override_gates: bool = False,
    ) -> Move:
        """Let an alias name a model, and no other of its slot.

        Raises ValueError for an alias that is none, EntryNotFound, AliasProtected, and EntryProtected for a model that
        is held: with `override_gates` the same line ends that.
        """
        if not is_valid_id(alias):
            raise ValueError(f"cannot set the alias {quoted(alias)}: an alias is written like a model_id")
        with self._changing():
            entry = self._store.state.entry(model_id)
            self.check_user([alias])
            stack = self._stack(slot_of(entry), alias)
            if stack.holder == target_of(entry):
                return self._unchanged(alias, target_of(entry))
            if entry.get("held") and not override_gates:
                raise EntryProtected(
                    f"cannot let {quoted(alias)} name {quoted(model_id)}: it is held ({quoted(entry['held'])})",
                    hint=f"`model-inbox unhold {model_id}` lets it be served again. `model-inbox promote {model_id} "
                    "--override-gates --reason WHY` does both",
                )
            detail = {"override_gates": True} if override_gates else {}
            entry = as_fields({**entry, "held": None, "held_since": None}) if entry.get("held") else entry
            return self._push(operation, alias, entry, stack, reason, actor, detail, by_rule=False)

    def promote_by_rule(
        self, alias: str, target: Target, *, reason: str, actor: str, at: Position | int
    ) -> Move | None:
        """Do the same for a rule that decided on the state at `at`; None if the registry does not stand there any more.

        A rule is the operator's word, as the protection of the alias is, so no user is asked for.
        """
        with self._changing():
            state = self._store.state
            entry = state.entries.get(target.model_id)
            if not state.stands_at(at) or entry is None or target_of(entry) != target:
                return None
            stack = self._stack(slot_of(entry), alias)
            return self._push("promote", alias, entry, stack, reason, actor, {"rule": True}, by_rule=True)

    def rollback(
        self,
        slot: Slot,
        alias: str,
        *,
        steps: int | None,
        to: str | None,
        at: datetime | None,
        reason: str,
        actor: str,
    ) -> Move:
        """Give an alias back to a model that held it before: `steps` back, the model `to`, or the holder at a time.

        What is popped loses the alias for every rule. Raises PromotionRefused when there is no such model, or when it
        is not there any more, and names the nearest one that is; AliasProtected; RestoreRefused.
        """
        with self._changing():
            self.check_user([alias])
            stack = self._stack(slot, alias)
            if at is not None:
                target, below = self._holder_at(slot, alias, at)
                left = set(stack.models) - set(below) - {target}
            else:
                place = self._place(slot, alias, stack, 1 if steps is None else steps, to)
                target, below, left = stack.models[place], stack.models[:place], set(stack.models[place + 1 :])
            if target == stack.holder:
                return self._unchanged(alias, target)
            with self._there(slot, alias, stack, target) as (entry, restored):
                return self._move(
                    "rollback",
                    alias,
                    entry,
                    below,
                    self._taken(stack, alias, left - {target}, target),
                    reason,
                    actor,
                    {"from": _id(stack.holder), **({"restored": True} if restored else {})},
                    by_rule=False,
                )

    def remove(self, alias: str, model_id: str, *, reason: str, actor: str) -> Entry:
        """Take an alias away from the model that it names. Raises EntryNotFound when it names another or none."""
        with self._changing():
            entry = self._store.state.entries.get(model_id)
            if entry is None or alias not in (entry.get("aliases") or ()):
                raise EntryNotFound(
                    f"cannot remove the alias {quoted(alias)}: it does not name {quoted(model_id)}",
                    hint="`model-inbox alias list` shows what each alias names",
                )
            self.check_user([alias])
            changed = release(entry, alias, self._stack(slot_of(entry), alias).former)
            detail = {"alias": alias}
            self._store.commit(
                [Draft("unalias", model_id, reason, actor, changes_entry=True, entry=changed, detail=detail)]
            )
            # A crash here leaves labels files behind the line: the next writer writes them.
            self._label_files.write()
            return self._store.state.show(model_id)

    # --- who may ----------------------------------------------------------------------------------------------

    def check_user(self, aliases: Sequence[str]) -> None:
        """Raise AliasProtected if the user of this process may not move one of these aliases. Inside `writing`."""
        protection = self._store.protection()
        if protection is None or protection.may_move.keys().isdisjoint(aliases):
            return
        uid = self._who()
        user: Account | None = Accounts().of(uid) if uid is not None else None
        for alias in aliases:
            protection.check(alias, user)

    def protect(self, may_move: Mapping[str, Sequence[str]], actor: str) -> bool:
        """Let only these users move these aliases, and everybody all others. Return whether that is new."""
        wanted = {alias: tuple(allowed) for alias, allowed in may_move.items()}
        # Nearly always there is nothing to do, and then no lock and no disk that can be written are needed.
        self._store.refresh()
        if self._may_move() == wanted:
            return False
        with self._store.writing():
            if self._may_move() == wanted:
                return False
            # A crash before this line leaves the protection of before, and the daemon writes it at its next start.
            self._store.commit([protection_draft(wanted, actor)])
            return True

    def _may_move(self) -> Mapping[str, tuple[str, ...]]:
        """Return who may move which aliases, as of the last look."""
        protection = self._store.protection()
        return protection.may_move if protection is not None else {}

    def protect_again(self, oldest: float) -> None:
        """Write the protection again if its line is older than that timestamp: it may be pruned. Inside `writing`."""
        protection = self._store.protection()
        if protection is not None and protection.may_move and protection.at.timestamp() < oldest:
            # A crash before this line: nothing is pruned yet. After it, both lines say the same.
            self._store.commit([protection_draft(protection.may_move, protection.actor)])

    # --- who holds what ---------------------------------------------------------------------------------------

    def holders(self, state: State) -> list[Holder]:
        """Return who holds each alias in this state, ordered by alias and slot, and who may move it now."""
        may_move = self._may_move()
        found = []
        for entry in state.stored()[2]:
            for alias in entry.get("aliases") or ():
                slot = slot_of(entry)
                stack = self._stack(slot, alias, state)
                told = promotion_of(entry, alias) or self._told_by_line(entry, alias)
                found.append(
                    Holder(
                        alias,
                        slot,
                        str(entry["model_id"]),
                        told["at"],
                        told["actor"],
                        told["reason"],
                        tuple(one.model_id for one in reversed(stack.former)),
                        may_move.get(alias),
                    )
                )
        return sorted(found)

    # --- inside -----------------------------------------------------------------------------------------------

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with self._store.writing():
            self._trash.prepare()
            yield

    def _stack(self, slot: Slot, alias: str, state: State | None = None) -> Stack:
        """Return the stack of an alias. That of one which an earlier version moved is told by its lines."""
        state = self._store.state if state is None else state
        stack = read_stack(state.slot_entries(slot), alias)
        if stack.holder is None or promotion_of(state.entry(stack.holder.model_id), alias) is not None:
            return stack
        told = [promotion_of(state.entry(keeper), alias) for keeper in stack.keepers]
        since = max((one["line"] for one in told if one is not None), default=0)
        former = [*stack.former]
        former += [
            target_of(line.entry)
            for line in self._alias_lines()
            if line.entry is not None
            and since < line.sequence <= state.sequence
            and (line.detail or {}).get("alias") == alias
            and slot_of(line.entry) == slot
        ]
        kept = [one for at, one in enumerate(former) if former[at + 1 : at + 2] != [one]]
        return Stack(stack.holder, tuple(kept[:-1] if kept[-1:] == [stack.holder] else kept), stack.keepers)

    def _alias_lines(self) -> list[Line]:
        return lines_of_operation(self._store.files.journal, self._store.files.history, "alias")

    def _told_by_line(self, entry: EntryFields, alias: str) -> dict[str, Any]:
        """Return what the line of an earlier version tells of how a model came to an alias."""
        target = target_of(entry)
        for line in reversed(self._alias_lines()):
            if line.entry is not None and (line.detail or {}).get("alias") == alias and target_of(line.entry) == target:
                return {"at": line.time, "actor": line.actor, "reason": line.reason}
        return {"at": None, "actor": "", "reason": ""}

    def _holder_at(self, slot: Slot, alias: str, at: datetime) -> tuple[Target, tuple[Target, ...]]:
        """Return who held an alias at a time, and who before it."""
        state = state_at(self._store.files, at, reached=self._store.state.sequence)
        stack = read_stack(state.slot_entries(slot), alias)
        if stack.holder is None:
            raise PromotionRefused(
                f"cannot roll back {_named(alias, slot)}: no model held it at {format_time(at)}",
                hint="`model-inbox history` shows when it was moved",
            )
        return stack.holder, stack.former

    def _place(self, slot: Slot, alias: str, stack: Stack, steps: int, to: str | None) -> int:
        """Return the place in the stack of the model to go back to. Raises PromotionRefused."""
        if to is not None:
            place = max((at for at, one in enumerate(stack.models) if one.model_id == to), default=-1)
            missing = f"{quoted(to)} is not one of the models that held it before"
        else:
            place = len(stack.former) - steps
            count = len(stack.former)
            holder = f" {quoted(stack.holder.model_id)}" if stack.holder is not None else ""
            missing = f"only {count} held it before{holder}" if count else f"no model held it before{holder}"
        if place < 0:
            names = ", ".join(quoted(one.model_id) for one in reversed(stack.former[-5:]))
            raise PromotionRefused(
                f"cannot roll back {_named(alias, slot)}: {missing}",
                hint=f"It was held before, the latest first, by {names}"
                if names
                else "`model-inbox promote ID` gives it to a model",
            )
        return place

    @contextmanager
    def _there(self, slot: Slot, alias: str, stack: Stack, target: Target) -> Iterator[tuple[EntryFields, bool]]:
        """Yield the entry of a model to go back to, and whether its files were brought back from the trash for that.

        Raises PromotionRefused if it is not there, or is held.
        """
        why = self._why_not_there(target)
        if why:
            at = max((place for place, one in enumerate(stack.former) if one == target), default=0)
            nearest = next(
                (
                    one.model_id
                    for one in (*reversed(stack.former[:at]), *stack.former[at + 1 :])
                    if one not in (target, stack.holder) and not self._why_not_there(one)
                ),
                None,
            )
            raise PromotionRefused(
                f"cannot roll back {_named(alias, slot)} to {quoted(target.model_id)}: {why}",
                hint=f"The nearest that is there is {quoted(nearest)}: `--to {nearest}`"
                if nearest is not None
                else "None of the models that held it before is there",
            )
        entry, retired = self._registered(target), self._retired(target)
        if entry is not None:
            yield entry, False
        elif retired is not None:
            with self._trash.brought_back(retired) as entry:
                yield entry, True

    def _why_not_there(self, target: Target) -> str:
        entry = self._registered(target)
        if entry is not None:
            return f"it is held ({quoted(entry['held'])})" if entry.get("held") else ""
        if target.model_id in self._store.state.entries:
            return "its id belongs to another model now"
        return "" if self._retired(target) is not None else "it was purged"

    def _registered(self, target: Target) -> EntryFields | None:
        entry = self._store.state.entries.get(target.model_id)
        return entry if entry is not None and target_of(entry) == target else None

    def _retired(self, target: Target) -> Retired | None:
        return next((one for one in self._trash.retired() if (one.model_id, one.sequence) == target), None)

    def _push(
        self,
        operation: Operation,
        alias: str,
        entry: EntryFields,
        stack: Stack,
        reason: str,
        actor: str,
        detail: Mapping[str, Any],
        *,
        by_rule: bool,
    ) -> Move:
        """Give an alias to a model, on top of the stack."""
        target = target_of(entry)
        left = self._taken(stack, alias, set(), target)
        said = {"from": _id(stack.holder), **detail}
        return self._move(operation, alias, entry, stack.below(target), left, reason, actor, said, by_rule=by_rule)

    def _taken(self, stack: Stack, alias: str, barred: set[Target], target: Target) -> dict[str, EntryFields]:
        """Return the entries that lose the alias, its stack or the right to get it by a rule."""
        concerned = {one.model_id for one in barred if self._registered(one) is not None} | {*stack.keepers}
        if stack.holder is not None:
            concerned.add(stack.holder.model_id)
        entries = self._store.state.entries
        return {
            model_id: take(entries[model_id], alias, bar=target_of(entries[model_id]) in barred)
            for model_id in sorted(concerned - {target.model_id})
        }

    def _move(
        self,
        operation: Operation,
        alias: str,
        entry: EntryFields,
        former: Sequence[Target],
        also: Mapping[str, EntryFields],
        reason: str,
        actor: str,
        detail: Mapping[str, Any],
        *,
        by_rule: bool,
    ) -> Move:
        """Commit the line, and bring the labels files up to date."""
        model_id = str(entry["model_id"])
        line = self._store.state.sequence + 1
        given = give(entry, alias, former, line=line, actor=actor, reason=reason, by_rule=by_rule)
        said = {"alias": alias, **detail, **({"also": dict(also)} if also else {})}
        draft = Draft(
            operation,
            model_id,
            reason,
            actor,
            changes_entry=True,
            entry=given,
            detail=said,
            gives=alias,
            rules=self._store.rules_in_force if by_rule else "",
        )
        # A crash before this line leaves the alias where it was; after it, with its new holder, in every entry at once.
        self._store.commit([draft])
        # A crash here leaves labels files behind the line: the next writer writes them.
        self._label_files.write()
        return Move(alias, detail["from"], model_id, self._store.state.show(model_id))

    def _unchanged(self, alias: str, holder: Target) -> Move:
        # That it is so already may rest on a line whose writer died before it was synced, or before the file followed.
        self._store.sync()
        self._label_files.write()
        return Move(alias, holder.model_id, holder.model_id, self._store.state.show(holder.model_id))


def _id(target: Target | None) -> str | None:
    return target.model_id if target is not None else None


def _named(alias: str, slot: Slot) -> str:
    return f"the alias {quoted(alias)} of {quoted(str(slot))}"
