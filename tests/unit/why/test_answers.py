"""The answers about a model, from lines and entries written by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from model_inbox.problems import Problem
from model_inbox.registry.entry import EntryFields, as_fields
from model_inbox.registry.journal import Line
from model_inbox.why import Answer, Chance, Evidence, Planned, Refusal, Rules, Waiting, answers

DIGEST = "5d" * 32
SETTINGS: dict[str, Any] = {
    "checks": {"model_types": ["lightgbm"], "currency_pairs": None},
    "gates": [
        {"name": "live", "match": {"variant": None}, "bounds": {"1d.rmse": {"min": None, "max": 1.0}}, "require": []},
        {"name": "other", "require": ["calibration_ok"]},
    ],
    "promotion": [
        {"alias": "champion", "when": {"metric": "1d.rmse", "order": "min", "by": "5%"}},
        {"alias": "next", "when": {"metric": "1d.acc", "order": "max", "by": "0"}},
    ],
    "retention": {"mode": "enforce", "policies": [{"match": {}, "keep": {"last": 2, "weekly": 0}, "min_keep": 1}]},
    "registry": {"held_keep": 2592000.0},
}
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
DAY = 86_400.0


def entry(model_id: str = "m", sequence: int = 3, **fields: Any) -> EntryFields:
    """An entry of a drop that was complete by its digests, with the fields that the answers read."""
    return as_fields(
        {
            "model_id": model_id,
            "sequence": sequence,
            "trained_at": "2026-11-20T00:00:00Z",
            "registered_at": "2026-11-21T00:00:00.000000Z",
            "origin": "inbox",
            "drop_id": "D",
            "integrity": "digest",
            "held": None,
            "gates": [],
            "aliases": [],
            **fields,
        }
    )


def line(sequence: int, operation: str, of: EntryFields | None, reason: str = "", **fields: Any) -> Line:
    """A line at 10 o'clock on the day of its number."""
    told: dict[str, Any] = {"model_id": of["model_id"] if of is not None else "m", "actor": "cli:ann", **fields}
    time = f"2026-11-{sequence:02d}T10:00:00.000000Z"
    return Line(sequence, time, operation, reason=reason, entry=of, changes_entry=True, **told)


def registered(of: EntryFields) -> Line:
    return line(3, "register", of, "drop", drop_id="D", actor="inbox:alice", detail={"rules": DIGEST})


def rules(mode: str = "enforce", **fields: Any) -> Rules:
    return Rules(mode, 7 * DAY, 30 * DAY, **fields)


def known(*lines: Line, now: EntryFields | None = None, **fields: Any) -> Evidence:
    return Evidence(
        "m", NOW, lines, now, **{"slot": "USD/EUR:lightgbm", "models": 1, "kept": {DIGEST: SETTINGS}, **fields}
    )


def about(evidence: Evidence, what: str) -> list[Answer]:
    return [answer for answer in answers(evidence) if answer.about == what]


def text(evidence: Evidence, what: str) -> str:
    (found,) = about(evidence, what)
    return found.with_rules


def test_nothing_is_answered_where_nothing_is_known() -> None:
    """Without evidence there is no answer, not even that something is unknown."""
    assert answers(Evidence("m", NOW, missing="3-5")) == []


# --- accepted, held, refused ------------------------------------------------------------------------------------------


def test_a_model_from_the_inbox_was_accepted() -> None:
    """The drop, its owner, the time, how it was complete, and the change."""
    here = entry()
    assert about(known(registered(here), now=here), "accepted") == [
        Answer(
            "accepted",
            "It was accepted: the drop 'D' of alice was registered at 2026-11-03 10:00:00 UTC. Its sidecar and its "
            "pickles had no problem, and it was complete: its files had the SHA-256 that its sidecar gives. No gate "
            "was asked.",
            3,
            "The rules of that day (5d5d5d5d5d5d): checks: {model_types: [lightgbm]}, no gate for this slot.",
        )
    ]


def test_the_gates_that_it_passed_are_told() -> None:
    """Each condition that passed, in its own words; those that failed are told where it is held."""
    passed = {"gate": "live", "passed": True, "says": "1d.rmse is 0.5, and must be at most 1"}
    failed = {"gate": "fresh", "passed": False, "says": "1d.acc is missing"}
    here = entry(gates=[passed, failed], held="gate fresh: 1d.acc is missing")
    found = known(registered(here), now=here)
    assert "It passed 1 condition of its gates (live: 1d.rmse is 0.5, and must be at most 1)." in text(
        found, "accepted"
    )
    assert about(found, "held") == [
        Answer(
            "held",
            "It was held at its registration at 2026-11-03 10:00:00 UTC, because gate fresh: 1d.acc is missing. It is "
            "not served until somebody releases it: `model-inbox unhold m`.",
            3,
        )
    ]


def test_a_model_that_was_held_and_released() -> None:
    """The release is the answer, with why it had been held."""
    here = entry()
    held = line(5, "hold", entry(held="drifts"), "drifts")
    found = known(registered(here), held, line(8, "unhold", here, "looked at it"), now=here)
    assert about(found, "held") == [
        Answer(
            "held",
            "It was released at 2026-11-08 10:00:00 UTC by cli:ann: looked at it. It had been held, because drifts.",
            8,
        )
    ]


def test_a_model_from_python() -> None:
    """No rule was asked."""
    here = entry(origin="api", drop_id=None)
    made = line(3, "register", here, "register_model", actor="api:bob")
    assert text(known(made, now=here), "accepted") == (
        "It was registered from Python at 2026-11-03 10:00:00 UTC by api:bob. No rule of the inbox and no gate was "
        "asked for that."
    )


@pytest.mark.parametrize(
    ("here", "said"),
    [
        (
            entry(),
            "It was registered at 2026-11-21 00:00:00 UTC with the drop 'D', by change 3. That line is not in the "
            "history that is kept.",
        ),
        (
            entry(registered_at=None),
            "It was in the registry before model-inbox kept a history. How it came there, and why, is unknown.",
        ),
    ],
    ids=["pruned", "adopted"],
)
def test_a_registration_whose_line_is_gone(here: EntryFields, said: str) -> None:
    """What the entry still says is told, and no change is named."""
    (found,) = about(known(now=here), "accepted")
    assert found.text.startswith(said)
    assert found.sequence is None


def test_a_stored_sidecar_is_all_that_is_left() -> None:
    """It was registered once; when is unknown."""
    found = known(sidecar="models/prediction/m.yaml")
    assert [answer.about for answer in answers(found)] == ["accepted"]
    assert "Its stored sidecar is there: models/prediction/m.yaml." in text(found, "accepted")
    assert text(found, "accepted").endswith("is unknown.")


def test_refused_drops() -> None:
    """Each problem with its code and what to do; of many drops the last three, and the number of the others."""
    problem = Problem("artifact.truncated", "it ends early", "drop it again.")
    refusals = [Refusal(f"D{number}", NOW, (problem,)) for number in range(4)]
    found = about(known(refusals=(*refusals, Refusal("D4", None, ()))), "refused")
    assert [answer.text for answer in found] == [
        "The drop 'D2' was refused at 2026-11-28 12:00:00 UTC, because it ends early (artifact.truncated); what to do: "
        "drop it again. 2 earlier drops of it were refused, too.",
        "The drop 'D3' was refused at 2026-11-28 12:00:00 UTC, because it ends early (artifact.truncated); what to do: "
        "drop it again.",
        "The drop 'D4' was refused at an unknown time. Why is not known: its reason.json is missing or damaged, or "
        "closed to this user.",
    ]


def test_a_duplicate_and_a_drop_that_waits() -> None:
    """What the receipt says, and what happens next in the inbox."""
    receipt = {"drop_id": "D9", "outcome": "duplicate", "at": "2026-11-27T10:00:00.000Z", "problems": []}
    problem = Problem("artifact.missing", "there is no 'm.pkl'", "copy it here")
    waiting = Waiting("m.yaml", "waits", (problem,), NOW, "is rejected, if nothing comes")
    found = known(receipt=receipt, waiting=(waiting,))
    assert text(found, "duplicate") == (
        "The drop 'D9' changed nothing at 2026-11-27 10:00:00 UTC: the same bytes were registered already."
    )
    assert text(found, "waiting") == (
        "'m.yaml' waits, because there is no 'm.pkl' (artifact.missing); what to do: copy it here. At 2026-11-28 "
        "12:00:00 UTC it is rejected, if nothing comes."
    )


# --- newest and promoted ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("here", "newest", "said", "sequence"),
    [
        (entry(), entry(), "It is the newest model of 'USD/EUR:lightgbm': it was trained last", None),
        (entry(held="odd"), None, "because it is held", None),
        (entry(trained_at="2026-12-01T00:00:00Z"), None, "dated in the future: 2026-12-01 00:00:00 UTC", None),
        (
            entry(),
            entry("x", 9, trained_at="2026-11-22T00:00:00Z"),
            "because 'x' was trained later (2026-11-22 00:00:00 UTC; this one 2026-11-20 00:00:00 UTC). 'x' was "
            "registered by change 9.",
            9,
        ),
        (
            entry(),
            entry("x", 9),
            "because 'x' was trained at the same time (2026-11-20 00:00:00 UTC) and registered",
            9,
        ),
        (entry(sequence=0), entry("x", 0), "(2026-11-20 00:00:00 UTC) and its id comes later in the alphabet.", None),
        (
            entry(trained_at="2026-11-20T00:00:00.100Z"),
            entry("x", 9, trained_at="2026-11-20T00:00:00.250Z"),
            "trained later (2026-11-20 00:00:00.250 UTC; this one 2026-11-20 00:00:00.100 UTC)",
            9,
        ),
        (
            entry(trained_at="2026-11-20T00:00:00.100001Z"),
            entry("x", 9, trained_at="2026-11-20T00:00:00.100002Z"),
            "trained later (2026-11-20 00:00:00.100002 UTC; this one 2026-11-20 00:00:00.100001 UTC)",
            9,
        ),
    ],
)
def test_newest(here: EntryFields, newest: EntryFields | None, said: str, sequence: int | None) -> None:
    """The newest says so; the others name what keeps them from it."""
    (found,) = about(known(registered(here), now=here, newest=newest), "newest")
    assert said in found.text
    assert found.sequence == sequence


def promoted(sequence: int, model_id: str, **fields: Any) -> Line:
    """A line that gives champion to a model, with the entries of `also`."""
    detail = {"alias": "champion", "from": None, "also": {}, **fields.pop("detail", {})}
    return line(sequence, "promote", entry(model_id, fields.pop("number", 3)), detail=detail, **fields)


def test_a_model_with_an_alias() -> None:
    """Since when, who gave it and why: a person, or a rule with its figures."""
    here = entry(aliases=["champion"])
    by_hand = promoted(7, "m", reason="won")
    assert text(known(registered(here), by_hand, now=here), "promoted") == (
        "The alias 'champion' names it since 2026-11-07 10:00:00 UTC: cli:ann gave it: won."
    )
    by_rule = promoted(
        7, "m", reason="1d.rmse 0.4 is better", actor="promotion", detail={"rule": True, "rules": DIGEST}
    )
    (found,) = about(known(registered(here), by_rule, now=here), "promoted")
    assert (found.with_rules, found.sequence) == (
        "The alias 'champion' names it since 2026-11-07 10:00:00 UTC: the rule of `promotion` gave it: 1d.rmse 0.4 is "
        "better. The rules of that day (5d5d5d5d5d5d): promotion: [{alias: champion, when: {metric: 1d.rmse, order: "
        "min, by: 5%}}].",
        7,
    )


def test_a_model_that_lost_an_alias() -> None:
    """From when until when, and to which model."""
    here = entry(barred=["champion"])
    lost = promoted(9, "x", number=5, reason="better", detail={"also": {"m": here}})
    (found,) = about(known(registered(here), promoted(7, "m"), lost, now=here), "promoted")
    assert (found.with_rules, found.sequence) == (
        "The alias 'champion' named it since 2026-11-07 10:00:00 UTC (change 7), until 2026-11-09 10:00:00 UTC, when "
        "cli:ann gave it to 'x': better. No rule gives it back since then.",
        9,
    )


def test_an_alias_that_was_lost_within_a_second() -> None:
    """Both times have as many digits as tell them apart."""
    here = entry()
    got, lost = promoted(7, "m"), promoted(8, "x", number=5)
    lines = (replace(got, time="2026-11-07T10:00:00.100000Z"), replace(lost, time="2026-11-07T10:00:00.250000Z"))
    said = text(known(registered(here), *lines, now=here), "promoted")
    assert "since 2026-11-07 10:00:00.100 UTC (change 7), until 2026-11-07 10:00:00.250 UTC, when" in said


def test_a_model_that_never_had_an_alias() -> None:
    """What the rule says of it, that there is no rule, or that the rules of that time are unknown."""
    here = entry()
    told = {"aliases": frozenset({"champion"}), "now": here}
    chance = Chance("its 1d.rmse 0.6 is not better than 0.5 of 'x', which has it", 8)
    (found,) = about(known(registered(here), rules=rules(chances={"champion": chance}), **told), "promoted")
    assert (found.with_rules, found.sequence) == (
        "The alias 'champion' never named it, because its 1d.rmse 0.6 is not better than 0.5 of 'x', which has it.",
        8,
    )
    assert "nobody gave it the alias by hand, and no rule" in text(
        known(registered(here), rules=rules(), **told), "promoted"
    )
    assert text(known(registered(here), **told), "promoted").endswith(
        "Whether a rule of `promotion` counted then is unknown."
    )


# --- kept and retired -------------------------------------------------------------------------------------------------


def kept(planned: Planned | None, mode: str = "enforce", **fields: Any) -> str:
    here = entry(**fields)
    return text(known(registered(here), now=here, rules=rules(mode, planned=planned)), "kept")


@pytest.mark.parametrize(
    ("reasons", "said"),
    [
        (
            ("alias 'champion'", "last 3/10", "within 30d"),
            "the alias 'champion' names it, it is number 3 of the last 10 of its group and it is less than 30d older "
            "than the newest of its group (within)",
        ),
        (("pinned",), "it is pinned"),
        (("min_keep 2/2",), "it is number 2 of the newest 2, which min_keep keeps"),
        (("last 7/all",), "the rule `last: -1` keeps all"),
        (
            ("registered_within 7d",),
            "it was registered less than 7d before the latest of its group (registered_within)",
        ),
        (("weekly 2026-W47",), "it is the newest of 2026-W47 (weekly)"),
        (("best 1d.rmse 0.5 #2",), "it is number 2 by 1d.rmse, with 0.5 (best)"),
        (("holders champion 1/3",), "it is number 1 of those that held the alias 'champion' before (holders)"),
        (("tags [audit, live]",), "it has the tags [audit, live]"),
        (("no policy matches its group",), "no policy matches its group"),
        (("of a later version",), "of a later version"),
    ],
)
def test_why_it_is_kept(reasons: tuple[str, ...], said: str) -> None:
    """The reasons of the plan, in words."""
    assert kept(Planned(reasons)) == f"It is kept, because {said}."


@pytest.mark.parametrize(
    ("mode", "is_stopped", "said"),
    [
        ("enforce", False, "It is retired when the rules are applied next."),
        ("dry-run", False, "It is kept all the same, because retention.mode is dry-run."),
        ("enforce", True, "It is kept until an operator has looked: the breaker stops the retirement of its group."),
    ],
)
def test_a_model_that_no_rule_keeps(mode: str, is_stopped: bool, said: str) -> None:  # a parameter
    """Since when each rule does not keep it, and what comes next."""
    planned = Planned(
        ("last 2: since 2026-11-22T00:00:00Z", "tags [audit]: not set"), is_kept=False, is_stopped=is_stopped
    )
    assert kept(planned, mode) == (
        "No rule of retention keeps it: the rule `last 2` does not keep it since the model trained at "
        f"2026-11-22T00:00:00Z came and it does not have the tags [audit]. {said}"
    )


def test_kept_without_rules() -> None:
    """Retention is off; the model is held; the rules of that time are unknown."""
    assert kept(None, "off").startswith("It is kept, because no rule retires models")
    held = kept(None, held="odd", held_since="2026-11-05T10:00:00.000000Z")
    assert "It is retired 30d after it was held (registry.held_keep), since 2026-11-05 10:00:00 UTC." in held
    here = entry(pinned=True)
    assert text(known(registered(here), now=here, is_past=True), "kept") == (
        "It is kept in any case, because it is pinned. Which rules of retention counted then is unknown."
    )


def retired(**fields: Any) -> Line:
    gone = entry()
    return Line(
        9, "2026-11-09T10:00:00.000000Z", "retire", "m", changes_entry=True, removed=gone, **{"actor": "x", **fields}
    )


def test_a_model_that_the_rules_retired() -> None:
    """Since when each rule did not keep it, and until when it can be restored."""
    gone = retired(actor="retention", reason="last 2: since 2026-11-22T00:00:00Z", detail={"rules": DIGEST})
    (found,) = about(known(registered(entry()), gone, rules=rules(), in_trash=True), "retired")
    assert (found.with_rules, found.sequence) == (
        "It was retired at 2026-11-09 10:00:00 UTC by the rules of retention: the rule `last 2` does not keep it since "
        "the model trained at 2026-11-22T00:00:00Z came. Its files are in the trash until 2026-11-16 10:00:00 UTC at "
        "least: `model-inbox restore m` brings it back. The rules of that day (5d5d5d5d5d5d): retention.policies: "
        "[{keep: {last: 2}, min_keep: 1}].",
        9,
    )


OWN = "2026-11-20T00:00:00Z"


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (f"best 1d.rmse 0.5 #3: since {OWN}", "the rule `best 1d.rmse 0.5 #3` never kept it"),
        (
            "registered_within 7d: since 2026-11-28T00:00:00Z",
            "the rule `registered_within 7d` does not keep it since the registration at 2026-11-28T00:00:00Z",
        ),
        # A registration at the same time as the training of the model is another thing.
        (
            f"registered_within 7d: since {OWN}",
            f"the rule `registered_within 7d` does not keep it since the registration at {OWN}",
        ),
        (
            "registered_within 7d: not eligible, the time of its registration is missing",
            "the rule `registered_within 7d` does not count it (the time of its registration is missing)",
        ),
        (
            "holders champion: #3",
            "the rule `holders champion` does not keep it (it is number 3 of those that held it before)",
        ),
        ("holders champion: never held it, or long ago", "the rule `holders champion` does not keep it (never held"),
        (
            "budget 20 GiB: the rules keep 25 GiB; kept only by within 30d, daily 2026-11-20",
            "the rules keep 25 GiB of its group, more than its budget of 20 GiB, and this one only by within 30d, ",
        ),
    ],
)
def test_why_no_rule_keeps_it(reason: str, said: str) -> None:
    """The reasons of a plan and those in the line of a retirement, in the same words."""
    assert said in kept(Planned((reason, "tags [audit]: not set"), is_kept=False))
    gone = retired(actor="retention", reason=f"{reason}; tags [audit]: not set", detail={"rules": DIGEST})
    assert f"by the rules of retention: {said}" in text(known(registered(entry()), gone), "retired")
    assert "and it does not have the tags [audit]." in text(known(registered(entry()), gone), "retired")


def test_a_person_may_apply_the_rules_and_a_hold_may_last_too_long() -> None:
    """Who applied them; and the setting that ends a hold."""
    gone = retired(actor="cli:ann", reason="last 2: since 2026-11-22T00:00:00Z", detail={"rules": DIGEST})
    applied = (
        "It was retired at 2026-11-09 10:00:00 UTC by the rules of retention, applied by cli:ann: the rule `last 2`"
    )
    assert text(known(registered(entry()), gone), "retired").startswith(applied)
    held = retired(actor="retention", reason="held for 30d (registry.held_keep)", detail={"rules": DIGEST})
    assert text(known(registered(entry()), held), "retired").endswith(
        "The rules of that day (5d5d5d5d5d5d): registry: {held_keep: 2592000} (in seconds)."
    )


def test_rules_that_are_not_known() -> None:
    """A line of an earlier version names none; what a line names may not be kept."""
    here = entry()
    unnamed = line(3, "register", here, "drop", drop_id="D", actor="inbox:alice")
    assert text(known(unnamed, now=here), "accepted").endswith(
        "Which rules counted that day is unknown: they are not named."
    )
    lost = known(registered(here), now=here, kept={DIGEST: None})
    assert text(lost, "accepted").endswith("The rules of that day are not kept (digest 5d5d5d5d5d5d).")


@pytest.mark.parametrize(
    ("code", "message", "rules", "said"),
    [
        ("gates.failed", "gate 'live': 1d.rmse is 9", DIGEST, "gates: [{name: live, bounds: {1d.rmse: {max: 1}}}]."),
        ("checks.model_type", "model_type 'x' is not accepted here", DIGEST, "checks: {model_types: [lightgbm]}."),
        (
            "gates.failed",
            "gate 'live': 1d.rmse is 9",
            None,
            "Which rules counted that day is unknown: they are not named.",
        ),
        ("gates.failed", "gate 'live': x", "ab" * 32, "The rules of that day are not kept (digest abababababab)."),
        (
            "gates.failed",
            "gate 'live': x",
            "cd" * 32,
            "rules of that day are closed to this user (digest cdcdcdcdcdcd).",
        ),
        ("artifact.truncated", "it ends early", DIGEST, "because it ends early (artifact.truncated)."),
    ],
)
def test_the_rules_that_refused_a_drop(code: Any, message: str, rules: str | None, said: str) -> None:
    """The gate that its message names, or the checks; what any rules refuse has none."""
    refusal = Refusal("D", NOW, (Problem(code, message),), rules)
    found = known(refusals=(refusal,), kept={DIGEST: SETTINGS, "ab" * 32: None})
    assert text(found, "refused").endswith(said)


def test_the_gates_that_were_asked_are_shown_as_they_were() -> None:
    """Those that the entry names, without settings that say nothing."""
    here = entry(gates=[{"gate": "live", "passed": True, "says": "1d.rmse is 0.5"}])
    assert text(known(registered(here), now=here), "accepted").endswith(
        "The rules of that day (5d5d5d5d5d5d): gates: [{name: live, bounds: {1d.rmse: {max: 1}}}]."
    )


def test_the_rules_in_force_are_shown() -> None:
    """Those that keep a model, and those that have not promoted it."""
    here = entry()
    chance = Chance("it has no 1d.rmse, by which the rule chooses")
    now = rules(planned=Planned(("last 1/2",)), chances={"champion": chance}, settings=SETTINGS)
    found = known(registered(here), now=here, rules=now)
    assert text(found, "kept") == (
        "It is kept, because it is number 1 of the last 2 of its group. The rules: retention.policies: [{keep: {last: "
        "2}, min_keep: 1}]."
    )
    assert text(found, "promoted").endswith(
        "the rule chooses. The rule: promotion: [{alias: champion, when: {metric: 1d.rmse, order: min, by: 5%}}]."
    )


def test_a_model_that_was_retired_restored_and_purged() -> None:
    """Each is an answer of its own, in the order of the changes."""
    gone = retired(actor="cli:ann", reason="replaced")
    back = line(11, "restore", entry(), "restore")
    end = Line(
        15, "2026-11-15T10:00:00.000000Z", "purge", "m", actor="retention", reason="trash_grace", detail={"sequence": 3}
    )
    again = Line(13, "2026-11-13T10:00:00.000000Z", "retire", "m", actor="cli:bob", changes_entry=True, removed=entry())
    found = answers(known(registered(entry()), gone, back, again, end))
    assert [(answer.about, answer.sequence) for answer in found] == [
        ("accepted", 3),
        ("restored", 11),
        ("retired", 13),
        ("purged", 15),
    ]
    assert found[2].text == "It was retired at 2026-11-13 10:00:00 UTC by cli:bob."
    assert found[3].text.startswith(
        "Its files were removed permanently at 2026-11-15 10:00:00 UTC by retention: its time"
    )


def test_an_id_that_is_used_again() -> None:
    """Lines of the model that had the id before are none of its own; a drop asks for that one by its registration."""
    before, here = entry(), entry(sequence=20, drop_id="E")
    second = line(20, "register", here, "drop", drop_id="E", actor="inbox:bob")
    lines = (registered(before), retired(), second)
    assert [answer.sequence for answer in about(known(*lines, now=here), "accepted")] == [20]
    assert about(known(*lines, now=here), "retired") == []
    first = known(*lines, registration=3)
    assert [(answer.about, answer.sequence) for answer in answers(first)] == [("accepted", 3), ("retired", 9)]


def test_restoring_a_model_whose_id_is_used_again() -> None:
    """Its registration is named, without which the other one would be restored; first the id must be free."""
    before, here = entry(), entry(sequence=20, drop_id="E")
    second = line(20, "register", here, "drop", drop_id="E", actor="inbox:bob")
    lines = (registered(before), retired(), second)
    said = text(known(*lines, registration=3, in_trash=True), "retired")
    assert "`model-inbox restore m --sequence 3` brings it back when no other model has its id any more." in said
    gone = Line(22, "2026-11-22T10:00:00.000000Z", "retire", "m", actor="cli:bob", changes_entry=True, removed=here)
    said = text(known(*lines, gone, registration=3, in_trash=True), "retired")
    assert "`model-inbox restore m --sequence 3` brings it back." in said
    assert "`model-inbox restore m` brings it back." in text(known(*lines, gone, in_trash=True), "retired")


def test_what_is_missing_is_said() -> None:
    """Lines that are in no file are named at the end."""
    here = entry()
    last = answers(known(registered(here), now=here, missing="5-9"))[-1]
    assert last.about == "unknown"
    assert last.text.startswith("Changes 5-9 of the history are in no file.")


@pytest.mark.parametrize("hostile", ["\x1b[31mred", "a\nb", "\u202eevil", "x" * 100_000])
def test_hostile_texts_are_escaped_and_cut(hostile: str) -> None:
    """No text of a person or a producer reaches an answer as it is: one printable line, not too long."""
    here = entry(held=hostile, gates=[{"gate": hostile, "passed": True, "says": hostile}], aliases=[hostile])
    problem = Problem("artifact.truncated", hostile, hostile)
    found = answers(
        known(
            registered(here),
            line(5, "hold", here, hostile, actor=hostile),
            promoted(7, hostile, reason=hostile, detail={"alias": hostile, "also": {"m": here}}),
            now=here,
            slot=hostile,
            newest=entry(hostile, 9),
            refusals=(Refusal(hostile, NOW, (problem,)),),
            waiting=(Waiting(hostile, "waits", (problem,)),),
            rules=rules(planned=Planned((hostile,))),
        )
    )
    assert all(answer.with_rules.isprintable() and len(answer.with_rules) < 3_000 for answer in found)
    assert len(found) >= 6
