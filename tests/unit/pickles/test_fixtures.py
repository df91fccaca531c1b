"""Small real model files, written by the frameworks themselves, are accepted without any framework installed."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from model_inbox.pickles import Allowlist, Scanner, looks_complete, scan_bytes
from support.places import DATA

FOLDER = DATA / "pickles"
MANIFEST = json.loads((FOLDER / "manifest.json").read_text())
ALLOWLIST = Allowlist.load()


@pytest.fixture(name="scanner", scope="module")
def _scanner() -> Iterator[Scanner]:
    with Scanner(ALLOWLIST) as scanner:
        yield scanner


@pytest.mark.parametrize("name", MANIFEST["files"])
def test_real_file_is_accepted(scanner: Scanner, name: str) -> None:
    """The worker and a scan in this process give the same report, with the kind and the frameworks of the file."""
    path = FOLDER / name
    expected = MANIFEST["files"][name]
    report = scanner.scan(path)
    assert report.problems == ()
    assert report.kind == expected["kind"]
    assert set(expected["frameworks"]) <= set(report.frameworks)
    assert report == scan_bytes(path.read_bytes(), ALLOWLIST)
    assert looks_complete(path)


def test_manifest_lists_every_file() -> None:
    """The manifest has each file, and nothing else."""
    assert sorted([*MANIFEST["files"], "manifest.json"]) == sorted(path.name for path in FOLDER.iterdir())


@pytest.mark.parametrize("name", [name for name in MANIFEST["files"] if not name.endswith(".pt")])
def test_real_file_is_refused_with_its_framework_switched_off(name: str) -> None:
    """With only Python's own values allowed, each file is refused, and its report has the names that it needs."""
    problems = scan_bytes((FOLDER / name).read_bytes(), Allowlist.load([])).problems
    assert {problem.code for problem in problems} == {"artifact.forbidden_import"}
    assert all(problem.hint for problem in problems)
