"""Measure the CPU that commands use above a bare Python: `python benchmarks/commands.py`; exit 1 if one uses more than
is wanted.

Makes a registry of 1,000 models in a temporary folder and runs the installed commands in turn with `python -I -c pass`,
whose CPU (user and system) is subtracted. Prints the least and the median of all rounds beside the wanted figure. The
least is compared: other work on the machine only adds. On a slower machine the wanted figures are scaled by what a
bare Python uses there (10 ms where they were set).
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

from model_inbox import ModelMetadata, ModelRegistry

ROOT = Path(__file__).parents[1]
PROGRAM = str(Path(sys.executable).with_name("model-inbox"))
MODELS = 1_000
PAIRS = ("EUR/USD", "GBP/USD", "USD/JPY", "USD/CHF")
BARE_MILLISECONDS = 10.0
BARE = [sys.executable, "-I", "-c", "pass"]
WANTED: list[tuple[str, list[str], float]] = [
    ("model-inbox --help", [PROGRAM, "--help"], 100.0),
    ("model-inbox status", [PROGRAM, "status"], 120.0),
    (f"model-inbox list ({MODELS} models)", [PROGRAM, "list"], 150.0),
    (
        f"model-inbox list --where ({MODELS} models)",
        [PROGRAM, "list", "--where", "1d.rmse<0.005 and trained_at>2025-01-02", "--sort", "1d.rmse"],
        150.0,
    ),
    ("model-inbox show", [PROGRAM, "show", "bench_0000"], 150.0),
    (f"model-inbox why ({MODELS} models)", [PROGRAM, "why", "bench_0000"], 300.0),
    ("from model_inbox import drop", [sys.executable, "-I", "-c", "from model_inbox import drop"], 40.0),
]
"""What is measured, and how many milliseconds above a bare Python it may use."""


def make_registry(folder: Path) -> None:
    """Register the models, and copy the shipped configuration."""
    shutil.copy(ROOT / "config.yaml", folder)
    (folder / "models").mkdir()
    (folder / "inbox").mkdir()
    began = datetime(2025, 1, 1, tzinfo=UTC)
    with ModelRegistry(folder / "models" / "prediction_registry.json") as registry:
        for number in range(MODELS):
            metadata = ModelMetadata(
                model_id=f"bench_{number:04d}",
                model_type="lightgbm",
                currency_pair=PAIRS[number % len(PAIRS)],
                trained_at=began + timedelta(hours=number),
                version="1.0",
                validation_metrics={"1d": {"rmse": 0.0049, "directional_accuracy": 0.54}},
                min_samples=800,
                calibration_ok=True,
                features_used=["sma_5", "sma_20", "rsi_14", "macd"],
                horizons=[1, 7, 30],
            )
            registry.register_model(metadata, {"number": number})


def milliseconds_of(arguments: list[str], folder: Path) -> float:
    """Run a program and return the CPU that it used."""
    with subprocess.Popen(arguments, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        # `status` answers 1: no daemon runs here.
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(arguments)} ended with {process.returncode}")
    return (used.ru_utime + used.ru_stime) * 1000


def main() -> int:
    """Measure, print the table, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="how often each is run (default: 15)")
    rounds = parser.parse_args().rounds
    used: dict[str, list[float]] = {name: [] for name, _, _ in WANTED}
    bare: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_registry(folder)
        for _ in range(rounds):
            bare.append(milliseconds_of(BARE, folder))
            for command, arguments, _ in WANTED:
                used[command].append(milliseconds_of(arguments, folder))
    scale = max(min(bare) / BARE_MILLISECONDS, 1.0)
    print(f"CPU in milliseconds above a bare Python ({min(bare):.0f} ms); wanted is scaled by {scale:.2f}")
    print(f"{'':40}{'least':>8}{'median':>8}{'wanted':>8}")
    missed = False
    for command, _, wanted in WANTED:
        least, usual = min(used[command]) - min(bare), median(used[command]) - median(bare)
        too_much = least > wanted * scale
        missed |= too_much
        print(f"{command:40}{least:8.0f}{usual:8.0f}{wanted * scale:8.0f}{'  too much' if too_much else ''}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
