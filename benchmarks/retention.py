"""Time the retention engine: `python benchmarks/retention.py [entries]`, 100,000 by default.

Prints, for several policies and shapes of a registry, the seconds of the best of three runs on one core, and
the memory that one run takes per entry over what the entries take themselves. Nothing is read or written.
"""

from __future__ import annotations

import gc
import json
import random
import sys
import time
import tracemalloc
from datetime import UTC, datetime, timedelta
from typing import Any

from model_inbox.config.retention import RetentionSection
from model_inbox.retention.plan import plan

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
PAIRS = [f"{base}/{quote}" for base in ("EUR", "GBP", "JPY", "CHF") for quote in ("USD", "CAD", "AUD", "NZD", "SEK")]

SAMPLE = {"last": 10, "within": "30d"}
FULL = {
    "last": 5,
    "within": "30d",
    "hourly": 24,
    "daily": 7,
    "weekly": 8,
    "monthly": 12,
    "yearly": 2,
    "best": {"metric": "1d.directional_accuracy", "order": "max", "n": 3},
    "tags": [["production"], ["audit", "year=2026"]],
}
WINDOWS = {name: {"within": "1y2m3d3h"} for name in ("hourly", "daily", "weekly", "monthly", "yearly")}


def registry(count: int, groups: int) -> list[dict[str, Any]]:
    """Return entries as they come from the registry file, ten minutes apart, over `groups` groups."""
    chance = random.Random(1)
    entries = []
    for number in range(count):
        at = NOW - timedelta(minutes=10 * (count - number), seconds=chance.randrange(600))
        group = number % groups
        entries.append(
            {
                "model_id": f"model-{number:06d}",
                "model_type": f"type-{group // len(PAIRS)}",
                "currency_pair": PAIRS[group % len(PAIRS)],
                "trained_at": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "validation_metrics": {"1d": {"directional_accuracy": chance.random(), "rmse": chance.random()}},
                "size_bytes": chance.randrange(1, 2**30),
                "sequence": number,
                "tags": {"audit": "", "year": "2026"} if number % 1000 == 0 else {},
                "aliases": ["champion"] if number % 5000 == 0 else [],
                "pinned": number % 3000 == 0,
            }
        )
    loaded: list[dict[str, Any]] = json.loads(json.dumps(entries))
    return loaded


def measure(name: str, entries: list[dict[str, Any]], keep: dict[str, Any], zone: str, budget: str | None) -> None:
    """Print one line: seconds, bytes per entry, and how many stay."""
    section = RetentionSection.model_validate(
        {"mode": "enforce", "timezone": zone, "policies": [{"keep": keep, "budget": budget}]}
    )
    seconds = []
    for _ in range(3):
        gc.collect()
        start = time.process_time()
        result = plan(entries, section, now=NOW)
        seconds.append(time.process_time() - start)
    tracemalloc.start()
    plan(entries, section, now=NOW)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(f"{name:44} {min(seconds):6.3f} s {peak / len(entries):7.0f} B/entry {len(result.keep):8} kept")


def main() -> None:
    """Run every case."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    few, many = registry(count, 20), registry(count, max(1, count // 5))
    print(f"{count} entries")
    measure("sample policy, 20 groups", few, SAMPLE, "UTC", None)
    measure("every rule, 20 groups", few, FULL, "UTC", None)
    measure("every rule and a budget, 20 groups", few, FULL, "UTC", "20GiB")
    measure("every rule, 20 groups, Europe/Berlin", few, FULL, "Europe/Berlin", None)
    measure("every rule, groups of 5", many, FULL, "UTC", None)
    measure("five windows, 20 groups", few, WINDOWS, "UTC", None)
    measure("five windows, 20 groups, Europe/Berlin", few, WINDOWS, "Europe/Berlin", None)


if __name__ == "__main__":
    main()
