"""The process that scans: started by file name, fed one open file at a time, killed by anything unexpected.

Owns the inside of the worker: its limits, its audit hook, and the exchange of messages. It imports the scanning
modules beside it and nothing of the rest of the package (`model_inbox` and `model_inbox.pickles` are empty
stand-ins here), so that it stays small and quick to start.

Once it is armed, any import, open, exec, connection or other audited event ends it at once, for as long as it
lives. It needs none: files come as open descriptors over its socket, and are read by position.

A request is `_REQUEST` (size, memory in bytes, CPU seconds) with one descriptor; the answer is a length and the
recording as JSON.
"""

from __future__ import annotations

import os
import struct
import sys

HEADER = struct.Struct("<QQI")
LENGTH = struct.Struct("<I")
ANSWER_MAX = 4 << 20
READY = b"ready\n"

AUDIT_STATUS = 99
RETIRE_STATUS = 0
RETIRE_GROWTH_BYTES = 64 << 20
"""A worker that kept this much more than it began with ends after its answer: a new one is small again."""

_HARMLESS_EVENTS = frozenset(
    {
        "object.__getattr__",
        "object.__setattr__",
        "object.__delattr__",
        "sys._getframe",
        "array.__new__",
        "resource.setrlimit",
        "code.__new__",
        "builtins.id",
    }
)


def _import_scanner(package_path: str) -> None:
    """Make the sibling modules importable without running the package's own `__init__` files."""
    from types import ModuleType

    for name, path in (
        ("model_inbox", os.path.dirname(package_path)),
        ("model_inbox.pickles", package_path),
    ):
        module = ModuleType(name)
        module.__path__ = [path]
        sys.modules[name] = module


def _arm() -> None:
    def hook(event: str, args: tuple[object, ...]) -> None:
        if event not in _HARMLESS_EVENTS:
            os.write(2, event.encode("ascii", "replace")[:100])
            os._exit(AUDIT_STATUS)

    sys.addaudithook(hook)


def _die_with_parent(parent: int) -> None:
    """Ask the kernel to kill us when our parent ends, and end now if it has ended before we asked."""
    import ctypes

    ctypes.CDLL(None, use_errno=True).prctl(1, 9, 0, 0, 0)  # PR_SET_PDEATHSIG, SIGKILL
    if os.getppid() != parent:
        os._exit(0)
