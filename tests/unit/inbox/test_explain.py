"""`inbox explain` says of everything in the inbox what it waits for, without a daemon, and as another user."""

from __future__ import annotations

import json
import mmap
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from click.testing import CliRunner

import model_inbox.cli.inbox
import model_inbox.cli.status
import model_inbox.config.load
import model_inbox.inbox.receipts
import model_inbox.inbox.watch
import model_inbox.telemetry.health
from model_inbox.cli import root
from model_inbox.inbox.explain import STATES, Explained, Service, explain, look_over
from model_inbox.inbox.readiness import Limits
from model_inbox.problems.catalogue import CODES
from support.places import ROOT
from support.users import as_user, let_through
from support.world import World, pickled, sidecar

NEEDED_BY_A_CHILD = (
    model_inbox.cli.inbox,
    model_inbox.cli.status,
    model_inbox.config.load,
    model_inbox.inbox.receipts,
    model_inbox.inbox.watch,
    model_inbox.telemetry.health,
)
"""What a forked child of another user imports: it may not be able to read the sources. See `users`."""

LIMITS = Limits(settle_seconds=600, incomplete_timeout=900, orphan_timeout=86_400, max_artifact_size=1 << 30)
OURS = Service(os.geteuid(), frozenset())
SERVICE, ALICE, BOB, PRODUCERS = 65530, 65531, 65532, 65533


def now() -> datetime:
    return datetime.now(UTC)


def told(inbox: Path, name: str, limits: Limits = LIMITS, status: dict[str, Any] | None = None) -> Explained:
    (one,) = explain([name], inbox, limits, now, service=OURS, status=status)
    return one


def codes(one: Explained) -> list[str]:
    return [problem.code for problem in one.problems]


def put(inbox: Path, stem: str = "m", text: bytes | None = None, **fields: Any) -> None:
    (inbox / f"{stem}.pkl").write_bytes(pickled([stem]))
    (inbox / f"{stem}.yaml").write_bytes(sidecar(**fields) if text is None else text)


def tree(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Return everything below a folder with its inode, size and time of change."""
    return {
        str(path.relative_to(folder)): (found.st_ino, found.st_size, found.st_ctime_ns)
        for path in [folder, *sorted(folder.rglob("*"))]
        if (found := path.lstat())
    }


# --- each kind of thing ------------------------------------------------------------------------------------------


def cut(inbox: Path) -> None:
    """Nine lines of a sidecar, the last of them cut off in the middle."""
    lines = sidecar().decode().splitlines()[:9]
    put(inbox, text="\n".join([*lines[:8], lines[8][:12]]).encode())


def scaler_missing(inbox: Path) -> None:
    put(inbox, scaler_file="usdeur_scaler.pkl")


def model_truncated(inbox: Path) -> None:
    put(inbox)
    (inbox / "m.pkl").write_bytes(pickled([1, 2, 3])[:-1])


def stray(inbox: Path) -> None:
    (inbox / "m.yaml").symlink_to("nowhere")
    (inbox / "m.pkl").write_bytes(b"x")


CASES: list[tuple[str, Callable[[Path], None], str, str, list[str], str, str]] = [
    ("cut", cut, "m.yaml", "waiting", ["sidecar.cut_off"], "at line 9", "is rejected, if nothing comes"),
    ("missing", scaler_missing, "m.yaml", "waiting", ["artifact.missing"], "usdeur_scaler.pkl", "is rejected"),
    ("truncated", model_truncated, "m.pkl", "waiting", ["artifact.truncated"], "lacks the end of a pickle", "rejected"),
    ("unsealed", lambda i: put(i, seal=""), "m.yaml", "waiting", ["drop.settling"], "`...`", "is taken"),
    ("complete", put, "m.yaml", "complete", [], "", ""),
    ("typo", lambda i: put(i, model_typ="x"), "m.yaml", "refused", ["sidecar.unknown_key"], "model_typ", ""),
    ("link", stray, "m.yaml", "refused", ["drop.sidecar_not_regular"], "symbolic link", ""),
    ("alone", lambda i: (i / "a.pkl").touch(), "a.pkl", "waiting", ["drop.no_sidecar"], "no sidecar", "is rejected"),
    ("folder", lambda i: (i / "d").mkdir(), "d", "stuck", ["drop.folder"], "is a folder", ""),
    ("fifo", lambda i: os.mkfifo(i / "f"), "f", "waiting", ["artifact.unknown_suffix"], "end in .pkl", "is rejected"),
    ("hidden", lambda i: (i / ".x").touch(), ".x", "ignored", ["drop.ignored"], "hidden", ""),
    ("part", lambda i: (i / "x.part").touch(), "x.part", "ignored", ["drop.ignored"], "while they write", ""),
    ("ours", lambda i: (i / "receipts").mkdir(), "receipts", "ours", [], "", ""),
    ("gone", lambda i: None, "x.pkl", "gone", [], "", ""),
]


@pytest.mark.parametrize(
    ("make", "name", "state", "found", "words", "then"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_each_thing_is_explained(
    tmp_path: Path, make: Callable[[Path], None], name: str, state: str, found: list[str], words: str, then: str
) -> None:
    """State, the first problem's code and its words, and what happens at the end of the wait; nothing is touched."""
    make(tmp_path)
    before = tree(tmp_path)
    one = told(tmp_path, name)
    assert (one.state, codes(one)[: len(found)]) == (state, found)
    assert words in " ".join(problem.message + problem.hint for problem in one.problems)
    assert then in one.then
    assert (one.until is not None) == bool(then)
    assert tree(tmp_path) == before


def test_a_file_of_a_drop_leads_to_its_sidecar(tmp_path: Path) -> None:
    """Asked about the model, the answer is the drop's, and names the sidecar."""
    scaler_missing(tmp_path)
    one = told(tmp_path, "m.pkl")
    assert (one.name, one.belongs_to, codes(one)) == ("m.pkl", "m.yaml", ["artifact.missing"])
    missing = told(tmp_path, "usdeur_scaler.pkl")
    assert (missing.belongs_to, codes(missing)) == ("m.yaml", ["artifact.missing"])


def test_an_open_writer_and_a_mapped_one_are_seen(tmp_path: Path) -> None:
    """While somebody has the file open for writing, or mapped, that is what it waits for; then it is complete."""
    put(tmp_path)
    with (tmp_path / "m.pkl").open("r+b") as file:
        assert codes(told(tmp_path, "m.yaml")) == ["artifact.open_for_writing"]
        assert "still open for writing" in told(tmp_path, "m.yaml").problems[0].message
        assert "goes on waiting" in told(tmp_path, "m.yaml").then
        mapped = mmap.mmap(file.fileno(), 0)
    assert codes(told(tmp_path, "m.yaml")) == ["artifact.open_for_writing"]
    mapped.close()
    assert told(tmp_path, "m.yaml").state == "complete"


def test_the_time_is_what_is_left_since_the_last_change(tmp_path: Path) -> None:
    """15 minutes after its last change an incomplete drop is rejected, whenever one asks; a stray after a day."""
    scaler_missing(tmp_path)
    (tmp_path / "a.pkl").touch()
    changed = max((tmp_path / name).lstat().st_ctime for name in ("m.yaml", "m.pkl"))
    until = told(tmp_path, "m.yaml").until
    assert until is not None and abs(until.timestamp() - changed - 900) < 1
    alone = told(tmp_path, "a.pkl").until
    assert alone is not None and abs(alone.timestamp() - (tmp_path / "a.pkl").lstat().st_ctime - 86_400) < 1


def test_everything_is_listed_the_oldest_first(tmp_path: Path) -> None:
    """Drops by their sidecars, single things, and what programs left; nothing of ours, and nothing that is written."""
    (tmp_path / "b.pkl").touch()
    scaler_missing(tmp_path)
    for name in (".processing", "receipts"):
        (tmp_path / name).mkdir()
    (tmp_path / "x.tmp").touch()
    (tmp_path / "Thumbs.db").touch()
    listed = [(one.name, one.state) for one in look_over(tmp_path, LIMITS, now, service=OURS)]
    assert listed == [("b.pkl", "waiting"), ("m.yaml", "waiting"), ("Thumbs.db", "ignored")]


# --- with what the daemon told ---------------------------------------------------------------------------------


def test_what_the_daemon_knows_better_is_told_as_long_as_it_is_about_these_bytes(tmp_path: Path) -> None:
    """A drop that it put back for a wrong digest looks whole from outside; once rewritten, our own look counts."""
    world = World(tmp_path, {"inbox": {"incomplete_timeout": "15m"}})
    world.put("m", sha256={"model": "0" * 64})
    with world.running() as service:
        world.live_on(service, 1)
        status = service.reporter.document()
        assert codes(told(world.inbox, "m.yaml")) == []
        one = told(world.inbox, "m.yaml", status=status)
        assert (one.state, codes(one)) == ("waiting", ["artifact.digest_mismatch"])
        assert one.until is not None and one.then.startswith("is rejected")
        world.put("m")
        assert told(world.inbox, "m.yaml", status=status).state == "complete"


def test_a_deferred_drop_is_said_to_be_in_hand(tmp_path: Path) -> None:
    """Its files are gone from the inbox; the status tells where they are and when they are tried again."""
    status = {"deferred_drops": [{"drop_id": "D1", "stem": "m", "files": ["m.yaml", "m.pkl"], "cause": "disk full",
                                  "retry_at": (now() + timedelta(seconds=4)).isoformat()}]}  # fmt: skip
    one = told(tmp_path, "m.pkl", status=status)
    assert (one.state, codes(one), one.then) == ("in_hand", ["drop.deferred"], "is tried again")
    assert "disk full" in one.problems[0].message


# --- as somebody else --------------------------------------------------------------------------------------------


@pytest.fixture(name="shared")
def _shared(tmp_path: Path) -> Path:
    """An inbox as the service makes it: its own, the producers' group, setgid and sticky; a quick settle time."""
    let_through(tmp_path)
    (tmp_path / "config.yaml").write_text("inbox: {settle_seconds: 1h}\n")
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    os.chown(inbox, SERVICE, PRODUCERS)
    inbox.chmod(0o3770)
    return inbox


def command(inbox: Path, *args: str) -> tuple[int, Any, str]:
    """Call the command line; return status, JSON and stderr. A command of root's gives up its rights: it is a child."""

    def call() -> list[Any]:
        done = CliRunner().invoke(root, ["--config", str(inbox.parent / "config.yaml"), "inbox", *args, "--json"])
        structlog.reset_defaults()
        return [done.exit_code, done.stdout, done.stderr]

    status, answer, errors = as_user(0, call) if os.geteuid() == 0 else call()
    return status, json.loads(answer), errors


def test_a_file_that_the_service_cannot_read_is_told_with_its_owner_and_mode(shared: Path) -> None:
    """Alice can read her own file of mode 0600, and is told that the service cannot, and what helps."""

    def drop() -> None:
        put(shared)
        (shared / "m.pkl").chmod(0o600)

    def ask() -> Any:
        status, answer, _ = command(shared, "explain", "m.pkl")
        return status, answer[0]

    as_user(ALICE, drop, [PRODUCERS])
    status, one = as_user(ALICE, ask, [PRODUCERS])
    assert (status, one["state"]) == (0, "waiting")
    (problem,) = one["problems"]
    assert problem["code"] == "drop.unreadable"
    assert f"owned by {ALICE}, mode 0600" in problem["message"]
    assert problem["hint"].startswith("chmod g+r 'm.pkl'")
    status, one = as_user(BOB, ask, [PRODUCERS])
    assert f"owned by {ALICE}, mode 0600" in one["problems"][0]["message"]


def test_a_file_of_another_group_is_told_with_that_group(shared: Path) -> None:
    """A move keeps the group that the file had: its group may read it, but the service is not in that."""

    def drop() -> None:
        put(shared)
        os.chown(shared / "m.pkl", -1, ALICE)
        (shared / "m.pkl").chmod(0o640)

    def ask() -> Any:
        return command(shared, "explain", "m.pkl")[1][0]["problems"][0]

    as_user(ALICE, drop, [PRODUCERS, ALICE])
    problem = as_user(ALICE, ask, [PRODUCERS, ALICE])
    assert f"owned by {ALICE}, group {ALICE}, mode 0640" in problem["message"]
    assert problem["hint"] == f"chgrp {PRODUCERS} 'm.pkl'"
    (shared / "m.pkl").chmod(0o600)
    problem = as_user(ALICE, ask, [PRODUCERS, ALICE])
    assert problem["hint"] == f"chgrp {PRODUCERS} 'm.pkl', and chmod g+r 'm.pkl'"


def test_what_a_user_cannot_know_is_said(shared: Path) -> None:
    """Leases on files of others are refused and some files are closed to us: no guess is made of either."""

    def drop() -> None:
        put(shared)
        for name in ("m.pkl", "m.yaml"):
            (shared / name).chmod(0o640)

    def ask(name: str) -> Any:
        return lambda: command(shared, "explain", name)[1][0]

    as_user(ALICE, drop, [PRODUCERS])
    assert as_user(ALICE, ask("m.yaml"), [PRODUCERS])["state"] == "complete"
    one = as_user(BOB, ask("m.yaml"), [PRODUCERS])  # he reads it, but only owners learn whether somebody writes
    assert (one["state"], one["problems"][0]["code"]) == ("waiting", "drop.settling")
    assert "nobody can tell" in one["problems"][0]["message"]
    for name in ("m.pkl", "m.yaml"):
        os.chown(shared / name, ALICE, SERVICE)  # now a file for the service's own group, which Bob is not in
    service = Service(SERVICE, frozenset({SERVICE}))

    def look() -> Any:
        return [one.as_dict() for one in explain(["m.yaml"], shared, LIMITS, now, service=service)]

    (one,) = as_user(BOB, look, [PRODUCERS])
    assert (one["state"], one["problems"][0]["code"]) == ("unknown", "explain.unknown")
    assert "cannot be read by you" in one["problems"][0]["message"]


def test_it_needs_no_daemon_and_makes_nothing(shared: Path) -> None:
    """With no registry anywhere the answer is the same, and no file, lock or folder is made by asking."""
    put(shared)
    before = tree(shared.parent)
    status, answer, _ = command(shared, "list")
    assert (status, [one["name"] for one in answer]) == (0, ["m.yaml"])
    assert tree(shared.parent) == before


def test_a_file_elsewhere_is_not_explained(shared: Path) -> None:
    """A path to another folder is an error that names the command for it; an unknown name is exit 1."""
    status, answer, errors = command(shared, "explain", "/etc/passwd")
    assert (status, answer["error"]["code"]) == (1, "error")
    assert "model-inbox check" in errors
    assert command(shared, "explain", "nothing.pkl")[0] == 1
    assert command(shared, "explain", str(shared / "receipts"))[0] == 0


def test_a_file_that_was_answered_leads_to_its_receipt(tmp_path: Path) -> None:
    """Why is my file gone? Because it was rejected, for this: exit 1."""
    world = World(tmp_path)
    world.put("m", model_typ="x")
    with world.running() as service:
        world.live_on(service, 1)
    done = CliRunner().invoke(root, ["--config", str(world.config_path), "inbox", "explain", "m.pkl"])
    structlog.reset_defaults()
    assert done.exit_code == 1
    assert "m.pkl is not in the inbox" in done.stdout
    assert "rejected" in done.stdout
    assert "sidecar.unknown_key" in done.stdout


# --- the manual ------------------------------------------------------------------------------------------------


def test_the_manual_names_every_state_and_every_problem_of_status() -> None:
    """The manual has the states of `inbox explain` and the codes of `status`, and no others."""
    docs = ROOT / "docs"
    table = (docs / "reference" / "commands.md").read_text().partition("| State | Means |")[2].partition("## Reload")[0]
    assert set(re.findall(r"^\| `([a-z_]+)` \|", table, re.MULTILINE)) == set(STATES)
    codes = {code for code in CODES if code.startswith("status.")}
    page = (docs / "reference" / "metrics.md").read_text()
    assert set(re.findall(r"^\| `(status\.[a-z_]+)` \|", page, re.MULTILINE)) == codes
