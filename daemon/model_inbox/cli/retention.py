"""`model-inbox retention`: shows which models the rules retire or would have retired, and why, and retires them."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..base.instants import canonical_instant, parse_stored
from ..base.units import counted, format_size
from ..errors import ModelInboxError
from ..exit_codes import EXIT_DONE, EXIT_REFUSED
from .arguments import as_instant, as_seconds, policy_option, read_policy
from .common import App, Command, Group, Refused, ask, now, pass_app
from .output import Column, print_json, print_lines, print_problems, print_table, when
from .progress import progress_bar
from .trials import print_differences, print_simulation

if TYPE_CHECKING:
    from ..config.retention import RetentionSection
    from ..retention.differences import PlanDifferences
    from ..retention.outcomes import RetentionPlan, ToKeep, ToRetire

__all__ = ["retention"]

_COLUMNS = (
    Column("MODEL"),
    Column("GROUP", rank=2, least=7),
    Column("TRAINED (UTC)", rank=4),
    Column("SIZE", rank=3, right=True),
    Column("WHY", rank=1, least=16, words=True),
)


class ChangedMeanwhile(ModelInboxError):
    """The registry changed between the plan that was shown and its application. Nothing was done."""

    code = "retention.changed"
    exit_status = 75

    def __init__(self) -> None:
        super().__init__(
            "cannot apply the plan: the registry changed meanwhile, and the plan with it",
            hint="Run the command again",
        )


@click.group(cls=Group)
def retention() -> None:
    """Show what the rules keep and retire, and apply them."""


@retention.command(
    cls=Command,
    examples=[
        "model-inbox retention plan",
        "model-inbox retention plan --policy stricter.yaml --now 2026-01-01 --json",
        "model-inbox retention plan --diff stricter.yaml",
    ],
)
@policy_option("A file with other rules to try: the settings of `retention:`.")
@policy_option("Show only what the rules in this file would do differently.", option="diff")
@click.option("--now", "moment", callback=as_instant, metavar="TIME", help="Plan as if it were that time.")
@pass_app
def plan(app: App, *, policy_file: Path | None, diff_file: Path | None, moment: datetime | None, as_json: bool) -> None:
    """Show which models the rules keep and which they would retire, with all reasons. Changes nothing.

    "In use" is a model whose file a process has open, such as a server that follows it. It is retired all the same, and
    purged once nobody has it open.

    With --diff, two sets of rules are compared: those in force (or of --policy) and those in the file.
    """
    from ..retention.apply import plan_retention

    section = read_policy(policy_file) if policy_file is not None else app.config.retention
    other = read_policy(diff_file) if diff_file is not None else None
    moment = moment if moment is not None else now()
    if other is not None:
        found = _differences(app, section, other, moment)
        if as_json:
            print_json(found.as_dict())
        else:
            print_differences(found, in_force=policy_file is None)
        return
    with app.reading() as registry:
        made = plan_retention(registry, section, moment)
        in_use = {model.model_id for model in made.retire if registry.is_in_use(model.model_id)}
    if as_json:
        document = made.as_dict()
        for model in document["retire"]:
            model["in_use"] = model["model_id"] in in_use
        print_json(document)
        return
    _print_plan(made, section, in_use)


@retention.command(
    cls=Command,
    examples=["model-inbox retention apply", "model-inbox retention apply --yes --json"],
    exits={
        1: "it was not confirmed, the breaker stopped a group, or the mode is dry-run",
        75: "the clock has jumped, the registry changed meanwhile, another writer holds it, or a disk error",
    },
)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--override-breaker", is_flag=True, help="Retire more models than `retention.breaker` allows.")
@pass_app
def apply(app: App, *, yes: bool, override_breaker: bool, as_json: bool) -> int:
    """Retire the models that the rules do not keep, to the trash.

    Shows the plan and asks for confirmation. The daemon does this by itself if `retention.mode` is enforce. If it is
    off, only this command retires by the rules. If it is dry-run, nothing is retired.
    """
    from ..config.rules import rules_text
    from ..retention.apply import apply_retention, plan_retention

    section = app.config.retention
    moment = app.read_clock("apply the plan")
    with app.reading() as registry:
        shown = plan_retention(registry, section, moment)
    if not as_json:
        _print_plan(shown, section)
    if not shown.retire:
        if as_json:
            print_json(_applied(shown, (), ()))
        return EXIT_DONE
    if section.mode == "dry-run":
        raise Refused(
            "cannot apply the plan: retention.mode is dry-run", hint="Set it to enforce or off if the plan is right"
        )
    to_retire = shown.retire if override_breaker else shown.allowed()
    if shown.breaker is not None and not to_retire:
        raise Refused(f"cannot apply the plan: {shown.breaker.message}", hint=shown.breaker.hint)
    ask(f"Retire {counted(len(to_retire), 'model')} to the trash?", yes=yes, to="apply the plan")
    with app.writing() as registry:
        registry.clock_watch.look().must_be_believed("apply the plan")
        registry.decide_by(rules_text(app.config))
        made = plan_retention(registry, section, moment)
        if _registrations(made) != _registrations(shown):
            raise ChangedMeanwhile()
        done = apply_retention(
            registry, section, moment, planned=made, actor=registry.actor, override_breaker=override_breaker
        )
    if as_json:
        print_json(_applied(done.plan, done.retired, done.skipped))
    else:
        print_lines(f"\nRetired {counted(len(done.retired), 'model')}; `model-inbox restore ID` restores one.")
        if done.skipped:
            print_lines(f"Not retired, because protected, kept or gone meanwhile: {', '.join(done.skipped)}")
        if done.refused:
            left = len(done.plan.retire) - len(to_retire)
            print_lines(f"Not retired, because the breaker stops their groups: {counted(left, 'model')}")
    return EXIT_REFUSED if done.refused else EXIT_DONE


@retention.command(
    cls=Command,
    examples=[
        "model-inbox retention simulate --policy stricter.yaml",
        "model-inbox retention simulate --policy stricter.yaml --over 90d --json",
    ],
)
@policy_option("A file with the rules to try: the settings of `retention:`. Without it: the rules in force.")
@click.option(
    "--over", default="365d", show_default=True, callback=as_seconds, metavar="DURATION", help="How far back to begin."
)
@click.option("--override-breaker", is_flag=True, help="Simulate without `retention.breaker`.")
@pass_app
def simulate(app: App, *, policy_file: Path | None, over: float, override_breaker: bool, as_json: bool) -> None:
    """Show what other rules would have retired in the past, day by day, and what would have been missed.

    Replays the history under these rules. A model is missed if somebody promoted it, rolled back to it, gave it an
    alias, pinned it, restored it, measured it in service or replaced its scaler after the rules would have retired it.
    Changes nothing.
    """
    from ..retention.simulation import simulate as replay

    section = read_policy(policy_file) if policy_file is not None else app.config.retention
    with app.reading() as registry, progress_bar("read", shown=not as_json and sys.stderr.isatty()):
        past = registry.past()
    end = now()
    with progress_bar("simulate", shown=not as_json and sys.stderr.isatty()) as progress:
        done = replay(
            past,
            section,
            begin=_before(end, over),
            end=end,
            override_breaker=override_breaker,
            progress=progress,
        )
    if as_json:
        print_json(done.as_dict())
    else:
        print_simulation(done)


@retention.command(
    "confirm-clock",
    cls=Command,
    examples=["model-inbox retention confirm-clock"],
    exits={75: "another writer holds the registry, or a disk error"},
)
@pass_app
def confirm_clock(app: App, *, as_json: bool) -> None:
    """Confirm that this machine's clock is right, after it has jumped.

    Ends what a jump of the clock holds up at once, instead of after an hour: models are retired and purged again, and
    drops that wait because they look future-dated are decided. It is written into the history.
    """
    with app.writing() as registry:
        sequence = registry.clock_watch.confirm(registry.actor)
    if as_json:
        print_json({"confirmed": sequence is not None, "sequence": sequence, "at": canonical_instant(now())})
    elif sequence is None:
        print_lines(f"Nothing to confirm: the clock has not jumped. It shows {when(now(), seconds=True)} UTC.")
    else:
        print_lines(f"The clock is confirmed: {when(now(), seconds=True)} UTC (change {sequence} of the history).")


def _differences(app: App, section: RetentionSection, other: RetentionSection, moment: datetime) -> PlanDifferences:
    """Return what `other` would do differently from `section`. Both plans are for the same entries."""
    from ..retention.differences import compare_plans
    from ..retention.plan import plan as planned

    with app.reading() as registry:
        _, sequence, entries = registry.stored_entries()
        before, after = (planned(entries, one, now=moment, sequence=sequence) for one in (section, other))
    return compare_plans(before, after)


def _before(end: datetime, seconds: float) -> datetime:
    """Return the time so many seconds before `end`, as far as the calendar reaches."""
    try:
        return end - timedelta(seconds=seconds)
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)


def _registrations(made: RetentionPlan) -> set[tuple[str, int]]:
    return {(model.model_id, model.sequence) for model in made.retire}


def _applied(made: RetentionPlan, retired: Sequence[str], skipped: Sequence[str]) -> dict[str, Any]:
    return {**made.as_dict(), "retired": list(retired), "skipped": list(skipped)}


def _print_plan(made: RetentionPlan, section: RetentionSection, in_use: Collection[str] = ()) -> None:
    if not made.keep and not made.retire:
        print_lines("No models are registered.")
        return
    if made.retire:
        print_lines(f"Retire {counted(len(made.retire), 'model')} ({format_size(made.bytes_freed)}):\n")
        _print_models(made.retire, in_use)
        print_lines("")
    print_lines(f"Keep {counted(len(made.keep), 'model')}{':' if made.keep else '.'}\n")
    if made.keep:
        _print_models(made.keep)
    notes = list(made.warnings)
    notes += [problem for _, problem in made.breakers]
    if notes:
        print_lines("")
        print_problems(notes)
    if section.mode != "enforce" and made.retire:
        effect = "only `model-inbox retention apply` retires" if section.mode == "off" else "nothing is retired"
        print_lines(f"\nretention.mode is {section.mode}: {effect}.")


def _print_models(models: Sequence[ToKeep | ToRetire], in_use: Collection[str] = ()) -> None:
    rows = [
        (
            model.model_id,
            " ".join(value for _, value in model.group),
            when(parse_stored(model.trained_at)),
            format_size(model.bytes),
            "; ".join([*model.reasons, *(["in use"] if model.model_id in in_use else [])]),
        )
        for model in models
    ]
    print_table(_COLUMNS, rows)
