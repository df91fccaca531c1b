"""Every way in which producers bring a file into a folder, each with the real tool.

A way gets a source (an existing file with the bytes, beside the inbox), the target in the inbox, and a folder on
another file system; it raises CalledProcessError or OSError when the tool says that it failed. It may use up the
source. None of them is told to behave.
"""

from __future__ import annotations

import mmap
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from support.world import name_open_file

SFTP_SERVERS = ("/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server", "/usr/lib/ssh/sftp-server")

Way = Callable[[Path, Path, Path], None]


def run(*words: str | Path, **options: object) -> None:
    """Run a tool; CalledProcessError with what it said when it fails."""
    subprocess.run([str(word) for word in words], check=True, capture_output=True, **options)  # type: ignore[call-overload]


# --- programs that every system has ----------------------------------------------------------------------------------


def cp(source: Path, target: Path, _: Path) -> None:
    run("cp", "--", source, target)


def cp_preserving(source: Path, target: Path, _: Path) -> None:
    """With the old times: the file looks ages old at once."""
    run("cp", "-p", "--", source, target)


def mv(source: Path, target: Path, _: Path) -> None:
    run("mv", "-n", "--", source, target)
    if source.exists():
        raise FileExistsError(str(target))


def mv_from_another_file_system(source: Path, target: Path, elsewhere: Path) -> None:
    """A copy under the final name, whatever it is called."""
    there = elsewhere / f"{os.getpid()}-{source.name}"
    shutil.copyfile(source, there)
    try:
        run("mv", "--", there, target)
    finally:
        there.unlink(missing_ok=True)


def hard_link(source: Path, target: Path, _: Path) -> None:
    """The source stays: it is somebody's own file."""
    os.link(source, target)


def ln(source: Path, target: Path, _: Path) -> None:
    run("ln", "--", source, target)


def tar(source: Path, target: Path, _: Path) -> None:
    with tempfile.TemporaryDirectory(dir=source.parent) as folder:
        os.link(source, Path(folder) / target.name)
        archive = subprocess.run(["tar", "-cf", "-", "-C", folder, target.name], check=True, capture_output=True).stdout
    run("tar", "-xf", "-", "-C", target.parent, "--no-same-owner", input=archive)


def dd(source: Path, target: Path, _: Path) -> None:
    run("dd", f"if={source}", f"of={target}", "bs=64k", "conv=excl")


def install(source: Path, target: Path, _: Path) -> None:
    run("install", "-m", "640", "--", source, target)


def shell(source: Path, target: Path, _: Path) -> None:
    run("sh", "-c", 'cat "$0" > "$1"', source, target)


def append(source: Path, target: Path, _: Path) -> None:
    """Opened and closed for each piece."""
    data = source.read_bytes()
    for begin in range(0, len(data), max(len(data) // 3, 1)):
        with target.open("ab") as file:
            file.write(data[begin : begin + max(len(data) // 3, 1)])


# --- Python's own ----------------------------------------------------------------------------------------------------


def write_bytes(source: Path, target: Path, _: Path) -> None:
    target.write_bytes(source.read_bytes())


def temporary_and_replace(source: Path, target: Path, _: Path) -> None:
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".", delete=False) as file:
        file.write(source.read_bytes())
    os.replace(file.name, target)


def plain_temporary_and_replace(source: Path, target: Path, _: Path) -> None:
    """Under a name that looks like any other file's, until it is complete."""
    with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as file:
        file.write(source.read_bytes())
    os.replace(file.name, target)


def shutil_copy(source: Path, target: Path, _: Path) -> None:
    shutil.copy2(source, target)


def unnamed_and_linked(source: Path, target: Path, _: Path) -> None:
    fd = os.open(target.parent, os.O_TMPFILE | os.O_WRONLY, 0o640)
    try:
        os.write(fd, source.read_bytes())
        name_open_file(fd, target)
    finally:
        os.close(fd)


def memory_mapped(source: Path, target: Path, _: Path) -> None:
    """The whole length at once, and the bytes through memory, after the descriptor was closed."""
    data = source.read_bytes()
    fd = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o640)
    try:
        os.ftruncate(fd, len(data))
        if not data:
            return
        mapped = mmap.mmap(fd, len(data))
    finally:
        os.close(fd)
    half = len(data) // 2
    mapped[half:] = data[half:]
    mapped[:half] = data[:half]
    mapped.close()


# --- programs that may have to be installed --------------------------------------------------------------------------


def curl(source: Path, target: Path, _: Path) -> None:
    run("curl", "-sS", "--fail", "-o", target, source.as_uri())


def rsync(source: Path, target: Path, _: Path, *options: str) -> None:
    run("rsync", *options, "--", source, target)


def rsync_mode(*options: str) -> Way:
    def way(source: Path, target: Path, elsewhere: Path) -> None:
        rsync(source, target, elsewhere, *options)

    way.__name__ = "rsync " + " ".join(options)
    return way


def sftp_server() -> str:
    """Return the program that serves sftp on its standard input."""
    for path in SFTP_SERVERS:
        if os.access(path, os.X_OK):
            return path
    raise FileNotFoundError(f"there is no sftp-server here ({', '.join(SFTP_SERVERS)}): install openssh-sftp-server")


def sftp(source: Path, target: Path, _: Path) -> None:
    """The real client and server, without a network between them."""
    run("sftp", "-q", "-b", "-", "-D", sftp_server(), input=f'put "{source}" "{target}"\n'.encode())


def sftp_and_rename(source: Path, target: Path, _: Path) -> None:
    hidden = target.with_name(f"{target.name}.filepart")
    commands = f'put "{source}" "{hidden}"\nrename "{hidden}" "{target}"\n'
    run("sftp", "-q", "-b", "-", "-D", sftp_server(), input=commands.encode())


def scp(source: Path, target: Path, _: Path) -> None:
    """Over its protocol: what would be ssh runs the other end here."""
    with tempfile.NamedTemporaryFile("w", dir=source.parent, suffix=".sh", delete=False) as file:
        # scp gives its "ssh" options, the host, and what to run there: scp -t, or the subsystem sftp.
        file.write(f'#!/bin/sh\nfor last; do :; done\n[ "$last" = sftp ] && exec {sftp_server()}\nexec sh -c "$last"\n')
    os.chmod(file.name, 0o700)
    try:
        run("scp", "-q", "-S", file.name, "--", source, f"here:{target}")
    finally:
        os.unlink(file.name)


EVERYWHERE: dict[str, Way] = {
    way.__name__: way
    for way in (
        *(cp, cp_preserving, mv, mv_from_another_file_system, hard_link, ln, tar, dd, install, shell, append),
        *(write_bytes, temporary_and_replace, plain_temporary_and_replace, shutil_copy, unnamed_and_linked),
        memory_mapped,
    )
}
"""What works on any Linux."""

INSTALLED: dict[str, Way] = {
    way.__name__: way
    for way in (
        *(curl, scp, sftp, sftp_and_rename, rsync_mode(), rsync_mode("--inplace"), rsync_mode("--partial")),
        *(rsync_mode("--delay-updates"), rsync_mode("--append"), rsync_mode("-a"), rsync_mode("-z", "--checksum")),
        *(rsync_mode("--whole-file", "--times"), rsync_mode("--sparse"), rsync_mode("--temp-dir=/tmp")),
    )
}
"""What needs curl, rsync, and OpenSSH's client and sftp-server."""
