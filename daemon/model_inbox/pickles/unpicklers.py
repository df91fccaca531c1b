"""CPython's C unpickler with stubs for names: it scans plain pickles and the pickles in torch files.

Owns what a name and a persistent id become, and the stream that the unpickler reads. Never decides which unpickler
reads a file: `scan` decides for whole files, `formats.torch_scan` for the pickles in torch files.
"""

from __future__ import annotations

import _pickle
import os
import pickle
from collections.abc import Callable
from typing import Any

from .kinds import NeedsJoblib
from .names import JOBLIB_ARRAY
from .streams import BadStream, PayloadSkippingStream, Source, Stream
from .stubs import Recorder

__all__ = ["PlainUnpickler", "TorchUnpickler", "finish", "open_stream"]


class PlainUnpickler(_pickle.Unpickler):
    """The C unpickler. It gets a stub for each name, and no persistent id is accepted."""

    def __init__(self, recorder: Recorder, stream: Stream) -> None:
        super().__init__(stream)
        self.recorder = recorder

    def find_class(self, module: Any, name: Any, /) -> Any:
        found = self.recorder.find(module, name)
        if found.name == JOBLIB_ARRAY:
            raise NeedsJoblib
        return found

    def persistent_load(self, _pid: Any, /) -> Any:
        raise BadStream("persistent-id")


class TorchUnpickler(PlainUnpickler):
    """The C unpickler for pickles of torch. `load_id` returns what stands for a persistent id."""

    def __init__(self, recorder: Recorder, stream: Stream, load_id: Callable[[Any], Any]) -> None:
        super().__init__(recorder, stream)
        self._load_id = load_id

    def find_class(self, module: Any, name: Any, /) -> Any:
        found = self.recorder.find(module, name)
        if found.name == JOBLIB_ARRAY:
            raise BadStream("joblib-in-torch")
        return found

    def persistent_load(self, pid: Any, /) -> Any:
        return self._load_id(pid)


def open_stream(recorder: Recorder, source: Source) -> PayloadSkippingStream:
    """Return a stream over `source` and make it the recorder's current stream."""
    stream = PayloadSkippingStream(source, os.urandom(16))
    recorder.stream = stream
    recorder.streams.append(stream)
    return stream


def finish(stream: Stream) -> None:
    """Raise BadStream if anything follows the pickle."""
    rest = stream.rest(2)
    if not rest:
        return
    if rest[0] == 0x80 and rest[1:] and rest[1] <= pickle.HIGHEST_PROTOCOL:
        raise BadStream("several-pickles")
    raise BadStream("trailing-data")
