"""promtool, of Prometheus itself, accepts what we hand to Prometheus: the metrics and the example alerts."""

from __future__ import annotations

import subprocess
from pathlib import Path

from model_inbox.telemetry.metrics import Tally, render
from support.places import ROOT

RULES = ROOT / "systemd" / "prometheus-rules.yml"

DOCUMENT = {
    "at": "2026-11-24T12:00:00Z",
    "started_at": "2026-11-24T11:00:00Z",
    "version": "0.1.0",
    "ready": True,
    "deaf": False,
    "waiting": 3,
    "deferred": 1,
    "oldest": {"since": "2026-11-24T10:00:00Z"},
    "last_registered_at": "2026-11-24T11:30:00Z",
    "last_rejected_at": "2026-11-24T11:30:00Z",
    "inbox": {"reachable": True},
    "registry": {
        "entries": 7,
        "sequence": 21,
        "journal_bytes": 1234,
        "checkpoint_failed": False,
        "rotation_failed": False,
    },
    "retention": {
        "last_run_at": "2026-11-24T11:30:00Z",
        "next_run_at": "2026-11-24T12:30:00Z",
        "breaker_tripped": True,
        "failed": False,
    },
    "disks": [{"folder": "inbox", "free_bytes": 5, "size_bytes": 10}],
    "config": {"refused": False, "loaded_at": "2026-11-24T11:00:00Z", "restart_needed": ["inbox.path"]},
    "scanner_restarts": 2,
}

# What each alert must and must not do: metric, its value, and whether the alert fires after 20 minutes of it.
UNIT = """
rule_files: [{rules}]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - {{series: model_inbox_status_timestamp_seconds, values: '0+60x60'}}
      - {{series: model_inbox_deferred, values: '0x5 1x55'}}
      - {{series: model_inbox_ready, values: '1x60'}}
    alert_rule_test:
      - {{eval_time: 4m, alertname: ModelInboxDown}}
      - {{eval_time: 10m, alertname: ModelInboxDeferred}}
      - eval_time: 30m
        alertname: ModelInboxDeferred
        exp_alerts:
          - exp_labels: {{severity: critical}}
            exp_annotations:
              summary: 1 drops cannot be decided (disk full, I/O error, registry locked)
              description: '`model-inbox status` names the cause'
  - interval: 1m
    input_series:
      - {{series: model_inbox_status_timestamp_seconds, values: '0x60'}}
    alert_rule_test:
      - eval_time: 10m
        alertname: ModelInboxDown
        exp_alerts:
          - exp_labels: {{severity: critical}}
            exp_annotations:
              summary: model-inbox is not running, or hangs; drops wait
              description: '`model-inbox status`, then `journalctl -u model-inbox -n 50`'
"""


def promtool(*args: str, data: bytes = b"") -> str:
    """Run promtool, which must find nothing to complain of; return what it said."""
    done = subprocess.run(["promtool", *args], input=data, capture_output=True)
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, said
    return said


def test_promtool_accepts_the_alert_rules() -> None:
    """Every rule parses, and the count is that of the file."""
    count = RULES.read_text().count("- alert:")
    assert f"SUCCESS: {count} rules found" in promtool("check", "rules", str(RULES))


def test_promtool_finds_nothing_wrong_with_the_metrics() -> None:
    """Names, kinds and help are as its linter wants them."""
    assert promtool("check", "metrics", data=render(DOCUMENT, Tally())) == ""


def test_alerts_fire_when_they_should(tmp_path: Path) -> None:
    """A daemon whose status grows old is down, one whose status is fresh is not; deferred drops alert after a while."""
    unit = tmp_path / "unit.yml"
    unit.write_text(UNIT.format(rules=RULES))
    assert "SUCCESS" in promtool("test", "rules", str(unit))
