"""What needs a person, and in which order."""

from __future__ import annotations

from model_inbox.problems.gates import gates_failed
from model_inbox.problems.status import status_not_running
from model_inbox.report.attention import needs
from model_inbox.report.facts import Rejected, Waiting
from support.pages import NOW


def rejected(stem: str, *, is_answered: bool = False) -> Rejected:
    problem = gates_failed("sane", "validation_metrics.1d.rmse", "is 0.0069, and must be at most 0.0066")
    return Rejected(f"id-{stem}", stem, None, NOW, "jobs", None, (problem,), None, is_answered)


def waiting(name: str, state: str) -> Waiting:
    return Waiting(name, "jobs", state, "waits", NOW, None, "", ())


def test_what_is_broken_stands_first_each_with_what_to_do() -> None:
    """The daemon, then rejected drops, then files that no clock ends, then held models."""
    found = needs(
        [status_not_running(died=False)],
        [rejected("one"), rejected("two", is_answered=True)],
        [waiting("a.yaml", "waiting"), waiting("b.pkl", "stuck")],
        (),
        (),
        (),
        [("m-1", "gate no-worse")],
    )
    assert [(one.level, one.about) for one in found] == [
        ("bad", "Daemon"),
        ("bad", "one"),
        ("warn", "b.pkl"),
        ("warn", "m-1"),
    ]
    assert "model-inbox run" in found[0].todo
    assert "model-inbox unhold m-1" in found[3].todo


def test_many_of_a_kind_are_one_sentence() -> None:
    """Of a hundred rejected drops three are named, and the others counted."""
    found = needs([], [rejected(f"d{number}") for number in range(100)], (), (), (), (), ())
    assert [one.about for one in found] == ["d0", "d1", "d2", "Rejected"]
    assert found[3].says == "97 more drops were rejected."
