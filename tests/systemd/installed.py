"""model-inbox as `make install` puts it on a machine, and the people there: who drops, who loads, who does neither."""

from __future__ import annotations

import hashlib
import json
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from machine import Machine, copy_tree
from support.places import ROOT
from support.world import pickled, sidecar

PYTHON = Path("/usr/bin/python3")  # of the system: an interpreter under somebody's home is of no use to a service
UNIT = "model-inbox.service"
STATE = Path("/var/lib/model-inbox")
SOURCES = "/run/sources"
PASSING = (".git", ".venv*", "/inbox", "/models", ".*_cache", "__pycache__", ".hypothesis", "dist", "build")
PRODUCERS = ("alice", "bob")
CONSUMER = "carol"
STRANGER = "dave"


def wheels(lock_name: str = "run") -> Path:
    """Return a folder with the wheels of a lock, for the system's Python; downloaded when the lock changed."""
    lock = ROOT / "requirements" / f"{lock_name}.txt"
    key = hashlib.sha256(lock.read_bytes() + PYTHON.resolve().name.encode()).hexdigest()[:16]
    folder = ROOT / f".venv-wheels-{key}"
    if not folder.exists():
        there = folder.with_name(f"{folder.name}.new")
        subprocess.run([PYTHON, "-m", "venv", "--clear", there / "venv"], check=True)
        pip = [there / "venv/bin/pip", "--quiet", "--disable-pip-version-check", "download", "--only-binary", ":all:"]
        subprocess.run([*pip, "--require-hashes", "-r", lock, "-d", there / "wheels"], check=True)
        (there / "wheels").rename(folder)
    return folder


class Installed:
    """The service on a machine."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.state = machine.root / STATE.relative_to("/")
        self.inbox, self.models = self.state / "inbox", self.state / "models"
        self.config = machine.root / "etc/model-inbox/config.yaml"
        self.version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

    # --- installation

    def make(self, target: str, **variables: str) -> str:
        """Run a target of the Makefile as the operator does, without a network; return what it said."""
        done = self.machine.run(
            "make",
            "-C",
            SOURCES,
            target,
            *(f"{name}={value}" for name, value in variables.items()),
            env={"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/run/wheels", "PIP_CONFIG_FILE": "/dev/null"},
        )
        return done.stderr

    def bring(self) -> None:
        """Put the sources and the wheels on the machine, and people."""
        copy_tree(ROOT, self.machine.root / SOURCES.lstrip("/"), PASSING)
        copy_tree(wheels(), self.machine.root / "run/wheels", ())
        for user in (*PRODUCERS, CONSUMER, STRANGER):
            self.machine.run("useradd", "--no-create-home", user)

    def add_mlflow_client(self) -> None:
        """Install MLflow's client beside the program, from its lock."""
        copy_tree(wheels("mlflow-client"), self.machine.root / "run/wheels-mlflow", ())
        pip = ("/opt/model-inbox/current/bin/python", "-m", "pip", "--quiet", "--disable-pip-version-check")
        options = ("--no-index", "--find-links", "/run/wheels-mlflow", "--no-compile", "--require-hashes")
        lock = f"{SOURCES}/requirements/mlflow-client.txt"
        self.machine.run(*pip, "install", *options, "-r", lock, env={"PIP_CONFIG_FILE": "/dev/null"})

    def name_groups(self) -> None:
        """Put the people into their groups, as the operator does after the installation."""
        for user in PRODUCERS:
            self.machine.run("usermod", "-aG", "model-producers", user)
        self.machine.run("usermod", "-aG", "model-consumers", CONSUMER)

    # --- the service

    def systemctl(self, verb: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.machine.run("systemctl", verb, UNIT, check=check)

    def show(self, name: str) -> str:
        return self.machine.show(UNIT, name)[name]

    @property
    def pid(self) -> int:
        """The daemon's process, as inside."""
        return int(self.show("MainPID"))

    def signal(self, name: str) -> None:
        self.machine.run("kill", f"-{name}", str(self.pid))

    def events(self, name: str | None = None, *matches: str) -> list[dict[str, Any]]:
        """Return the service's own lines in the journal."""
        return self.machine.journal("-u", UNIT, *([f"EVENT={name}"] if name else []), *matches)

    def configure(self, text: str, *replacements: tuple[str, str]) -> None:
        """Write config.yaml: the text with pieces replaced, each of which must be there."""
        for old, new in replacements:
            assert old in text, old
            text = text.replace(old, new)
        self.config.write_text(text)

    def model_inbox(self, *words: str, user: str = "root", check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the installed program, found as people find it."""
        return self.machine.run("model-inbox", *words, user=user, check=check)

    # --- drops

    def put(self, name: str, data: bytes, user: str = PRODUCERS[0], umask: str = "027") -> None:
        """Write a file into the inbox as that user."""
        done = subprocess.run(
            self.machine.command("sh", "-c", f'umask {umask}; cat >"{STATE}/inbox/{name}"', user=user),
            input=data,
            capture_output=True,
        )
        assert done.returncode == 0, done.stderr

    def drop(
        self, stem: str, value: Any = None, *, user: str = PRODUCERS[0], data: bytes | None = None, **fields: Any
    ) -> None:
        """Drop a model as that user, sealed."""
        self.put(f"{stem}.pkl", pickled({"model": stem} if value is None else value) if data is None else data, user)
        self.put(f"{stem}.yaml", sidecar(**fields), user)

    def receipt(self, stem: str) -> Mapping[str, Any] | None:
        """Return the newest answer to a drop of that stem, of whatever user."""
        receipts = self.inbox / "receipts"
        found = [
            json.loads(path.read_bytes()) for path in (*receipts.glob(f"{stem}.json"), *receipts.glob(f"{stem}@*.json"))
        ]
        return max(found, key=lambda receipt: str(receipt["drop_id"]), default=None)

    def answer(self, stem: str, seconds: float = 60) -> Mapping[str, Any]:
        """Wait for the answer to a drop."""
        return self.machine.wait(lambda: self.receipt(stem), seconds)

    def registered(self, stem: str) -> None:
        """Wait until a drop is registered."""
        answer = self.answer(stem)
        assert answer["outcome"] == "registered", answer

    def models_known(self) -> list[str]:
        """Return the ids of all registrations that ever were, with repetitions."""
        lines = json.loads(self.model_inbox("history", "--json").stdout)
        return [line["model_id"] for line in lines if line["operation"] == "register"]
