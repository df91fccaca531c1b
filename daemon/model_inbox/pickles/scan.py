"""Scan one source: choose the parser, and return what it recorded.

Owns `record`, the whole scan without a process around it. Any bytes give a `Recording`, never an exception; only the
limits of the process (memory, CPU time, stack), and a system that refuses to read the file (`ReadError`), can end a
scan without one. Knows no allowlist: `report` compares the
recording with one.

The parsers are the same as in a load: CPython's C unpickler for plain and torch files, the pure-Python unpickler for
joblib. Only find_class and persistent_load differ: they return stubs.
"""

from __future__ import annotations

import copyreg
import pickle
from collections.abc import Callable, Mapping
from typing import Any

from .arguments import count_of, is_global, is_object, is_shape
from .formats import ALIGNMENT_FIELD, JoblibUnpickler, check_fields, scan_legacy, scan_zip
from .kinds import JOBLIB, PLAIN, START_BYTES, TORCH_LEGACY, TORCH_ZIP, NeedsJoblib, kind_of_start, other_format
from .names import JOBLIB_ARRAY
from .places import PARTIAL, Place, TracingRecorder, places_in
from .rules import (
    MATRIXES,
    SCRIPT_OBJECTS,
    DtypeValue,
    call_cost,
    call_rules,
    default_rule,
    default_state_rule,
    dtype_of,
    keeps_contents,
    new_array,
    state_microseconds,
    state_rules,
)
from .streams import BadStream, InflatedSource, MemorySource, ReadError, Source, Stream, open_compressed
from .stubs import BadArguments, Finding, Recorder, Stub
from .unpicklers import PlainUnpickler, finish, open_stream

__all__ = ["Recording", "decompressed_max", "new_recorder", "record"]

Recording = dict[str, Any]
"""The result of a scan as JSON: kind, uses {name: letters}, findings [[what, subject, detail]], carries_code,
versions {framework: version}, places [[steps, what]] (see `places.Place`), cost: what a load needs
{bytes, microseconds, most_bytes: name, most_microseconds: name, content_bytes}."""


_INDEX_KINDS = "iubBhHlLqQI"
_INDEX_BYTES_MAX = 64 << 20
"""Arrays of integers in compressed files of joblib are kept up to this size: rules may have to look at them."""
_INDEX_COLUMNS_MAX = 64
"""Tables of integers with more columns are data, and no rule looks at them."""

_END_BYTES = 1 << 16
"""The part of an archive that is searched for names of members."""


def decompressed_max(size: int) -> int:
    """Return how many bytes `size` compressed bytes may give. A file that gives more is a decompression bomb."""
    return max(256 << 20, size * 200)


class ScanningJoblibUnpickler(JoblibUnpickler):
    """joblib's parser with stubs for names. It skips the bytes of arrays."""

    def __init__(self, recorder: Recorder, stream: Stream, *, inner: bool = False) -> None:
        super().__init__(stream)
        self.recorder = recorder
        self._inner = inner

    def find_class(self, module: Any, name: Any, /) -> Any:
        found = self.recorder.find(module, name)
        if self._inner and found.name == JOBLIB_ARRAY:
            raise BadStream("bad-joblib-array", detail="an array inside an array of objects")
        return found

    def persistent_load(self, _pid: Any, /) -> Any:
        raise BadStream("persistent-id")

    def wrapper_state(self, wrapper: Any) -> Mapping[str, Any] | None:
        if not is_object(wrapper, JOBLIB_ARRAY):
            return None
        state = getattr(wrapper, "value", None)
        check_fields(state)
        assert type(state) is dict  # noqa: S101 - for the type checker: `check_fields` has checked it
        sane = (
            is_global(state["subclass"], "numpy.ndarray", "numpy.memmap", *MATRIXES)
            and is_shape(state["shape"])
            and state["order"] in ("C", "F")
            and type(state["allow_mmap"]) is bool
            and state.get(ALIGNMENT_FIELD) in (None, 16)
        )
        if not sane:
            raise BadStream("bad-joblib-array", detail="its fields")
        self._dtype(state)
        return state

    def _dtype(self, state: Mapping[str, Any]) -> DtypeValue:
        try:
            return dtype_of(state["dtype"], objects=True)
        except BadArguments as error:
            raise BadStream("bad-joblib-array", detail=str(error)) from None

    def holds_objects(self, state: Mapping[str, Any]) -> bool:
        return self._dtype(state).has_objects

    def array_of_objects(self) -> Any:
        return ScanningJoblibUnpickler(self.recorder, self.stream, inner=True).load()

    def array_of_bytes(self, state: Mapping[str, Any]) -> Any:
        dtype, shape = self._dtype(state), state["shape"]
        length = count_of(shape) * dtype.itemsize
        if keeps_contents(dtype, shape):
            return new_array(self.recorder, dtype, shape, self.stream.read_exactly(length))
        is_table = len(shape) == 2 and shape[1] <= _INDEX_COLUMNS_MAX and dtype.kind in _INDEX_KINDS
        if not (len(shape) == 1 or is_table) or self.recorder.stream is None:
            self.stream.skip(length)
            return new_array(self.recorder, dtype, shape)
        # Rules look at the numbers of arrays that are indexes of others, some with a row for each of several.
        ahead = self.recorder.stream.ahead(length)
        if ahead is None and dtype.kind in _INDEX_KINDS and length <= _INDEX_BYTES_MAX:
            ahead = MemorySource(self.stream.read_exactly(length))
        else:
            self.stream.skip(length)
        made = new_array(self.recorder, dtype, shape)
        if ahead is not None:
            made.value.source = lambda: ahead
        return made


def _keep_wrapper_state(_recorder: Recorder, target: Stub, state: Any) -> None:
    target.value = state


_STATE_RULES = {**state_rules, JOBLIB_ARRAY: _keep_wrapper_state}


def new_recorder(kind: type[Recorder] = Recorder) -> Recorder:
    """Return a recorder with all rules, for a new scan."""
    return kind(
        call_rules, _STATE_RULES, default_rule, default_state_rule, call_cost, state_microseconds, SCRIPT_OBJECTS
    )


TRACED_BYTES_MAX = 32 << 20
"""Only files up to this size are parsed a second time, to find where their functions sit."""


def record(source: Source, memory: Callable[[], tuple[int, int]] = lambda: (0, 0)) -> Recording:
    """Scan a source. Any bytes give a recording; it contains what was found before an error, too.

    `memory` returns the memory that this process has, and the most that it had: what a scan makes is what a load makes.
    Raise ReadError if the system refuses to read the file.
    """
    scan = _Scan(source)
    at_first, most_at_first = memory()
    try:
        scan.run()
        now, most = memory()
        scan.recorder.run_later()
    except ReadError:
        raise
    except Exception as error:  # noqa: BLE001 - a hostile file can make the parser raise anything: a finding
        scan.recorder.note(*_finding_of(error, scan.start))
        return scan.recording()
    cost = scan.cost()
    # Objects that are gone at the end of a load have been there, too.
    cost["bytes"] += max(0, now - at_first, most - at_first if most > most_at_first else 0)
    return {**scan.recording(), "cost": cost, "places": _places(scan, source)}


def _places(scan: _Scan, source: Source) -> list[Place]:
    """Return where the functions sit that a file carries by value, and its partials."""
    if not scan.recorder.carries_code and PARTIAL not in scan.recorder.uses:
        return []
    if (source.size or 0) > TRACED_BYTES_MAX:
        return []
    again = _Scan(source, TracingRecorder)
    try:
        again.run()
        return places_in(again.top)
    except ReadError:
        raise
    except Exception:  # noqa: BLE001 - memory may not suffice to keep everything; then nothing is told
        return []


class _Scan:
    """The steps of one scan, and what is known about the file so far."""

    def __init__(self, source: Source, recorder: type[Recorder] = Recorder) -> None:
        self._source = source
        self._recorder_kind = recorder
        self.top: Any = None
        """What the parser returned, for plain files and those of joblib."""
        self._compression = ""
        self._kind = ""
        self._inflated = 0
        self.start = b""
        self.recorder = new_recorder(recorder)

    def run(self) -> None:
        # EXT opcodes would be looked up in this table. It is empty unless a program fills it.
        if copyreg._inverted_registry:  # type: ignore[attr-defined]  # the stubs do not have it
            raise BadStream("extension-codes")
        size = self._source.size or 0
        if size == 0:
            raise BadStream("empty")
        self._compression, contents = open_compressed(self._source, decompressed_max(size))
        self.start = contents.read_at(0, START_BYTES)
        if self.start.startswith(b"ZF"):
            raise BadStream("old-joblib")
        self._kind = kind_of_start(self.start)
        if self._kind == TORCH_ZIP:
            self.recorder.torch_modules = True
            self._scan_zip(contents)
        elif self._kind == TORCH_LEGACY:
            self.recorder.torch_modules = True
            scan_legacy(self.recorder, contents)
        else:
            self._scan_pickle(contents)

    def _scan_zip(self, contents: Source) -> None:
        if isinstance(contents, InflatedSource):
            contents = contents.inflate()
            self._inflated = contents.size
        try:
            scan_zip(self.recorder, contents)
        except BadStream as error:
            size = contents.size or 0
            end = contents.read_at(max(0, size - _END_BYTES), _END_BYTES)
            name = other_format(self.start, end)
            if error.what in ("bad-zip", "bad-zip-member") and (name != "zip" or b"data.pkl" not in end):
                raise BadStream("other-format", detail=name) from error
            raise

    def _scan_pickle(self, contents: Source) -> None:
        self._kind = PLAIN
        stream = open_stream(self.recorder, contents)
        try:
            self.top = PlainUnpickler(self.recorder, stream).load()
        except NeedsJoblib:
            self._kind = JOBLIB
            self.recorder = new_recorder(self._recorder_kind)
            stream = open_stream(self.recorder, contents)
            self.top = ScanningJoblibUnpickler(self.recorder, stream).load()
        finish(stream)

    def cost(self) -> dict[str, Any]:
        """Return what a load needs: for the file itself, for its contents where they are whole in memory, for objects.

        What plain values need is not in it.
        """
        stream = self.recorder.stream
        contents = self._inflated or (stream.tell() if stream is not None and self._compression else 0)
        size = self._source.size or 0
        found = self.recorder.cost()
        found["bytes"] += size + self._inflated
        found["content_bytes"] = max(size, contents)
        return found

    def recording(self) -> Recording:
        return {
            "kind": "+".join(part for part in (self._compression, self._kind) if part),
            "uses": self.recorder.uses,
            "findings": [list(finding) for finding in self.recorder.findings],
            "carries_code": self.recorder.carries_code,
            "versions": self.recorder.versions,
        }


def _finding_of(error: Exception, start: bytes) -> Finding:
    """Return the finding for an error of the parser. `start` is the first bytes of the file."""
    text = str(error)
    has_no_header = not start.startswith(b"\x80") and not isinstance(error, (BadStream, MemoryError, RecursionError))
    if has_no_header and (name := other_format(start)):
        # A parser for pickles takes some of its bytes for opcodes, and says anything.
        return "other-format", "", name
    match error:
        case BadStream():
            return error.what, error.subject, error.detail
        case MemoryError():
            return "needs-memory", "", ""
        case RecursionError():
            return "too-deep", "", ""
        case EOFError():
            return "truncated", "", ""
        case pickle.UnpicklingError() if "truncated" in text or "exhausted" in text:
            return "truncated", "", ""
        case ValueError() if "unsupported pickle protocol" in text:
            return "new-protocol", "", text[:200]
        case ValueError() if "extension code" in text:
            return "extension-codes", "", ""
    if not start.startswith(b"\x80"):
        # Pickles of protocols 0 and 1 have no header, so a parser starts on any text or image.
        return "not-a-pickle", "", ""
    return "malformed", "", f"{type(error).__name__}: {text[:200]}"
