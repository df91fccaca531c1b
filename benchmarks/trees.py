"""Times the check of boosters' trees beside the SHA-256 of the same bytes, in one run.

    python benchmarks/trees.py MODEL...

A model is a file as its library writes it: LightGBM's text (`save_model`), XGBoost's UBJSON or JSON (`save_raw`), or
CatBoost's `.cbm`. Each time is the least CPU time of five. Prints milliseconds and their ratio; fails at nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "daemon"))

from model_inbox.pickles.trees import check_catboost, check_lightgbm, check_xgboost

ROUNDS = 5


def least_seconds(work: Callable[[], object]) -> float:
    """Return the least CPU time that the work takes."""
    found = []
    for _ in range(ROUNDS):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return min(found)


def check_of(data: bytes) -> Callable[[], None]:
    """Return the check of these bytes, by how they begin."""
    if data.startswith(b"tree\n"):
        text = data.decode()
        return lambda: check_lightgbm(text)
    return lambda: check_catboost(data) if data.startswith(b"CBM1") else check_xgboost(data)


def main() -> int:
    """Print a line for each file."""
    parser = argparse.ArgumentParser(description="Time the check of trees beside the digest of the same bytes.")
    parser.add_argument("models", nargs="+", type=Path)
    for path in parser.parse_args().models:
        data = path.read_bytes()
        digest = least_seconds(partial(hashlib.sha256, data))
        check = least_seconds(check_of(data))
        print(f"{path.name}: digest {digest * 1e3:.0f} ms, check {check * 1e3:.0f} ms, {check / digest:.1f} times")
    return 0


if __name__ == "__main__":
    sys.exit(main())
