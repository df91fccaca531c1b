"""The sockets that pages are served on: who may connect, what is replaced, and what is left at the end."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import stat
from pathlib import Path

import pytest

from model_inbox.errors import ConfigError, ModelInboxError, StorageError
from model_inbox.web.sockets import listening, url_of
from support.world import must_be_root


def connects(path: Path) -> bool:
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
        return True


def abandoned(path: Path) -> None:
    """Leave a socket behind, as a process does that is killed."""
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as gone:
        gone.bind(str(path))


def test_a_socket_is_for_owner_and_group_and_is_gone_at_the_end(tmp_path: Path) -> None:
    """Its mode does not depend on the umask, which is as before afterwards."""
    path = tmp_path / "page.sock"
    before = os.umask(0)
    try:
        with listening(f"unix:{path}", None):
            assert stat.S_IMODE(path.stat().st_mode) == 0o660
            assert connects(path)
            assert os.umask(0) == 0
    finally:
        os.umask(before)
    assert list(tmp_path.iterdir()) == []


def test_the_group_of_the_setting_gets_the_socket(tmp_path: Path) -> None:
    """By its number or by its name; one that does not exist is a problem of the configuration."""
    must_be_root()
    path = tmp_path / "page.sock"
    for group, gid in (("4711", 4711), ("nogroup", 65534)):
        with listening(f"unix:{path}", group):
            assert (path.stat().st_gid, stat.S_IMODE(path.stat().st_mode)) == (gid, 0o660)
    with (
        pytest.raises(ConfigError, match="there is no group 'nobodys'"),
        listening(f"unix:{path}", "nobodys"),
    ):
        pass
    assert not path.exists()


def test_an_abandoned_socket_is_replaced(tmp_path: Path) -> None:
    """A process that was killed does not keep the next one from its work."""
    path = tmp_path / "page.sock"
    abandoned(path)
    with listening(f"unix:{path}", None):
        assert connects(path)


def test_a_served_socket_is_left_alone(tmp_path: Path) -> None:
    """The second process ends and may be started again (exit 75); the first one still serves, even if it is busy."""
    path = tmp_path / "page.sock"
    with listening(f"unix:{path}", None), contextlib.ExitStack() as waiting:
        for _ in range(200):
            client = waiting.enter_context(contextlib.closing(socket.socket(socket.AF_UNIX)))
            client.settimeout(0)
            with contextlib.suppress(BlockingIOError):
                client.connect(str(path))
        with pytest.raises(StorageError, match="Address already in use") as caught, listening(f"unix:{path}", None):
            pass
        assert caught.value.exit_status == 75
        assert "choose another one in `web.listen`" in caught.value.hint
        assert path.is_socket()
    assert not path.exists()


@pytest.mark.parametrize("kind", ["file", "folder", "fifo"])
def test_nothing_but_a_socket_is_replaced(tmp_path: Path, kind: str) -> None:
    """Whatever else is at the path stays, and is a problem of the configuration."""
    path = tmp_path / "page.sock"
    {"file": lambda: path.write_text("kept"), "folder": path.mkdir, "fifo": lambda: os.mkfifo(path)}[kind]()
    before = path.lstat()
    with pytest.raises(ConfigError, match="is there, and is no socket"), listening(f"unix:{path}", None):
        pass
    assert path.lstat()[:2] == before[:2]


@pytest.mark.parametrize("leads_to", ["nothing", "a file", "an abandoned socket"])
def test_links_are_not_followed(tmp_path: Path, leads_to: str) -> None:
    """A link at the path stays, and so does what it leads to."""
    target, path = tmp_path / "target", tmp_path / "page.sock"
    if leads_to == "a file":
        target.write_text("kept")
    elif leads_to == "an abandoned socket":
        abandoned(target)
    path.symlink_to(target)
    there = target.exists()
    with pytest.raises(ConfigError, match="is there, and is no socket"), listening(f"unix:{path}", None):
        pass
    assert path.is_symlink()
    assert target.exists() == there


def test_only_our_own_socket_is_removed(tmp_path: Path) -> None:
    """If somebody has put another one in its place, that one stays."""
    path = tmp_path / "page.sock"
    with listening(f"unix:{path}", None):
        path.unlink()
        abandoned(path)
    assert path.is_socket()


def test_two_that_start_together_do_not_remove_each_others_socket(tmp_path: Path) -> None:
    """While one looks at the folder, the other ends and may be started again."""
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        with pytest.raises(StorageError) as caught, listening(f"unix:{tmp_path}/page.sock", None):
            pass
    finally:
        os.close(folder)
    assert caught.value.exit_status == 75


@pytest.mark.parametrize("folder", ["missing", "a-file/in"])
def test_a_path_that_cannot_be_had_is_said(tmp_path: Path, folder: str) -> None:
    """The message names the path."""
    (tmp_path / "a-file").touch()
    with (
        pytest.raises(ModelInboxError, match=r"cannot listen on .*page\.sock"),
        listening(f"unix:{tmp_path}/{folder}/page.sock", None),
    ):
        pass


def test_a_port_that_is_taken_is_said() -> None:
    """The message names the address and the setting; the exit code allows a retry."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(StorageError, match=f"cannot listen on '{address}'") as caught, listening(address, None):
            pass
    assert (caught.value.exit_status, "`web.listen`" in caught.value.hint) == (75, True)


def test_where_people_find_the_pages() -> None:
    """A link for a browser, or the path of the socket."""
    assert url_of("127.0.0.1:9478") == "http://127.0.0.1:9478/"
    assert url_of("[::1]:9478") == "http://[::1]:9478/"
    assert url_of("unix:/run/page.sock") == "unix:/run/page.sock"
