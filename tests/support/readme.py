"""Runs the marked blocks of README.md as a reader would, in one folder, against one running daemon."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from support.places import ROOT

BLOCK = re.compile(
    r"<!-- (?P<mark>run|run: remote|file: (?P<file>\S+)) -->\n```(?P<language>\w+)\n(?P<text>.*?)```", re.DOTALL
)
REMOTE = "trainer@models.example.org:/var/lib/model-inbox/inbox/"


@dataclass(frozen=True)
class Block:
    """One fenced block that is marked to be run, or to be saved as a file."""

    mark: str
    language: str
    text: str
    file: str | None


def blocks(mark: str) -> list[Block]:
    """Return the blocks of README.md with this mark, files included, in order."""
    found = [
        Block(m["mark"], m["language"], m["text"], m["file"]) for m in BLOCK.finditer((ROOT / "README.md").read_text())
    ]
    return [block for block in found if block.file is not None or block.mark == mark]


class Reader:
    """A folder with a daemon running in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        (folder / "config.yaml").write_text((ROOT / "config.yaml").read_text())
        self.log = (folder / "daemon.log").open("w")
        self.daemon = subprocess.Popen(
            [sys.executable, "-m", "model_inbox", "run"], cwd=folder, stderr=self.log, env=self.env
        )

    def run(self, block: Block) -> str:
        """Run a block, or write its file; return what it printed."""
        if block.file is not None:
            (self.folder / block.file).write_text(block.text)
            return ""
        if block.language == "python":
            command = [sys.executable, "-c", block.text]
        else:
            command = ["bash", "-euo", "pipefail", "-c", block.text.replace(REMOTE, "inbox/")]
        done = subprocess.run(command, cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{block.text}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def stop(self) -> None:
        """End the daemon and see that it ended well."""
        self.daemon.send_signal(signal.SIGTERM)
        assert self.daemon.wait(20) == 0
        self.log.close()
