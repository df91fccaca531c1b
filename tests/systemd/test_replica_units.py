"""The units that pull a replica again and again."""

from __future__ import annotations

import subprocess

from support.places import ROOT


def test_the_units_have_no_mistakes() -> None:
    """systemd knows every key in them; only the program is not where the example says."""
    units = [str(ROOT / "systemd" / f"model-inbox-replica.{kind}") for kind in ("service", "timer")]
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    said = [line for line in (done.stdout + done.stderr).splitlines() if "is not executable" not in line]
    assert said == []
