"""`model-inbox drop`: copies a model into the inbox, with what is known of it, and can wait for the answer.

A thin layer over `producer.files`. The inbox gives producers the right to write to it, so that they stay who they are.
Root becomes the owner of the inbox: it never works by path where producers can change what a path names. Never reads a
pickle.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from ..base.instants import canonical_instant
from ..base.units import format_duration, parse_duration
from ..errors import DropRefused
from ..exit_codes import EXIT_DONE, EXIT_REFUSED, EXIT_TRY_AGAIN
from ..problems import Problem, quoted
from .arguments import (
    as_instant,
    as_seconds,
    metrics_in,
    no_metrics,
    pair_option,
    read_metrics,
    type_option,
    variant_option,
)
from .common import App, Command, act_as_owner, now, pass_app
from .output import print_json, print_lines, print_problems

if TYPE_CHECKING:
    from ..base.strict_yaml import Document, Node
    from ..producer import DropResult

__all__ = ["NO_ANSWER", "drop", "exit_code_of", "inbox_option", "print_answer"]

NO_ANSWER = "Is the daemon running (`model-inbox status`)? `model-inbox inbox list` says what the drop waits for."
"""What to do if no answer comes in time."""

inbox_option = click.option(
    "--inbox",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="The inbox. Default: that of the configuration.",
)

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FILE_OR_PIPE = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)
_YAML_BYTES_MAX = 1 << 20
# The fields of which a dotted name means a value inside them.
_NESTED = ("validation_metrics", "tags", "provenance", "sha256")
_OTHER_NAMES = {"subject": "currency_pair"}
_OPTIONS = {
    "currency_pair": "--pair USD/EUR",
    "model_type": "--type lightgbm",
    "validation_metrics": "--metrics metrics.json",
    "trained_at": "--trained-at TIME",
    "version": "--set version=1.0",
    "min_samples": "--set min_samples=500",
    "calibration_ok": "--set calibration_ok=true",
    "features_used": "--set 'features_used=[sma_5, rsi_14]'",
    "horizons": "--set 'horizons=[1, 7]'",
}


class _Drop(Command):
    """Accepts `--wait` without a value, also before a file name."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        for at, word in enumerate(args):
            if word == "--":
                break
            if word == "--wait" and not _is_duration(args[at + 1 : at + 2]):
                from ..producer.answers import DEFAULT_WAIT_SECONDS

                args = [*args[:at], f"--wait={DEFAULT_WAIT_SECONDS:g}", *args[at + 1 :]]
        return super().parse_args(ctx, args)


def _is_duration(words: list[str]) -> bool:
    try:
        parse_duration(*words)
    except (TypeError, ValueError):
        return False
    return True


def _pairs(_ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Parse several KEY=VALUE; the callback of options with them."""
    found = []
    for value in values:
        name, equals, text = value.partition("=")
        if not name.strip() or not equals:
            raise click.BadParameter(f"{quoted(value)} is not KEY=VALUE", param=param)
        found.append((name.strip(), text))
    return tuple(found)


@click.command(
    cls=_Drop,
    examples=[
        "model-inbox drop m.pkl --pair USD/EUR --type lightgbm --metrics metrics.json --set version=1.0 \\",
        "    --set min_samples=500 --set calibration_ok=true --set 'features_used=[sma_5, rsi_14]' --wait",
        "model-inbox drop m.pkl --wait   # with m.yaml beside it, and m_scaler.pkl if there is one",
        "model-inbox drop usd_eur.pkl --meta usd_eur.yaml --scaler usd_eur_scaler.pkl --wait 30 --json",
        "model-inbox drop m.pkl --inbox ssh://host/srv/inbox --wait",
        "tar -c m.pkl m.yaml | ssh host model-inbox drop - --wait",
    ],
    exits={
        EXIT_DONE: "dropped; with --wait: registered, or already registered with the same bytes and metadata",
        EXIT_REFUSED: "rejected, already registered with other metadata, or not dropped: the metadata has problems",
        EXIT_TRY_AGAIN: "dropped, but no answer came in time; or the other machine cannot be reached",
    },
)
@click.argument("model", type=_FILE_OR_PIPE, metavar="MODEL.pkl|-")
@pair_option("What it forecasts, like USD/EUR.")
@type_option("The kind of model, like lightgbm.")
@variant_option("Its variant, like 30d.")
@click.option(
    "--metrics",
    multiple=True,
    metavar="FILE|-|KEY=NUMBER",
    help="Its validation metrics: a JSON or YAML file (- is standard input), or one number with its dotted name.",
)
@click.option(
    "--set",
    "sets",
    multiple=True,
    callback=_pairs,
    metavar="KEY=VALUE",
    help="Any field of a sidecar, or one of its values (tags.desk=fx). The value is YAML.",
)
@click.option(
    "--id",
    "model_id",
    metavar="TEMPLATE",
    help="Its id. {pair}, {type}, {variant}, {version}, {trained_at} and {sha8} are filled in.",
)
@click.option(
    "--trained-at", callback=as_instant, metavar="TIME", help="When it was trained. Default: when its file was written."
)
@click.option(
    "--provenance",
    "facts",
    multiple=True,
    callback=_pairs,
    metavar="KEY=VALUE",
    help="Where it comes from, beside what is collected.",
)
@click.option("--no-provenance", is_flag=True, help="Collect nothing about this machine, its user and the job.")
@click.option(
    "--meta",
    "sidecar",
    type=_FILE,
    metavar="META.yaml",
    help="The sidecar. Its name gives the names in the inbox. Default: the one beside the model, if there is one.",
)
@click.option(
    "--scaler",
    type=_FILE,
    metavar="SCALER.pkl",
    help="The model's scaler. Default, without --meta: MODEL_scaler.pkl beside the model, if there is one.",
)
@click.option("--no-scaler", is_flag=True, help="The model has no scaler, whatever is beside it.")
@click.option(
    "--inbox",
    metavar="DIR|ssh://HOST/DIR",
    help="The inbox; with ssh:// that of another machine. Default: that of the configuration.",
)
@click.option(
    "--wait",
    callback=as_seconds,
    metavar="[DURATION]",
    help="Wait for the daemon's answer, for a minute or for the given time (30, 90s, 5m).",
)
@click.option("-q", "--quiet", is_flag=True, help="Print nothing on success.")
@pass_app
def drop(
    app: App,
    *,
    model: Path,
    pair: str | None,
    model_type: str | None,
    variant: str | None,
    metrics: tuple[str, ...],
    sets: tuple[tuple[str, str], ...],
    model_id: str | None,
    trained_at: datetime | None,
    facts: tuple[tuple[str, str], ...],
    no_provenance: bool,
    sidecar: Path | None,
    scaler: Path | None,
    no_scaler: bool,
    inbox: str | None,
    wait: float | None,
    quiet: bool,
    as_json: bool,
) -> int:
    """Drop a model into the inbox.

    What the options do not say is read from the sidecar beside the model, if there is one. What that does not say
    either is filled in where it can be known. The files are copied, and the sidecar is written last, with their
    digests, so the daemon takes the drop at once. Your own files are not changed, and no pickle is loaded. If root runs
    it, the drop is one of the owner of the inbox: run it as the user whose model it is.

    With `-` the drop is a tar archive on standard input: the model, and its sidecar and scaler if it has them.
    """
    from ..model.metadata import PAIR_PATTERN
    from ..producer.files import drop_archive, drop_files, files_beside
    from ..producer.remote import is_remote

    is_archive = str(model) == "-"
    if is_archive and (sidecar is not None or scaler is not None or no_scaler or is_remote(inbox)):
        raise click.UsageError("With `-` all files are in the archive: no --meta, --scaler, --no-scaler or ssh://.")
    if is_archive + metrics.count("-") > 1:
        raise click.UsageError("Standard input is given twice.")
    if scaler is not None and no_scaler:
        raise click.UsageError("--scaler and --no-scaler do not go together.")
    if facts and no_provenance:
        raise click.UsageError("--provenance and --no-provenance do not go together.")
    texts = {"currency_pair": pair, "model_type": model_type, "variant": variant, "model_id": model_id}
    if trained_at is not None:
        texts["trained_at"] = canonical_instant(trained_at)
    folder: str | Path = inbox if inbox is not None else app.config.inbox.path
    options: dict[str, Any] = {
        "inbox": folder,
        "wait": False if wait is None else wait,
        "pair_pattern": PAIR_PATTERN if inbox is not None else app.config.checks.pair_pattern,
        "given": _given(texts, metrics, sets),
        "provenance": False if no_provenance else dict(facts),
        "on_opened": act_as_owner,
    }
    try:
        if is_archive:
            result = drop_archive(sys.stdin.buffer, **options)
        else:
            if sidecar is None:
                beside = files_beside(model, with_scaler=scaler is None and not no_scaler, now=now())
                sidecar, scaler = beside.sidecar, scaler if scaler is not None else beside.scaler
            result = drop_files(model, sidecar, scaler=scaler, **options)
    except DropRefused as error:
        error.problems = tuple(_with_option(problem) for problem in error.problems)
        raise
    status = exit_code_of(result)
    if quiet and status == EXIT_DONE:
        return status
    if as_json:
        print_json(result.as_dict())
    elif result.outcome == "dropped":
        name = quoted(result.model_id)
        print_lines(f"Dropped {name} into {str(folder)!r}. With `--wait` the command waits for the answer.")
    elif result.outcome == "waiting":
        waited = format_duration(wait or 0)
        print_lines(f"Dropped {quoted(result.model_id)}, but no answer came within {waited}. It stays in the inbox.")
        print_lines(NO_ANSWER, indent=2)
    else:
        print_answer(result)
    return status


def _given(
    texts: dict[str, str | None], metrics: tuple[str, ...], sets: tuple[tuple[str, str], ...]
) -> list[tuple[list[str], Node]]:
    """Return the values that the options give, each with its path in a sidecar. What --set says counts most."""
    from ..model.sidecar_parts import a_text

    given: list[tuple[list[str], Node]] = [([name], a_text(text)) for name, text in texts.items() if text is not None]
    for source in metrics:
        if "=" in source:
            name, _, value = source.partition("=")
            given.append((["validation_metrics", *name.split(".")], _parsed(value, f"--metrics {name}")))
        else:
            given.append((["validation_metrics"], _metrics(source)))
    for key, value in sets:
        first, dot, rest = key.partition(".")
        field = _OTHER_NAMES.get(first, first)
        if not dot:
            path = [field]
        elif field == "validation_metrics":
            path = [field, *rest.split(".")]
        else:
            path = [field, rest] if field in _NESTED else [key]
        given.append((path, _parsed(value, f"--set {key}")))
    return given


def _parsed(value: str, what: str) -> Node:
    """Return a value of an option, which is YAML. Raises UsageError."""
    from ..model.sidecar_parts import a_text, without_places

    document = _read(value.encode("utf-8", "surrogateescape"), "value")
    if document.problems:
        said = document.problems[0].message
        raise click.UsageError(f"Cannot use the value of {quoted(what)}: {said}. Put such text in quotes.")
    return a_text("") if document.root is None else without_places(document.root)


def _metrics(source: str) -> Node:
    """Return the metrics in a file. Raises DropRefused and StorageError."""
    from ..base.strict_yaml import Pairs
    from ..model.sidecar_parts import without_places

    data = read_metrics(source, _YAML_BYTES_MAX)
    document = _read(data, "file")
    if document.problems:
        raise DropRefused(f"cannot use {metrics_in(source)}", document.problems)
    if not isinstance(document.root, Pairs):
        raise DropRefused(no_metrics(source, data), hint='Write it like {"1d": {"rmse": 0.0032}}')
    return without_places(document.root)


def _read(data: bytes, called: Literal["file", "value"]) -> Document:
    from ..base.strict_yaml import read_yaml

    return read_yaml(data, called=called, bytes_max=_YAML_BYTES_MAX, depth_max=8, nodes_max=200_000)


def _with_option(problem: Problem) -> Problem:
    """Return the problem of a missing field with the option that gives it."""
    option = _OPTIONS.get(problem.field or "")
    if problem.code != "sidecar.missing_field" or option is None:
        return problem
    return replace(problem, hint=f"Add {option}, or write it into a sidecar")


def print_answer(result: DropResult) -> None:
    """Print the daemon's answer to a drop."""
    name = quoted(result.model_id)
    if result.outcome == "registered":
        print_lines(f"Registered {name} (drop {result.drop_id}).", colour="green")
    elif result.outcome == "duplicate" and result.problems:
        print_lines(f"{name} was already registered with the same bytes and other metadata; nothing changed:")
    elif result.outcome == "duplicate":
        print_lines(f"{name} was already registered with the same bytes; nothing changed.")
    else:
        print_lines(f"Rejected {name} (drop {result.drop_id}):", colour="red")
    print_problems((*result.problems, *result.notes))


def exit_code_of(result: DropResult) -> int:
    """Return the exit code that says how a drop ended."""
    if result.outcome == "waiting":
        return EXIT_TRY_AGAIN
    return EXIT_DONE if result.ok else EXIT_REFUSED
