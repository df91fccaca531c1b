"""Time `retention simulate` without its reading: `python benchmarks/simulation.py [registrations]`, 100,000 by default.

Prints, for several rules and numbers of groups, the CPU seconds of one simulated year, and what it came to. Nothing is
read or written.
"""

from __future__ import annotations

import random
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from model_inbox.config.retention import RetentionSection
from model_inbox.registry.journal import Line, format_time
from model_inbox.registry.past import Past
from model_inbox.retention.simulation import simulate

END = datetime(2026, 11, 22, 12, tzinfo=UTC)
YEAR = timedelta(days=365)
FULL = {
    "last": 5,
    "within": "30d",
    "daily": 7,
    "weekly": 8,
    "monthly": 12,
    "best": {"metric": "1d.directional_accuracy", "order": "max", "n": 3},
    "tags": [["production"]],
}
POLICIES: dict[str, dict[str, Any]] = {
    "last and within": {"keep": {"last": 10, "within": "30d"}, "min_keep": 2},
    "seven rules": {"keep": FULL},
    "nothing goes": {"keep": {"within": "2y"}},
    "a budget": {"keep": {"last": 3, "within": "60d"}, "budget": "50MB"},
}


def registrations(count: int, groups: int) -> list[Line]:
    """Return the lines of a year of registrations, evenly spread over the year and the groups."""
    chance = random.Random(1)
    lines = []
    for number in range(count):
        at = END - YEAR * (1 - number / count)
        entry: Any = {
            "model_id": f"m{number:06d}",
            "model_type": "lightgbm",
            "currency_pair": f"P/{number % groups}",
            "variant": "",
            "trained_at": f"{at - timedelta(seconds=chance.randrange(3600)):%Y-%m-%dT%H:%M:%SZ}",
            "validation_metrics": {"1d": {"directional_accuracy": chance.random()}},
            "size_bytes": 1_000_000,
            "sequence": number + 1,
            "registered_at": format_time(at),
        }
        lines.append(Line(number + 1, format_time(at), "register", entry["model_id"], changes_entry=True, entry=entry))
    return lines


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    for groups in (20, 500):
        past = Past({}, registrations(count, groups))
        for name, policy in POLICIES.items():
            section = RetentionSection.model_validate({"policies": [policy]})
            began = time.process_time()
            done = simulate(past, section, begin=END - YEAR, end=END)
            seconds = time.process_time() - began
            print(f"{groups:4} groups  {name:16} {seconds:6.1f} s  retired {len(done.retired)}, left {done.models}")


if __name__ == "__main__":
    main()
