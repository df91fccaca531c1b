"""Comparisons: missing, extra and different, to the digest."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from model_inbox.mirror.comparison import compared
from model_inbox.mirror.plan import Retired, Version, Wanted
from model_inbox.mirror.tags import EntryFile, MirroredFile, version_tags
from model_inbox.registry.entry import as_fields

ENTRY: dict[str, Any] = {
    "model_id": "m",
    "sha256": "1" * 64,
    "scaler_sha256": None,
    "aliases": ["champion", "latest"],
    "tags": {"desk": "fx"},
    "held": None,
}
ALIASES = {"N": {"champion": 3}}


def wanted(**changes: Any) -> Wanted:
    return Wanted(as_fields({**ENTRY, **changes}), 9, "1-a")


def version(number: int = 3, **changes: Any) -> Version:
    files = {"model": MirroredFile("model/artifacts/model.pkl", "1" * 64, 3)}
    given: dict[str, Any] = {"registry_id": "0" * 32, "line": 9, "epoch": "1-a", "files": files}
    retired = changes.pop("retired", None)
    tags = version_tags({**ENTRY, **changes}, **given, entry_file=EntryFile("e", "3" * 64), retired=retired)
    return Version("N", number, f"r{number}", "", tags)


def found(
    theirs: list[Version], ours: list[Wanted], retired: Retired = "tag", aliases: Any = ALIASES
) -> tuple[list[str], list[tuple[int, str]], list[tuple[str, ...]]]:
    said = compared(ours, theirs, aliases, registry_id="0" * 32, retired=retired)
    return (
        [one.model_id for one in said.missing],
        [(one.version.number, one.because) for one in said.extra],
        [one.problems for one in said.different],
    )


def test_the_same_on_both_sides() -> None:
    """An alias that MLflow cannot hold is no difference, and neither is how far the version is known."""
    assert found([version()], [wanted()]) == ([], [], [])
    assert found([version()], [replace(wanted(), line=20, epoch="2-b")]) == ([], [], [])


def test_missing_extra_and_twice() -> None:
    """By the model's id and digest: a version with other bytes is none of this model."""
    assert found([], [wanted()]) == (["m"], [], [])
    assert found([version(), version(4)], [wanted()]) == ([], [(4, "it is there twice")], [])
    gone = "its model is registered no more"
    assert found([version()], []) == ([], [(3, gone)], [])
    assert found([version(sha256="2" * 64)], [wanted()]) == (["m"], [(3, gone)], [])


def test_what_was_retired_may_stay_tagged() -> None:
    """Unless retired versions are to be deleted."""
    left = [version(retired={"at": "", "reason": ""})]
    assert found(left, []) == ([], [], [])
    assert found(left, [], "delete") == ([], [(3, "its model is registered no more")], [])


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"held": "odd"}, "the tag model_inbox.held differs"),
        ({"tags": {}}, "the tag model_inbox.label.desk is too much"),
        ({"scaler_sha256": "4" * 64}, "the scaler is not there"),
        ({"aliases": ["champion", "best"]}, "the alias best does not name it"),
        ({"aliases": []}, "the alias champion names it"),
    ],
)
def test_what_differs_is_said(changes: dict[str, Any], problem: str) -> None:
    """Field, file or alias."""
    _, _, different = found([version()], [wanted(**changes)])
    assert problem in different[0]


def test_a_changed_tag_is_found() -> None:
    """Whoever changed it, and whether it can be read or not."""
    for key, value in (("version", "x"), ("artifacts", "{"), ("mirror", "2")):
        spoiled = replace(version(), tags={**version().tags, f"model_inbox.{key}": value})
        assert len(found([spoiled], [wanted()])[2]) == 1
