"""`verify` compares registry, journal and files."""

from __future__ import annotations

import pytest

from model_inbox.cli.progress import progress_bar
from support.home import Home


def test_verify_tells_what_does_not_agree(home: Home) -> None:
    """Exit 0 and ok when all agrees, else 1 with every problem; --no-digests reads no stored file."""
    assert home.json("verify") == {"ok": True, "problems": []}
    assert home.text("verify") == "No problems found.\n"
    path = home.storage_dir / "old.pkl"
    path.chmod(0o640)
    path.write_bytes(bytes(len(path.read_bytes())))
    assert home.text("verify", "--no-digests") == "No problems found; the digests were not compared.\n"
    said = home.json("verify", status=1)
    (problem,) = said["problems"]
    assert (said["ok"], problem["code"], problem["file"]) == (False, "registry.digest_mismatch", str(path))
    (home.storage_dir / "new.pkl").unlink()
    shown = home.text("verify", status=1)
    assert shown.startswith("2 problems:\n")
    assert "[registry.file_missing]" in shown
    assert "[registry.digest_mismatch]" in shown


def test_the_progress_bar_is_shown_on_a_terminal_only(capsys: pytest.CaptureFixture[str]) -> None:
    """On a terminal the audit gets something to tell its progress to; elsewhere nothing."""
    with progress_bar("verify", shown=False) as progress:
        assert progress is None
    with progress_bar("verify", shown=True) as progress:
        assert progress is not None
        progress(1, 4)
        progress(4, 4)
    assert capsys.readouterr().out == ""
