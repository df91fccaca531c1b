"""A piece of the daemon's regular work that may fail without keeping the others from being done.

Owns which failures are noted and which are raised: damage in the journal itself ends the daemon. All else waits for the
next time, also an exception that nobody foresaw.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import RegistryCorrupted, RegistryLocked, StorageError
from ..inbox.failures import FATAL_ERRORS, cause_of, traceback_of
from ..registry.registry import ModelRegistry

__all__ = ["Attempt", "attempt"]


@dataclass(slots=True)
class Attempt:
    """`problem` says why the piece of work failed, or is empty. `unforeseen` is an exception that nobody foresaw."""

    problem: str = ""
    unforeseen: Exception | None = None

    @property
    def traceback(self) -> str | None:
        """The traceback of what nobody foresaw, for the log."""
        return traceback_of(self.unforeseen) if self.unforeseen is not None else None


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
    except FATAL_ERRORS:
        raise
    except Exception as error:  # noqa: BLE001  # whatever it is, nothing else must wait for it
        made.problem, made.unforeseen = cause_of(error), error
