"""`model-inbox rebuild`: builds a damaged registry again from its remaining files."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from ..base.units import spans
from ..problems import escaped, quoted
from ..registry.paths import status_paths
from .common import App, Command, Refused, act_as_owner, now, pass_app
from .output import print_fields, print_json, print_lines

if TYPE_CHECKING:
    from ..inbox.older_copy import Told
    from ..registry.repair.evidence import Evidence
    from ..registry.repair.rebuild import Undone

__all__ = ["rebuild"]


@click.command(
    cls=Command,
    examples=["model-inbox rebuild", "model-inbox rebuild --accept-loss"],
    exits={
        1: "there is nothing to build it from, or lines are lost and --accept-loss is not given",
        75: "the daemon or another writer holds the registry, or a file could not be read for a reason that may pass",
    },
)
@click.option(
    "--accept-loss",
    is_flag=True,
    help="Go on without lines that receipts or the status tell of and no file has: an older copy was put back.",
)
@pass_app
def rebuild(app: App, *, accept_loss: bool, as_json: bool) -> None:
    """Build a damaged registry again, from the journal, its history and the stored sidecars.

    For a registry that `model-inbox verify` reports as damaged. Stop the daemon first. The old files are kept.
    """
    from ..base.disk import Disk
    from ..inbox.older_copy import told_by_receipts, told_by_status
    from ..inbox.receipts import identities_told, owners_told
    from ..pickles import Allowlist, Scanner
    from ..registry.repair.evidence import read_evidence
    from ..registry.repair.rebuild import rebuild as rebuild_registry
    from ..registry.repair.rebuild_plan import NOT_WITHOUT_LABELS
    from ..telemetry.status_file import read_status

    section, pickle = app.config.registry, app.config.pickle
    act_as_owner(section.path.parent, section.storage_dir, app.config.inbox.path)
    receipts_dir = app.config.inbox.path / "receipts"
    documents = [read_status(path) for path in status_paths(section.path, app.config.inbox.path)]
    told = [line for document in documents for line in told_by_status(document)]
    told += told_by_receipts(receipts_dir)
    if not accept_loss:
        _refuse_loss(read_evidence(section.path), told)
    with Scanner(
        Allowlist.load(pickle.frameworks, pickle.allow),
        memory_limit=pickle.memory_limit,
        time_limit=pickle.time_limit,
        load_budget=pickle.load_budget,
    ) as scanner:
        made = rebuild_registry(
            section.path,
            section.storage_dir,
            disk=Disk(),
            clock=now,
            scanner=scanner,
            owners=owners_told(receipts_dir),
            told=(*identities_told(receipts_dir), *(one.identity for one in told)),
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
        ("changes in its history", made.lines),
        ("lost changes", _lost_lines(made.lines_lost, made.lines_missing)),
        ("epoch", made.epoch),
    ]
    print_fields(fields)
    for given in made.labels_recovered:
        words = ", ".join(map(escaped, given.labels))
        print_lines(f"- {quoted(given.model_id)} got from its labels file: {words}", indent=2, hanging=4)
    for lost in made.labels_lost:
        print_lines(f"- labels not recovered: {quoted(lost.model_id)}: {lost.why}", indent=2, hanging=4)
    rest = [name for name in made.not_recovered if name not in NOT_WITHOUT_LABELS]
    if rest:
        print_lines(f"Not recovered for the models from sidecars: {', '.join(rest)}, and their history.")
    if made.without_labels:
        print_lines(
            "These have no labels file. If they had any of these, set them again "
            f"({', '.join(NOT_WITHOUT_LABELS)}): {', '.join(map(quoted, made.without_labels))}"
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


def _refuse_loss(evidence: Evidence, told: Sequence[Told]) -> None:
    """Raise Refused if lines were told of that no file of the registry has."""
    from ..inbox.older_copy import lost_lines, older_copy_found

    if not evidence.identities:
        return
    drops = {number: sound.line.drop_id for number, sound in evidence.lines.items()}
    lost = lost_lines(told, evidence.identities[0], evidence.reached, drops)
    if lost:
        error = older_copy_found(evidence.files.journal, evidence.reached, lost)
        raise Refused(f"cannot build the registry again without loss: {error.message}", hint=error.hint)
