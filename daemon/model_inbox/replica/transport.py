"""Fetching files from a source with rsync: over ssh from `[USER@]HOST:FOLDER`, or from a folder that is mounted here.

Owns the command lines. What a source calls its files reaches rsync in a list on its standard input, never as an option.
"""

from __future__ import annotations

import errno
import os
import re
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..errors import RegistryError, StorageError
from ..problems import escaped, quoted

__all__ = ["Transport"]

_REMOTE = re.compile(r"(?:[A-Za-z0-9._-]+@)?[A-Za-z0-9][A-Za-z0-9._-]*:(?P<folder>.+)", re.DOTALL)
_SSH = "ssh -o BatchMode=yes -o ConnectTimeout=15"
_STALLED_SECONDS = 120
# Some files could not be read, or vanished while rsync was at work: those that came are good.
_PARTLY = (23, 24)


class Transport:
    """One source. Raises RegistryError for text that names none."""

    def __init__(self, source: str) -> None:
        is_remote = _REMOTE.fullmatch(source) is not None and not Path(source).is_dir()
        if source.startswith("-") or not source or (not is_remote and not Path(source).is_dir()):
            raise RegistryError(
                f"cannot pull from {quoted(source)}: it is neither a folder here nor [USER@]HOST:FOLDER",
                hint="Name the folder that the source's registry is in, such as host:/var/lib/model-inbox/models",
            )
        self.source = source if is_remote else str(Path(source).absolute())
        self._from = self.source.rstrip("/") + "/"
        self._options = ["-e", _SSH] if is_remote and "RSYNC_RSH" not in os.environ else []

    def fetch_history(self, target: Path) -> None:
        """Make `target/history` hold the closed segments and the base files of the source, and no others."""
        self._run(["-r", "--delete", "--include=/history/", "--include=/history/*.json"], target, _HISTORY)

    def fetch_rules(self, target: Path) -> None:
        """Fetch the rules that the source keeps beside its history, also those that came after the history was."""
        self._run(["-r", "--include=/history/", "--include=/history/*.rules.json", "--exclude=*"], target, ())

    def fetch_journal(self, target: Path) -> None:
        """Fetch the current segment of the journal, with the whole lines that it has by now."""
        self._run(["-r", "--delete", "--include=/*.journal.jsonl", "--exclude=*"], target, ())

    def fetch_files(self, names: Iterable[str], target: Path) -> None:
        """Fetch files by their paths below the source; those that are gone are left out.

        A transfer that was cut goes on where it ended.
        """
        listed = "\0".join(names).encode("utf-8", "surrogateescape")
        options = ["--files-from=-", "--from0", "--partial-dir=.rsync-partial", "--no-implied-dirs"]
        self._run(options, target, (), listed, may_be_partly=True)

    def _run(
        self,
        options: Sequence[str],
        target: Path,
        more: Sequence[str],
        listed: bytes = b"",
        *,
        may_be_partly: bool = False,
    ) -> None:
        # -s: no shell at the source reads the folder's name.
        command = ["rsync", "-tp", "-s", "--chmod=D0750,F0640", f"--timeout={_STALLED_SECONDS}"]
        command += [*self._options, *options, *more, "--", self._from, f"{target}/"]
        try:
            done = subprocess.run(command, input=listed, capture_output=True, check=False)  # noqa: S603  # a fixed list
        except FileNotFoundError:
            raise RegistryError("cannot pull: there is no rsync here", hint="Install rsync, here and there") from None
        if done.returncode == 0 or (may_be_partly and done.returncode in _PARTLY):
            return
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or [f"exit status {done.returncode}"]
        # The first line has the cause, the last one rsync's own summary of it.
        said = escaped("; ".join(dict.fromkeys((lines[0], lines[-1]))), 500)
        raise StorageError("pull from", self.source, OSError(errno.ECONNRESET, f"rsync: {said}"))


_HISTORY = ("--include=/history/*.jsonl", "--exclude=*")
