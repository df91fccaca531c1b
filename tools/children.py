"""Runs something in a child process that may crash, hang or swell, and says what ended it. Shared by the fuzzers."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

CPU_SECONDS = 10
MEMORY = 6 << 30
OUT_OF_MEMORY_STATUS = 77


def dies_of(use: Callable[[Any], Any], model: Any, seconds: int = 3 * CPU_SECONDS) -> str:
    """Use a model in a child for so many seconds at most. Return what ended it, or ""."""
    child = os.fork()
    if not child:
        try:
            with Path(os.devnull).open("r+b", buffering=0) as nothing:
                for fd in (0, 1, 2):
                    os.dup2(nothing.fileno(), fd)
            resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 1))
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            signal.alarm(seconds)
            use(model)
        except MemoryError:
            os._exit(OUT_OF_MEMORY_STATUS)
        except BaseException:  # noqa: BLE001 - the library may refuse the model with any error
            os._exit(0)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    return "memory" if os.WEXITSTATUS(status) == OUT_OF_MEMORY_STATUS else ""
