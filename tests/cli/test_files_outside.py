"""Entries that name files outside of the registry's folders: shown, but their files are not read, moved or removed."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest

from model_inbox import FileOutside, ModelRegistry
from support.home import Home


@pytest.fixture(name="secret")
def _secret(tmp_path: Path) -> Path:
    """A file that is none of the registry's."""
    path = tmp_path / "private" / "m.pkl"
    path.parent.mkdir()
    path.write_bytes(pickle.dumps("private"))
    return path


@pytest.fixture(name="home", params=["absolute", "dots", "link", "scaler"])
def _home(request: pytest.FixtureRequest, home: Home, secret: Path) -> Home:
    """A registry that another program's JSON file was made into: `m` names the secret, in one of several ways."""
    with home.open() as registry:
        entry: dict[str, Any] = dict(registry.registry["old"])
    model = Path(entry["model_path"]).read_bytes()
    shutil.rmtree(home.registry_path.parent)
    home.storage_dir.mkdir(parents=True)
    Path(entry["model_path"]).write_bytes(model)
    (home.storage_dir / "there").symlink_to(secret.parent)
    paths = {
        "absolute": (str(secret), None),
        "dots": (f"prediction/../../../{secret.parent.name}/m.pkl", None),
        "link": ("prediction/there/m.pkl", None),
        "scaler": (entry["model_path"], str(secret)),
    }
    model_path, scaler_path = paths[request.param]
    kept = ("model_type", "currency_pair", "trained_at", "version", "validation_metrics", "min_samples")
    kept += ("calibration_ok", "features_used", "horizons")
    made = {name: entry[name] for name in kept}
    made |= {"model_id": "m", "model_path": model_path, "scaler_path": scaler_path}
    home.registry_path.write_text(json.dumps({"m": made}))
    home.open().close()
    return home


def test_it_is_listed_and_shown_and_nobody_reads_the_file(home: Home, secret: Path) -> None:
    """`show` says so; a load, a backup and `replace-scaler` are refused by name; `verify` has the problem."""
    (row,) = home.json("list")
    assert row["model_id"] == "m"
    shown = " ".join(home.text("show", "m").split())
    assert "(outside of the registry's folders: not used)" in shown
    with ModelRegistry(home.registry_path, home.storage_dir, read_only=True) as registry:
        entry = registry.get_model_info("m")
        assert entry is not None
        with pytest.raises(FileOutside, match="is not in the registry's folder") as raised:
            registry.load_model_objects(entry)
        assert "registry.storage_dir" in raised.value.hint
    assert home.error("backup", str(home.folder / "backups"), status=1)["code"] == "backup.refused"
    said = json.loads(home.run("verify", "--json").stdout)
    assert [problem["code"] for problem in said["problems"] if problem["file"].endswith("/m.pkl")] == [
        "registry.file_outside"
    ]
    assert secret.read_bytes() == pickle.dumps("private")


def test_it_can_be_deleted_and_the_file_stays(home: Home, secret: Path) -> None:
    """Retired with a warning, not restorable, and purged; `rebuild` keeps the entry and does not open the file."""
    made = home.json("rebuild")
    assert made["entries"] == 1
    assert secret.read_bytes() == pickle.dumps("private")
    done = home.run("delete", "m")
    assert done.exit_code == 0
    assert "a file of the retired model stays where it is" in done.stderr or "registry.file_left" in done.stderr
    assert home.error("restore", "m", status=1)["code"] == "load.outside"
    assert home.run("trash", "purge", "--all", "--yes").exit_code == 0
    assert secret.read_bytes() == pickle.dumps("private")
    assert home.json("list") == []
