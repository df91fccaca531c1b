"""Pauses the collector of reference cycles during work that makes many values and no cycles.

Owns the pause. It is that of the whole process, so that it is for work of seconds at most.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["collector_paused"]


@contextmanager
def collector_paused() -> Iterator[None]:
    """Pause the collector. It would walk all entries of a registry again for each 100,000 values that are made.

    That takes a third of the whole time.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
