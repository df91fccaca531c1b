"""The unit that keeps an MLflow up to date."""

from __future__ import annotations

import subprocess

from support.places import ROOT


def test_the_unit_has_no_mistakes() -> None:
    """systemd knows every key in it; only the program is not where the example says."""
    unit = str(ROOT / "systemd" / "model-inbox-mlflow.service")
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    said = [line for line in (done.stdout + done.stderr).splitlines() if "is not executable" not in line]
    assert said == []
