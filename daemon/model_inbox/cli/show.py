"""`model-inbox show`: shows all data of one model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from ..base.instants import parse_stored
from ..base.units import format_size, spans
from ..errors import EntryNotFound
from ..model.owner import owner_in_words
from ..problems import quoted
from ..registry.boundary import Boundary
from ..registry.changes import change_of
from ..registry.described import imports_in_words, look_at_files, origin_in_words
from ..registry.entry import EntryFields, as_fields, barred_of, outcomes_of
from ..registry.excerpt import Excerpt
from ..registry.paths import RegistryFiles
from .arguments import as_instant, find_model, model_argument
from .common import App, Command, now, pass_app
from .output import (
    Column,
    age,
    fits,
    print_fields,
    print_json,
    print_lines,
    print_table,
    printable,
    short_number,
    when,
)

__all__ = ["show"]

_HISTORY_LINES = 10
_SCALARS = (int, float, str, bool, type(None))


@click.command(
    cls=Command,
    examples=["model-inbox show usd_eur_20251025", "model-inbox show USD/EUR:lightgbm --json"],
    exits={1: "no such model"},
)
@model_argument()
@click.option("--as-of", callback=as_instant, metavar="TIME", help="The model at that time.")
@pass_app
def show(app: App, *, model_id: str, as_of: datetime | None, as_json: bool) -> None:
    """Show all data of a model.

    Metadata, metrics, files with sizes and digests, what its pickles may import, and its history. With --json, the
    entry of the registry.
    """
    with app.reading() as registry:
        model_id = find_model(registry, model_id, as_of=as_of)
        found = registry.get_model_info(model_id, as_of=as_of)
        if found is None:
            raise EntryNotFound(
                f"cannot show {quoted(model_id)}: {'it is not' if as_of is None else 'it was not then'} registered",
                hint="`model-inbox list` shows the ids, `model-inbox history ID` an earlier model with this id",
            )
        if as_json:
            print_json(found)
            return
        # The whole history of a large registry takes seconds to parse.
        excerpt = Excerpt(RegistryFiles(Path(registry.registry_path)))
        changes, missing = excerpt.lines_about(model_id), excerpt.missing()
    entry, moment = as_fields(found), now()
    print_lines(str(entry["model_id"]))
    print_fields(_facts(entry, moment))
    print_lines("\nmetrics")
    _print_metrics(entry.get("validation_metrics") or {})
    if entry.get("recorded"):
        print_lines("\nrecorded later")
        print_fields(
            (name, f"{short_number(found['value'])} ({when(parse_stored(found['at']))} UTC)")
            for name, found in sorted(entry["recorded"].items())
        )
    if gates := outcomes_of(entry):
        print_lines("\ngates")
        print_fields(
            (outcome["gate"], f"{'passed' if outcome['passed'] else 'failed'}: {outcome['says']}") for outcome in gates
        )
    print_lines("\nfiles")
    print_fields(_files(entry, Boundary(Path(registry.registry_path).parent, Path(registry.storage_dir))))
    print_lines("\nmay import")
    print_lines(_imports(entry.get("imports")), indent=2)
    if entry.get("scaler_replaced"):
        said = _imports(entry.get("scaler_imports"))
        print_lines(f"its scaler, since change {entry['scaler_replaced']} of the history: {said}", indent=2)
    print_lines("\nhistory")
    if len(changes) > _HISTORY_LINES:
        print_lines(f"{len(changes) - _HISTORY_LINES} earlier: `model-inbox history {model_id}`", indent=2)
    for line in changes[-_HISTORY_LINES:]:
        what, why = change_of(line, model_id)
        why = f"{why} {line.drop_id or ''}".strip()
        print_lines(f"{when(line.at)}  {what} by {line.actor}{f': {why}' if why else ''}", indent=2, hanging=20)
    if missing:
        print_lines(f"changes {spans(missing)} are missing: `model-inbox verify` says where", indent=2)


def _facts(entry: EntryFields, moment: datetime) -> Iterator[tuple[str, object]]:
    trained, registered = parse_stored(entry.get("trained_at")), parse_stored(entry.get("registered_at"))
    features: Sequence[object] = entry.get("features_used") or ()
    tags: Mapping[str, str] = entry.get("tags") or {}
    yield "pair", entry.get("currency_pair")
    yield "type", entry.get("model_type")
    yield "variant", entry.get("variant")
    yield "version", entry.get("version")
    yield "trained", f"{when(trained)} UTC ({age(trained, moment)} ago)"
    yield (
        "registered",
        f"{when(registered)} UTC ({age(registered, moment)} ago), change {entry.get('sequence')} of the history",
    )
    yield "from", origin_in_words(entry)
    yield "owner", owner_in_words(entry.get("owner"))
    yield "calibrated", "yes" if entry.get("calibration_ok") else "no"
    yield "min samples", entry.get("min_samples")
    yield "horizons", ", ".join(f"{days} d" for days in entry.get("horizons") or ())
    yield "features", f"{len(features)}: {', '.join(str(name) for name in features)}" if features else "none"
    yield "made with", ", ".join(f"{name} {version}" for name, version in (entry.get("frameworks") or {}).items())
    yield "to load", f"about {format_size(entry['load_bytes'])} of memory" if entry.get("load_bytes") else None
    yield "pinned", "yes" if entry.get("pinned") else None
    held_since = when(parse_stored(entry.get("held_since")))
    yield "held", f"since {held_since} UTC: {entry.get('held')}" if entry.get("held") else None
    yield "aliases", ", ".join(entry.get("aliases") or ())
    if barred := barred_of(entry):
        yield "barred", f"no rule gives it {', '.join(barred)}: a rollback left it"
    yield "tags", ", ".join(f"{name}={value}" if value else name for name, value in tags.items())
    yield "description", entry.get("description")
    yield "provenance", "\n".join(f"{name}={value}" for name, value in (entry.get("provenance") or {}).items())


def _print_metrics(metrics: Mapping[str, Any]) -> None:
    """Print metrics as a table if all are in groups of one level and it has room, otherwise one to a line."""
    groups = [value for value in metrics.values() if isinstance(value, Mapping)]
    flat = not groups or len(groups) < len(metrics) or any(isinstance(v, Mapping) for g in groups for v in g.values())
    if not metrics:
        print_lines("none", indent=2)
    elif flat:
        print_fields((name, short_number(value)) for name, value in _flattened(metrics))
    else:
        inner = list(dict.fromkeys(str(name) for group in groups for name in group))
        rows = [[f"  {name}", *(short_number(group.get(key, "")) for key in inner)] for name, group in metrics.items()]
        columns = [Column(""), *(Column(printable(name), right=True) for name in inner)]
        if fits(columns, rows):
            print_table(columns, rows)
        else:
            print_fields((name, short_number(value)) for name, value in _flattened(metrics))


def _flattened(metrics: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            yield from _flattened(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _files(entry: EntryFields, boundary: Boundary) -> Iterator[tuple[str, str]]:
    for file, size, problem in look_at_files(entry, boundary):
        said = format_size(size) if size is not None else problem
        yield file.role, f"{file.path} ({said})\nSHA-256 {file.sha256 or 'unknown'}"


def _imports(imports: Mapping[str, str] | None) -> str:
    more = "; --json lists them with their uses" if imports else ""
    return f"{imports_in_words(imports)}{more}"
