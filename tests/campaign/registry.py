"""The registry under fire: writers and readers in processes of their own, killed at any moment, against an account.

`python tests/campaign/registry.py --seed 1 --minutes 5`; `make test-registry` runs it. Four writers register, delete,
restore, purge, pin, tag, alias, replace scalers, write checkpoints and change segments on one registry. Each says what
it is about to do and, when the call has returned, that it is done; the account (in this process) is of what was said.
Each is killed with SIGKILL again and again and goes on in a new process. Two readers look all the time: never less
than was acknowledged, never a line backwards, every model loadable. At the end, and whenever a writer was killed, the
files are read by `plain_reader`, which shares no code with the registry.

What was acknowledged must be there, and what was about to be done when its writer died there wholly or not at all.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import pickle
import random
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from model_inbox import EntryProtected, LoadRefused, ModelRegistry
from support.crash_kit import metadata
from support.plain_reader import read_history, read_registry

WRITERS, READERS, IDS_EACH = 4, 2, 6
ALIVE_SECONDS = (0.3, 1.5)
NUMBER_BYTES = 20


def opened(folder: Path, **options: Any) -> ModelRegistry:
    return ModelRegistry(
        folder / "registry.json", folder / "prediction", lock_timeout=60, segment_bytes=60_000, **options
    )


# --- a writer --------------------------------------------------------------------------------------------------------


def say(**what: Any) -> None:
    """Tell the account, in one write: what was said is said, whatever happens to this process."""
    os.write(1, json.dumps(what).encode() + b"\n")


def write(folder: Path, name: str, seed: int) -> None:
    """Change the registry until killed."""
    chance = random.Random(seed)
    registry = opened(folder, actor=name)
    acknowledged = os.open(folder / f"acknowledged-{name}", os.O_WRONLY | os.O_CREAT, 0o600)
    number = 0
    while True:
        number += 1
        model_id = f"{name}-{chance.randrange(IDS_EACH)}"
        entry = registry.get_model_info(model_id)
        if entry is None:
            what = chance.choice(["register", "register", "register", "restore", "purge", "segment"])
        else:
            what = chance.choice(
                ["delete", "delete", "pin", "unpin", "tag", "alias", "unalias", "scaler", "checkpoint", "segment"]
            )
        value = f"{seed}-{number}"
        scaler = value if chance.random() < 0.5 else None
        say(about=what, model_id=model_id, value=value, scaler=scaler)
        done = carry_out(registry, what, model_id, value, {"scaler": scaler} if scaler is not None else None)
        os.pwrite(acknowledged, b"%0*d" % (NUMBER_BYTES, registry.sequence), 0)
        say(done=what, model_id=model_id, value=value, scaler=scaler, changed=done)


def carry_out(registry: ModelRegistry, what: str, model_id: str, value: str, scaler: object) -> bool:
    """Do one thing; return whether it changed the model."""
    match what:
        case "register":
            registry.register_model(metadata(model_id, tags={"value": value}), {"model": value}, scaler)
        case "delete":
            try:
                return registry.delete_model(model_id)
            except EntryProtected:
                return False
        case "restore":
            if not [item for item in registry.retired() if item.model_id == model_id]:
                return False
            registry.restore(model_id)
        case "purge":
            for item in registry.retired():
                if item.model_id == model_id:
                    registry.purge(item)
            return False
        case "pin" | "unpin":
            getattr(registry, what)(model_id)
        case "tag":
            registry.tag(model_id, {"value": value})
        case "alias":
            registry.set_alias("champion", model_id)
            return False
        case "unalias":
            with contextlib.suppress(LookupError):  # somebody moved it meanwhile
                registry.remove_alias("champion", model_id)
            return False
        case "scaler":
            registry.replace_scaler(model_id, {"scaler": value})
        case "checkpoint":
            registry.checkpoint()
            return False
        case "segment":
            registry.change_segment()
            return False
    return True


# --- a reader --------------------------------------------------------------------------------------------------------


def read(folder: Path, name: str, seed: int) -> None:
    """Look at the registry until killed, and say what is wrong."""
    chance = random.Random(seed)
    registry = opened(folder, read_only=True)
    reached = looks = 0
    while True:
        if chance.random() < 0.05:
            registry.close()
            registry = opened(folder, read_only=True)
        least = max([0, *(int(path.read_bytes() or b"0") for path in folder.glob("acknowledged-*"))])
        entries = registry.list_models()
        sequence = registry.sequence
        if sequence < max(least, reached):
            say(wrong=f"line {sequence} is shown after {reached}, and {least} was acknowledged")
        if registry.damage is not None:
            say(wrong=f"damage: {registry.damage}")
        reached = max(reached, sequence)
        if [entry["sequence"] for entry in entries] != sorted((e["sequence"] for e in entries), reverse=True):
            say(wrong="the list is not in order")
        champions = [entry["model_id"] for entry in entries if "champion" in entry["aliases"]]
        if len(champions) > 1:
            say(wrong=f"two champions: {champions}")
        if entries:
            entry = chance.choice(entries)
            try:
                model, scaler = registry.load_model_objects(entry)
            except (FileNotFoundError, LoadRefused) as error:
                # It may have been purged since, and its id and file name may belong to another model.
                if registry.get_model_info(entry["model_id"]) == entry:
                    say(wrong=f"{entry['model_id']} is registered and cannot be loaded: {error}")
            else:
                if not model["model"] or (entry["scaler_path"] is None) != (scaler is None):
                    say(wrong=f"{entry['model_id']} loads as {model}, {scaler}")
        looks += 1
        if looks % 100 == 0:
            say(looks=looks)


# --- the account -----------------------------------------------------------------------------------------------------


@dataclass
class Writer:
    """What a writer has said: the state of its models as acknowledged, and what it was about to do."""

    name: str
    process: subprocess.Popen[bytes] | None = None
    dies_at: float = 0.0
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    trash: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    about: dict[str, Any] | None = None
    acknowledged: int = 0
    deaths: int = 0


def changed(models: dict[str, dict[str, Any]], trash: dict[str, list[dict[str, Any]]], said: dict[str, Any]) -> None:
    """Make in the account the change that a writer speaks of."""
    model_id, value = said["model_id"], said["value"]
    match said.get("done") or said["about"]:
        case "register":
            models[model_id] = {"model": value, "tag": value, "pinned": False, "scaler": said["scaler"]}
        case "delete":
            trash.setdefault(model_id, []).append(models.pop(model_id))
        case "restore":
            models[model_id] = trash[model_id].pop()
        case "pin" | "unpin" as how:
            models[model_id]["pinned"] = how == "pin"
        case "tag":
            models[model_id]["tag"] = value
        case "scaler":
            models[model_id]["scaler"] = value


def shown(folder: Path, entries: dict[str, Any], name: str) -> dict[str, dict[str, Any]]:
    """Return what the files say of one writer's models, as the account would."""
    found = {}
    for model_id, entry in entries.items():
        if model_id.startswith(f"{name}-"):
            for path, digest in (("model_path", "sha256"), ("scaler_path", "scaler_sha256")):
                if entry[path] is not None:
                    data = (folder / entry[path]).read_bytes()
                    assert hashlib.sha256(data).hexdigest() == entry[digest], (
                        f"{entry[path]} is not what was registered"
                    )
            scaler = entry["scaler_path"]
            found[model_id] = {
                "model": pickle.loads((folder / entry["model_path"]).read_bytes())["model"],
                "tag": entry["tags"]["value"],
                "pinned": entry["pinned"],
                "scaler": pickle.loads((folder / scaler).read_bytes())["scaler"] if scaler is not None else None,
            }
    return found


class Campaign:
    """The processes, their account, and the end."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.chance = random.Random(seed)
        self.selector = selectors.DefaultSelector()
        self.writers = {f"w{number}": Writer(f"w{number}") for number in range(WRITERS)}
        self.readers: dict[str, subprocess.Popen[bytes]] = {}
        self.looks: dict[str, int] = {}
        self.wrong: list[str] = []
        self.rests: dict[str, bytes] = {}

    def start(self, role: str, name: str) -> subprocess.Popen[bytes]:
        seed = str(self.chance.randrange(1 << 30))
        command = [sys.executable, __file__, "--role", role, "--name", name, "--seed", seed]
        process = subprocess.Popen([*command, "--folder", str(self.folder)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        self.selector.register(process.stdout, selectors.EVENT_READ, name)
        return process

    def run(self, seconds: float) -> None:
        """Let everybody work, and kill, for so long."""
        opened(self.folder).close()
        for number in range(READERS):
            self.readers[f"r{number}"] = self.start("read", f"r{number}")
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self.wrong:
            for writer in self.writers.values():
                if writer.process is None:
                    writer.process = self.start("write", writer.name)
                    writer.dies_at = 0.0
                elif writer.dies_at and time.monotonic() >= writer.dies_at:
                    self.kill(writer)
            for key, _ in self.selector.select(0.02):
                self.hear(key.data)
            if any(process.poll() is not None for process in self.readers.values()):
                break
        for writer in self.writers.values():
            if writer.process is not None:
                self.kill(writer)
        for name, process in self.readers.items():
            if process.poll() is not None:
                self.wrong.append(f"{name} ended by itself with {process.poll()}")
            self.end(name, process)

    def kill(self, writer: Writer) -> None:
        """End a writer as a power cut does, and hold the files against the account."""
        assert writer.process is not None
        if writer.process.poll() is not None:
            self.wrong.append(f"{writer.name} ended by itself with {writer.process.poll()}")
        self.end(writer.name, writer.process)
        writer.process = None
        writer.deaths += 1
        found = shown(self.folder, read_registry(self.folder / "registry.json"), writer.name)
        allowed = [(writer.models, writer.trash)]
        if writer.about is not None:
            after = json.loads(json.dumps([writer.models, writer.trash]))
            with contextlib.suppress(KeyError, IndexError):  # a deletion that would have been refused, and the like
                changed(*after, writer.about)
                allowed.append(after)
        for models, trash in allowed:
            if models == found:
                writer.models, writer.trash, writer.about = models, trash, None
                return
        self.wrong.append(f"{writer.name}: {found} is neither {allowed[0][0]} nor that after {writer.about}")

    def end(self, name: str, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.hear(name)
        assert process.stdout is not None
        self.selector.unregister(process.stdout)
        process.stdout.close()

    def hear(self, name: str) -> None:
        """Take in what a process has said."""
        process = self.readers.get(name) or self.writers[name].process
        assert process is not None and process.stdout is not None
        for said in self._lines(name, process):
            if "wrong" in said:
                self.wrong.append(f"{name}: {said['wrong']}")
            elif "looks" in said:
                self.looks[name] = said["looks"]
            elif "about" in said:
                writer = self.writers[name]
                writer.about = said
                if not writer.dies_at:  # it works: from now on it may be killed
                    writer.dies_at = time.monotonic() + self.chance.uniform(*ALIVE_SECONDS)
            else:
                writer = self.writers[name]
                if said["changed"]:
                    changed(writer.models, writer.trash, said)
                writer.about = None
                writer.acknowledged += 1

    def _lines(self, name: str, process: subprocess.Popen[bytes]) -> Iterator[dict[str, Any]]:
        assert process.stdout is not None
        while data := process.stdout.read(1 << 16):
            whole, _, rest = (self.rests.pop(name, b"") + data).rpartition(b"\n")
            self.rests[name] = rest
            yield from (json.loads(line) for line in whole.splitlines())
        if process.poll() is not None:
            self.rests.pop(name, None)

    def check_the_end(self) -> None:
        """Hold everything that is left against the account and against itself."""
        before = read_registry(self.folder / "registry.json")
        with opened(self.folder) as registry:
            registry.finish_retirements()
            registry.finish_purges()
            registry.checkpoint(force=True)
            for writer in self.writers.values():
                for model_id, known in writer.models.items():
                    model, scaler = registry.load_model_objects(registry.registry[model_id])
                    assert model == {"model": known["model"]}
                    assert (scaler and scaler["scaler"]) == known["scaler"]
        assert json.loads((self.folder / "registry.json").read_bytes()) == before
        lines = read_history(self.folder / "registry.json")
        assert [line["sequence"] for line in lines] == list(range(1, len(lines) + 1))
        assert [line["time"] for line in lines] == sorted(line["time"] for line in lines)
        for writer in self.writers.values():
            assert shown(self.folder, before, writer.name) == writer.models


def main() -> int:
    """Run the campaign, or one of its processes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--folder", type=Path, help="where to work; a temporary folder by default")
    parser.add_argument("--role", choices=("write", "read"), help=argparse.SUPPRESS)
    parser.add_argument("--name", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        # The account is told on stdout: what the library logs, like files that a killed writer left, goes elsewhere.
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
        {"write": write, "read": read}[options.role](options.folder, options.name, options.seed)
    with tempfile.TemporaryDirectory(prefix="campaign-", dir=options.folder) as name:
        campaign = Campaign(Path(name), options.seed)
        campaign.run(options.minutes * 60)
        deaths = sum(writer.deaths for writer in campaign.writers.values())
        acknowledged = sum(writer.acknowledged for writer in campaign.writers.values())
        if not campaign.wrong:
            campaign.check_the_end()
        print(f"{acknowledged} acknowledged, {deaths} killed, {sum(campaign.looks.values())} looks")
        for text in campaign.wrong:
            print(f"WRONG: {text}")
        if campaign.wrong:
            kept = Path(tempfile.mkdtemp(prefix="campaign-failed-"))
            shutil.copytree(name, kept, dirs_exist_ok=True)
            print(f"seed {options.seed}; what is left is in {kept}")
    return 1 if campaign.wrong or not acknowledged or not deaths or not campaign.looks else 0


if __name__ == "__main__":
    raise SystemExit(main())
