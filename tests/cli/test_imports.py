"""What the commands and the package import: the modules that take long are not on the way of what is to be quick."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from model_inbox.cli import COMMANDS
from support.home import Home

HEAVY = frozenset({"asyncio", "cloudpickle", "prometheus_client", "pydantic", "rich", "structlog", "watchdog"})
"""What the commands that only read never import."""

ALL_COMMANDS = frozenset(f"model_inbox.cli.{where.partition(':')[0]}" for where, _ in COMMANDS.values())

FORBIDDEN: dict[str, frozenset[str]] = {
    "--help": HEAVY | ALL_COMMANDS | {"orjson", "yaml", "model_inbox.registry.registry"},
    "list --help": HEAVY | {"yaml", "model_inbox.registry.registry"},
    "status": HEAVY | {"model_inbox.registry.registry"},
    "list": HEAVY,
    "list --json": HEAVY,
    "list --currency-pair USD/EUR": HEAVY,
    "list --where 1d.rmse<1 --sort 1d.rmse": HEAVY,
    "show new": HEAVY,
    "diff new old": HEAVY,
    "get --pair USD/EUR --type lightgbm": HEAVY,
    "history": HEAVY,
    "history new --json": HEAVY,
    "trash list": HEAVY - {"pydantic"},  # the grace is a setting of `retention`
    "alias champion new": HEAVY,
    "tag new a=b": HEAVY,
    "pin new": HEAVY,
}
"""The modules that a command must not import, by its words."""

REPORT = "import atexit, sys; atexit.register(lambda: open('imported', 'w').write('\\n'.join(sys.modules)))"


def imported(folder: Path, program: str) -> set[str]:
    """Return the modules that a new process has imported when it ends well."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("COV", "MODEL_INBOX"))}
    done = subprocess.run(
        [sys.executable, "-c", f"{REPORT}; {program}"], cwd=folder, env=env, capture_output=True, text=True
    )
    assert done.returncode in (0, 1), done.stderr
    assert "Traceback" not in done.stderr
    return set((folder / "imported").read_text().split("\n"))


@pytest.mark.parametrize("words", FORBIDDEN)
def test_a_quick_command_imports_nothing_that_takes_long(home: Home, words: str) -> None:
    """The table says what is not on the way of a command; all of it exists, and `list` of a terminal obeys it, too."""
    program = f"sys.argv = {['model-inbox', *words.split()]!r}; from model_inbox.cli import main; main()"
    modules = imported(home.folder, program)
    assert "click" in modules
    assert sorted(FORBIDDEN[words] & modules) == []


def test_what_is_forbidden_is_what_other_commands_import(home: Home) -> None:
    """The names in the table are those of modules: `config show` and what the daemon starts with import them."""
    modules = imported(
        home.folder,
        "sys.argv = ['model-inbox', 'config', 'show']; import model_inbox.service.loop, model_inbox.cli; "
        "from model_inbox.registry.pickling import pickled; pickled(1, 'model', 'a'); "
        "from model_inbox.telemetry.metrics import Tally, render; render({}, Tally()); model_inbox.cli.main()",
    )
    assert sorted(HEAVY - modules) == []
    assert {"orjson", "yaml", "model_inbox.registry.registry", "model_inbox.cli.config"} <= modules


@pytest.mark.parametrize(
    ("program", "forbidden"),
    [
        ("import model_inbox", HEAVY | {"click", "dataclasses", "orjson", "typing_extensions", "yaml"}),
        ("from model_inbox import drop", HEAVY | {"click", "model_inbox.registry", "orjson", "yaml"}),
        ("from model_inbox import ModelMetadata", HEAVY | {"click", "model_inbox.registry", "yaml"}),
        ("from model_inbox import ModelRegistry", HEAVY | {"click", "model_inbox.config", "yaml"}),
    ],
)
def test_the_package_imports_what_is_asked_for(tmp_path: Path, program: str, forbidden: frozenset[str]) -> None:
    """A training job gets `drop` without the registry and its libraries, a server `ModelRegistry` without commands."""
    assert sorted(forbidden & imported(tmp_path, program)) == []
