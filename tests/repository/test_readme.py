"""What README.md tells a newcomer to type works when it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import model_inbox
from support.readme import Reader, blocks
from support.waiting import wait_until


def test_the_blocks_of_the_readme_run_one_after_the_other(tmp_path: Path) -> None:
    """Every marked block runs, in order, and says what the text around it promises."""
    reader = Reader(tmp_path)
    try:
        wait_until(lambda: (tmp_path / "inbox" / "receipts").is_dir(), reader.daemon)
        printed = []
        for block in blocks("run"):
            if "model-inbox list" in block.text:
                receipt = tmp_path / "inbox" / "receipts" / "usdeur.json"
                wait_until(receipt.exists, reader.daemon)
                assert json.loads(receipt.read_text())["outcome"] == "registered"
            printed.append((block.text, reader.run(block)))
    finally:
        reader.stop()
    everything = "\n".join(output for _, output in printed)
    assert "usdeur_lightgbm_20261120" in everything
    assert next(output for text, output in printed if "import ModelMetadata, drop" in text).strip() == "registered"
    assert "'intercept': 0.1" in next(output for text, output in printed if "load_model_objects" in text)
    registry = model_inbox.ModelRegistry(tmp_path / "models" / "prediction_registry.json", read_only=True)
    assert len(registry.registry) == 2
