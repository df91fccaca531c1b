"""The rights of the worker that reads hostile files: it has none, whichever user starts it."""

from __future__ import annotations

import ctypes
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model_inbox.pickles import Allowlist, Scanner
from support.users import as_user

CAP_DAC_READ_SEARCH, CAP_LEASE = 2, 28
USER = 54321


def rights_of_a_worker(prepare: Callable[[], None], model: Path) -> dict[str, list[str]]:
    """Start a scanner after `prepare`, scan a model, and return what the kernel says of the worker."""
    prepare()
    with Scanner(Allowlist.load(["builtins"]), memory_limit=1 << 30, time_limit=50) as scanner:
        assert scanner.scan(model).problems == ()
        text = Path(f"/proc/{scanner.worker_pid}/status").read_text()
    lines = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
    names = ("Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapAmb", "NoNewPrivs")
    return {name: lines[name].split() for name in names}


def as_root() -> None:
    os.setgroups([0, 6])


def as_a_user_with_cap_lease() -> None:
    """Become what the hardened unit makes: a plain user with CAP_LEASE, also in the ambient set.

    The other capability lets this user start our interpreter, which may be in root's home.
    """
    libc = ctypes.CDLL(None)
    # PR_SET_KEEPCAPS; capset(2) with both in all three sets; PR_CAP_AMBIENT with PR_CAP_AMBIENT_RAISE.
    assert libc.prctl(8, 1, 0, 0, 0) == 0
    os.setgroups([])
    os.setresgid(USER, USER, USER)
    os.setresuid(USER, USER, USER)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    sets = (ctypes.c_uint32 * 6)(*[1 << CAP_LEASE | 1 << CAP_DAC_READ_SEARCH] * 3, 0, 0, 0)
    assert libc.capset(header, sets) == 0
    for capability in (CAP_LEASE, CAP_DAC_READ_SEARCH):
        assert libc.prctl(47, 2, capability, 0, 0) == 0


@pytest.mark.parametrize(("start", "uid"), [(as_root, 65534), (as_a_user_with_cap_lease, USER)])
def test_the_worker_has_no_rights(tmp_path: Path, start: Callable[[], None], uid: int) -> None:
    """Started by root or with a capability, the worker is a plain user without groups and capabilities."""
    model = tmp_path / "m.pkl"
    model.write_bytes(pickle.dumps([1, 2]))
    found: Any = as_user(0, lambda: rights_of_a_worker(start, model))
    assert found == {
        "Uid": [str(uid)] * 4,
        "Gid": [str(uid)] * 4,
        "Groups": [],
        "NoNewPrivs": ["1"],
        **{name: ["0" * 16] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")},
    }
