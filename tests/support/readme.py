"""Runs the blocks of README.md as a reader would, in one folder, against one running daemon.

The mark above a block says what is done with it:

- `run`: it is run; `run: example`: too, but it needs the environment of the example, with pandas and scikit-learn
- `run: daemon`: it starts the daemon; `run: remote`: it is run with our inbox as that of the other machine
- `run: install`: it is run in an environment of its own; `run: service`: it needs root and systemd
- `file: NAME`: it is saved as that file; `part: NAME`: a part of a sidecar, with the digest of that file
"""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from support.places import ROOT
from support.waiting import wait_until

MARKS = frozenset(
    {"run", "run: example", "run: daemon", "run: remote", "run: install", "run: service", "file: ", "part: "}
)
BLOCK = re.compile(
    r"(?:<!-- (?P<mark>[^\n]*) -->\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)
REMOTE = "trainer@models.example.org:/var/lib/model-inbox/inbox/"


@dataclass(frozen=True)
class Block:
    """One fenced block. `mark` says what is done with it; `file` is the name in the mark, if there is one."""

    mark: str
    language: str
    text: str
    file: str | None


def blocks(*marks: str) -> list[Block]:
    """Return the blocks of README.md with these marks (all without any), in order; files that are saved always."""
    found = []
    for match in BLOCK.finditer((ROOT / "README.md").read_text(encoding="utf-8")):
        mark, name = match["mark"] or "", None
        if mark.startswith(("file: ", "part: ")):
            mark, name = mark[:6], mark[6:]
        if not marks or mark in marks or mark == "file: ":
            found.append(Block(mark, match["language"], match["text"], name))
    return found


class Reader:
    """A folder with a daemon running in it, and the terminal of somebody who reads.

    `daemon` is the command that starts the daemon, by default in the environment that runs the tests.
    """

    def __init__(self, folder: Path, daemon: Sequence[str] = ()) -> None:
        self.folder = folder
        self.env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        self._entered = ""
        if not daemon:
            (folder / "config.yaml").write_text((ROOT / "config.yaml").read_text())
        self.log = (folder / "daemon.log").open("w")
        self.daemon = subprocess.Popen(
            [*(daemon or (sys.executable, "-m", "model_inbox", "run"))],
            cwd=folder,
            stdout=self.log,
            stderr=self.log,
            env=self.env,
            start_new_session=True,
        )
        wait_until(lambda: (folder / "inbox" / "receipts" / ".status.json").is_file(), self.daemon, seconds=120)

    def run(self, block: Block) -> str:
        """Run a block, or write its file; return what it printed. A `.` of an environment holds for later blocks."""
        if block.mark == "file: ":
            assert block.file is not None
            (self.folder / block.file).write_text(block.text)
            return ""
        if block.mark == "part: ":
            assert block.file is not None
            assert hashlib.sha256((self.folder / block.file).read_bytes()).hexdigest() in block.text
            return ""
        # What was dropped in the block before is registered "a moment later".
        wait_until(self.has_answered, self.daemon)
        if block.language == "python":
            printed = self.shell("python -", block.text)
        else:
            printed = self.shell(block.text.replace(REMOTE, "inbox/"))
        self._entered += "".join(line for line in block.text.splitlines(keepends=True) if line.startswith(". "))
        return printed

    def shell(self, command: str, text: str = "") -> str:
        """Run a command in this terminal and return what it printed."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self._entered + command],
            cwd=self.folder,
            env=self.env,
            input=text,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, f"{command}{text}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stdout

    def has_answered(self) -> bool:
        """Return whether no drop waits in the inbox."""
        return not any(path.is_file() for path in (self.folder / "inbox").glob("[!.]*"))

    def stop(self) -> None:
        """End the daemon as Ctrl-C does, and see that it ended well."""
        os.killpg(self.daemon.pid, signal.SIGINT)
        # make has a status of its own when Ctrl-C ended its child, or ends by the signal.
        assert self.daemon.wait(20) in (0, 2, 130, -signal.SIGINT)
        self.log.close()
        assert "daemon.stopped" in (self.folder / "daemon.log").read_text()
