"""The man pages as groff shows them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from support.places import ROOT


def test_groff_shows_every_page_without_a_warning(tmp_path: Path) -> None:
    """With all warnings on there is none, and quotes and hyphens of examples are printed as they are typed."""
    subprocess.run([sys.executable, ROOT / "docs" / "man_pages.py", tmp_path], check=True)
    pages = sorted(tmp_path.rglob("*.[15]"))
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-P-cbou", *pages], capture_output=True, text=True, encoding="utf-8"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "--set 'features_used=[sma_5, rsi_14]' --wait" in done.stdout
    assert done.stdout.count("SEE ALSO") == len(pages)
