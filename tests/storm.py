"""A storm: `python tests/storm.py [--drops 2000] [--seed N]`, or `make storm`.

Eight processes of three users bring drops in every way of `ways`, at once, whole and broken, some of them killed
half-way, while the inbox is renamed away and back. What each drop must come to is written down before it is brought.
In the end every whole drop is registered, once, with its very bytes; every broken one is rejected with a reason that
fits; files that were only linked, or lay beside, are as they were; nothing is left; and the daemon ends with 0.

The seed decides what is dropped how; what the scheduler makes of it is its own. Exit 1 with what is wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import json
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
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import ways
from world import World, digest, pickled, sidecar

PRODUCERS = 61_000
# Users that every system knows: sftp-server asks for the name of the one that it runs as.
USERS = tuple(pwd.getpwnam(name).pw_uid for name in (*["root"] * 4, "daemon", "daemon", "nobody", "nobody"))
WAYS = {**ways.EVERYWHERE, **ways.INSTALLED}
GIVE_UP_SECONDS = 60.0


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
}
SLOW = ("paused", "held open")


def plans(count: int, seed: int) -> list[Plan]:
    chance = random.Random(seed)
    made = []
    for number in range(count):
        way = list(WAYS)[number % len(WAYS)] if number < 2 * len(WAYS) else chance.choice(list(WAYS))
        kind = "whole"
        if number >= len(WAYS) and chance.random() < 0.3:
            kind = chance.choice([*BROKEN, *SLOW])
        stem = f"m{number:05d}" if kind != "bad name" else f"m {number:05d}"
        order = "".join(chance.sample("msy", 3))
        sealed, scaled = chance.random() < 0.7, chance.random() < 0.5
        made.append(Plan(stem, kind, way, order, sealed, scaled, chance.randrange(1 << 30), BROKEN.get(kind, ())))
    return made


def contents(plan: Plan) -> dict[str, bytes]:
    """Return the files of a drop by their part: m model, s scaler, y sidecar."""
    chance = random.Random(plan.seed)
    model = pickled({"of": plan.stem, "weights": chance.randbytes(chance.choice([200, 20_000, 200_000]))})
    parts = {"m": model}
    fields: dict[str, object] = {"scaler_file": f"{plan.stem}_scaler.pkl" if plan.scaled else None}
    if plan.scaled:
        parts["s"] = pickled({"scaler": plan.stem})
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
    parts["y"] = sidecar("..." if plan.sealed else "", **fields)
    return parts


# --- producers ------------------------------------------------------------------------------------------------------


def names_of(plan: Plan) -> dict[str, str]:
    return {"m": f"{plan.stem}.pkl", "s": f"{plan.stem}_scaler.pkl", "y": f"{plan.stem}.yaml"}


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
    elif plan.kind == "model missing":
        order.remove("m")
    for part in order:
        target = inbox / names[part]
        cut = {"killed in the model": "m", "killed in the sidecar": "y"}.get(plan.kind) == part
        if cut:
            data = parts[part]
            # The end of a sidecar holds the required `horizons`: without it, it can never be whole.
            length = chance.randrange(1, len(data) - 1) if part == "m" else chance.randrange(data.index(b"horizons"))
            insist(die_writing, data[:length], target)
        elif plan.kind == "link for a model" and part == "m":
            insist(os.symlink, "/etc/passwd", target)
        elif plan.kind in SLOW and part == "m":
            insist(write_slowly, parts[part], target, chance.uniform(0.1, 1.0), plan.kind)
        else:
            insist(way, sources[part], target, elsewhere)
        if chance.random() < 0.1:
            time.sleep(chance.random() * 0.1)


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
    """Half, a pause, the rest: closed in between, or held open all the time (and longer)."""
    half = len(data) // 2
    if kind == "held open":
        with target.open("wb", buffering=0) as file:
            file.write(data[:half])
            time.sleep(seconds)
            file.write(data[half:])
            time.sleep(seconds)
        return
    target.write_bytes(data[:half])
    time.sleep(seconds)
    with target.open("r+b") as file:  # never made anew when the inbox is away
        file.seek(half)
        file.write(data[half:])


def produce(number: int, share: list[Plan], root: Path, elsewhere: Path, failed: Event) -> None:
    """One producer process, as one of the users."""
    uid = USERS[number % len(USERS)]
    work = root / f"work{number}"
    if uid:
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


def move_about(inbox: Path, seed: int, done: Event, moves: object) -> None:
    """Rename the inbox away and back, again and again."""
    chance = random.Random(seed)
    away = inbox.with_name("inbox-away")
    while not done.wait(chance.uniform(0.5, 2.0)):
        os.rename(inbox, away)
        time.sleep(chance.choice([0.0, 0.02, 0.1, 0.4]))
        os.rename(away, inbox)
        with moves.get_lock():  # type: ignore[attr-defined]
            moves.value += 1  # type: ignore[attr-defined]


# --- what must hold in the end --------------------------------------------------------------------------------------


def verdicts(world: World, storm: list[Plan], root: Path) -> list[str]:
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
            entry = entries.pop(plan.stem, None)
            if entry is None or times[plan.stem] != 1:
                wrong.append(f"{what}: registered {times[plan.stem]} times; rejected for {said}")
            elif (entry["sha256"], entry["scaler_sha256"]) != (
                digest(parts["m"]),
                digest(parts["s"]) if plan.scaled else None,
            ):
                wrong.append(f"{what}: registered with other bytes")
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
    wrong += [f"registered, and never dropped: {stem}" for stem in entries]
    wrong += [f"left in the inbox: {name}" for name in world.left() if not name.startswith(".")]
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
            stem = path.name.removesuffix(".pkl").removesuffix(".yaml").removesuffix("_scaler")
            parts = contents(by_stem[stem])
            part = "y" if path.suffix == ".yaml" else "s" if path.stem.endswith("_scaler") else "m"
            if path.read_bytes() != parts[part]:
                wrong.append(f"a source was changed: {path}")
    if pickle.loads((root / "bystander.pkl").read_bytes()) != ["mine"] or (root / "bystander.pkl").stat().st_nlink != 1:
        wrong.append("the bystander's file was touched")
    return wrong


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
    world.inbox.mkdir()
    os.chown(world.inbox, 0, PRODUCERS)
    world.inbox.chmod(0o3770)
    context = get_context("fork")
    done, failed, moves = context.Event(), context.Event(), context.Value("i", 0)
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        daemon = stack.enter_context(world.daemon())
        mover = context.Process(target=move_about, args=(world.inbox, options.seed, done, moves))
        producers = [
            context.Process(target=produce, args=(number, storm[number :: len(USERS)], root, elsewhere, failed))
            for number in range(len(USERS))
        ]
        for process in (*producers, mover):
            process.start()
        for process in producers:
            process.join()
        brought = time.monotonic() - began
        done.set()
        mover.join()
        if failed.is_set():
            print("a producer failed")
            return 1
        with contextlib.suppress(AssertionError):
            daemon.wait(
                lambda: not [n for n in world.left() if not n.startswith(".")] and not world.in_hand(),
                seconds * 3 + options.drops * 0.05,
            )
        wrong = verdicts(world, storm, root) + sources_changed(storm, root)
        levels = Counter(event["level"] for event in daemon.events())
        # While it is away, the inbox cannot be listed: that is an error, and is said.
        unexpected = {e["event"] for e in daemon.events() if e["level"] in ("error", "critical")} - {"inbox.unreadable"}
        if unexpected:
            wrong.append(f"logged: {unexpected}")
        with contextlib.suppress(FileNotFoundError):
            if Path("/tmp/owned").stat():
                wrong.append("a pickle was run")
        code = daemon.stop()
        if code != 0:
            wrong.append(f"the daemon ended with {code}")
    kinds = Counter(plan.kind for plan in storm)
    print(
        f"brought in {brought:.0f} s, ended after {time.monotonic() - began:.0f} s; away {moves.value} times;"
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
