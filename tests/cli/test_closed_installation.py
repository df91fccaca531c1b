"""Root's commands on another user's registry, where that user cannot read the installation (a Python below /root)."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from support.home import Home
from support.places import ROOT
from support.ports import reserve_port
from support.users import let_through
from support.waiting import wait_until
from support.world import must_be_root

OWNER = 62_041
# Imports each module of the package, without any module that an extra brings.
IMPORT_ALL = """
import importlib, pkgutil, model_inbox
for module in pkgutil.walk_packages(model_inbox.__path__, "model_inbox."):
    importlib.import_module(module.name)
import sys
assert "model_inbox.cli.mlflow" in sys.modules and "mlflow" not in sys.modules
"""


class Place:
    """A package that only root can read, and a registry of another user's with one model."""

    def __init__(self, folder: Path) -> None:
        must_be_root()
        let_through(folder)
        self.folder = folder / "state"
        self.folder.mkdir()
        self.environment = os.environ | {"PYTHONPATH": str(folder / "closed")}
        shutil.copytree(ROOT / "daemon", folder / "closed", ignore=shutil.ignore_patterns("__pycache__"))
        (folder / "closed").chmod(0o700)
        Home(self.folder).register("eur-usd-1")
        self.port = reserve_port()
        (self.folder / "config.yaml").write_text(json.dumps({"web": {"listen": f"127.0.0.1:{self.port}"}}))
        for path in (self.folder, *self.folder.rglob("*")):
            os.chown(path, OWNER, OWNER)

    def start(self, words: Sequence[str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "model_inbox", "--config", str(self.folder / "config.yaml"), *words],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture(scope="module", name="place")
def _place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("closed"))


def test_any_module_can_be_imported_and_does_nothing_then() -> None:
    """Root's commands import them all. Programs do nothing before they are run, and no module needs an extra."""
    done = subprocess.run([sys.executable, "-c", IMPORT_ALL], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_command_has_read_what_it_needs(place: Place) -> None:
    """Before root becomes the owner of the registry: templates, lists of names, encodings."""
    for words in ("report", "report --model eur-usd-1", "verify"):
        process = place.start(words.split())
        output, said = process.communicate(timeout=60)
        assert (process.returncode, said) == (0, ""), words
        assert output


def test_the_pages_are_served(place: Place) -> None:
    """The process of the pages has read its templates, too."""
    process = place.start(["web"])
    connection = http.client.HTTPConnection("127.0.0.1", place.port, timeout=20)

    def is_served() -> bool:
        try:
            connection.request("GET", "/model/eur-usd-1")
        except ConnectionRefusedError:
            connection.close()
            return False
        return True

    wait_until(is_served, process)
    answer = connection.getresponse()
    assert (answer.status, b"eur-usd-1" in answer.read()) == (200, True)
    connection.close()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 0
