"""`model-inbox mlflow`: the registry in MLflow."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..base.units import counted, format_duration
from ..errors import ConfigError, RegistryError
from ..exit_codes import EXIT_DONE, EXIT_REFUSED
from ..problems import quoted
from .arguments import MODEL, as_instant, find_model
from .common import App, Command, Group, now, pass_app
from .completion import complete_model
from .output import print_fields, print_json, print_lines

if TYPE_CHECKING:
    from types import FrameType

    from ..mirror.client import Client
    from ..mirror.comparison import Differences
    from ..mirror.plan import Wanted
    from ..mirror.progress import Folder
    from ..mirror.writer import Target
    from ..registry.registry import ModelRegistry

__all__ = ["mlflow"]

_Callback = TypeVar("_Callback", bound=Callable[..., Any])
_SHOWN_MAX = 20


def uri_option(function: _Callback) -> _Callback:
    """Add the option `--tracking-uri`."""
    return click.option(
        "--tracking-uri",
        metavar="URI",
        help="The MLflow, like http://mlflow:5000. Default: mlflow.tracking_uri, else $MLFLOW_TRACKING_URI.",
    )(function)


@click.group(cls=Group)
def mlflow() -> None:
    """Mirror the registry in MLflow, and compare both.

    The registry is only read. MLflow's client is an extra of its own: pip install "model-inbox[mlflow]".
    """


@dataclass(frozen=True, slots=True)
class _Setting:
    """What a command works with."""

    client: Client
    registry: ModelRegistry
    target: Target
    folder: Folder


def tracking_uri_of(app: App, given: str | None) -> str:
    """Return the MLflow that is meant. Raises ConfigError if none is."""
    uri = given or app.config.mlflow.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        raise ConfigError(
            "cannot find MLflow: it is not said where it is",
            hint="Give --tracking-uri, or set mlflow.tracking_uri in config.yaml or $MLFLOW_TRACKING_URI",
        )
    return uri


def _folder(app: App) -> Folder:
    from ..base.disk import Disk
    from ..mirror.progress import Folder

    state = app.config.mlflow.state or app.places.registry.parent.parent / "mlflow-state"
    return Folder(state, Disk(), now)


@contextlib.contextmanager
def _opened(app: App, uri: str | None) -> Iterator[_Setting]:
    """Open the registry for reading, and MLflow's client."""
    from ..mirror.client import Client
    from ..mirror.names import template_fault
    from ..mirror.writer import Target

    settings = app.config.mlflow
    if fault := template_fault(settings.name):
        raise ConfigError(f"cannot use mlflow.name {quoted(settings.name)}: {fault}")
    uri = tracking_uri_of(app, uri)
    with app.reading() as registry:
        identity = registry.identity
        if identity is None:
            raise RegistryError(
                "cannot mirror this registry: it has no identity yet",
                hint="Version 0.1 made it, and nothing was changed since. Start the daemon once (`model-inbox run`)",
            )
        target = Target(identity.registry_id, settings.experiment, settings.name, settings.retired)
        yield _Setting(Client(uri), registry, target, _folder(app))


# --- push -------------------------------------------------------------------------------------------------------


@mlflow.command(
    cls=Command,
    examples=[
        "model-inbox mlflow push --tracking-uri http://mlflow:5000",
        "model-inbox mlflow push --since 7d --dry-run --json",
    ],
    exits={
        1: "MLflow refuses some of the models",
        75: "MLflow cannot be reached, or another mirror is at work",
    },
)
@uri_option
@click.option("--all", "everything", is_flag=True, help="All registered models. This is the default.")
@click.option("--since", callback=as_instant, metavar="TIME", help="Models that were registered at TIME or later.")
@click.option("--model-id", metavar=MODEL, shell_complete=complete_model, help="Only this model.")
@click.option("--dry-run", is_flag=True, help="Only say which models would be pushed.")
@pass_app
def push(
    app: App,
    *,
    tracking_uri: str | None,
    everything: bool,
    since: datetime | None,
    model_id: str | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Bring registered models to MLflow, as versions with their files, and what changed of those that are there.

    What MLflow has already stays as it is: a push that was cut short goes on where it ended.
    """
    if everything + (since is not None) + (model_id is not None) > 1:
        raise click.UsageError("--all, --since and --model-id exclude each other: give one of them")
    from ..mirror.files import registered
    from ..mirror.reconcile import Pushed, differences
    from ..mirror.reconcile import push as carry_out
    from ..mirror.writer import Writer

    with _opened(app, tracking_uri) as it, contextlib.ExitStack() as stack:
        wanted = registered(it.registry)
        if model_id is not None:
            found_id = find_model(it.registry, model_id)
            wanted = [one for one in wanted if one.model_id == found_id]
        if since is not None:
            wanted = [one for one in wanted if _registered_at(one) >= since]
        if not dry_run:
            stack.enter_context(it.folder.lock())
        found = differences(it.client, it.registry, it.target)
        if dry_run:
            differ = {one.model_id for one in found.missing} | {one.wanted.model_id for one in found.different}
            ids = [one.model_id for one in wanted if one.model_id in differ]
            done = Pushed(len(ids), len(wanted) - len(ids))
        else:
            writer = Writer(it.client, it.registry, it.target, it.folder.work)
            writer.sweep()
            ids = []
            done = carry_out(writer, wanted, found, lambda one: ids.append(one.model_id))
    failed = [{"model_id": one.model_id, "problem": str(one.error), "code": one.error.code} for one in done.failed]
    if as_json:
        answer: dict[str, Any] = {"pushed": done.pushed, "unchanged": done.unchanged, "failed": failed}
        print_json({**answer, "dry_run": True, "models": ids} if dry_run else answer)
    else:
        verb = "Would push" if dry_run else "Pushed"
        print_lines(f"{verb} {counted(done.pushed, 'model')}; {done.unchanged} unchanged, {len(failed)} failed.")
        if dry_run:
            for one_id in ids:
                print_lines(one_id, indent=2)
        for failure in failed:
            print_lines(f"{failure['model_id']}: {failure['problem']}", indent=2)
    return EXIT_REFUSED if failed else EXIT_DONE


def _registered_at(one: Wanted) -> datetime:
    from ..base.instants import parse_time

    # An entry that was adopted has no such time: it is older than all others.
    return parse_time(str(one.entry.get("registered_at") or "1970-01-01T00:00:00Z"), now())


# --- mirror -----------------------------------------------------------------------------------------------------


class _Ended(KeyboardInterrupt):
    """A signal asked the mirror to end. MLflow's client and that of S3 let it through as they do Ctrl-C."""


def _end(_number: int, _frame: FrameType | None) -> None:
    raise _Ended


@mlflow.command(
    cls=Command,
    examples=["model-inbox mlflow mirror --tracking-uri http://mlflow:5000", "model-inbox mlflow mirror --once"],
    exits={75: "another mirror is at work"},
)
@uri_option
@click.option("--once", is_flag=True, help="End when MLflow has everything that is registered now.")
@pass_app
def mirror(app: App, *, tracking_uri: str | None, once: bool, as_json: bool) -> int:
    """Follow the registry, and bring each change to MLflow, until SIGTERM or Ctrl-C.

    It goes on where it ended. While MLflow is away it tries again, with growing pauses, and the daemon never waits for
    it. Models that MLflow refuses are set aside: `model-inbox mlflow status` names them.
    """
    from ..base.log import configure_at_first_line, log
    from ..mirror.following import Mirror
    from ..telemetry.logging import configure

    before = {number: signal.signal(number, _end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with _opened(app, tracking_uri) as it, it.folder.lock():
            logging = app.config.logging
            form = "json" if as_json else logging.format

            def to_stderr() -> None:
                configure(format=form, level=logging.level)

            configure_at_first_line(to_stderr)
            Mirror(it.client, it.registry, it.target, it.folder, clock=now, wait=time.sleep).run(until_idle=once)
    except _Ended:
        # Whatever was cut short is found by the next start.
        log.info("mlflow.stopped")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return EXIT_DONE


# --- verify -----------------------------------------------------------------------------------------------------


@mlflow.command(
    cls=Command,
    examples=[
        "model-inbox mlflow verify --tracking-uri http://mlflow:5000",
        "model-inbox mlflow verify --deep --repair",
    ],
    exits={1: "both sides differ, or with --repair something could not be mended", 75: "MLflow cannot be reached"},
)
@uri_option
@click.option("--deep", is_flag=True, help="Read all stored bytes back, and compare their digests.")
@click.option("--repair", "mend", is_flag=True, help="Mend what differs.")
@pass_app
def verify(app: App, *, tracking_uri: str | None, deep: bool, mend: bool, as_json: bool) -> int:
    """Compare the registry with MLflow: every model, field, alias and digest."""
    from ..mirror.files import registered
    from ..mirror.reconcile import deep_problems, differences, repair
    from ..mirror.writer import Writer

    with _opened(app, tracking_uri) as it, contextlib.ExitStack() as stack:
        if mend:
            stack.enter_context(it.folder.lock())
        writer = Writer(it.client, it.registry, it.target, it.folder.work)
        if mend:
            writer.sweep()
        found = differences(it.client, it.registry, it.target)
        runs, lost = writer.run_problems(found)
        spoiled = list(lost)
        if deep:
            without = {one.version.run_id for one in lost}
            checked = deep_problems(it.client, registered(it.registry), found)
            spoiled += [one for _, one in checked if one is not None and one.version.run_id not in without]
        failed: tuple[Any, ...] = ()
        before = _as_dict(found, spoiled, runs)
        if mend:
            failed = repair(writer, found, spoiled).failed
            for run_id in runs:
                it.client.delete_run(run_id)
            found = differences(it.client, it.registry, it.target)
            runs, lost = writer.run_problems(found)
            spoiled = list(lost)
    answer = _as_dict(found, spoiled, runs)
    if mend:
        answer["repaired"] = {name: before[name] for name in ("missing", "extra", "different")}
        answer["failed"] = [{"model_id": one.model_id, "problem": str(one.error)} for one in failed]
    if as_json:
        print_json(answer)
    else:
        _print_verified(answer, found.same)
    return EXIT_DONE if answer["ok"] else EXIT_REFUSED


def _as_dict(found: Differences, spoiled: list[Any], runs: tuple[str, ...]) -> dict[str, Any]:
    extra: list[dict[str, Any]] = [
        {"model_id": one.model_id, "name": one.version.name, "version": one.version.number, "problem": one.because}
        for one in found.extra
    ]
    extra += [{"run_id": run_id, "problem": "no version belongs to it"} for run_id in runs]
    different = [
        {
            "model_id": one.wanted.model_id,
            "name": one.version.name,
            "version": one.version.number,
            "problems": list(one.problems),
        }
        for one in (*found.different, *spoiled)
    ]
    missing = [one.model_id for one in found.missing]
    return {"ok": not (missing or extra or different), "missing": missing, "extra": extra, "different": different}


def _print_verified(answer: dict[str, Any], same: int) -> None:
    if "repaired" in answer:
        mended = sum(len(found) for found in answer["repaired"].values())
        print_lines(f"Mended {counted(mended, 'difference')}.")
    if answer["ok"]:
        print_lines(f"MLflow has all {counted(same, 'model')} as they are registered.")
        return
    print_lines(f"{counted(same, 'model')} the same.")
    for model_id in answer["missing"][:_SHOWN_MAX]:
        print_lines(f"missing: {model_id}", indent=2)
    for one in answer["extra"][:_SHOWN_MAX]:
        what = f"version {one['version']} of {one['name']}" if "name" in one else f"run {one['run_id']}"
        print_lines(f"extra: {what}: {one['problem']}", indent=2)
    for one in answer["different"][:_SHOWN_MAX]:
        print_lines(f"different: {one['model_id']}: {'; '.join(one['problems'][:5])}", indent=2)
    for one in answer.get("failed", ()):
        print_lines(f"not mended: {one['model_id']}: {one['problem']}", indent=2)
    if "repaired" not in answer:
        print_lines("`model-inbox mlflow verify --repair` mends this.")


# --- status and retry -------------------------------------------------------------------------------------------


@mlflow.command(
    cls=Command,
    examples=["model-inbox mlflow status", "model-inbox mlflow status --json | jq '.aside[].model_id'"],
    exits={1: "models are set aside, or MLflow could not be reached when the mirror last tried"},
)
@pass_app
def status(app: App, *, as_json: bool) -> int:
    """Show how far the mirror is, and which models it has set aside. MLflow is not asked."""
    from dataclasses import asdict

    from ..base.flocks import who_holds

    with app.reading() as registry:
        folder = _folder(app)
        known = folder.read()
        at = registry.position
    position = known.position_or_none()
    is_same = at is not None and position is not None and at.identity == position.identity
    behind = at.sequence - position.sequence if is_same and at is not None and position is not None else None
    running = who_holds(folder.lock_path).held
    aside = [asdict(one) for one in known.set_aside.values()]
    if as_json:
        print_json(
            {
                "tracking_uri": known.tracking_uri or None,
                "running": running,
                "position": known.position or None,
                "behind": behind,
                "pushed": known.pushed,
                "through_server": known.through_server,
                "updated_at": known.updated_at or None,
                "problem": known.problem or None,
                "failed_at": known.failed_at or None,
                "aside": aside,
            }
        )
    else:
        print_fields(
            [
                ("MLflow", known.tracking_uri or "no mirror has run yet"),
                ("at work", "unknown" if running is None else "yes" if running else "no"),
                ("position", known.position or "none"),
                ("behind", "unknown" if behind is None else counted(behind, "change")),
                *([("last step", f"{_age(known.updated_at)} ago")] if known.updated_at else []),
                *(
                    [("artifacts", "through MLflow's server, which is slow for large ones")]
                    * bool(known.through_server)
                ),
                *([("problem", known.problem)] if known.problem else []),
            ]
        )
        for one in aside:
            print_lines(f"set aside: {one['model_id']} (tried {counted(one['tries'], 'time')}): {one['problem']}")
        if aside:
            print_lines("`model-inbox mlflow retry` tries them again.")
    return EXIT_REFUSED if aside or known.problem else EXIT_DONE


def _age(text: str) -> str:
    return format_duration(max(0.0, (now() - datetime.fromisoformat(text)).total_seconds()))


@mlflow.command(
    cls=Command,
    examples=["model-inbox mlflow retry", "model-inbox mlflow retry usd_eur_20251025"],
    exits={1: "MLflow still refuses some of them, or ID is not set aside", 75: "MLflow cannot be reached"},
)
@click.argument("model_id", metavar="[ID]", required=False, shell_complete=complete_model)
@uri_option
@pass_app
def retry(app: App, *, model_id: str | None, tracking_uri: str | None, as_json: bool) -> int:
    """Try the models again that are set aside: all, or ID alone.

    A mirror that is at work does it within a second or two; if none is, this command does.
    """
    from ..errors import RegistryLocked
    from ..mirror.following import Mirror

    with _opened(app, tracking_uri) as it:
        ids = sorted(it.folder.read().set_aside)
        if model_id is not None:
            if model_id not in ids:
                raise RegistryError(
                    f"cannot retry {quoted(model_id)}: it is not set aside",
                    hint="`model-inbox mlflow status` names those that are",
                )
            ids = [model_id]
        try:
            with it.folder.lock():
                at_work = Mirror(it.client, it.registry, it.target, it.folder, clock=now, wait=time.sleep)
                left = [one for one in ids if not at_work.retry(one)]
                asked = []
        except RegistryLocked:
            for one in ids:
                it.folder.ask_for_retry(one)
            left, asked = [], ids
    if as_json:
        print_json({"retried": [one for one in ids if one not in asked], "asked": asked, "aside": left})
    elif asked:
        print_lines(f"Asked the mirror at work to try {counted(len(asked), 'model')} again.")
    else:
        print_lines(f"Tried {counted(len(ids), 'model')} again; {len(left)} still set aside.")
    return EXIT_REFUSED if left else EXIT_DONE
