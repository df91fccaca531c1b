"""A piece of the daemon's regular work that may fail without keeping the others from being done.

Owns which failures are noted and which are raised: damage in the journal itself ends the daemon, all else waits for the
next time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import RegistryCorrupted, RegistryLocked, StorageError
from ..registry.registry import ModelRegistry

__all__ = ["Attempt", "attempt"]


@dataclass(slots=True)
class Attempt:
    """`problem` says why the piece of work failed, or is empty."""

    problem: str = ""


@contextlib.contextmanager
def attempt(registry: ModelRegistry) -> Iterator[Attempt]:
    """Note why the block failed, and go on after it.

    Damage in a closed segment is such a failure: drops do not depend on it. Damage in the journal itself is raised.
    """
    made = Attempt()
    try:
        yield made
    except (StorageError, RegistryLocked) as error:
        made.problem = str(error)
    except RegistryCorrupted as error:
        if not registry.is_in_history(error):
            raise
        made.problem = str(error)
