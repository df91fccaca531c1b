"""Where things lie in the checkout, whatever folder a test is in."""

from __future__ import annotations

from pathlib import Path

__all__ = ["DATA", "GOLDEN", "ROOT", "TESTS"]

TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent
DATA = TESTS / "data"
GOLDEN = TESTS / "golden"
