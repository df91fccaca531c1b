"""`model-inbox check`: whether the inbox would accept a drop, without dropping it.

Runs the daemon's checks on files in any folder: pairing, readiness, the sidecar's fields, the pickle scan in its
worker, and the operator's `checks`. Never moves a file, and never looks at the inbox or the registry.
"""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..base.units import format_size
from ..errors import StorageError, is_transient
from ..exit_codes import EXIT_DONE, EXIT_REFUSED
from ..model.file_names import MODEL, SIDECAR, SUFFIXES_IN_WORDS, is_ignored, stem_of, stems_of
from ..problems import Problem
from ..problems.artifact import artifact_digest_mismatch, artifact_not_regular, artifact_unknown_suffix
from ..problems.drop import drop_ignored, drop_sidecar_not_regular, drop_unreadable
from .common import App, Command, now, pass_app
from .output import print_json, print_lines, print_problems, printable

if TYPE_CHECKING:
    from ..config.settings import Config
    from ..inbox.drop import Drop, Kind, Sighting
    from ..inbox.readiness import Limits, Look
    from ..model.metadata import ModelMetadata
    from ..model.sidecar import Sidecar
    from ..pickles import PickleReport, Scanner
    from .check_gates import Beside

__all__ = ["check"]


@dataclass(slots=True)
class _Result:
    """The result for all files of one call."""

    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)
    pickles: list[tuple[Path, int, PickleReport]] = field(default_factory=list)
    sidecars: list[Path] = field(default_factory=list)
    seen: set[Path] = field(default_factory=set)
    drops: list[tuple[str, ModelMetadata, int]] = field(default_factory=list)
    """Each sidecar without problems, with its metadata and the size of its files."""
    beside: list[Beside] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        return "reject" if self.problems else "accept"


@click.command(
    cls=Command,
    examples=[
        "model-inbox check usd_eur.yaml",
        "model-inbox check usd_eur.pkl usd_eur_scaler.pkl --json",
        "model-inbox check usd_eur.yaml --against champion",
        "model-inbox check *.pkl --suggest-allow",
    ],
    exits={EXIT_DONE: "accept", EXIT_REFUSED: "reject", 75: "the scanner does not work"},
)
@click.argument(
    "files", nargs=-1, required=True, metavar="FILE...", type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--suggest-allow", is_flag=True, help="Print the lines for config.yaml that the files need, as YAML.")
@click.option(
    "--against", metavar="ALIAS", help="Compare with the model in service: an alias such as champion, or newest."
)
@click.option("-v", "--verbose", is_flag=True, help="Print all that is known of accepted files, too.")
@pass_app
def check(
    app: App, *, files: tuple[Path, ...], suggest_allow: bool, against: str | None, verbose: bool, as_json: bool
) -> int:
    """Check whether the inbox would accept a drop.

    FILE is a sidecar, whose model and scaler are found beside it as in the inbox, or a single pickle. No pickle is
    loaded. Whether the model_id is free is checked only when the model is dropped. The gates of the configuration are
    evaluated beside the models that are in service now. docs/reference/problems.md says for each code what it means and
    what to do.

    With --suggest-allow, the output is one YAML block for all files that lines of pickle.allow would make acceptable,
    with a comment on each line. Add a line only if you trust the code of its class.
    """
    from ..pickles import Allowlist, Scanner

    config = app.config
    section = config.pickle
    scanner = Scanner(
        Allowlist.load(section.frameworks, section.allow),
        memory_limit=section.memory_limit,
        time_limit=section.time_limit,
        load_budget=section.load_budget,
    )
    result = _Result()
    try:
        sidecars = [path for path in files if SIDECAR.fullmatch(path.name)]
        for path in sidecars:
            result.sidecars.append(path)
            _check_drop(path, config, scanner, result)
        for path in files:
            if path not in sidecars and path.absolute() not in result.seen:
                _check_pickle(path, scanner, result)
        lines, needed_by = _suggestions(result, scanner, config) if suggest_allow else ({}, {})
    finally:
        scanner.close()
    _pass_gates(app, result, against)
    if as_json:
        suggested = {"allow": lines} if suggest_allow else {}
        beside = {"beside": [one.as_dict() for one in result.beside]} if result.beside else {}
        print_json({**_as_dict(result), **beside, **suggested})
    elif suggest_allow:
        _print_suggestions(result, lines, needed_by)
    else:
        _print(result, verbose=verbose)
        for one in result.beside:
            one.print()
    return EXIT_REFUSED if result.problems else EXIT_DONE


def _pass_gates(app: App, result: _Result, against: str | None) -> None:
    """Evaluate the gates for each drop. After the scans: the registry is read as its owner, the drops as the caller."""
    if against is None and not app.config.gates:
        return
    from ..model.metadata import fields_of
    from .check_gates import beside_those_in_service

    if against is not None and not result.drops:
        raise click.UsageError("--against needs a sidecar with the metrics of the model, and no problems in it")
    for file, metadata, size in result.drops:
        beside = beside_those_in_service(app, file, fields_of(metadata), size, against)
        if beside is not None:
            result.beside.append(beside)
            result.problems += [_in(file, problem) for problem in beside.examined.problems]
            result.notes += [_in(file, note) for note in beside.examined.notes]


def _check_drop(path: Path, config: Config, scanner: Scanner, result: _Result) -> None:
    """Check a sidecar and the files that it names or that belong to it by their names."""
    from ..inbox.acceptance import verdict
    from ..inbox.drop import pair
    from ..inbox.folder import parse_sidecar_file
    from ..inbox.readiness import kind_in_words

    name, stem = path.name, stem_of(path.name)
    if is_ignored(name):
        result.problems.append(_ignored(name))
    own = _sighting(path, name)
    if own.kind != "file":
        result.problems.append(drop_sidecar_not_regular(path.name, kind_in_words(path.name, own.kind)))
        return
    try:
        sidecar = parse_sidecar_file(path, now(), config.inbox.max_sidecar_size)
    except OSError as error:
        raise StorageError("read the sidecar", path, error) from error
    result.problems += [replace(problem, file=path.name) for problem in sidecar.problems]
    result.notes += [replace(note, file=path.name) for note in sidecar.notes]
    # The sidecar's own problems are reported above. Without them, the files are checked as well.
    good = replace(sidecar, problems=(), cut_short=False, parses=True)
    sightings = {name: own, **_beside(path, stem, sidecar)}
    rivals = [file for file in sightings if SIDECAR.fullmatch(file) and stem_of(file) == stem]
    drop = pair(sightings, dict.fromkeys((name, *rivals), good))[0][0]
    result.notes += drop.notes
    result.problems += _problems_of_arrival(drop, path.parent, config)
    reports = {}
    for role, file in drop.files.items():
        if file in sightings and sightings[file].kind == "file":
            place = path.with_name(file)
            result.problems += _problem_of_digest(place, role, sidecar.digests.get(role))
            reports[file] = _scan(place, scanner, result)
    if sidecar.metadata is not None:
        size = sum(sightings[file].size for file in drop.files.values() if file in sightings and file != path.name)
        result.drops.append((path.name, sidecar.metadata, size))
        result.problems += verdict(
            sidecar.metadata,
            reports,
            model_types=config.checks.model_types,
            currency_pairs=config.checks.currency_pairs,
            pair_pattern=config.checks.pair_pattern,
        )
    else:
        result.problems += [_in(file, problem) for file, report in reports.items() for problem in report.problems]
    result.problems[:] = _without_repeats(result.problems)


def _beside(path: Path, stem: str, sidecar: Sidecar) -> dict[str, Sighting]:
    """Return the files that may belong to a sidecar: those that it names, and those of its stem."""
    try:
        listed = os.listdir(path.parent)
    except OSError as error:
        raise StorageError("list", path.parent, error) from error
    named = {sidecar.declared.model_file, sidecar.declared.scaler_file}
    names = [file for file in listed if file in named or (stem in stems_of(file) and not is_ignored(file))]
    return {file: _sighting(path.with_name(file), file) for file in sorted(names) if file != path.name}


def _ignored(name: str) -> Problem:
    what = "hidden" if name.startswith(".") else "one that the inbox ignores"
    return drop_ignored(name, what)


def _check_pickle(path: Path, scanner: Scanner, result: _Result) -> None:
    from ..inbox.readiness import kind_in_words

    if is_ignored(path.name):
        result.problems.append(_ignored(path.name))
    elif MODEL.fullmatch(path.name) is None:
        result.problems.append(artifact_unknown_suffix(path.name, SUFFIXES_IN_WORDS))

    kind = _sighting(path, path.name).kind
    if kind != "file":
        result.problems.append(artifact_not_regular(kind_in_words(path.name, kind), path.name))
        return
    report = _scan(path, scanner, result)
    result.problems += [_in(path.name, problem) for problem in report.problems]


def _scan(path: Path, scanner: Scanner, result: _Result) -> PickleReport:
    result.seen.add(path.absolute())
    size = path.stat().st_size
    report = scanner.scan(path, size=size)
    result.pickles.append((path, size, report))
    return report


# --- lines for pickle.allow ----------------------------------------------------------------------------------


def _suggestions(result: _Result, scanner: Scanner, config: Config) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Return the lines that make files acceptable, and for each line the files that need it.

    Each file is scanned again with its lines: a file that is refused for another reason needs none.
    """
    from ..pickles import Allowlist, lines_for

    section = config.pickle
    present = scanner.allowlist
    lines: dict[str, str] = {}
    needed_by: dict[str, list[str]] = {}
    for path, size, report in result.pickles:
        wanted = lines_for(report, present)
        if not wanted:
            continue
        scanner.allowlist = Allowlist.load(section.frameworks, {**section.allow, **wanted})
        if scanner.scan(path, size=size).accepted:
            for name, letters in wanted.items():
                lines[name] = "".join(sorted({*lines.get(name, ""), *letters}))
                needed_by.setdefault(name, []).append(str(path))
    scanner.allowlist = present
    return lines, needed_by


def _print_suggestions(result: _Result, lines: Mapping[str, str], needed_by: Mapping[str, list[str]]) -> None:
    """Print YAML: the block, and comments about the files that no line makes acceptable."""
    from ..pickles import block_of

    helped = {name for names in needed_by.values() for name in names}
    for path, _, report in result.pickles:
        if not report.accepted and str(path) not in helped:
            why = ", ".join(sorted({problem.code for problem in report.problems}))
            click.echo(printable(f"# {path}: no line makes it acceptable ({why})"))
    if lines:
        for line in block_of(lines, needed_by):
            click.echo(printable(line))
    else:
        click.echo("# no lines to add")


# --- readiness, as if no file had changed for a long time ----------------------------------------------------


class _UnchangingFacts:
    """Facts for the readiness rules about files that no process writes, so that nothing is waited for."""

    clock_behind_seconds = 0.0

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def unchanged_seconds(self, name: str) -> float:  # noqa: ARG002  # the same for all
        return math.inf

    def age_seconds(self, name: str) -> float:  # noqa: ARG002  # the same for all
        return math.inf

    def looks(self, names: Sequence[str]) -> dict[str, Look]:
        return {name: self._look_into(name) for name in names}

    def _look_into(self, name: str) -> Look:
        from ..base.leases import Lease
        from ..inbox.readiness import Look
        from ..pickles import looks_complete

        try:
            complete = SIDECAR.fullmatch(name) is not None or looks_complete(self._folder / name)
        except OSError as error:
            if is_transient(error):
                raise StorageError("read", self._folder / name, error) from error
            why = error.strerror or str(error)
            problem = drop_unreadable(name, why, "Run the command as a user who may read it", by="you")
            return Look(Lease.UNKNOWN, complete=False, problem=problem)
        return Look(Lease.UNKNOWN, complete=complete)

    def rejection_of(self, stray: Sighting) -> None:  # noqa: ARG002  # nothing was ever rejected
        return None

    def held(self, drop: Drop) -> None:  # noqa: ARG002  # nothing was ever claimed
        return None


def _problems_of_arrival(drop: Drop, folder: Path, config: Config) -> list[Problem]:
    from ..inbox.readiness import Take, judge

    decision = judge(drop, _UnchangingFacts(folder), _limits(config))
    if isinstance(decision, Take):
        return []
    return [problem for problem in decision.problems if problem.code != "drop.incomplete_timeout"]


def _limits(config: Config) -> Limits:
    from ..inbox.readiness import Limits

    return Limits(0.0, 0.0, 0.0, config.inbox.max_artifact_size, config.inbox.max_sidecar_size)


def _sighting(path: Path, name: str) -> Sighting:
    from ..inbox.drop import Sighting

    found = path.lstat()
    kinds: Sequence[tuple[bool, Kind]] = (
        (stat.S_ISREG(found.st_mode), "file"),
        (stat.S_ISDIR(found.st_mode), "folder"),
        (stat.S_ISLNK(found.st_mode), "symlink"),
    )
    kind: Kind = next((kind for is_it, kind in kinds if is_it), "other")
    return Sighting(name, kind, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_uid)


# --- problems ----------------------------------------------------------------------------------------------


def _problem_of_digest(path: Path, role: str, said: str | None) -> list[Problem]:
    from ..base.copying import digest_regular

    if said is None:
        return []
    try:
        found = digest_regular(path)
    except OSError as error:
        raise StorageError("read", path, error) from error
    if found == said:
        return []
    return [artifact_digest_mismatch(role, path.name, said, found)]


def _in(file: str, problem: Problem) -> Problem:
    return problem if problem.file else replace(problem, file=file)


def _without_repeats(problems: Sequence[Problem]) -> list[Problem]:
    """Return each problem once. Two checks find a bad name, and two find a truncated pickle."""
    kept: dict[object, Problem] = {}
    for problem in problems:
        key = (problem.code, problem.file) if problem.code == "artifact.truncated" else problem
        kept.setdefault(key, problem)
    return list(kept.values())


# --- printing ----------------------------------------------------------------------------------------------


def _as_dict(result: _Result) -> Mapping[str, Any]:
    return {
        "verdict": result.verdict,
        "problems": [problem.as_dict() for problem in result.problems],
        "notes": [note.as_dict() for note in result.notes],
        "pickles": [{"file": path.name, **report.as_dict()} for path, _, report in result.pickles],
    }


def _print(result: _Result, *, verbose: bool) -> None:
    """Print one line a file if all are accepted, else also what is known of each; with `verbose` that in any case."""
    rejected = bool(result.problems)
    if rejected:
        print_lines("REJECT", colour="red")
    for path in result.sidecars if not rejected else ():
        print_lines(f"ACCEPT: {path.name}", colour="green")
    for path, size, report in result.pickles:
        what = f"{report.kind or 'unknown'}, {format_size(size)}"
        if report.frameworks:
            known = [f"{one} {report.versions.get(one, '')}".rstrip() for one in report.frameworks]
            what += f", of {', '.join(known)}"
        if rejected:
            print_lines(f"\n{path.name} ({what})")
        else:
            print_lines(f"ACCEPT: {path.name} ({what})", colour="green")
        if rejected or verbose:
            _print_contents(report, verbose=verbose)
    for title, problems in (("problems", result.problems), ("notes", result.notes)):
        if problems:
            print_lines(f"\n{title}")
            print_problems(problems)


def _print_contents(report: PickleReport, *, verbose: bool) -> None:
    if report.embedded_code:
        print_lines("carries functions or classes themselves, not only their names", indent=2)
    if verbose and report.load_bytes:
        print_lines(f"a load needs about {format_size(report.load_bytes)} of memory besides its imports", indent=2)
    for place in report.places if verbose else ():
        print_lines(place, indent=2, hanging=4)
    if not report.imports:
        print_lines("imports nothing", indent=2)
    for imported, uses in sorted(report.imports.items()):
        print_lines(f"{imported}: to {_uses(uses)}", indent=2, hanging=4)


def _uses(letters: str) -> str:
    from ..pickles import describe_uses

    return describe_uses(letters)
