"""A folder with a registry and the command line in it: what the tests of the commands start from."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from model_inbox import ModelMetadata, ModelRegistry
from model_inbox.cli import root

T0 = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


SIDECAR = """model_type: lightgbm
currency_pair: USD/EUR
trained_at: 2025-10-25T12:00:00Z
version: 1.10
validation_metrics: {rmse: 0.1}
min_samples: 10
calibration_ok: true
features_used: [a, b]
horizons: [1]
"""


class Home:
    """A folder with a registry, and the command line in it. The registry's clock stands where we put it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.registry_path = folder / "models" / "prediction_registry.json"
        self.storage_dir = folder / "models" / "prediction"
        self.clock = T0

    def open(self) -> ModelRegistry:
        """Open the registry to change it, at the time of `clock`."""
        return ModelRegistry(self.registry_path, self.storage_dir, actor="test", clock=lambda: self.clock)

    def register(self, model_id: str, *, days: int = 0, pair: str = "USD/EUR", **fields: Any) -> None:
        """Register a model that was trained `days` after T0, at that time."""
        values: dict[str, Any] = {
            "model_type": "lightgbm",
            "currency_pair": pair,
            "trained_at": T0 + days * DAY,
            "version": "1.10",
            "validation_metrics": {"1d": {"rmse": 0.25}},
            "min_samples": 100,
            "calibration_ok": True,
            "features_used": ["sma_5", "rsi_14"],
            "horizons": [1, 7],
            **fields,
        }
        self.clock = T0 + days * DAY
        with self.open() as registry:
            registry.register_model(ModelMetadata(model_id, **values), {"model": model_id}, {"scaler": model_id})

    def run(self, *args: str, stdin: str | None = None) -> Result:
        """Call the command line."""
        return CliRunner().invoke(root, list(args), input=stdin, prog_name="model-inbox")

    def text(self, *args: str, status: int = 0) -> str:
        """Call it and return what it prints for people."""
        result = self.run(*args)
        assert result.exit_code == status, result.output
        return result.stdout

    def json(self, *args: str, status: int = 0) -> Any:
        """Call it with --json and return what it prints."""
        return json.loads(self.text(*args, "--json", status=status))

    def error(self, *args: str, status: int) -> dict[str, Any]:
        """Call it with --json, see it fail on both streams, and return the error."""
        result = self.run(*args, "--json")
        assert result.exit_code == status, result.output
        error: dict[str, Any] = json.loads(result.stdout)["error"]
        assert result.stderr.startswith(f"model-inbox: {error['message']}\n")
        assert error["message"].startswith("cannot ")
        return error

    def stored(self) -> dict[str, Any]:
        """Read the registry as a plain reader of JSON does."""
        entries: dict[str, Any] = json.loads(self.registry_path.read_text())
        return entries

    def tree(self) -> dict[str, tuple[object, ...]]:
        """Return every file and folder with its bytes, rights, owner and times (but for when it was read)."""
        return {
            str(path): (
                path.read_bytes() if path.is_file() else b"",
                *(about.st_ino, about.st_mode, about.st_nlink, about.st_uid, about.st_gid),
                *(about.st_mtime_ns, about.st_ctime_ns),
            )
            for path in sorted(self.folder.rglob("*"))
            for about in [path.lstat()]
        }


def rules(mode: str = "enforce", last: int = 1, breaker: str = "{max_deletes: 50, max_fraction: 1}") -> str:
    """Return a configuration that keeps the `last` newest of a group."""
    policies = f"[{{match: {{currency_pair: '*'}}, keep: {{last: {last}}}}}]"
    return f"retention: {{mode: {mode}, breaker: {breaker}, policies: {policies}}}\n"
