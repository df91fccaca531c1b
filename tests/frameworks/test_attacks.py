"""Attacks that are seen to work are refused, all of them, wherever they hide, without a single audited event."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import hostile
import pytest

from model_inbox.pickles import Allowlist, Scanner, scan_bytes

ALLOWLIST = Allowlist.load()
SECONDS = 60
_events: list[str] | None = None


def _note(event: str, _arguments: object) -> None:
    if _events is not None and event.partition(".")[0] in (
        "compile", "ctypes", "exec", "import", "open", "os", "pickle", "shutil", "socket", "subprocess", "tempfile",
    ):  # fmt: skip
        _events.append(event)


sys.addaudithook(_note)


def works(data: bytes, loader: str, marker: Path) -> bool:
    """Load in a process of its own and return whether the attack left its trace."""
    child = os.fork()
    if not child:
        try:
            with Path(os.devnull).open("r+b", buffering=0) as nothing:
                for fd in (0, 1, 2):
                    os.dup2(nothing.fileno(), fd)
            signal.alarm(SECONDS)
            warnings.simplefilter("ignore")
            hostile.load(data, loader)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    traces = list(marker.parent.glob(f"{marker.name}*"))
    for trace in traces:
        shutil.rmtree(trace) if trace.is_dir() and not trace.is_symlink() else trace.unlink()
    return bool(traces)


@pytest.fixture
def events() -> Iterator[list[str]]:
    """The audited events from here on."""
    global _events
    _events = []
    yield _events
    _events = None


def test_every_attack_works_and_is_refused_wherever_it_hides(
    tmp_path: Path, events: list[str], scanner: Scanner
) -> None:
    """Loaded by pickle, joblib or torch it leaves its trace; scanned it is refused, and the worker stays alive."""
    marker = tmp_path / "traces" / "marker"
    marker.parent.mkdir()
    file = tmp_path / "file"
    idle, missed, seen = [], [], 0
    for label, opcodes in hostile.attacks(str(marker), tmp_path):
        for place, loader, data in hostile.places(opcodes):
            if place == "alone" and not works(data, loader, marker):
                idle.append(label)
            events.clear()
            report = scan_bytes(data, ALLOWLIST)
            seen += 1
            assert events == [], (label, place)
            file.write_bytes(data)
            if report.accepted or scanner.scan(file).accepted:
                missed.append((label, place))
            assert not list(marker.parent.iterdir())
    assert idle == [], "these attacks are none"
    assert missed == []
    assert scanner.restarts == 0
    print(f"{seen} files refused")


@pytest.mark.parametrize("place", [place for place, _, _ in hostile.places(b"N")])
def test_an_attack_works_in_every_place(place: str, tmp_path: Path) -> None:
    """The places are such that a loader finds what is there."""
    marker = tmp_path / "traces" / "marker"
    marker.parent.mkdir()
    opcodes = dict(hostile.attacks(str(marker), tmp_path))["mkdir"]
    found = {name: (loader, data) for name, loader, data in hostile.places(opcodes)}
    loader, data = found[place]
    assert works(data, loader, marker)


@pytest.fixture(name="scanner")
def _scanner() -> Iterator[Scanner]:
    with Scanner(ALLOWLIST) as scanner:
        yield scanner
