"""A storm: `python tests/storm.py [--drops 2000] [--seed N]`, or `make storm`.

Eight processes of three users bring drops in every way of `ways`, at once, whole and broken, some of them killed
half-way, and some of these brought again; meanwhile the inbox is renamed away and back, and the daemon killed and
started again. It runs as a user of its own, with CAP_LEASE and nothing else. What each drop must come to is written
down before it is brought. In the end every whole drop is registered, once, with its very bytes, and has its receipt;
every broken one is rejected with a reason that fits; files that were only linked, or lay beside, or in the inbox under
names that are no drop's, are as they were; nothing is left; `verify` finds nothing; and the daemon ends with 0.

The seed decides what is dropped how; what the scheduler makes of it is its own. Exit 1 with what is wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import mmap
import os
import pickle
import pwd
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from support import ways
from support.world import Daemon, World, digest, pickled, sidecar

PRODUCERS, SERVICE, THEM = 61_000, 61_003, 61_004
# Users that every system knows: sftp-server asks for the name of the one that it runs as.
USERS = tuple(pwd.getpwnam(name).pw_uid for name in (*["root"] * 4, "daemon", "daemon", "nobody", "nobody"))
WAYS = {**ways.EVERYWHERE, **ways.INSTALLED}
GIVE_UP_SECONDS = 60.0
# What systemd gives the daemon: a user of its own, and of root's rights the one to ask for leases.
AS_SERVICE = (
    *("setpriv", f"--reuid={SERVICE}", f"--regid={PRODUCERS}", "--clear-groups", "--no-new-privs"),
    *("--inh-caps=-all,+lease", "--ambient-caps=+lease", "--bounding-set=-all,+lease", "--"),
)
NO_DROPS = (
    *(".hidden.pkl", ".hidden.yaml", "m.pkl.part", "m.yaml.tmp", "m.yaml~", "sedAb12Cd", ".m.pkl.Ab12Cd"),
    *("folder/m.pkl", "folder/m.yaml", "folder.yaml/x", "folder.pkl/x"),
)
THEIRS = ("theirs.pkl", "theirs.yaml")  # a drop of one more user, who has the model open for the whole storm


@dataclass(frozen=True)
class Plan:
    """One drop: what it holds, how it comes, and what it must come to (codes of its rejection; none: registered)."""

    stem: str
    kind: str
    way: str
    order: str
    sealed: bool
    scaled: bool
    seed: int
    codes: tuple[str, ...]


BROKEN: dict[str, tuple[str, ...]] = {
    "killed in the model": ("artifact.truncated",),
    "killed before the sidecar": ("drop.no_sidecar",),
    "killed in the sidecar": (
        "sidecar.not_yaml",
        "sidecar.missing_field",
        "sidecar.invalid_value",
        "sidecar.empty",
        "sidecar.not_a_mapping",
    ),
    "model missing": ("artifact.missing",),
    "wrong digest": ("artifact.digest_mismatch",),
    "unknown key": ("sidecar.unknown_key",),
    "malicious": ("artifact.never_allowed",),
    "empty model": ("artifact.truncated", "artifact.missing"),
    "link for a model": ("artifact.not_regular",),
    "path for a model": ("sidecar.path_not_plain_name",),
    "bad name": ("drop.invalid_name",),
    "id taken": ("registry.model_id_taken",),
    "model of another user": ("sidecar.not_owner",),
}
SLOW = ("paused", "held open", "mapped")
AGAIN = ("interrupted", "twice")


def plans(count: int, seed: int) -> list[Plan]:
    chance = random.Random(seed)
    made = []
    for number in range(count):
        way = list(WAYS)[number % len(WAYS)] if number < 2 * len(WAYS) else chance.choice(list(WAYS))
        kind = "whole"
        if number >= len(WAYS) and chance.random() < 0.3:
            kind = chance.choice([*BROKEN, *SLOW, *AGAIN])
        stem = f"m{number:05d}" if kind != "bad name" else f"m {number:05d}"
        order = "".join(chance.sample("msy", 3))
        sealed, scaled = chance.random() < 0.7, chance.random() < 0.5
        made.append(Plan(stem, kind, way, order, sealed, scaled, chance.randrange(1 << 30), BROKEN.get(kind, ())))
    return made


def contents(plan: Plan) -> dict[str, bytes]:
    """Return the files of a drop by their part: m model, s scaler, y sidecar."""
    chance = random.Random(plan.seed)
    size = 200_000 if plan.kind == "interrupted" else chance.choice([200, 20_000, 200_000])
    model = pickled({"of": plan.stem, "weights": chance.randbytes(size)})
    parts = {"m": model}
    fields: dict[str, object] = {"scaler_file": f"{plan.stem}_scaler.pkl" if plan.scaled else None}
    if plan.scaled:
        parts["s"] = pickled({"scaler": plan.stem})
    if plan.seed % 3 == 0 and not plan.codes:  # with names and digests of its own
        fields |= {"model_id": id_of(plan), "model_file": names_of(plan)["m"]}
        fields["sha256"] = {"model": digest(model)} | ({"scaler": digest(parts["s"])} if plan.scaled else {})
    if plan.kind == "malicious":
        parts["m"] = b"cposix\nsystem\n(S'touch /tmp/owned'\ntR."
    elif plan.kind == "empty model":
        parts["m"] = b""
    elif plan.kind == "wrong digest":
        fields["sha256"] = {"model": digest(b"other"), "scaler": digest(parts["s"]) if plan.scaled else None}
    elif plan.kind == "unknown key":
        fields["model_typ"] = "x"
    elif plan.kind == "path for a model":
        fields["model_file"] = "../models/prediction/m00000.pkl"
    elif plan.kind == "model of another user":
        fields["model_file"] = "theirs.pkl"
    elif plan.kind == "id taken":
        fields["model_id"] = "first"
    parts["y"] = sidecar("..." if plan.sealed else "", **fields)
    return parts


# --- producers ------------------------------------------------------------------------------------------------------


def id_of(plan: Plan) -> str:
    return f"id.{plan.stem}" if plan.seed % 3 == 0 and not plan.codes else plan.stem


def names_of(plan: Plan) -> dict[str, str]:
    model = f"{id_of(plan)}.pkl" if plan.seed % 2 else f"{plan.stem}.pkl"
    return {"m": model, "s": f"{plan.stem}_scaler.pkl", "y": f"{plan.stem}.yaml"}


def insist(act: object, *args: object) -> None:
    """Do it again while the inbox is away: what a producer's own retry does."""
    deadline = time.monotonic() + GIVE_UP_SECONDS
    while True:
        try:
            act(*args)  # type: ignore[operator]
            return
        except (OSError, subprocess.CalledProcessError) as error:
            said = getattr(error, "stderr", b"") or str(error).encode()
            target = args[1] if len(args) > 1 else None
            if isinstance(target, Path) and os.path.lexists(target):
                target.unlink()  # of our own, half-made
            if time.monotonic() > deadline:
                raise AssertionError(f"{args}: {error} {said!r}") from None
            time.sleep(0.01)


def bring(plan: Plan, inbox: Path, work: Path, elsewhere: Path) -> None:
    """Bring one drop, as its plan says."""
    chance = random.Random(plan.seed)
    parts, names = contents(plan), names_of(plan)
    sources = {}
    for part, data in parts.items():
        sources[part] = work / names[part]
        sources[part].write_bytes(data)
    way = WAYS[plan.way]
    order = [part for part in plan.order if part in parts]
    if plan.kind == "killed before the sidecar":
        order = ["m"]
    elif plan.kind in ("model missing", "model of another user"):
        order.remove("m")
    for part in order:
        data = parts[part]
        target = inbox / names[part]
        cut = {"killed in the model": "m", "killed in the sidecar": "y"}.get(plan.kind) == part
        if cut:
            # The end of a sidecar holds the required `horizons`: without it, it can never be whole.
            length = chance.randrange(1, len(data) - 1) if part == "m" else chance.randrange(data.index(b"horizons"))
            insist(die_writing, data[:length], target)
        elif plan.kind == "link for a model" and part == "m":
            insist(os.symlink, "/etc/passwd", target)
        elif plan.kind in SLOW and part == "m":
            insist(write_slowly, data, target, chance.uniform(0.1, 1.0), plan.kind)
        elif plan.kind == "interrupted" and part == "m":
            insist(interrupt, sources[part], target, chance.choice(list(INTERRUPTED)))
            insist(ways.cp, sources[part], target, elsewhere)
            insist(let_read, inbox, target.name)
        else:
            insist(way, sources[part], target, elsewhere)
            insist(let_read, inbox, target.name)
        if chance.random() < 0.1:
            time.sleep(chance.random() * 0.1)
    if plan.kind == "twice":
        wait_for_receipt(inbox, plan.stem, parts["y"])
        for part in plan.order:
            if part in parts:
                (work / names[part]).unlink(missing_ok=True)
                (work / names[part]).write_bytes(parts[part])
                insist(ways.cp, work / names[part], inbox / names[part], elsewhere)


def wait_for_receipt(inbox: Path, stem: str, text: bytes) -> None:
    """Wait for the answer to this very sidecar."""
    deadline = time.monotonic() + GIVE_UP_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if json.loads((inbox / "receipts" / f"{stem}.json").read_bytes())["sidecar_sha256"] == digest(text):
                return
        time.sleep(0.05)
    raise AssertionError(f"{stem} was not answered in {GIVE_UP_SECONDS:g} s")


def let_read(inbox: Path, name: str) -> None:
    """Do what `inbox explain` says of a file that its tool closed to the group, as Python's tempfile does."""
    folder = os.open(inbox, os.O_PATH)  # wherever it is renamed to
    try:
        with contextlib.suppress(FileNotFoundError):  # it could be read: it was taken
            if not os.stat(name, dir_fd=folder).st_mode & 0o040:
                os.chmod(name, 0o640, dir_fd=folder)
    finally:
        os.close(folder)


INTERRUPTED: dict[str, tuple[str, ...]] = {
    "rsync --partial": ("rsync", "--partial", "--bwlimit=50"),
    "rsync --inplace": ("rsync", "--inplace", "--bwlimit=50"),
    "rsync": ("rsync", "--bwlimit=50"),
}
"""Programs that take four seconds for 200 KB, and are ended after a moment."""


def interrupt(source: Path, target: Path, program: str) -> None:
    """Let a program bring a part of the file: ended as by Ctrl-C, or killed. No error when the inbox was away."""
    started = subprocess.Popen(
        [*INTERRUPTED[program], source, target],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    with contextlib.suppress(subprocess.TimeoutExpired):
        started.wait(0.3)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(started.pid, signal.SIGINT if started.pid % 2 else signal.SIGKILL)
    started.wait()


def die_writing(data: bytes, target: Path) -> None:
    """A writer in a process of its own that is killed in the middle."""
    script = (
        "import os, sys, signal\n"
        "file = open(sys.argv[1], 'wb', buffering=0)\n"
        "file.write(sys.stdin.buffer.read())\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        ["/usr/bin/env", PYTHON, "-I", "-S", "-c", script, str(target)], input=data, capture_output=True
    )
    if done.returncode not in (-signal.SIGKILL, 128 + signal.SIGKILL):
        raise OSError(done.stderr.decode())


PYTHON = "python3"


def write_slowly(data: bytes, target: Path, seconds: float, kind: str) -> None:
    """Half, a pause, the rest: closed in between, held open all the time (and longer), or mapped and closed."""
    half = len(data) // 2
    if kind == "mapped":
        with target.open("w+b") as file:
            file.truncate(len(data))
            mapped = mmap.mmap(file.fileno(), len(data))
        mapped[half:] = data[half:]  # whole by its end
        time.sleep(seconds)
        mapped[:half] = data[:half]
        mapped.close()
        return
    if kind == "held open":
        with target.open("wb", buffering=0) as file:
            file.write(data[:half])
            time.sleep(seconds)
            file.write(data[half:])
            time.sleep(seconds)
        return
    target.write_bytes(data[:half])
    time.sleep(seconds)
    with target.open("r+b") as file:  # never made again when the inbox is away
        file.seek(half)
        file.write(data[half:])


def produce(number: int, share: list[Plan], root: Path, elsewhere: Path, failed: Event) -> None:
    """One producer process, as one of the users."""
    uid = USERS[number % len(USERS)]
    work = root / f"work{number}"
    os.setgroups([])
    os.setresgid(PRODUCERS, PRODUCERS, PRODUCERS)
    os.setresuid(uid, uid, uid)
    os.umask(0o027)
    try:
        for plan in share:
            bring(plan, root / "inbox", work, elsewhere)
    except BaseException:
        traceback.print_exc()
        failed.set()
        raise


def trouble(
    world: World, daemon: Daemon, by: Sequence[str], producers: Sequence[Any], seed: int
) -> tuple[Daemon, int, int]:
    """While producers bring: rename the inbox away and back again and again, and kill the daemon now and then.

    Returns the daemon that runs in the end, how often the inbox was away, and how many daemons were killed.
    """
    chance = random.Random(seed)
    away = world.inbox.with_name("inbox-away")
    moves = kills = 0
    while any(producer.is_alive() for producer in producers):
        time.sleep(chance.uniform(0.2, 1.2))
        dies = chance.choice(["away", "there", "", "", "", ""])
        os.rename(world.inbox, away)
        time.sleep(chance.choice([0.0, 0.02, 0.1, 0.4]))
        if dies == "away":
            daemon.kill()
        os.rename(away, world.inbox)
        moves += 1
        if dies:
            daemon.kill()
            kills += 1
            daemon = Daemon(world, by=by)
            daemon.wait_for("daemon.ready")
    return daemon, moves, kills


# --- what must hold in the end --------------------------------------------------------------------------------------


def seen(path: Path) -> tuple[object, ...]:
    """Return all that must not change of a bystander's file; nothing when it is not there."""
    if not path.exists():
        return ()
    found = path.lstat()
    kept = (found.st_ino, found.st_mode, found.st_uid, found.st_gid, found.st_mtime_ns, found.st_ctime_ns)
    return (*kept, path.read_bytes())


def stored_as(world: World, plan: Plan, parts: dict[str, bytes]) -> list[str]:
    """Return what is wrong with the files and the receipt of a registered drop."""
    wrong = []
    model = world.models / "prediction" / f"{id_of(plan)}.pkl"
    for path, part in ((model, "m"), (model.with_suffix(".yaml"), "y"), (model.with_stem(f"{model.stem}_scaler"), "s")):
        if part in parts and path.read_bytes() != parts[part]:
            wrong.append(f"{path.name} has other bytes")
        if part in parts and (path.stat().st_mode & 0o777, path.stat().st_nlink) != (0o440, 1):
            wrong.append(f"{path.name} has mode {path.stat().st_mode:o} and {path.stat().st_nlink} names")
    receipt = world.receipt(plan.stem) or {}
    said = (receipt.get("outcome"), receipt.get("model_id"), receipt.get("sidecar_sha256"))
    if said != ("duplicate" if plan.kind == "twice" else "registered", id_of(plan), digest(parts["y"])):
        wrong.append(f"the receipt says {said}")
    return wrong


def verdicts(world: World, storm: list[Plan], root: Path, bystanders: dict[str, tuple[object, ...]]) -> list[str]:
    """Return everything that is not as it must be."""
    wrong = []
    with world.registry() as registry:
        entries = dict(registry.registry)
        times = Counter(line.model_id for line in registry.history() if line.operation == "register")
    rejected: dict[str, list[dict[str, object]]] = {}
    for folder in (world.inbox / "rejected").iterdir():
        reason = json.loads((folder / "reason.json").read_text())
        rejected.setdefault(str(reason["stem"]), []).append(reason)
    for plan in storm:
        parts = contents(plan)
        reasons = rejected.pop(plan.stem, [])
        said = [problem["code"] for reason in reasons for problem in reason["problems"]]  # type: ignore[attr-defined]
        what = f"{plan.stem} ({plan.kind}, {plan.way}, {plan.order}, {'' if plan.sealed else 'un'}sealed)"
        if not plan.codes:
            entry = entries.pop(id_of(plan), None)
            if entry is None or times[id_of(plan)] != 1:
                wrong.append(f"{what}: registered {times[id_of(plan)]} times; rejected for {said}")
            elif (entry["sha256"], entry["scaler_sha256"]) != (
                digest(parts["m"]),
                digest(parts["s"]) if plan.scaled else None,
            ):
                wrong.append(f"{what}: registered with other bytes")
            else:
                wrong += [f"{what}: {one}" for one in stored_as(world, plan, parts)]
            if reasons:
                wrong.append(f"{what}: rejected for {said}, too")
            continue
        if plan.stem in entries:
            wrong.append(f"{what}: registered")
        # A file that came behind its sidecar's rejection is a stray of its own stem.
        main = [reason for reason in reasons if set(plan.codes) & {p["code"] for p in reason["problems"]}]  # type: ignore[attr-defined]
        if len(main) != 1:
            wrong.append(f"{what}: rejected {len(main)} times for {plan.codes}; said was {said}")
        for reason in reasons:
            wrong += [
                f"{what}: a reason without a message or hint: {problem}"
                for problem in reason["problems"]  # type: ignore[attr-defined]
                if not problem.get("message") or not problem.get("hint")
            ]
    known = {plan.stem for plan in storm}
    for stem, reasons in rejected.items():
        if stem.removesuffix("_scaler") not in known:
            wrong.append(f"rejected, and never dropped: {stem}: {reasons}")
    wrong += [f"registered, and never dropped: {stem}" for stem in entries if stem != "first"]
    wrong += [f"left in the inbox: {name}" for name in left(world)]
    wrong += [f"{name} in the inbox was touched" for name in bystanders if seen(world.inbox / name) != bystanders[name]]
    wrong += [f"left in hand: {name}" for name in world.in_hand()]
    wrong += [f"left in staging: {name}" for name in world.staged()]
    kept = {path.stat().st_ino for path in world.inbox.glob("rejected/*/*")}  # a linked file of a refused drop
    for number in range(len(USERS)):
        for path in (root / f"work{number}").iterdir():
            if path.stat().st_nlink != 1 + (path.stat().st_ino in kept):
                wrong.append(f"a source has a second name: {path}")
    return wrong


def sources_changed(storm: list[Plan], root: Path) -> list[str]:
    """Return what lies beside the inbox and is not as its producer wrote it."""
    wrong = []
    by_stem = {plan.stem: plan for plan in storm}
    for number in range(len(USERS)):
        for path in (root / f"work{number}").iterdir():
            stem = path.name.removeprefix("id.").removesuffix(".pkl").removesuffix(".yaml").removesuffix("_scaler")
            parts = contents(by_stem[stem])
            part = "y" if path.suffix == ".yaml" else "s" if path.stem.endswith("_scaler") else "m"
            if path.read_bytes() != parts[part]:
                wrong.append(f"a source was changed: {path}")
    if pickle.loads((root / "bystander.pkl").read_bytes()) != ["mine"] or (root / "bystander.pkl").stat().st_nlink != 1:
        wrong.append("the bystander's file was touched")
    return wrong


def lie_about(world: World, owner: int, names: Sequence[str]) -> dict[str, tuple[object, ...]]:
    """Put files into the inbox that no producer of the storm brings; return what must not change of them."""
    for name in names:
        path = world.inbox / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(sidecar() if name.endswith(".yaml") else pickled([name]))
        os.chown(path, owner, PRODUCERS)
        path.chmod(0o640)
    return {name: seen(world.inbox / name) for name in names}


def left(world: World) -> list[str]:
    """Return what is left in the inbox of drops: not what is hidden, and not what lay there before."""
    there = {name.split("/")[0] for name in (*NO_DROPS, *THEIRS)}
    return [name for name in world.left() if not name.startswith(".") and name not in there]


def runs_as(root: Path) -> Sequence[str]:
    """Return what runs the daemon as the service's user, or nothing where that user cannot run our interpreter."""
    command = ["sh", "-c", '"$0" -c "import model_inbox"', sys.executable]
    tried = subprocess.run([*AS_SERVICE, *command], cwd=root, capture_output=True, check=False)
    if tried.returncode == 0:
        return AS_SERVICE
    print(f"the daemon runs as root: no other user can run {sys.executable}", flush=True)
    return ()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drops", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--timeout", type=float, default=20.0, help="the inbox's incomplete_timeout, in seconds")
    options = parser.parse_args()
    assert os.geteuid() == 0, "the storm changes users: run it as root (in a container, say)"
    print(f"storm of {options.drops} drops in {len(WAYS)} ways, seed {options.seed}", flush=True)
    root = Path(tempfile.mkdtemp(prefix="storm-"))
    root.chmod(0o755)
    elsewhere = Path(tempfile.mkdtemp(prefix="storm-", dir="/dev/shm"))
    elsewhere.chmod(0o1777)
    try:
        return rage(options, root, elsewhere)
    finally:
        shutil.rmtree(elsewhere, ignore_errors=True)
        shutil.rmtree(root, ignore_errors=True)


def rage(options: argparse.Namespace, root: Path, elsewhere: Path) -> int:
    storm = plans(options.drops, options.seed)
    (root / "bystander.pkl").write_bytes(pickled(["mine"]))
    seconds = options.timeout
    world = World(
        root,
        {
            "inbox": {
                "settle_seconds": 0.5,
                "rescan_seconds": 2,
                "incomplete_timeout": f"{seconds:g}s",
                "orphan_timeout": f"{seconds * 1.25:g}s",
            },
            "logging": {"level": "info", "format": "json"},
        },
    )
    for number, uid in enumerate(USERS):
        work = root / f"work{number}"
        work.mkdir()
        os.chown(work, uid, PRODUCERS)
    by = runs_as(root)
    service = SERVICE if by else 0
    for folder, mode in ((world.inbox, 0o3770), (world.models, 0o2750)):
        folder.mkdir()
        os.chown(folder, service, PRODUCERS)
        folder.chmod(mode)
    context = get_context("fork")
    failed = context.Event()
    began = time.monotonic()
    daemon = whole_log = Daemon(world, by=by)
    try:
        daemon.wait_for("daemon.ready")
        bystanders = lie_about(world, USERS[-1], NO_DROPS) | lie_about(world, THEM, THEIRS[:1])
        with (world.inbox / "theirs.pkl").open("ab"):
            bystanders |= lie_about(world, THEM, THEIRS[1:])
            lie_about(world, THEM, ("first.pkl", "first.yaml"))
            daemon.wait_for("drop.registered")
            producers = [
                context.Process(target=produce, args=(number, storm[number :: len(USERS)], root, elsewhere, failed))
                for number in range(len(USERS))
            ]
            for process in producers:
                process.start()
            daemon, moves, kills = trouble(world, daemon, by, producers, options.seed)
            brought = time.monotonic() - began
            if failed.is_set():
                print("a producer failed")
                return 1
            with contextlib.suppress(AssertionError):
                daemon.wait(lambda: not left(world) and not world.in_hand(), seconds * 3 + options.drops * 0.05)
            wrong = verdicts(world, storm, root, bystanders) + sources_changed(storm, root)
        with contextlib.suppress(AssertionError):
            daemon.wait(lambda: "theirs" in world.registrations())
        wrong += [] if "theirs" in world.registrations() else ["what was open was not taken when it was closed"]
        events = whole_log.events()
        levels = Counter(event["level"] for event in events)
        # While it is away, the inbox cannot be used: that is an error, and is said.
        away = {"inbox.unavailable", "inbox.unreadable"}
        # So is that a daemon was killed while it had a drop in work. An exception has a traceback.
        killed = [e for e in events if e["event"] == "drop.failed_unexpectedly" and "traceback" not in e]
        errors = [e for e in events if e["level"] in ("error", "critical") and e not in killed]
        unexpected = {e["event"] for e in errors} - away
        if unexpected:
            wrong.append(f"logged: {unexpected}")
        with contextlib.suppress(FileNotFoundError):
            if Path("/tmp/owned").stat():
                wrong.append("a pickle was run")
        code = daemon.stop()
        if code != 0:
            wrong.append(f"the daemon ended with {code}")
        command = [sys.executable, "-m", "model_inbox", "--config", str(world.config_path), "verify", "--digests"]
        verified = subprocess.run([*by, *command], cwd=root, capture_output=True, text=True, check=False)
        if verified.returncode != 0:
            wrong.append(f"verify: {verified.stdout}{verified.stderr}")
    finally:
        daemon.kill()
    kinds = Counter(plan.kind for plan in storm)
    print(
        f"brought in {brought:.0f} s, ended after {time.monotonic() - began:.0f} s;"
        f" the inbox away {moves} times, the daemon killed {kills} times;"
        f" {kinds['whole']} whole, {sum(kinds.values()) - kinds['whole']} not or slow; log lines {dict(levels)}"
    )
    for line in wrong[:12]:
        print(f"WRONG: {line}")
    print(f"{len(wrong)} wrong" if wrong else "all as it must be")
    if wrong:
        kept = Path(tempfile.gettempdir()) / f"storm-{options.seed}.log"
        shutil.copyfile(world.log_path, kept)
        print(f"the daemon's log: {kept}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
