"""Runs the blocks of a page in docs/tasks as a reader would, in one folder, against one running daemon.

The mark above a block says what is done with it:

- `run`: it is run and ends with exit code 0; `run: exit 1`: with that one
- `output`: each of its lines was printed by the block before, in this order; `…` stands for what is
  left out: lines, or the end of a line
- `file: NAME`: it is saved as that file
- `shown: WHY`: it is not run, because of what it needs

A block inside of such a comment is not seen by readers: it makes the situation that the page is about.

`models: ID...` above the first block registers these models before: of USD/EUR, trained a day after each other, each
with a smaller error. The folder is called /srv/fx in the output, and the user alice. Digests, ages, sizes and
numbers of more than one digit are not compared.
"""

from __future__ import annotations

import getpass
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from model_inbox import drop
from support.places import ROOT
from support.readme import Reader

TASKS = ROOT / "docs" / "tasks"
# The comment ends on the line of the mark, or behind a block that is not seen.
_BLOCK = re.compile(
    r"(?:<!-- (?P<mark>[^\n]*?)(?: -->)?\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)
MARKS = re.compile(r"run(?:: exit (?P<code>\d+))?|output|file: (?P<file>[\w./-]+)|shown: (?P<why>.+)")
# Digests, ages, sizes, and numbers of more than one digit: times, names of drops.
_VARYING = re.compile(r"\b[0-9a-f]{12,}\b|\b\d+[smhd]\b|\b[\d.]+ [KMG]?i?B\b|\d{2,}(?:\.\d+)?")
_MODELS = re.compile(r"<!-- models: ([\w ]+) -->")


@dataclass(frozen=True)
class Step:
    """One fenced block of a page."""

    mark: str
    language: str
    text: str


def steps(page: Path) -> list[Step]:
    """Return the blocks of a page in their order."""
    text = page.read_text(encoding="utf-8")
    return [Step(match["mark"] or "", match["language"], match["text"]) for match in _BLOCK.finditer(text)]


def follow(page: Path, folder: Path) -> None:
    """Do what a page says, in an empty folder. Raises AssertionError where it does not do what the page says."""
    reader = PageReader(folder)
    try:
        for model_id in _MODELS.findall(page.read_text(encoding="utf-8")):
            for number, one in enumerate(model_id.split()):
                reader.register(one, number)
        printed = ""
        for step in steps(page):
            printed = reader.do(step, printed)
    finally:
        reader.end()


class PageReader(Reader):
    """A folder with a daemon, and the terminal of somebody who reads a page."""

    def register(self, model_id: str, number: int) -> None:
        """Register a model."""
        result = drop(
            {"weights": [float(number)] * 50},
            inbox=self.folder / "inbox",
            wait=True,
            model_id=model_id,
            currency_pair="USD/EUR",
            model_type="linear",
            trained_at=datetime(2026, 11, 1, tzinfo=UTC) + timedelta(days=number),
            version="1.0",
            validation_metrics={"1d": {"rmse": round(0.0056 - number / 10_000, 4)}},
            min_samples=800,
            calibration_ok=True,
            features_used=["sma_5", "rsi_14"],
        )
        assert result.outcome == "registered", result

    def do(self, step: Step, printed: str) -> str:
        """Do what the mark says. `printed` is the output of the block that was run before; return that of the last."""
        mark = MARKS.fullmatch(step.mark)
        assert mark is not None, f"a block without a mark that says what is done with it:\n{step.text}"
        if mark["file"]:
            path = self.folder / mark["file"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(step.text)
        elif step.mark == "output":
            self._compare(step.text, printed)
        elif not mark["why"]:
            code, printed = self._run(step)
            assert code == int(mark["code"] or 0), f"exit code {code}:\n{step.text}\n{printed}"
            assert "Traceback" not in printed
        return printed

    def _run(self, step: Step) -> tuple[int, str]:
        command = "python -" if step.language == "python" else f"set -e\n{step.text}"
        done = subprocess.run(
            ["bash", "-uo", "pipefail", "-c", command],
            cwd=self.folder,
            env=self.env,
            input=step.text if step.language == "python" else "",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )
        return done.returncode, done.stdout

    def _compare(self, expected: str, printed: str) -> None:
        found = self._compared(printed)
        for line in self._compared(expected):
            if line != "…":
                begins = line.endswith("…")
                assert any(other == line or (begins and other.startswith(line[:-1])) for other in found), (
                    f"not printed, or not there: {line}\n\n{printed}"
                )

    def _compared(self, text: str) -> Iterator[str]:
        """Yield the lines of an output without what differs from one run to another."""
        text = text.replace(str(self.folder), "/srv/fx").replace(getpass.getuser(), "alice")
        for line in text.splitlines():
            if line.strip():
                yield _VARYING.sub("#", " ".join(line.split()))

    def end(self) -> None:
        """End the daemon, if the page has not."""
        if self.daemon.poll() is None:
            self.stop()
        else:
            self.log.close()
