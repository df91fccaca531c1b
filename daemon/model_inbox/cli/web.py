"""`model-inbox web`: serves the pages of the report to people on this machine.

Owns the start and the end of that process: who it acts as, where it logs, and which settings hold. Never changes
anything but its socket. `web` has the server and the pages.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from ..errors import ConfigError, ModelInboxError, StorageError
from ..exit_codes import EXIT_DONE, EXIT_TRY_AGAIN
from .common import App, Command, act_as_owner, now, pass_app

if TYPE_CHECKING:
    from pathlib import Path

    from ..config.settings import Config

__all__ = ["web"]


@click.command(
    cls=Command,
    examples=["model-inbox web", "model-inbox --config /etc/model-inbox/config.yaml web"],
    exits={
        1: "the system does not allow the address or the socket",
        EXIT_TRY_AGAIN: "another process has the address, or a system error that may pass",
    },
)
@pass_app
def web(app: App, *, as_json: bool) -> int:
    """Serve pages that show the registry and the inbox, until SIGTERM or Ctrl-C.

    Open the address that is printed in a browser. The pages are those of `model-inbox report`, with one more for each
    model, and are current at each request. They can only be read. `web.listen` in config.yaml is a loopback address,
    which every user of this machine can open, or a socket for one group. The log is written to stderr; with --json as
    JSON lines.
    """
    from .. import __version__
    from ..telemetry.logging import configure, get_logger
    from ..telemetry.sd_notify import notify
    from ..web.pages import Site
    from ..web.server import serve
    from ..web.sockets import listening, url_of
    from .why import said_of_model

    configure(format="json" if as_json else "auto")
    log = get_logger()
    began = time.monotonic()
    try:
        settings = _Settings(app)
        section = settings.config.web
        act_as_owner(settings.config.registry.path.parent, settings.config.registry.storage_dir)
        with listening(section.listen, section.group) as made:

            def begin() -> None:
                notify("READY=1")
                log.info(
                    "web.started",
                    version=__version__,
                    pid=os.getpid(),
                    address=url_of(section.listen),
                    registry=str(settings.config.registry.path),
                )
                threading.Thread(target=site.prepare, name="prepare", daemon=True).start()

            site = Site(settings, now, __version__, said_of_model)
            signal_name = serve(made, site, begin)
    except ModelInboxError as error:
        problems = [str(problem) for problem in getattr(error, "problems", ())]
        log.critical("web.failed", code=error.code, problem="; ".join([error.message, *problems]), hint=error.hint)
        if sys.stderr.isatty() or as_json:
            # `Command` reports it to a person, and as JSON.
            raise
        return error.exit_status
    log.info("web.stopped", signal=signal_name, uptime_seconds=time.monotonic() - began)
    return EXIT_DONE


class _Settings:
    """The settings of config.yaml, read again when the file has changed. One with problems changes nothing."""

    def __init__(self, app: App) -> None:
        self._app = app
        self.config = app.config
        self._stamp = _stamp(self.config.path)

    def __call__(self) -> Config:
        """Return the settings that hold now."""
        stamp = _stamp(self.config.path)
        if stamp != self._stamp:
            self._stamp = stamp
            with suppress(ConfigError, StorageError):
                self.config = App(self._app.config_file).config
        return self.config


def _stamp(file: Path | None) -> tuple[int, int, int] | None:
    if file is None:
        return None
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
