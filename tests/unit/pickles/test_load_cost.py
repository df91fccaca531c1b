"""What a load costs: whatever hashes, compares, copies or nests in a load does so in the scan, and is bounded there."""

from __future__ import annotations

import datetime as dt
import decimal
import fractions
import gzip
import pickle
import re
import struct
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from model_inbox.pickles import Allowlist, PickleReport, Scanner, scan_bytes
from model_inbox.pickles.scan import decompressed_max
from support import pickle_builders as build

ALLOWLIST = Allowlist.load()
MODULUS = (1 << 61) - 1
"""Python hashes numbers modulo this prime."""


@pytest.fixture(scope="module", name="scanner")
def _scanner() -> Iterator[Scanner]:
    """A scanner that gives each file one second of CPU time, so that tests need not wait for five."""
    with pytest.MonkeyPatch.context() as patch, Scanner(ALLOWLIST, memory_limit=1 << 30, time_limit=60.0) as scanner:
        patch.setattr("model_inbox.pickles.process.scanner.CPU_FLOOR_SECONDS", 1)
        yield scanner


def _scan(scanner: Scanner, folder: Path, data: bytes) -> PickleReport:
    path = folder / "file.pkl"
    path.write_bytes(data)
    return scanner.scan(path)


def _codes(report: PickleReport) -> list[str]:
    return [problem.code for problem in report.problems]


def _memo(number: int) -> bytes:
    return b"r" + number.to_bytes(4, "little")


def _recall(number: int) -> bytes:
    return b"j" + number.to_bytes(4, "little")


def _tower(make: Any, levels: int, at: int) -> bytes:
    """Opcodes for a value in which each level holds two wrappings of the level below; the last one is on the stack."""
    body = make(b"K\x01") + _memo(at) + b"0"
    for level in range(levels):
        below = _recall(at + 3 * level)
        for number in (1, 2):
            body += make(below + (b"K\x01" if number == 1 else b"K\x02")) + _memo(at + 3 * level + number) + b"0"
        body += make(_recall(at + 3 * level + 1) + _recall(at + 3 * level + 2)) + _memo(at + 3 * level + 3) + b"0"
    return body + _recall(at + 3 * levels)


def _frozenset_opcode(items: bytes) -> bytes:
    return b"(" + items + b"\x91"


def _old_frozenset(items: bytes) -> bytes:
    return b"c__builtin__\nfrozenset\n(](" + items + b"etR"


def _pair(items: bytes) -> bytes:
    return b"(" + items + b"t"


def _in_a_dict(first: bytes, second: bytes) -> bytes:
    return build.pickled(b"}(" + first + b"N" + second + b"Nu")


TOWERS = {
    "frozensets by both": _in_a_dict(_tower(_old_frozenset, 60, 0), _tower(_frozenset_opcode, 60, 1000)),
    "hash of tuples": build.pickled(b"}" + _tower(_pair, 60, 0) + b"Ns"),
    "tuples in a set of a call": build.pickled(
        build.called(build.named("builtins", "set"), b"](" + _tower(_pair, 60, 0) + b"e")
    ),
    "tuples as keys of an ordered dictionary": build.pickled(
        build.called(build.named("collections", "OrderedDict")) + _tower(_pair, 60, 0) + b"Ns"
    ),
}


@pytest.mark.parametrize("name", TOWERS)
def test_values_whose_hash_or_comparison_never_ends_end_at_the_limit_of_the_scan(
    scanner: Scanner, tmp_path: Path, name: str
) -> None:
    """Towers of equal values need 2^60 steps as keys: the scan takes them itself, and the file is refused for that."""
    report = _scan(scanner, tmp_path, TOWERS[name])
    assert _codes(report) == ["artifact.scan_limits"], report.problems
    assert "CPU" in report.problems[0].message


COUNT = 30_000
COLLIDING: dict[str, Any] = {
    "UUIDs": lambda number: uuid.UUID(int=number * MODULUS),
    "fractions": lambda number: fractions.Fraction(number * MODULUS),
    # hash(complex) is hash(real) + 1000003 * hash(imaginary).
    "complex numbers": lambda number: complex(-1000003.0 * number, float(number)),
}


def _set_of(values: list[Any], protocol: int) -> bytes:
    """Return a pickle of a set of these values, which need not be a set here."""
    # Without the opcode PROTO at the start, and STOP at the end.
    items = pickle._dumps(values, protocol)[2:-1]  # type: ignore[attr-defined]  # the pure-Python one: no frame
    return build.PROTO[protocol] + b"c__builtin__\nset\n" + items + b"\x85R."


@pytest.mark.parametrize("kind", COLLIDING)
@pytest.mark.parametrize("protocol", [2])
def test_keys_whose_hashes_collide_end_at_the_limit_of_the_scan(
    scanner: Scanner, tmp_path: Path, kind: str, protocol: int
) -> None:
    """Keys with one hash make a set compare each with all before it. The scan compares them, too."""
    make = COLLIDING[kind]
    assert len({hash(make(number)) for number in range(1, 9)}) == 1
    assert _codes(_scan(scanner, tmp_path, _set_of([make(number) for number in range(100)], protocol))) == []
    report = _scan(scanner, tmp_path, _set_of([make(number) for number in range(COUNT)], protocol))
    assert _codes(report) == ["artifact.scan_limits"], report.problems


def test_colliding_numbers_of_numpy_end_at_the_limit_of_the_scan(scanner: Scanner, tmp_path: Path) -> None:
    """Numbers of numpy are hashed and compared as the numbers that they hold."""

    def number(at: int) -> bytes:
        return build.called(
            build.named("numpy._core.multiarray", "scalar"),
            build.dtype("c16"),
            build.data(struct.pack("<dd", -1000003.0 * at, float(at))),
        )

    numbers = b"](" + b"".join(number(at) for at in range(COUNT // 2)) + b"e"
    report = _scan(scanner, tmp_path, build.pickled(build.called(build.named("builtins", "set"), numbers)))
    assert _codes(report) == ["artifact.scan_limits"], report.problems


def test_equal_keys_of_different_types_are_one_key() -> None:
    """Values are compared across types as in a load: 1, 1.0, Decimal 1 and Fraction 1 are one key, and cost as much."""
    values = [1, 1.0, decimal.Decimal(1), fractions.Fraction(1), uuid.UUID(int=1), dt.timedelta(1)]
    report = scan_bytes(_set_of(values, 3), ALLOWLIST)
    assert report.accepted, report.problems


def _slow_pattern() -> bytes:
    ranges = "".join(f"[\x01-\uffff{chr(0x4E00 + number)}]" for number in range(550))
    return build.called(build.named("re", "_compile"), build.text(ranges), build.value(2))


def test_patterns_are_compiled_in_the_scan(scanner: Scanner, tmp_path: Path) -> None:
    """A pattern that takes seconds to compile takes them in the scan. One that is invalid is refused."""
    report = _scan(scanner, tmp_path, build.pickled(_slow_pattern()))
    assert _codes(report) == ["artifact.scan_limits"], report.problems
    invalid = build.called(build.named("re", "_compile"), build.text("("), build.value(0))
    assert _codes(scan_bytes(build.pickled(invalid), ALLOWLIST)) == ["artifact.forbidden_arguments"]
    honest = pickle.dumps(re.compile(r"(?u)\b\w\w+\b"))
    assert scan_bytes(honest, ALLOWLIST).accepted


# --- depth ---------------------------------------------------------------------------------------------------


def _array_of(item: bytes) -> bytes:
    """Opcodes of an array of objects with one item."""
    made = build.called(
        build.named("numpy._core.multiarray", "_reconstruct"),
        build.named("numpy", "ndarray"),
        build.value((0,)),
        build.data(b"b"),
    )
    dtype = build.called(build.named("numpy", "dtype"), build.text("O8"), b"\x89", b"\x88")
    dtype += (
        b"(" + build.value(3) + build.text("|") + b"NNN" + build.value(-1) + build.value(-1) + build.value(63) + b"tb"
    )
    return made + b"(" + build.value(1) + build.value((1,)) + dtype + b"\x89](" + item + b"etb"


def _nested(make: Any, depth: int) -> bytes:
    body = b"N"
    for number in range(depth):
        # The memo holds the inner one, so that no opcode is nested.
        body = body + _memo(number) + b"0" + make(_recall(number))
    return body


NESTS = {
    "arrays of objects": _array_of,
    "deques": lambda item: build.called(build.named("collections", "deque")) + b"(" + item + b"e",
    "deques that are made of a list": lambda item: build.called(
        build.named("collections", "deque"), b"](" + item + b"e"
    ),
    "dictionaries with a default": lambda item: (
        build.called(build.named("collections", "defaultdict"), build.named("builtins", "int")) + b"K\x01" + item + b"s"
    ),
}


@pytest.mark.parametrize("kind", NESTS)
def test_objects_that_are_freed_by_recursion_are_nested_to_a_bounded_depth(kind: str) -> None:
    """C types free what they hold by recursion: thousands inside each other overflow the stack. Twenty do not."""
    make = NESTS[kind]
    for wrap in (bytes, gzip.compress):
        report = scan_bytes(wrap(build.pickled(_nested(make, 5000))), ALLOWLIST)
        assert _codes(report) == ["artifact.scan_limits"], report.problems
        assert "nested in each other" in report.problems[0].message
        freed = build.pickled(_nested(make, 5000) + b"0N")
        assert _codes(scan_bytes(wrap(freed), ALLOWLIST)) == ["artifact.scan_limits"]
    assert scan_bytes(build.pickled(_nested(make, 20)), ALLOWLIST).accepted


def test_lists_between_objects_bound_the_depth_themselves() -> None:
    """Lists, tuples and dictionaries are freed without recursion, however deep, and so are chains of instances."""
    deep = build.pickled(_nested(lambda item: _array_of(b"](" + b"](" + item + b"ee"), 2000))
    assert scan_bytes(deep, ALLOWLIST).accepted
    chain = build.pickled(
        _nested(
            lambda item: (
                build.new("sklearn.linear_model._base", "LinearRegression") + build.mapping({"before": item}) + b"b"
            ),
            5000,
        )
    )
    assert scan_bytes(chain, ALLOWLIST).accepted


# --- what scikit-learn compares ------------------------------------------------------------------------------


def test_the_version_of_an_estimator_is_text_in_each_object() -> None:
    """scikit-learn compares the version in a load: what stands there is compared by its own code."""

    def estimator(version: bytes) -> bytes:
        return build.built(
            build.new("sklearn.linear_model._base", "LinearRegression"), build.mapping({"_sklearn_version": version})
        )

    honest = estimator(build.text("1.7.2"))
    assert scan_bytes(build.pickled(b"](" + honest * 3 + b"e"), ALLOWLIST).accepted
    for hostile in (build.array(), build.value((1, 2)), build.value(1)):
        data = build.pickled(b"](" + honest * 3 + estimator(hostile) + b"e")
        assert _codes(scan_bytes(data, ALLOWLIST)) == ["artifact.forbidden_arguments"]


# --- memory and time ----------------------------------------------------------------------------------------


def _many(number: int, one: bytes) -> bytes:
    """Opcodes of a list with the same construction that many times."""
    return b"](" + one * number + b"e"


def _shared_array(code: str, order: str, itemsize: int, shape: tuple[int, ...], content: bytes) -> bytes:
    """Opcodes of an array whose contents are another's, too."""
    dtype = build.dtype(code, (3, order, None, None, None, itemsize, 1 if itemsize >= 0 else -1, 0))
    made = build.called(
        build.named("numpy._core.multiarray", "_reconstruct"),
        build.named("numpy", "ndarray"),
        build.value((0,)),
        build.data(b"b"),
    )
    return build.built(made, b"(" + build.value(1) + build.value(shape) + dtype + b"\x89" + content + b"t")


_SHARED = build.data(bytes(800_000)) + _memo(7) + b"0"
_GENERATOR = build.called(build.named("numpy.random._pickle", "__bit_generator_ctor"), build.text("MT19937"))
_STATE = build.mapping({f"a{number}": b"N" for number in range(1000)}) + _memo(8) + b"0"

COSTLY = {
    "arrays that swap shared bytes": _SHARED + _many(6000, _shared_array("f8", ">", -1, (100_000,), _recall(7))),
    "an array of four billion items without bytes": _shared_array("S0", "|", 0, (1 << 32,), build.data(b"")),
    "copies of shared bytes": _SHARED + _many(1000, build.called(build.named("builtins", "bytearray"), _recall(7))),
    "one dictionary as the state of many objects": _STATE
    + _many(20_000, build.new("sklearn.linear_model._base", "LinearRegression") + _recall(8) + b"b"),
    "generators of random numbers": _many(200_000, _GENERATOR),
}


@pytest.mark.parametrize("kind", COSTLY)
def test_what_costs_a_load_far_more_than_the_file_is_large_is_refused(kind: str) -> None:
    """Each construction has a cost. Their sum is held to the budget, and the message names the dearest name."""
    for wrap in (bytes, gzip.compress):
        report = scan_bytes(wrap(build.pickled(COSTLY[kind])), ALLOWLIST)
        assert set(_codes(report)) == {"artifact.load_cost"}, report.problems
        assert report.load_bytes > 0


def test_the_budget_is_the_operators() -> None:
    """A file over the default budget is accepted with a larger one, and the message says which key to raise."""
    data = build.pickled(COSTLY["arrays that swap shared bytes"])
    refused = scan_bytes(data, ALLOWLIST)
    assert "pickle.load_budget" in str(refused.problems[0].hint)
    assert "'numpy.ndarray'" in refused.problems[0].message
    assert refused.load_bytes >= 6000 * 800_000
    assert scan_bytes(data, ALLOWLIST, load_budget=8 << 30).accepted


def test_plain_objects_cost_what_they_take_in_the_scan(tmp_path: Path) -> None:
    """The worker measures what plain values need: lists in lists are 100 times as large in memory as in the file."""
    path = tmp_path / "lists.pkl"
    path.write_bytes(build.PROTO[4] + b"](" + b"]" * 6_000_000 + b"e.")
    with Scanner(ALLOWLIST, memory_limit=4 << 30) as scanner:
        report = scanner.scan(path)
    assert _codes(report) == ["artifact.load_cost"], report.problems
    # An empty list has 56 bytes, 72 with what Python keeps before it, and its place in the outer one.
    assert report.load_bytes > 6_000_000 * 64


@pytest.mark.parametrize(
    "opcodes",
    [b"(" + b"]" * 2_000_000 + b"1N", b"N" + b"\x85" * 3_500_000 + b"0N", b"N" + _memo(12_000_000)],
    ids=["lists", "tuples", "memo"],
)
def test_objects_that_are_gone_at_the_end_have_cost_what_they_took(tmp_path: Path, opcodes: bytes) -> None:
    """A load has them all at once: lists and tuples that are taken from the stack again, a place far behind in a memo.

    The limit of the scan allows them, in a worker that has scanned another file before.
    """
    with Scanner(ALLOWLIST, load_budget=128 << 20) as scanner:
        assert _codes(_scan(scanner, tmp_path, pickle.dumps(1))) == []
        assert _codes(_scan(scanner, tmp_path, build.pickled(opcodes))) == ["artifact.load_cost"]


def test_an_honest_array_costs_a_few_times_its_bytes(tmp_path: Path) -> None:
    """The file, the bytes in it and the array: far below the default budget of eight times."""
    path = tmp_path / "array.pkl"
    size = 16 << 20
    path.write_bytes(build.pickled(build.array((size // 8,), bytes(size))))
    with Scanner(ALLOWLIST) as scanner:
        report = scanner.scan(path)
    assert report.accepted
    assert 2 * size <= report.load_bytes <= 6 * size


def test_compressed_files_expand_by_a_bounded_ratio(tmp_path: Path) -> None:
    """Beyond 256 MiB, compressed contents are at most 200 times as large as the file."""
    assert decompressed_max(1000) == 256 << 20
    assert decompressed_max(10 << 20) == 2000 << 20
