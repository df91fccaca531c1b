"""The producer's side on systems that are not Linux, and how little it loads."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support.world import World, sidecar

# What Python lacks on Windows, or on macOS, of what this project uses on Linux: modules, names of `os`, the C library.
ELSEWHERE = """
import ctypes, os, sys
for module in {modules!r}:
    sys.modules[module] = None
for name in {names!r}:
    if hasattr(os, name):
        delattr(os, name)

class Library:
    def __init__(self, *_, **__): pass
    def __getattr__(self, name): raise AttributeError(name)

ctypes.CDLL = Library
"""
MACOS = ELSEWHERE.format(modules=[], names=["O_DIRECT", "sendfile", "copy_file_range", "pipe2", "sched_getaffinity"])
WINDOWS = ELSEWHERE.format(
    modules=["fcntl", "pwd", "grp", "resource", "termios"],
    names=[
        *("O_NOFOLLOW", "O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_DIRECTORY", "fchmod", "fchown", "chown", "preadv"),
        *("geteuid", "getuid", "getgid", "mkfifo", "register_at_fork", "pipe2", "sendfile", "copy_file_range"),
    ],
)
DROP = """
import json
from datetime import datetime, timezone
from model_inbox import ModelMetadata, drop

metadata = ModelMetadata(
    model_id="m1", model_type="lightgbm", currency_pair="USD/EUR", version="1", min_samples=50, calibration_ok=True,
    trained_at=datetime(2025, 10, 25, tzinfo=timezone.utc), validation_metrics={"rmse": 0.5}, features_used=["sma"],
    horizons=[1],
)
done = drop({"a": 1}, metadata, inbox="inbox", scaler={"b": 2})
print(json.dumps({**done.as_dict(), "files": [path.name for path in done.files]}))
"""


def run(code: str, cwd: Path) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A world that has an inbox."""
    world = World(tmp_path)
    with world.running():
        return world


@pytest.mark.parametrize("system", [MACOS, WINDOWS], ids=["macos", "windows"])
def test_a_drop_from_elsewhere_is_taken(system: str, world: World) -> None:
    """`drop` needs nothing that only Linux has: what it writes there is registered here."""
    said = json.loads(run(system + DROP, world.root))
    assert said["outcome"] == "dropped"
    assert sorted(said["files"]) == ["m1.pkl", "m1.yaml", "m1_scaler.pkl"]
    with world.running():
        assert world.registrations() == ["m1"]


@pytest.mark.parametrize("system", [MACOS, WINDOWS], ids=["macos", "windows"])
def test_the_answer_is_read_elsewhere(system: str, world: World) -> None:
    """A receipt is read without what only Linux has."""
    world.put("m1", text=sidecar())
    with world.running():
        pass
    code = "from model_inbox.model.receipt import read_receipts\nfrom pathlib import Path\n"
    code += "print(read_receipts(Path('inbox/receipts'), 'm1')[0]['outcome'])"
    assert run(system + code, world.root).strip() == "registered"


def test_what_is_there_is_never_replaced_elsewhere(tmp_path: Path) -> None:
    """Without renameat2(2), too, a name that is taken is refused and its file stays as it was."""
    code = WINDOWS + (
        "from pathlib import Path\nfrom model_inbox.base.disk import Disk\n"
        "Path('new').write_text('new')\nPath('old').write_text('old')\n"
        "try:\n    Disk().rename_new(Path('new'), Path('old'))\nexcept FileExistsError:\n    print('taken')\n"
        "Disk().rename_new(Path('new'), Path('free'))\n"
    )
    assert run(code, tmp_path).strip() == "taken"
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"old": "old", "free": "new"}


def test_a_training_job_loads_little() -> None:
    """`from model_inbox import drop` loads nothing of the daemon, and no library that only others need."""
    code = "import sys\nfrom model_inbox import drop\nprint(*sys.modules)"
    loaded = set(run(code, Path.cwd()).split())
    ours = {name.split(".")[1] for name in loaded if name.startswith("model_inbox.")}
    assert ours == {"base", "errors", "exit_codes", "model", "problems", "producer"}
    others = {
        "pydantic",
        "structlog",
        "watchdog",
        "rich",
        "click",
        "fcntl",
        "cloudpickle",
        "prometheus_client",
        "asyncio",
    }
    assert loaded & others == set()
