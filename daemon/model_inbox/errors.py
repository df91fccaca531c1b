"""Every error that model-inbox raises on purpose, in one import-safe place.

::

    ModelInboxError                 code, hint, exit_status
      ConfigError                   config.yaml cannot be used: all its problems (exit 78)
      MetadataError                 the metadata given to the API has problems (also ValueError)
      DropRefused                   a drop could not be written into the inbox
      StorageError                  the disk said no: operation, path, whether it may pass (75 or 1)
      RegistryError
        RegistryLocked              somebody else holds a lock: who (75)
        RegistryCorrupted           a file is damaged: which, where (78)
        RegistryMissing             there is no registry to read (78)
        RegistryTooNew              written by a newer model-inbox (78)
        EntryNotFound               no such model (also LookupError)
        EntryExists                 the id is taken (also ValueError)
        EntryProtected              pinned, or named by an alias
      ScanError                     the scanner itself cannot work (never: the file is bad)
      LoadRefused                   the stored bytes are not what was registered, or ask for more than was seen

An expected outcome (a refused drop, a model that is not there) is a value; an exception means that what was
asked for could not be done. Messages begin with "cannot", name the thing, and the hint says what to do next.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from .problems import Problem

if TYPE_CHECKING:
    from .problems.codes import Code

__all__ = [
    "EXIT_CONFIG",
    "EXIT_DONE",
    "EXIT_REFUSED",
    "EXIT_TRY_AGAIN",
    "EXIT_USAGE",
    "ConfigError",
    "DropRefused",
    "EntryExists",
    "EntryNotFound",
    "EntryProtected",
    "LoadRefused",
    "MetadataError",
    "ModelInboxError",
    "RegistryCorrupted",
    "RegistryError",
    "RegistryLocked",
    "RegistryMissing",
    "RegistryTooNew",
    "ScanError",
    "StorageError",
]

EXIT_DONE = 0
EXIT_REFUSED = 1
EXIT_USAGE = 2
EXIT_TRY_AGAIN = 75  # EX_TEMPFAIL of sysexits.h
EXIT_CONFIG = 78  # EX_CONFIG of sysexits.h; the unit does not restart after it


class ModelInboxError(Exception):
    """The base of all errors raised on purpose. `hint` is one sentence on what to do, or empty."""

    code: ClassVar[Code] = "error"
    exit_status: int = EXIT_REFUSED

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message

    def as_problem(self, *, field: str | None = None, file: str | None = None) -> Problem:
        """Return the error as a problem, for those who list it beside others."""
        return Problem(self.code, self.message, self.hint, field=field, file=file)


class _WithProblems(ModelInboxError):
    def __init__(self, message: str, problems: Sequence[Problem] = (), *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "\n".join([super().__str__(), *(f"  - {problem}" for problem in self.problems)])


class ConfigError(_WithProblems):
    """config.yaml cannot be used. `problems` lists everything that is wrong with it."""

    code = "config.invalid"
    exit_status = EXIT_CONFIG


class MetadataError(_WithProblems, ValueError):
    """Metadata given to the API cannot be registered. `problems` lists everything that is wrong with it."""

    code = "metadata.invalid"


class DropRefused(_WithProblems):
    """A drop was not written into the inbox; nothing of it is there."""

    code = "drop.refused"


class StorageError(ModelInboxError):
    """The disk said no. `transient` tells whether the same call may succeed later (full disk, I/O error)."""

    code = "storage.failed"
    TRANSIENT: ClassVar[frozenset[int]] = frozenset(
        {
            errno.ENOSPC,
            errno.EDQUOT,
            errno.EIO,
            errno.EAGAIN,
            errno.EBUSY,
            errno.EINTR,
            errno.ENFILE,
            errno.EMFILE,
            errno.ENOMEM,
            errno.EROFS,
            errno.ESTALE,
            errno.ETIMEDOUT,
            errno.ETXTBSY,
        }
    )

    def __init__(self, operation: str, path: object, cause: OSError) -> None:
        super().__init__(f"cannot {operation} {str(path)!r}: {cause.strerror or cause}")
        self.operation = operation
        self.path = str(path)
        self.errno = cause.errno
        self.transient = cause.errno in self.TRANSIENT
        self.exit_status = EXIT_TRY_AGAIN if self.transient else EXIT_REFUSED


class RegistryError(ModelInboxError):
    """Something about the registry as a whole."""

    code: ClassVar[Code] = "registry.failed"


class RegistryLocked(RegistryError):
    """Somebody else holds a lock for longer than we were told to wait."""

    code = "registry.locked"
    exit_status = EXIT_TRY_AGAIN


class RegistryCorrupted(RegistryError):
    """A file of the registry is damaged at `offset` (in bytes). Nothing was overwritten."""

    code = "registry.corrupted"
    exit_status = EXIT_CONFIG

    def __init__(self, path: object, offset: int | None, what: str) -> None:
        place = f" at byte {offset}" if offset is not None else ""
        super().__init__(
            f"cannot use {str(path)!r}: damaged{place}: {what}",
            hint="Nothing was changed. `model-inbox verify` lists what is wrong; "
            "`model-inbox rebuild` makes the registry again from the journal and the stored sidecars",
        )
        self.path = str(path)
        self.offset = offset


class RegistryMissing(RegistryError):
    """There is no registry at that path and this handle may not make one."""

    code = "registry.missing"
    exit_status = EXIT_CONFIG


class RegistryTooNew(RegistryError):
    """The files were written by a newer model-inbox, in a format that this one does not know."""

    code = "registry.too_new"
    exit_status = EXIT_CONFIG

    @classmethod
    def of_file(cls, path: object, what: object) -> RegistryTooNew:
        """Return the error for one file. `what` says which format it has, and which are read."""
        return cls(f"cannot read {str(path)!r}: {what}", hint="Use a newer model-inbox")


class EntryNotFound(RegistryError, LookupError):
    """No model of that id is registered."""

    code = "registry.not_found"

    def __str__(self) -> str:  # LookupError would show the repr of the message
        return ModelInboxError.__str__(self)


class EntryExists(RegistryError, ValueError):
    """The id is taken: a registered model never changes."""

    code = "registry.model_id_taken"


class EntryProtected(RegistryError):
    """The model is pinned or named by an alias and cannot be retired."""

    code = "registry.protected"


class ScanError(ModelInboxError):
    """The scanner cannot work at all (its worker does not start). Never raised for what a file contains."""

    code = "scan.failed"
    exit_status = EXIT_TRY_AGAIN


class LoadRefused(ModelInboxError):
    """The stored bytes are not those that were registered, or they ask for more than was seen in them."""

    code = "load.refused"
