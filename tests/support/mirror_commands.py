"""The mirror's commands, as a user runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def mlflow_command(config: Path, *words: str, expect: int | None = 0) -> Any:
    """Run `model-inbox mlflow ... --json` and return what it printed. `expect` is the exit code; None is any."""
    command = [sys.executable, "-m", "model_inbox", "--config", str(config), "mlflow", *words, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert expect is None or done.returncode == expect, f"{done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return json.loads(done.stdout)
