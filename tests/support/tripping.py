"""Let any function of the package fail, or end the process, when it is called: found out while the package runs."""

from __future__ import annotations

import contextlib
import dis
import functools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType
from typing import Any

import model_inbox

PACKAGE = str(Path(model_inbox.__file__).parent) + "/"


def name_of(code: CodeType) -> str:
    """Return what a function is called here: its file, its name, and its line (a file may have several lambdas)."""
    return f"{code.co_filename.removeprefix(PACKAGE)} {code.co_qualname} {code.co_firstlineno}"


@functools.cache
def _start_of(code: CodeType) -> int:
    """Return where a function's own code begins."""
    return next(one.offset for one in dis.get_instructions(code) if one.opname == "RESUME")


@contextlib.contextmanager
def watching(called: Callable[[CodeType], None], lost: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Tell of each function of the package that is called. What `called` raises is raised by that function.

    A generator that goes on is not called again. One that is thrown away before it began looks like a call, and what is
    raised there reaches nobody: `lost` is told, and the watch goes on.
    """

    def profile(frame: Any, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(PACKAGE) and frame.f_lasti <= _start_of(code):
            called(code)

    def unraisable(_: Any) -> None:
        lost()
        sys.setprofile(profile)  # the interpreter takes a function away that raised

    hook, sys.unraisablehook = sys.unraisablehook, unraisable
    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(None)
        sys.unraisablehook = hook


class Names:
    """The functions that were called, each once, in the order of their first calls."""

    def __init__(self) -> None:
        self._codes: dict[CodeType, None] = {}

    def __call__(self, code: CodeType) -> None:
        self._codes.setdefault(code)

    @property
    def all(self) -> list[str]:
        return list(dict.fromkeys(map(name_of, self._codes)))


class Trip:
    """Does something, once, when the function of that name is called."""

    def __init__(self, name: str, act: Callable[[], None]) -> None:
        self._line = int(name.rpartition(" ")[2])
        self._name = name
        self._act = act
        self.done = False

    def __call__(self, code: CodeType) -> None:
        if not self.done and code.co_firstlineno == self._line and name_of(code) == self._name:
            self.done = True
            self._act()

    def lost(self) -> None:
        """Note that what was done reached nobody."""
        self.done = False
