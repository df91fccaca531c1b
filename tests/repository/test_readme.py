"""What README.md tells a newcomer to type works when it is typed.

`examples/tests/readme` runs all of it. Here are the blocks that need neither a training framework nor the network.
"""

from __future__ import annotations

from pathlib import Path

import model_inbox
from support.places import ROOT
from support.readme import MARKS, Reader, blocks


def test_every_block_of_the_readme_says_what_is_done_with_it() -> None:
    """No block escapes the tests: each has a mark that they know, and there are no others than fenced blocks."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [block.text for block in blocks() if block.mark not in MARKS] == []
    assert 2 * len(blocks()) == text.count("\n```")
    assert {block.mark for block in blocks()} == MARKS


def test_what_is_done_as_root_is_what_the_manual_of_the_service_says() -> None:
    """The blocks that no test here can run are those of docs/operations/systemd.md, which a real systemd ran."""
    manual = (ROOT / "docs" / "operations" / "systemd.md").read_text(encoding="utf-8")
    assert all(block.text in manual for block in blocks("run: service") if block.mark == "run: service")


def test_the_blocks_of_the_readme_run_one_after_the_other(tmp_path: Path) -> None:
    """A drop by hand is checked, registered and shown; a wrong one is rejected; plan, measurement and backup work."""
    reader = Reader(tmp_path)
    try:
        printed = {block.text: reader.run(block) for block in blocks("run", "part: ")}
    finally:
        reader.stop()
    listed = next(output for text, output in printed.items() if "model-inbox show" in text)
    assert "usdeur_linear_20261120" in listed
    rejected = next(output for text, output in printed.items() if "rejected list" in text)
    assert "wrong" in rejected
    registry = model_inbox.ModelRegistry(tmp_path / "models" / "prediction_registry.json", read_only=True)
    assert list(registry.registry) == ["usdeur_linear_20261120"]
    assert len(list((tmp_path / "backups").iterdir())) > 0
