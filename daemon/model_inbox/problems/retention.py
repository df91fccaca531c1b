"""Warnings of a retention plan, and the limit that stops one. The noun `retention`."""

from __future__ import annotations

from .value import Problem, quoted

__all__ = [
    "retention_breaker",
    "retention_budget",
    "retention_future",
    "retention_metric",
    "retention_size_unknown",
    "retention_soon",
    "retention_unreadable",
]


def retention_breaker(retired: int, total: int, group: str, limit: str, field: str) -> Problem:
    """The plan retires more of a group than one run may. `limit` is the limit in words, `field` the setting of it."""
    return Problem(
        "retention.breaker",
        f"the plan would retire {retired} of {total} models of {group}, and one run may retire {limit}",
        "Nothing of it is retired; other groups are not concerned. Look at `model-inbox retention plan`; if that is "
        "what you want, run `model-inbox retention apply --override-breaker`",
        field,
    )


def retention_unreadable(count: int, entries: str) -> Problem:
    """Entries that the rules cannot read, and so keep. `entries` lists some."""
    return Problem(
        "retention.unreadable",
        f"{_are(count, 'entry', 'entries')} not readable and kept: {entries}",
        "Look at them with `model-inbox show ID` and `model-inbox verify`",
    )


def retention_future(count: int, now: str, models: str) -> Problem:
    """Models dated in the future, which the rules keep. `models` lists some."""
    return Problem(
        "retention.future",
        f"{_are(count, 'model', 'models')} dated after {now} and kept: {models}",
        "See that the clocks of this machine and of the training machines are right",
    )


def retention_metric(count: int, total: int, group: str, metric: str, models: str) -> Problem:
    """Models without a finite number at the metric of a `best` rule. `models` lists some, each with what is there."""
    return Problem(
        "retention.metric",
        f"{count} of {total} models of {group} cannot be best, without a finite number at {metric}: {models}",
        "Write the metric into the sidecar's validation_metrics, or name one that they have",
    )


def retention_size_unknown(count: int, group: str, budget: str, models: str) -> Problem:
    """Models without a size, which a budget cannot count. `models` lists some."""
    without = _are(count, "model", "models")
    return Problem(
        "retention.size_unknown",
        f"{without} without a size, and counted as nothing in the budget of {budget} of {group}: {models}",
        "`model-inbox verify` compares the registry with the files",
    )


def retention_budget(group: str, kept: str, budget: str) -> Problem:
    """A group stays over its budget, because other rules hold what is left."""
    return Problem(
        "retention.budget",
        f"{group} keeps {kept}, over its budget of {budget}, because the "
        "rest is protected or held by last, best, tags or min_keep",
        "Raise the budget, unpin what is no longer needed, or keep fewer by those rules",
    )


def retention_soon(model_id: str, when: str, reasons: str, *, at_once: bool) -> Problem:
    """A model that was registered now, and that the rules will retire. `when` is the time, `reasons` are the rules'."""
    if at_once:
        what = f"no retention rule keeps {quoted(model_id)}: it is retired at the next run, from {when} on ({reasons})"
    else:
        what = f"only {reasons} keeps {quoted(model_id)}: it may be retired from {when} on"
    return Problem(
        "retention.soon",
        what,
        "If it is to stay, have the operator pin it (`model-inbox pin ID`), give it an alias, or change the rules: "
        "`registered_within` keeps what came lately. Until the trash is emptied, `model-inbox restore ID` brings it "
        "back",
    )


def _are(count: int, one: str, many: str) -> str:
    """Return how many there are, with the verb: "1 model is", "2 models are"."""
    return f"1 {one} is" if count == 1 else f"{count} {many} are"
