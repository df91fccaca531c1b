"""What `config check` tries beside the syntax: the folders, the files and the address that a configuration names.

Owns what is tried, and as whom it counts. Makes no folder and no file. Never looks into the registry or the inbox:
`verify` and `status` do.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..base.users import name_of_user
from ..errors import RegistryMissing
from ..problems import Problem
from ..problems.config import config_no_rules, config_not_available, config_not_tried, config_unusable
from .common import act_as_any_owner

if TYPE_CHECKING:
    from ..config.settings import Config

__all__ = ["try_out", "warnings_of"]


def warnings_of(config: Config) -> list[Problem]:
    """Return what is probably not meant so, although the daemon takes it."""
    retention = config.retention
    return [config_no_rules()] if retention.mode == "enforce" and not retention.policies else []


def try_out(config: Config) -> tuple[list[Problem], list[Problem]]:
    """Return the problems of what the daemon could not use, and notes on what could not be tried.

    Root tries as the owner of the registry or the inbox: the daemon may do no more than that user. Raises
    ModelInboxError if root cannot become that user safely.
    """
    registry, inbox = config.registry.path.parent, config.inbox.path
    act_as_any_owner(registry, inbox)
    # Another user than the daemon's learns nothing of what the daemon may do.
    owners = [found.st_uid for folder in (registry, inbox) if (found := _stat(folder)) is not None]
    others = [uid for uid in owners if uid != os.geteuid()]
    if others:
        return [], [config_not_tried(name_of_user(others[0]))]
    return list(_problems(config)), []


def _problems(config: Config) -> Iterator[Problem]:
    from ..registry.opening import must_be_wanted
    from ..registry.paths import RegistryFiles

    try:
        must_be_wanted(RegistryFiles(config.registry.path), read_only=False)
    except RegistryMissing as error:
        yield config_unusable("registry.path", error.message, error.hint)
    else:
        yield from _folder("registry.path", config.registry.path.parent)
    yield from _folder("registry.storage_dir", config.registry.storage_dir)
    yield from _folder("inbox.path", config.inbox.path)
    if isinstance(config.logging.file, Path):
        yield from _file("logging.file", config.logging.file)
    if config.metrics.textfile is not None:
        # It is replaced, so that the folder alone counts.
        yield from _folder("metrics.textfile", config.metrics.textfile.parent, is_made=False)
    if config.metrics.listen is not None:
        yield from _address(config, config.metrics.listen)


def _folder(field: str, folder: Path, *, is_made: bool = True) -> Iterator[Problem]:
    """Yield why a folder cannot be used. One that is missing is made by the daemon, if `is_made`."""
    here = folder
    while is_made and not os.path.lexists(here):
        here = here.parent
    missing = f" (the daemon would make {str(folder)!r} in it)" if here != folder else ""
    try:
        if not stat.S_ISDIR(here.stat().st_mode):
            yield config_unusable(field, f"{str(here)!r} is not a folder{missing}", "Name another path, or remove it")
            return
        owner, is_read_only = here.stat().st_uid, os.statvfs(here).f_flag & os.ST_RDONLY
    except OSError as error:
        yield config_unusable(
            field, f"the folder {str(here)!r} cannot be used: {error.strerror}", "Make it, or name another path"
        )
        return
    if is_read_only:
        yield config_unusable(
            field, f"the file system of {str(here)!r} is mounted read-only{missing}", "Mount it for writing"
        )
    elif not os.access(here, os.W_OK | os.X_OK):
        who = name_of_user(os.geteuid())
        yield config_unusable(
            field,
            f"the user {who} cannot write in the folder {str(here)!r}{missing}",
            f"Give the folder to that user (chown), or let the service run as its owner, {name_of_user(owner)}",
        )


def _file(field: str, file: Path) -> Iterator[Problem]:
    """Yield why a log cannot be written to a file: its folder must be there."""
    if not os.path.lexists(file):
        yield from _folder(field, file.parent, is_made=False)
    elif not file.is_file():
        yield config_unusable(field, f"{str(file)!r} is not a regular file", "Name another path, or remove it")
    elif not os.access(file, os.W_OK):
        who = name_of_user(os.geteuid())
        yield config_unusable(field, f"the user {who} cannot write the file {str(file)!r}", "Give it to that user")


def _address(config: Config, address: str) -> Iterator[Problem]:
    """Yield why the metrics cannot be served at an address. The daemon that runs may be what uses it."""
    from ..telemetry.health import find_daemon
    from ..telemetry.metrics import CONTENT_TYPE
    from ..telemetry.metrics_server import MetricsServer

    try:
        MetricsServer(address, CONTENT_TYPE).close()
    except OSError as error:
        if not find_daemon(config.registry.path, config.inbox.path).holding.held:
            yield config_not_available(address, error.strerror or error)


def _stat(folder: Path) -> os.stat_result | None:
    try:
        return folder.stat()
    except OSError:
        return None
