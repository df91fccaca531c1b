"""Any bytes give a report, and a load of accepted bytes needs no name that is not in the report."""

from __future__ import annotations

import pickle
import resource
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model_inbox.errors import LoadRefused
from model_inbox.pickles import Allowlist, PickleReport, load, scan_bytes
from support import pickle_builders as build
from support.examples import examples
from support.places import DATA

ALLOWLIST = Allowlist.load()

PICKLES = DATA / "pickles"
SEEDS = [
    *(
        path.read_bytes()
        for path in sorted(PICKLES.iterdir())
        if path.suffix != ".json" and path.stat().st_size < 30_000
    ),
    *(
        pickle.dumps({"a": [1, 2.5, "x", b"y", {1}, date(2026, 1, 1)], "b": OrderedDict(c=(1, 2))}, protocol)
        for protocol in range(6)
    ),
    build.pickled(build.array()),
    build.pickled(build.joblib_array()),
    build.torch_archive(build.pickled(build.tensor(build.storage_id())), {"0": bytes(8)}),
    build.torch_legacy(build.pickled(build.tensor(build.legacy_storage_id())), ["0"], bytes([2] + [0] * 15)),
    build.pickled(build.runs(Path("/nowhere/at/all"))),
]

OPCODES = [
    bytes([code]) for code in b"(.0123FGHIJKLMNPQRSTUVXabcdeghijlopqrstu}]\x80\x81\x82\x85\x86\x87\x88\x89\x8a\x8b"
]
OPCODES += [bytes([code]) for code in range(0x8C, 0x99)]
SNIPPETS = [
    build.text("numpy"),
    build.text("dtype"),
    build.value((0,)),
    build.named("numpy", "ndarray"),
    build.named("numpy._core.multiarray", "_reconstruct"),
    build.named("collections", "OrderedDict"),
    build.named("copyreg", "_reconstructor"),
    build.named("torch.storage", "_load_from_bytes"),
    build.named("joblib.numpy_pickle", "NumpyArrayWrapper"),
    build.new("sklearn.linear_model._ridge", "Ridge"),
    build.mapping({"a": b"N"}),
    build.dtype(),
    build.array(),
    b"K\x01",
    b"q\x00h\x00",
    b"(t",
    b")R",
    b"\x94",
]

changes = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.integers(0, 1 << 20), st.binary(min_size=1, max_size=4)),
        st.tuples(st.just("insert"), st.integers(0, 1 << 20), st.sampled_from(OPCODES + SNIPPETS)),
        st.tuples(st.just("cut"), st.integers(0, 1 << 20), st.just(b"")),
        st.tuples(st.just("delete"), st.integers(0, 1 << 20), st.just(b"")),
    ),
    min_size=1,
    max_size=6,
)


def changed(data: bytes, edits: list[tuple[str, int, bytes]]) -> bytes:
    """Return `data` after all edits."""
    edited = bytearray(data)
    for what, where, piece in edits:
        at = where % (len(edited) + 1)
        if what == "set":
            edited[at : at + len(piece)] = piece
        elif what == "insert":
            edited[at:at] = piece
        elif what == "cut":
            del edited[at:]
        else:
            del edited[at : at + 1]
    return bytes(edited)


@pytest.fixture(autouse=True, scope="module")
def _little_memory() -> Iterator[None]:
    """Limit the memory, so that a claim of a gigabyte fails here as it does in the worker."""
    with Path("/proc/self/statm").open() as statm:
        space = int(statm.read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (space + (512 << 20), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def judged(data: bytes) -> PickleReport:
    """Scan the data. If it is accepted, a load must not need any other name."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = scan_bytes(data, ALLOWLIST)
    assert all(problem.code.startswith("artifact.") for problem in report.problems)
    assert all(problem.message.isprintable() and problem.hint.isprintable() for problem in report.problems)
    if not report.problems:
        try:
            load(data, report.imports)
        except LoadRefused as error:
            pytest.fail(f"accepted, and then: {error}")
        except Exception:
            pass
    return report


HARD = settings(max_examples=examples(250), deadline=None, suppress_health_check=[HealthCheck.too_slow])


@given(st.binary(max_size=200))
@HARD
def test_any_bytes_end_in_a_report(data: bytes) -> None:
    """Random bytes."""
    judged(data)


@given(st.sampled_from(SEEDS), changes)
@HARD
def test_damaged_files_end_in_a_report(seed: bytes, edits: list[tuple[str, int, bytes]]) -> None:
    """Honest and hostile files with bytes set, inserted, deleted and cut."""
    judged(changed(seed, edits))


@given(st.lists(st.sampled_from(OPCODES + SNIPPETS), max_size=40))
@HARD
def test_any_opcodes_end_in_a_report(opcodes: list[bytes]) -> None:
    """Opcodes and well-formed pieces in any order."""
    judged(build.pickled(*opcodes))
