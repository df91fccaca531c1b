"""Arrival by the programs that producers on other machines use, whole and interrupted, against a real daemon."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from support import ways
from support.world import Daemon, World, digest, pickled, sidecar


@pytest.fixture(name="running", scope="module")
def _running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, Daemon]]:
    world = World(tmp_path_factory.mktemp("ways"), {"inbox": {"settle_seconds": 0.4, "incomplete_timeout": "3s"}})
    with world.daemon() as daemon:
        yield world, daemon


def source_of(world: World, stem: str, size: int = 400_000) -> Path:
    """Return a folder beside the inbox with the files of a drop; the model cannot be compressed."""
    folder = world.root / f"src-{stem}"
    folder.mkdir()
    (folder / f"{stem}.pkl").write_bytes(pickled({"of": stem, "weights": os.urandom(size)}))
    (folder / f"{stem}_scaler.pkl").write_bytes(pickled({"scaler": stem}))
    (folder / f"{stem}.yaml").write_bytes(sidecar(scaler_file=f"{stem}_scaler.pkl"))
    return folder


def outcome(world: World, daemon: Daemon, stem: str) -> dict[str, Any]:
    receipt: dict[str, Any] = daemon.wait(lambda: world.receipt(stem))
    return receipt


@pytest.mark.parametrize("order", ["msy", "yms"])
@pytest.mark.parametrize("way", ways.INSTALLED.values(), ids=ways.INSTALLED)
def test_each_way_of_arrival_is_registered(running: tuple[World, Daemon], way: ways.Way, order: str) -> None:
    """curl, scp, sftp, and rsync in all its modes: the very bytes, sidecar first or last."""
    world, daemon = running
    stem = f"m{order}{list(ways.INSTALLED.values()).index(way)}"
    folder = source_of(world, stem)
    names = {"m": f"{stem}.pkl", "s": f"{stem}_scaler.pkl", "y": f"{stem}.yaml"}
    for part in order:
        way(folder / names[part], world.inbox / names[part], folder)
    receipt = outcome(world, daemon, stem)
    assert (receipt["outcome"], receipt["problems"]) == ("registered", [])
    assert receipt["digests"] == {
        "model": digest((folder / names["m"]).read_bytes()),
        "scaler": digest((folder / names["s"]).read_bytes()),
    }


def test_rsync_of_a_whole_folder(running: tuple[World, Daemon]) -> None:
    """All files with one command, in rsync's order (sidecar in the middle), each under a temporary name first."""
    world, daemon = running
    folder = source_of(world, "folder")
    ways.run("rsync", "-a", f"{folder}/", f"{world.inbox}/")
    assert outcome(world, daemon, "folder")["outcome"] == "registered"


SLOW = 8_000_000


@pytest.mark.parametrize(
    "options", [["--partial"], ["--inplace"], []], ids=lambda options: " ".join(options) or "plain"
)
def test_an_interrupted_rsync_is_not_taken_and_a_finished_one_is(
    running: tuple[World, Daemon], options: list[str]
) -> None:
    """Interrupted, `--partial` gives half a file its final name: it waits, and is registered when rsync finishes it."""
    world, daemon = running
    stem = f"rsync{''.join(options).replace('-', '')}"
    folder = source_of(world, stem, SLOW)
    model = folder / f"{stem}.pkl"
    for name in (f"{stem}.yaml", f"{stem}_scaler.pkl"):
        ways.cp(folder / name, world.inbox / name, folder)
    words = ["rsync", *options, "--bwlimit=4000", str(model), str(world.inbox / model.name)]
    sending = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    daemon.wait(lambda: any(path.stat().st_size > 500_000 for path in world.inbox.glob(f"*{stem}.pkl*")))
    sending.send_signal(signal.SIGINT)
    assert sending.wait(30) != 0
    if options == ["--partial"]:
        assert (world.inbox / model.name).stat().st_size < model.stat().st_size
    daemon.wait(lambda: [e for e in daemon.events("drop.arriving") if e["stem"] == stem])
    assert world.receipt(stem) is None
    ways.run("rsync", *options, model, world.inbox / model.name)
    receipt = outcome(world, daemon, stem)
    assert (receipt["outcome"], receipt["digests"].get("model")) == ("registered", digest(model.read_bytes()))


def test_an_interrupted_scp_is_rejected_after_its_time(running: tuple[World, Daemon]) -> None:
    """Half a file under its final name, nobody finishes it: rejected, saying that the end is missing."""
    world, daemon = running
    folder = source_of(world, "scp", SLOW)
    ways.cp(folder / "scp.yaml", world.inbox / "scp.yaml", folder)
    ways.cp(folder / "scp_scaler.pkl", world.inbox / "scp_scaler.pkl", folder)
    commands = f'put "{folder / "scp.pkl"}" "{world.inbox / "scp.pkl"}"\n'.encode()
    sending = subprocess.Popen(
        ["sftp", "-q", "-l", "8000", "-b", "-", "-D", ways.sftp_server()],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert sending.stdin is not None
    sending.stdin.write(commands)
    sending.stdin.close()
    daemon.wait(lambda: (world.inbox / "scp.pkl").exists() and (world.inbox / "scp.pkl").stat().st_size > 100_000)
    sending.kill()
    sending.wait()
    receipt = outcome(world, daemon, "scp")
    assert [problem["code"] for problem in receipt["problems"]] == ["artifact.truncated", "drop.incomplete_timeout"]


def test_curl_over_http_whole_and_cut_off(running: tuple[World, Daemon]) -> None:
    """From a web server: a whole file is registered; one whose connection breaks half-way is rejected as cut off."""
    world, daemon = running
    folder = source_of(world, "http", 3_000_000)

    class Breaking(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            return

        def copyfile(self, source: Any, outputfile: Any) -> None:
            if self.path.endswith("?half"):
                outputfile.write(source.read(1_000_000))
                self.connection.close()
            else:
                super().copyfile(source, outputfile)

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Breaking, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}/http.pkl"
        for stem, query, code in (("http", "", 0), ("half", "?half", 18)):
            done = subprocess.run(["curl", "-sS", "-o", str(world.inbox / f"{stem}.pkl"), url + query], check=False)
            assert done.returncode == code
            (world.inbox / f"{stem}.yaml").write_bytes(sidecar(scaler_file=None))
    finally:
        server.shutdown()
        server.server_close()
    assert outcome(world, daemon, "http")["outcome"] == "registered"
    receipt = outcome(world, daemon, "half")
    assert [problem["code"] for problem in receipt["problems"]] == ["artifact.truncated", "drop.incomplete_timeout"]
