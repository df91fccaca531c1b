"""`model-inbox rebuild`: builds a damaged registry again from its remaining files."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from ..base.units import spans
from ..base.users import act_as_owner
from ..problems import quoted
from .common import App, Command, now, pass_app
from .output import print_fields, print_json, print_lines

if TYPE_CHECKING:
    from ..registry.repair.rebuild import Undone

__all__ = ["rebuild"]


@click.command(
    cls=Command,
    examples=["model-inbox rebuild"],
    exits={1: "there is nothing to build it from", 75: "the daemon or another writer holds the registry"},
)
@pass_app
def rebuild(app: App, *, as_json: bool) -> None:
    """Build a damaged registry again, from the journal, its history and the stored sidecars.

    For a registry that `model-inbox verify` reports as damaged. Stop the daemon first. The old files are kept.
    """
    from ..base.disk import Disk
    from ..inbox.receipts import identities_told
    from ..pickles import Allowlist, Scanner
    from ..registry.repair.rebuild import rebuild as rebuild_registry

    section, pickle = app.config.registry, app.config.pickle
    act_as_owner(section.path.parent)
    with Scanner(
        Allowlist.load(pickle.frameworks, pickle.allow),
        memory_limit=pickle.memory_limit,
        time_limit=pickle.time_limit,
    ) as scanner:
        made = rebuild_registry(
            section.path,
            section.storage_dir,
            disk=Disk(),
            clock=now,
            scanner=scanner,
            told=identities_told(app.config.inbox.path / "receipts"),
        )
    if as_json:
        print_json(dataclasses.asdict(made))
        return
    print_lines(f"Built {str(section.path)!r} again; the old files are in {made.kept_in!r}.")
    fields = [
        ("models registered", made.entries),
        ("of these, from the JSON file alone", ", ".join(made.from_checkpoint)),
        ("of these, from sidecars, scanned again", ", ".join(made.from_sidecars)),
        ("retired models found in the trash", ", ".join(made.retired)),
        ("lines of history", made.lines),
        ("lost lines", _lost_lines(made.lines_lost, made.lines_missing)),
        ("epoch", made.epoch),
    ]
    print_fields(fields)
    if made.not_recovered:
        print_lines(
            "Not recovered for the models from sidecars, if there was any: "
            f"{', '.join(made.not_recovered)}, and their history. Set aliases, pins and tags again."
        )
    for item in made.undone:
        print_lines(f"- {_undone(item)}", indent=2, hanging=4)
    for lost in made.lost:
        print_lines(f"- lost: {lost.model_id}: {lost.why}", indent=2, hanging=4)
    if made.lost:
        print_lines(f"Files without an entry are in {made.kept_in!r}, too. Drop again those that are good.")


def _undone(item: Undone) -> str:
    """Return in words what became of an entry, field by field."""
    if item.what != "changed":
        words = {"vanished": "is not registered any more", "came_back": "is registered again"}
        return f"{quoted(item.model_id)} {words[item.what]}"
    fields = (f"{name} was {_value(before)}, is {_value(after)}" for name, (before, after) in item.fields.items())
    return f"{quoted(item.model_id)} changed: {'; '.join(fields)}"


def _value(value: object) -> str:
    """Return the value of a field as JSON, cut and safe to print."""
    return quoted(json.dumps(value, ensure_ascii=False)) if value is not None else "nothing"


def _lost_lines(count: int, missing: Sequence[tuple[int, int]]) -> str:
    """Return how many lines are lost, with their numbers."""
    return f"{count} ({spans(missing)})" if missing else str(count)
