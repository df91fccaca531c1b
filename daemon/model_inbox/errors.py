"""Every error that model-inbox raises on purpose.

::

    ModelInboxError                 code, hint, exit_status
      ConfigError                   config.yaml cannot be used: all its problems (exit 78)
      MetadataError                 the metadata given to the API has problems (also ValueError)
      DropRefused                   a drop was not written into the inbox
      StorageError                  a system call failed: operation, path, whether a retry may help (exit 75 or 1)
      RegistryError
        RegistryLocked              another process holds a lock: which one (exit 75)
        RegistryCorrupted           a file is damaged: which one, and where (exit 78)
        RegistryMissing             there is no registry at the path (exit 78)
        RegistryTooNew              written by a newer model-inbox (exit 78)
        EntryNotFound               no model has this id (also LookupError)
        EntryNeeded                 something else than an entry was given to be loaded (also TypeError)
        EntryExists                 the id is taken (also ValueError)
        EntryProtected              the model is pinned, or an alias names it
        PromotionRefused            an alias cannot be given to the model, or there is none to go back to
        AliasProtected              this user may not move the alias
        RestoreRefused              files of the model in the trash are damaged: which, and how (also problems)
      ConditionError                a condition on models, or a name in one, cannot be used (also ValueError)
      ClockHeld                     the clock has jumped: nothing is removed by it for a while (exit 75)
      ScanError                     the scanner does not work; never raised for the content of a file (exit 75)
      LoadRefused                   the stored bytes are not those that were registered, or import other names
        FileOutside                 an entry names a file outside of the registry's folders

Owns the error classes, their codes and exit codes. Expected outcomes, such as a rejected drop, are values; an exception
means that a call could not do what was asked. A message starts with "cannot" and names the file or model; the hint says
what to do next. Never prints.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from .exit_codes import EXIT_CONFIG, EXIT_REFUSED, EXIT_TRY_AGAIN, EXIT_USAGE
from .problems import Problem

if TYPE_CHECKING:
    from .problems.codes import Code

__all__ = [
    "TRANSIENT",
    "AliasProtected",
    "ClockHeld",
    "ConditionError",
    "ConfigError",
    "DropRefused",
    "EntryExists",
    "EntryNeeded",
    "EntryNotFound",
    "EntryProtected",
    "FileOutside",
    "LoadRefused",
    "MetadataError",
    "ModelInboxError",
    "PromotionRefused",
    "RegistryCorrupted",
    "RegistryError",
    "RegistryLocked",
    "RegistryMissing",
    "RegistryTooNew",
    "RestoreRefused",
    "ScanError",
    "StorageError",
    "is_transient",
    "raise_if_transient",
]


TRANSIENT: Mapping[int, str] = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota of the disk is used up",
    errno.EROFS: "the file system is mounted read-only, as the kernel does after an error of the disk",
    errno.EIO: "the disk, or the server of the file system, reported an error",
    errno.EMFILE: "this process has as many files open as it may",
    errno.ENFILE: "all processes together have as many files open as they may",
    errno.ENOMEM: "the kernel had no memory",
    errno.ENOBUFS: "the kernel had no memory for a socket",
    errno.EAGAIN: "the resource is in use, or a limit of processes is reached",
    errno.EBUSY: "the file or the device is in use",
    errno.ETXTBSY: "the file is being run or written",
    errno.EINTR: "a signal came in between",
    errno.ENOLCK: "the lock table is full, or the lock server is away",
    errno.ESTALE: "the server of the file system has forgotten the file, for example after a restart",
    errno.ETIMEDOUT: "the server of the file system did not answer in time",
    errno.ENOTCONN: "the file system has lost its server or its program (FUSE)",
    errno.ECONNREFUSED: "the server of the file system is not running",
    errno.ECONNRESET: "the server of the file system ended the connection",
    errno.EHOSTDOWN: "the server of the file system is down",
    errno.EHOSTUNREACH: "the server of the file system cannot be reached",
    errno.ENETDOWN: "the network is down",
    errno.ENETUNREACH: "the network of the server of the file system cannot be reached",
}
"""The errors of system calls after which the same call may succeed later, with their causes. They never mean that the
configuration is wrong or that data is damaged: exit 75, or a retry. All others need a person."""


def is_transient(error: OSError) -> bool:
    """Return whether the call that failed may succeed later."""
    return error.errno in TRANSIENT


class ModelInboxError(Exception):
    """The base of all errors raised on purpose. `hint` says in one sentence what to do; it may be empty."""

    code: ClassVar[Code] = "error"
    exit_status: int = EXIT_REFUSED

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message

    def as_problem(self, *, field: str | None = None, file: str | None = None) -> Problem:
        """Return the error as a problem, for a list of problems."""
        return Problem(self.code, self.message, self.hint, field=field, file=file)


class _WithProblems(ModelInboxError):
    def __init__(self, message: str, problems: Sequence[Problem] = (), *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "\n".join([super().__str__(), *(f"  - {problem}" for problem in self.problems)])


class ConfigError(_WithProblems):
    """config.yaml cannot be used. `problems` lists all its problems."""

    code = "config.invalid"
    exit_status = EXIT_CONFIG


class MetadataError(_WithProblems, ValueError):
    """Metadata given to the API cannot be registered. `problems` lists all its problems."""

    code = "metadata.invalid"


class DropRefused(_WithProblems):
    """A drop was not written into the inbox. None of its files is there."""

    code = "drop.refused"


class StorageError(ModelInboxError):
    """A file or folder could not be read or changed. `transient` is true if a retry may succeed (full disk, I/O error).

    `operation` and `path` say what failed, `errno` why.
    """

    code = "storage.failed"

    def __init__(self, operation: str, path: object, cause: OSError) -> None:
        super().__init__(f"cannot {operation} {str(path)!r}: {cause.strerror or cause}")
        self.operation = operation
        self.path = str(path)
        self.errno = cause.errno
        self.transient = is_transient(cause)
        self.exit_status = EXIT_TRY_AGAIN if self.transient else EXIT_REFUSED


def raise_if_transient(operation: str, path: object, error: OSError) -> None:
    """Raise StorageError for an error that may pass: it says nothing about the file, which is read again later."""
    if is_transient(error):
        raise StorageError(operation, path, error) from error


class RegistryError(ModelInboxError):
    """The registry cannot do what was asked. The base of all errors of the registry."""

    code: ClassVar[Code] = "registry.failed"


class RegistryLocked(RegistryError):
    """Another process held a lock for longer than the time-out."""

    code = "registry.locked"
    exit_status = EXIT_TRY_AGAIN


class RegistryCorrupted(RegistryError):
    """The file `path` of the registry is damaged at `offset` (in bytes, None if unknown). Nothing was changed."""

    code = "registry.corrupted"
    exit_status = EXIT_CONFIG

    def __init__(self, path: object, offset: int | None, what: str) -> None:
        place = f" at byte {offset}" if offset is not None else ""
        super().__init__(
            f"cannot use {str(path)!r}: damaged{place}: {what}",
            hint="Nothing was changed. `model-inbox verify` lists what is wrong; "
            "`model-inbox rebuild` builds the registry again from the journal and the stored sidecars",
        )
        self.path = str(path)
        self.offset = offset
        self.what = what


class RegistryMissing(RegistryError):
    """There is no registry at the path, and none is made there: the handle is read-only, or the path looks mistyped."""

    code = "registry.missing"
    exit_status = EXIT_CONFIG


class RegistryTooNew(RegistryError):
    """A file was written by a newer model-inbox, in a format that this version cannot read."""

    code = "registry.too_new"
    exit_status = EXIT_CONFIG

    @classmethod
    def of_file(cls, path: object, what: object) -> RegistryTooNew:
        """Return the error for one file. `what` names its format and the formats that can be read."""
        return cls(f"cannot read {str(path)!r}: {what}", hint="Use a newer model-inbox")


class EntryNotFound(RegistryError, LookupError):
    """No model with this id is registered."""

    code = "registry.not_found"

    # LookupError's own method returns the repr of the message.
    def __str__(self) -> str:
        return ModelInboxError.__str__(self)


class EntryNeeded(RegistryError, TypeError):
    """Something else than a registry entry was given where a model is to be loaded. Nothing was loaded."""

    code = "registry.entry_needed"


class EntryExists(RegistryError, ValueError):
    """A model with this id is registered. A registered model never changes."""

    code = "registry.model_id_taken"


class EntryProtected(RegistryError):
    """The model is pinned or named by an alias, so it cannot be retired."""

    code = "registry.protected"


class PromotionRefused(RegistryError):
    """An alias cannot be given to a model, or there is no model that a rollback could go back to."""

    code = "registry.promotion_refused"


class AliasProtected(RegistryError):
    """The alias is protected, and this user is not one of those who may move it."""

    code = "registry.alias_protected"


class RestoreRefused(_WithProblems, RegistryError):
    """Files of a retired model are damaged. `problems` lists each of them. Nothing was changed."""

    code = "registry.restore_refused"


class ConditionError(ModelInboxError, ValueError):
    """A condition on models cannot be used. `hint` says what was probably meant."""

    code = "condition.invalid"
    exit_status = EXIT_USAGE


class ClockHeld(ModelInboxError):
    """The machine's clock has jumped, and nobody confirmed it yet: nothing is retired or purged by it for a while."""

    code = "clock.held"
    exit_status = EXIT_TRY_AGAIN


class ScanError(ModelInboxError):
    """The scanner's worker does not start, or failed by itself. Never raised for what a file contains or did."""

    code = "scan.failed"
    exit_status = EXIT_TRY_AGAIN


class LoadRefused(ModelInboxError):
    """The stored bytes are not those that were registered, or they import names that the scan did not find."""

    code: ClassVar[Code] = "load.refused"


class FileOutside(LoadRefused):
    """An entry names a file outside of the registry's folder and its storage folder, which is not read or changed."""

    code = "load.outside"
