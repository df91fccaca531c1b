"""Who may do what: producers, consumers and strangers, as real users; and what the daemon itself may not."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator

import pytest

from installed import CONSUMER, PRODUCERS, ROOT, STATE, STRANGER, UNIT, Installed
from model_inbox.base.acl import one_reader
from support.world import pickled, sidecar

ROW = re.compile(r"^\| `(/[^`]+)` \| `([^`]+)` \| `([^`]+)` \| `(\d{4})` \|", re.MULTILINE)
PYTHON = "/opt/model-inbox/current/bin/python"


def may(service: Installed, user: str, *words: str) -> bool:
    """Return whether a command of that user works."""
    return service.machine.run(*words, user=user, check=False).returncode == 0


@pytest.fixture(name="stocked")
def _stocked(service: Installed) -> Installed:
    """The service with a model of alice's with a scaler, a refused drop of bob's, and one in the trash."""
    if service.receipt("stock") is None:
        service.put("stock_scaler.pkl", pickled([1, 2]))
        service.drop("stock")
        service.drop("refused", user="bob", model_typ="x")
        service.drop("gone")
        for stem in ("stock", "refused", "gone"):
            service.answer(stem)
        service.model_inbox("delete", "gone")
    return service


# --- people -----------------------------------------------------------------------------------------------------------


def test_producers_drop_and_read_their_answers(stocked: Installed) -> None:
    """A producer writes into the inbox, reads the answers there and the files that were refused, and no model."""
    refused = stocked.receipt("refused")
    assert refused is not None
    assert refused["owner"]["name"] == "bob"
    assert may(stocked, "alice", "cat", f"{STATE}/inbox/receipts/stock.json")
    assert may(stocked, "bob", "cat", f"{STATE}/inbox/rejected/{refused['drop_id']}/reason.json")
    assert may(stocked, "bob", "cat", f"{STATE}/inbox/rejected/{refused['drop_id']}/refused.yaml")
    assert not may(stocked, "alice", "ls", f"{STATE}/models")
    assert not may(stocked, "alice", "ls", f"{STATE}/inbox/.processing")


def test_producers_leave_each_others_files_alone(stocked: Installed) -> None:
    """What one producer put into the inbox another can neither remove, nor rename, nor write; its owner can."""
    stocked.put("mine.pkl", pickled({"a": 1}))
    mine = f"{STATE}/inbox/mine.pkl"
    assert not may(stocked, "bob", "rm", "-f", mine)
    assert not may(stocked, "bob", "mv", mine, f"{STATE}/inbox/yours.pkl")
    assert not may(stocked, "bob", "sh", "-c", f"echo x >>{mine}")
    assert not may(stocked, "alice", "rm", "-f", f"{STATE}/inbox/receipts/stock.json")
    assert not may(stocked, "alice", "rmdir", f"{STATE}/inbox/receipts")
    assert may(stocked, "alice", "rm", mine)


def test_producers_read_nothing_of_each_other(stocked: Installed) -> None:
    """Neither what waits, nor receipts, nor rejected drops; whatever their programs and umasks are."""
    refused = stocked.receipt("refused")
    assert refused is not None
    folder = f"{STATE}/inbox/rejected/{refused['drop_id']}"
    stocked.put("waits.pkl", pickled({"a": 1}), umask="000")
    for user, other, path in (
        ("alice", "bob", f"{STATE}/inbox/receipts/stock.json"),
        ("bob", "alice", f"{STATE}/inbox/receipts/refused.json"),
        ("bob", "alice", f"{folder}/reason.json"),
        ("bob", "alice", f"{folder}/refused.pkl"),
        ("alice", "bob", f"{STATE}/inbox/waits.pkl"),
    ):
        assert may(stocked, user, "cmp", path, path), path
        assert may(stocked, "model-inbox", "cmp", path, path), path
        for nobody in (other, CONSUMER, STRANGER):
            assert not may(stocked, nobody, "cmp", path, path), (nobody, path)
    assert may(stocked, "alice", "rm", f"{STATE}/inbox/waits.pkl")


def test_a_closed_file_is_opened_to_the_service_alone(service: Installed) -> None:
    """A file that the service cannot read stays where it is, with the chmod that helps in the log; then it is taken."""
    path = f"{STATE}/inbox/closed.pkl"
    service.put("closed.pkl", pickled({"a": 1}))
    service.machine.run("chmod", "600", path, user="alice")
    service.put("closed.yaml", sidecar(), umask="077")
    service.machine.wait(
        lambda: service.events("drop.waiting", "STEM=closed") or service.events("drop.stale", "STEM=closed")
    )
    said = json.dumps([*service.events("drop.waiting", "STEM=closed"), *service.events("drop.stale", "STEM=closed")])
    assert "chmod g+r" in said
    assert not may(service, "bob", "cat", path)
    service.machine.run("chmod", "g+r", path, user="alice")
    assert not may(service, "bob", "cat", path)
    service.registered("closed")


def test_consumers_read_models_and_write_nothing(stocked: Installed) -> None:
    """A consumer finds the newest model and loads it, and can change nothing; the inbox is closed to it."""
    script = (
        "from model_inbox import ModelRegistry as R;"
        f"r = R('{STATE}/models/prediction_registry.json', '{STATE}/models/prediction', read_only=True);"
        "e = r.get_model_info('stock'); print(r.load_model_objects(e), e['sha256'])"
    )
    done = stocked.machine.run(PYTHON, "-c", script, user=CONSUMER)
    assert done.stdout.startswith("({'model': 'stock'}, [1, 2]) ")
    assert stocked.model_inbox("list", "--json", user=CONSUMER).stdout.count('"model_id": "stock"') == 1
    assert not may(stocked, CONSUMER, "model-inbox", "pin", "stock")
    assert not may(stocked, CONSUMER, "rm", "-f", f"{STATE}/models/prediction/stock.pkl")
    assert not may(stocked, CONSUMER, "sh", "-c", f"echo x >>{STATE}/models/prediction/stock.pkl")
    assert not may(stocked, CONSUMER, "touch", f"{STATE}/models/x")
    assert not may(stocked, CONSUMER, "ls", f"{STATE}/inbox")


def test_strangers_see_nothing(stocked: Installed) -> None:
    """Who is in neither group reads neither models nor the inbox, and drops nothing."""
    for folder in ("inbox", "inbox/receipts", "models", "models/prediction"):
        assert not may(stocked, STRANGER, "ls", f"{STATE}/{folder}"), folder
    assert not may(stocked, STRANGER, "touch", f"{STATE}/inbox/x.pkl")
    assert not may(stocked, STRANGER, "cat", f"{STATE}/models/prediction_registry.json")


def test_a_drop_of_the_services_own_user_is_for_consumers_too(stocked: Installed) -> None:
    """What the operator drops with the service's rights gets the consumers' group like any other."""
    stocked.drop("of-the-operator", user="model-inbox")
    stocked.registered("of-the-operator")
    stored = stocked.models / "prediction/of-the-operator.pkl"
    consumers = int(stocked.machine.run("getent", "group", "model-consumers").stdout.split(":")[2])
    assert (stored.stat().st_gid, stat.S_IMODE(stored.stat().st_mode)) == (consumers, 0o440)
    assert may(stocked, CONSUMER, "test", "-r", f"{STATE}/models/prediction/of-the-operator.pkl")


# --- the table of the manual ------------------------------------------------------------------------------------------


def table() -> dict[str, tuple[str, str, str]]:
    """Return the manual's table of owners, groups and modes: path with <placeholders> -> owner, group, mode."""
    text = (ROOT / "docs" / "operations" / "systemd.md").read_text()
    return {path: (owner, group, mode) for path, owner, group, mode in ROW.findall(text)}


def matching(path: str, rows: dict[str, tuple[str, str, str]]) -> list[str]:
    """Return the rows that speak of a path: those with the fewest placeholders."""
    found = [
        row
        for row in rows
        if re.fullmatch(
            "".join("[^/]+" if part[:1] == "<" else re.escape(part) for part in re.split(r"(<[^>]+>)", row)), path
        )
    ]
    fewest = min((row.count("<") for row in found), default=0)
    return [row for row in found if row.count("<") == fewest]


def found_below(service: Installed, *folders: str) -> Iterator[tuple[str, os.stat_result]]:
    root = service.machine.root
    for folder in folders:
        for path in [root / folder.lstrip("/"), *(root / folder.lstrip("/")).rglob("*")]:
            if not path.is_symlink():
                yield "/" + str(path.relative_to(root)), path.lstat()


def test_everything_is_as_the_table_says(stocked: Installed) -> None:
    """Owner, group and mode of every file and folder are in the table of the manual, and each of its rows is true."""
    rows, seen, wrong = table(), set(), []
    names = {"passwd": {}, "group": {}}
    for database, known in names.items():
        for line in stocked.machine.run("getent", database).stdout.splitlines():
            name, _, number, *_ = line.split(":")
            known[int(number)] = name
    stocked.configure(stocked.config.read_text(), ("  file: auto", f"  file: {STATE}/log/model-inbox.jsonl"))
    stocked.systemctl("reload")
    stocked.put("waiting.pkl", pickled({"a": 1}))
    try:
        for path, is_now in found_below(stocked, str(STATE), "/etc/model-inbox"):
            which = matching(path, rows)
            if len(which) != 1:
                wrong.append(f"{path}: {which or 'not in the table'}")
                continue
            seen.add(which[0])
            mode = f"{stat.S_IMODE(is_now.st_mode):04o}"
            owner, group = names["passwd"][is_now.st_uid], names["group"][is_now.st_gid]
            told, *others = rows[which[0]]
            is_owner = owner in PRODUCERS if told in PRODUCERS else owner == told
            if not is_owner or [group, mode] != others:
                wrong.append(f"{path}: {owner} {group} {mode}")
    finally:
        stocked.machine.run("rm", f"{STATE}/inbox/waiting.pkl")
    assert "\n".join(wrong) == ""
    assert rows.keys() - seen == set()


# --- the daemon itself ------------------------------------------------------------------------------------------------

PROBES = """
import ctypes, fcntl, json, mmap, os, resource, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *arguments):
    if getattr(libc, name)(*arguments) == -1:
        raise OSError(ctypes.get_errno(), name)
def lease(path):
    fd = os.open(path, os.O_RDONLY)
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
state = sys.argv[1]
ours = os.path.join(state, "inbox", ".processing", "probe")
linked, moved = os.path.join(state, "models", "linked"), os.path.join(state, "models", "moved")
probes = {
    "write to /etc": lambda: open("/etc/probe", "w"),
    "write to the program": lambda: open("/opt/model-inbox/probe", "w"),
    "write to /var/lib": lambda: open("/var/lib/probe", "w"),
    "change the configuration": lambda: open("/etc/model-inbox/config.yaml", "a"),
    "see a home": lambda: os.listdir("/root"),
    "see another process": lambda: os.stat("/proc/1"),
    "see the kernel's log": lambda: open("/dev/kmsg"),
    "see the memory's size": lambda: open("/proc/meminfo"),
    "talk to the network": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
    "listen to the kernel": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
    "make a set-gid file": lambda: os.chmod(os.path.join(state, "probe"), 0o2755),
    "give a file away": lambda: os.chown(os.path.join(state, "probe"), 0, 0),
    "mount": lambda: call("mount", b"tmpfs", b"/tmp", b"tmpfs", 0, None),
    "make a namespace": lambda: call("unshare", 0x10000000),
    "write and run memory": lambda: mmap.mmap(-1, 4096, prot=7),
    "be in real time": lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)),
    "trace": lambda: call("ptrace", 0, 0, 0, 0),
    "write the state": lambda: open(ours, "w").close(),
    "set a list of rights": lambda: os.setxattr(ours, "system.posix_acl_access", bytes.fromhex(sys.argv[2])),
    "link from inbox to models": lambda: os.link(ours, linked),
    "move from inbox to models": lambda: os.rename(ours, moved),
    "tidy up": lambda: (os.unlink(linked), os.unlink(moved)),
    "lease another's file": lambda: lease(os.path.join(state, "inbox", "leased.pkl")),
    "pass a memory file": lambda: fcntl.fcntl(os.memfd_create("x", os.MFD_ALLOW_SEALING), 1033, 15),
    "limit itself": lambda: resource.setrlimit(resource.RLIMIT_AS, (1 << 33, 1 << 33)),
}
open(os.path.join(state, "probe"), "w").close()
told = {}
for name, probe in probes.items():
    try:
        probe()
    except OSError as error:
        told[name] = str(error)
    else:
        told[name] = "yes"
os.unlink(os.path.join(state, "probe"))
print("PROBES " + json.dumps(told))
"""
ONE_READER = one_reader(1, folder=False).encode().hex()
ALLOWED = {
    "write the state",
    "set a list of rights",
    "link from inbox to models",
    "move from inbox to models",
    "tidy up",
    "lease another's file",
    "pass a memory file",
    "limit itself",
}


def test_the_hardening_is_in_effect(stopped: Installed) -> None:
    """With the unit's own settings a program can do what the daemon needs, and nothing of what it does not need."""
    machine = stopped.machine
    stopped.put("leased.pkl", pickled({"a": 1}))
    (machine.root / "run/probes.py").write_text(PROBES)
    unit = (machine.root / "usr/local/lib/systemd/system" / UNIT).read_text()
    unit = re.sub(r"(?m)^(ExecReload|Restart|WatchdogSec|RestartPreventExitStatus)=.*\n", "", unit)
    unit = unit.replace("Type=notify", "Type=oneshot")
    unit = re.sub(r"(?m)^ExecStart=.*$", f"ExecStart={PYTHON} /run/probes.py {STATE} {ONE_READER}", unit)
    (machine.root / "run/systemd/system/probes.service").write_text(unit)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", "probes.service")
    (said,) = (str(e["MESSAGE"]) for e in machine.journal("-u", "probes.service") if "PROBES" in str(e["MESSAGE"]))
    told = json.loads(said.removeprefix("PROBES "))
    machine.run("rm", f"{STATE}/inbox/leased.pkl")
    assert {name for name, outcome in told.items() if outcome == "yes"} == ALLOWED, told


def test_the_daemon_has_one_capability(service: Installed) -> None:
    """Its process holds CAP_LEASE, can get no other, and gains nothing by running a set-id program."""
    status = (service.machine.root / f"proc/{service.pid}/status").read_text()
    for kind in ("CapEff", "CapPrm", "CapBnd", "CapAmb"):
        assert re.search(rf"{kind}:\t(\w+)", status)[1] == f"{1 << 28:016x}", kind
    assert re.search(r"NoNewPrivs:\t1", status)
    assert re.search(r"Seccomp:\t2", status)


def test_the_workers_limits_hold_under_the_hardening(stocked: Installed) -> None:
    """The scanner's worker has bounded memory, writes no file, starts no process, and a bomb costs its own drop."""
    stocked.drop("warm-up")
    stocked.registered("warm-up")
    (worker,) = stocked.machine.run("pgrep", "-P", str(stocked.pid)).stdout.split()
    limits = (stocked.machine.root / f"proc/{worker}/limits").read_text()
    for name, most in (("file size", "0"), ("processes", "0"), ("core file size", "0"), ("open files", "16")):
        assert re.search(rf"Max {name} +{most} +{most} ", limits), limits
    bomb = b"\x80\x04N" + b"r" + (10**8).to_bytes(4, "little") + b"."
    stocked.drop("bomb", data=bomb)
    answer = stocked.answer("bomb")
    assert answer["problems"][0]["code"] == "artifact.scan_limits"
    stocked.drop("after-the-bomb")
    stocked.registered("after-the-bomb")


def test_a_lease_tells_of_another_users_writer(service: Installed) -> None:
    """A sealed drop whose pickle its producer still has open waits; it is taken the moment it is closed."""
    machine = service.machine
    service.put("held.pkl", pickled({"model": "held"}))
    writer = machine.start("sh", "-c", f"exec 3>>{STATE}/inbox/held.pkl; echo open; read line", user="alice")
    try:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        service.put("held.yaml", sidecar())
        waiting = machine.wait(lambda: service.events("drop.waiting", "STEM=held"))
        assert "open for writing" in waiting[-1]["PROBLEMS"]
        assert service.receipt("held") is None
    finally:
        writer.communicate("\n")
    service.registered("held")
    entry = json.loads(service.model_inbox("show", "held", "--json").stdout)
    assert entry["integrity"] == "lease"


def test_root_at_the_keyboard_leaves_nothing_behind(stocked: Installed) -> None:
    """Commands that root runs leave no file that the service could not write: all is the service's user's."""
    stocked.model_inbox("pin", "stock")
    stocked.model_inbox("unpin", "stock")
    stocked.model_inbox("restore", "gone")
    stocked.model_inbox("delete", "gone")
    owner = stocked.models.stat().st_uid
    assert {path.lstat().st_uid for path in [stocked.models, *stocked.models.rglob("*")]} == {owner}


def test_a_model_of_anybody_moves_to_the_trash_and_back(stocked: Installed) -> None:
    """Under the hardening the daemon itself retires by rule, and what it retired comes back."""
    stocked.configure(
        stocked.config.read_text(),
        ("        last: 10", "        last: 1"),
        ("        within: 30d", "        within: 1d"),
        ("        registered_within: 7d", "        registered_within: 0h"),
        ("      min_keep: 2", "      min_keep: 1"),
    )
    stocked.systemctl("reload")
    for day, stem in ((1, "older-by-rule"), (20, "newer-by-rule")):
        stocked.drop(stem, currency_pair="CHF/JPY", trained_at=f"2025-10-{day:02}T00:00:00Z")
        stocked.registered(stem)
    stocked.machine.wait(lambda: stocked.events("entry.retired", "MODEL_ID=older-by-rule"))
    assert not (stocked.models / "prediction/older-by-rule.pkl").exists()
    stocked.configure(stocked.config.read_text(), ("  mode: enforce", "  mode: dry-run"))
    stocked.systemctl("reload")
    stocked.model_inbox("restore", "older-by-rule")
    assert (stocked.models / "prediction/older-by-rule.pkl").exists()
