"""The README's ways from another machine, with the real tools (here to a folder of this machine)."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

from support.readme import Reader, blocks
from support.waiting import wait_until


def test_rsync_and_scp_as_in_the_readme(tmp_path: Path) -> None:
    """A drop that rsync or scp wrote is registered."""
    reader = Reader(tmp_path)
    try:
        for block in blocks("run: remote"):
            reader.run(block)
            if block.mark != "file: ":
                continue
            for number in (2, 3):
                text = block.text.replace("usdeur_linear_20261120", f"usdeur{number}")
                (tmp_path / f"usdeur{number}.yaml").write_text(text)
                (tmp_path / f"usdeur{number}.pkl").write_bytes(pickle.dumps({"weights": [number]}))
        for number in (2, 3):
            receipt = tmp_path / "inbox" / "receipts" / f"usdeur{number}.json"
            wait_until(receipt.exists, reader.daemon)
            assert json.loads(receipt.read_text())["outcome"] == "registered"
    finally:
        reader.stop()
