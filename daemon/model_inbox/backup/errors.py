"""The errors of backups. Owns their codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..errors import ModelInboxError
from ..exit_codes import EXIT_CONFIG

if TYPE_CHECKING:
    from ..problems.codes import Code

__all__ = ["BackupDamaged", "BackupRefused"]


class BackupRefused(ModelInboxError):
    """A backup cannot be made or restored as asked. Nothing was changed."""

    code: ClassVar[Code] = "backup.refused"


class BackupDamaged(ModelInboxError):
    """A snapshot is not what was written, so it cannot be used."""

    code: ClassVar[Code] = "backup.damaged"
    exit_status = EXIT_CONFIG
