"""An installation with real users: a service, two producers, a consumer and an outsider, each acting in a child."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from structlog.testing import capture_logs

from model_inbox.base.log import configure_at_first_line
from model_inbox.cli import root as command_line
from model_inbox.registry.paths import status_paths
from model_inbox.telemetry.status_file import Publisher
from support.users import as_user, let_through
from support.world import SharedScanner, World, must_be_root, pickled, sidecar

SERVICE, ALICE, BOB, CAROL, DAVE = 62_001, 62_011, 62_012, 62_021, 62_031
PRODUCERS, CONSUMERS = 62_101, 62_102
GROUPS = {SERVICE: (PRODUCERS, CONSUMERS), ALICE: (PRODUCERS,), BOB: (PRODUCERS,), CAROL: (CONSUMERS,)}


class Installation:
    """Folders with the owners and modes of the manual, and a service that runs when it is told to."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        must_be_root()
        let_through(folder)
        self._warm_up(folder / "warm-up")
        self.world = World(folder / "state", {"inbox": {"private": True, **settings.pop("inbox", {})}, **settings})
        self.inbox, self.models = self.world.inbox, self.world.models
        for path, group, mode in ((self.inbox, PRODUCERS, 0o3770), (self.models, CONSUMERS, 0o2750)):
            path.mkdir()
            os.chown(path, SERVICE, group)
            path.chmod(mode)
        self.config = self.world.config_path

    @staticmethod
    def _warm_up(folder: Path) -> None:
        """Import what another user could not read, and start the scanner's worker, whose program is root's."""
        world = World(folder)
        world.put("good")
        world.put("bad", model_typ="x")
        with world.running() as service:
            world.live_on(service, 1)
        SharedScanner().make_ready()
        "\n".encode("unicode_escape")
        for words in (
            "list",
            "logs rejected",
            "logs why --drop bad",
            "rejected list",
            "inbox list",
            "inbox explain good.yaml",
            "status",
            "drop --help",
        ):
            CliRunner().invoke(command_line, ["--config", str(world.config_path), *words.split()])
        configure_at_first_line(lambda: None)  # the last command's configuration is not the service's

    def act(self, uid: int, what: Callable[[], Any]) -> Any:
        """Return what `what` returns when that user calls it."""
        return as_user(uid, what, GROUPS.get(uid, ()))

    def may(self, uid: int, what: Callable[[], Any]) -> bool:
        """Return whether a user may do something: whether the system does not refuse it."""

        def tried() -> bool:
            try:
                what()
            except PermissionError:
                return False
            return True

        return bool(self.act(uid, tried))

    def may_read(self, uid: int, path: Path) -> bool:
        return self.may(uid, path.read_bytes if not path.is_dir() else lambda: os.listdir(path))

    def serve(self, seconds: float = 1.0) -> list[dict[str, Any]]:
        """Let the service run as its own user, until what is ready has its answer. Return the lines of its log."""

        def run() -> Any:
            os.umask(0o027)
            publisher = Publisher(status_paths(self.models / "prediction_registry.json", self.inbox))
            with capture_logs() as lines, self.world.running(publisher=publisher) as service:
                self.world.live_on(service, seconds)
            return json.loads(json.dumps(lines, default=str))

        lines: list[dict[str, Any]] = self.act(SERVICE, run)
        return lines

    def put(self, uid: int, stem: str, *, umask: int = 0o022, **fields: Any) -> None:
        """Write a drop into the inbox as that user, with a program that knows nothing of all this."""

        def write() -> None:
            os.umask(umask)
            (self.inbox / f"{stem}.pkl").write_bytes(pickled({"model": stem}))
            (self.inbox / f"{stem}.yaml").write_bytes(sidecar(**fields))

        self.act(uid, write)

    def command(self, uid: int, *words: str) -> tuple[int, str]:
        """Call the command line as that user; return exit code and output."""

        def call() -> tuple[int, str]:
            result = CliRunner().invoke(command_line, ["--config", str(self.config), *words])
            return result.exit_code, result.output

        status, output = self.act(uid, call)
        return status, output
