"""The public API as a type checker and a user's program see it: `tests/typing/api.py`."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import model_inbox
from support.places import ROOT

PROGRAM = ROOT / "tests" / "typing" / "api.py"


def mypy(program: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Check a program in a folder where nothing of ours lies about: only what is installed counts."""
    return subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir", ROOT / ".mypy_cache", program],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name not in ("MYPYPATH", "PYTHONPATH")},
        capture_output=True,
        text=True,
    )


def test_a_users_program_is_checked(tmp_path: Path) -> None:
    """mypy --strict accepts a program that uses the whole API, and refuses one that uses it wrongly."""
    right = mypy(PROGRAM, tmp_path)
    assert right.returncode == 0, right.stdout + right.stderr

    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "from model_inbox import ModelRegistry\n"
        "entry = ModelRegistry('registry.json').get_model('USD/EUR')\n"
        "print(entry['model_id'])\n"  # it may be None
        "ModelRegistry('registry.json').get_model(calibrated='yes')\n"
    )
    found = mypy(wrong, tmp_path)
    assert found.returncode == 1
    assert "wrong.py:3: error: Value of type" in found.stdout
    assert "wrong.py:4: error: Missing positional argument" in found.stdout


def test_the_program_runs(tmp_path: Path) -> None:
    """What is type-checked also works: the program runs, warnings being errors, and says what it did."""
    done = subprocess.run(
        [sys.executable, "-W", "error", PROGRAM, tmp_path], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert said[0] == f"model-inbox {model_inbox.__version__}"
    assert any(line.startswith("newest ") and "{'weights': [1.0, 2.0]} {'mean': 0.0}" in line for line in said)
    assert "['usd-eur-1', 'usd-eur-2'] ['usd-eur-1', 'usd-eur-2'] ['register', 'retire', 'restore', 'record']" in said
    assert "dropped True usd-eur-3 None" in said
    assert sorted(os.listdir(tmp_path / "inbox")) == [
        f"usd-eur-{number}.{end}" for number in (3, 4) for end in ("pkl", "yaml")
    ]


def test_the_program_uses_every_name() -> None:
    """Every name in `model_inbox.__all__` occurs in the program, so that none goes unchecked."""
    used = {node.id for node in ast.walk(ast.parse(PROGRAM.read_text())) if isinstance(node, ast.Name)}
    assert set(model_inbox.__all__) <= used
    assert all(hasattr(model_inbox, name) for name in model_inbox.__all__)
