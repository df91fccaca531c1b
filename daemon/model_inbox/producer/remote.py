"""A drop into the inbox of another machine: `ssh://[USER@]HOST[:PORT][/FOLDER]`.

Owns the command line of ssh, the archive that goes to it, and how its answer becomes a result. The other side runs
`model-inbox drop -`, which checks what comes as it checks any archive. Never writes a file of its own but the pickles,
in the folder for temporary files.
"""

from __future__ import annotations

import io
import json
import os
import shlex
from collections.abc import Mapping
from errno import EIO
from pathlib import Path
from typing import IO, Any, NamedTuple
from urllib.parse import unquote, urlsplit

from ..errors import DropRefused, StorageError
from ..model.file_names import Role
from ..problems import escaped, problems_in, quoted
from .answers import DEFAULT_WAIT_SECONDS, DropResult

__all__ = ["SSH_VARIABLE", "Place", "drop_remotely", "is_remote", "place_of"]

SSH_VARIABLE = "MODEL_INBOX_SSH"
"""The variable of the environment with another command than `ssh`, such as `ssh -F FILE`."""
_SCHEME = "ssh://"
_ANSWER_BYTES_MAX = 8 << 20
_SAID_CHARACTERS_MAX = 500


class Place(NamedTuple):
    """An inbox on another machine. Without a folder it is the one that is configured there."""

    destination: str
    port: int | None
    folder: str | None


def is_remote(inbox: object) -> bool:
    """Return whether an inbox is one on another machine."""
    return str(inbox).startswith(_SCHEME)


def place_of(inbox: object) -> Place:
    """Return the place that an address names. Raises DropRefused for any other text."""
    refused = DropRefused(
        f"cannot drop into {quoted(str(inbox))}: that is no address of an inbox",
        hint="Write it like ssh://user@host/path/of/the/inbox, or ssh://host for the inbox configured there",
    )
    try:
        parts = urlsplit(str(inbox))
        host, port = parts.hostname, parts.port
    except ValueError:
        raise refused from None
    folder = unquote(parts.path)
    destination = f"{parts.username}@{host}" if parts.username else str(host)
    # A word that begins with a hyphen would be an option of ssh, and no word of a command can have a null character.
    if (
        not host
        or host.startswith("-")
        or destination.startswith("-")
        or "\0" in f"{destination}{folder}"
        or parts.query
        or parts.fragment
        or parts.password
    ):
        raise refused
    return Place(destination, port, folder if folder not in ("", "/") else None)


def drop_remotely(
    place: Place, sidecar: bytes, stem: str, files: Mapping[Role, IO[bytes]], wait: bool | float
) -> DropResult:
    """Send a drop to another machine, and return what its `model-inbox drop -` answers.

    `files` are the open files of model and scaler, by role. Raises DropRefused if the other side refuses it, and
    StorageError, which may pass, if the other side cannot be reached.
    """
    import subprocess
    import tempfile

    command = ["model-inbox", "drop", "-", "--json"]
    if place.folder is not None:
        command += ["--inbox", place.folder]
    if wait is not False:
        command.append(f"--wait={DEFAULT_WAIT_SECONDS if wait is True else float(wait):g}")
    words = [*_ssh(), *(["-p", str(place.port)] if place.port else [])]
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as answer:
        try:
            process = subprocess.Popen(  # noqa: S603  # the words of the user
                [*words, "--", place.destination, shlex.join(command)],
                stdin=subprocess.PIPE,
                stdout=answer,
                stderr=said,
            )
        except OSError as error:
            raise StorageError("run", words[0], error) from error
        try:
            assert process.stdin is not None  # noqa: S101  # it is a pipe
            with process.stdin as pipe:
                _write(pipe, sidecar, stem, files)
        except BrokenPipeError:
            # The other side has ended: it says why.
            pass
        except BaseException:
            process.kill()
            process.wait()
            raise
        status = process.wait()
        return _result(place, status, _read(answer), _read(said).decode("utf-8", "replace"))


def _ssh() -> list[str]:
    """Return the words of the command that reaches another machine. Raises DropRefused for a quote without an end."""
    text = os.environ.get(SSH_VARIABLE, "")
    try:
        return shlex.split(text) or ["ssh"]
    except ValueError as error:
        raise DropRefused(
            f"cannot use ${SSH_VARIABLE}, which is {quoted(text)}: {error}", hint="Write it like `ssh -F FILE`"
        ) from None


def _write(pipe: IO[bytes], sidecar: bytes, stem: str, files: Mapping[Role, IO[bytes]]) -> None:
    """Write the archive: the files first, so that the other side has all of them when it reads the sidecar."""
    import tarfile

    with tarfile.open(fileobj=pipe, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for role, file in files.items():
            info = tarfile.TarInfo(f"{stem}.pkl" if role == "model" else f"{stem}_scaler.pkl")
            info.size = os.fstat(file.fileno()).st_size
            archive.addfile(info, file)
        info = tarfile.TarInfo(f"{stem}.yaml")
        info.size = len(sidecar)
        archive.addfile(info, io.BytesIO(sidecar))


def _read(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read(_ANSWER_BYTES_MAX)


def _result(place: Place, status: int, answer: bytes, said: str) -> DropResult:
    try:
        found: Any = json.loads(answer)
    except ValueError:
        found = None
    if isinstance(found, dict) and isinstance(found.get("error"), dict):
        error = found["error"]
        message = escaped(str(error.get("message"))[:_SAID_CHARACTERS_MAX])
        hint = escaped(str(error.get("hint") or "")[:_SAID_CHARACTERS_MAX])
        problems = problems_in(error.get("problems"))
        refused = DropRefused(f"cannot drop into {quoted(place.destination)}: it says: {message}", problems, hint=hint)
        if status > 0:
            refused.exit_status = status
        raise refused
    if not isinstance(found, dict) or not isinstance(found.get("outcome"), str):
        words = quoted(said.strip()[-_SAID_CHARACTERS_MAX:], _SAID_CHARACTERS_MAX)
        # An I/O error may pass, so the exit code is that of a retry.
        failed = StorageError("drop into", place.destination, OSError(EIO, f"ssh ended with {status} and said {words}"))
        failed.hint = (
            "Try `ssh HOST model-inbox --version`: it must reach the machine, and find the command there. If the "
            "connection was lost, the drop may have arrived; to repeat it is safe"
        )
        raise failed
    drop_id = found.get("drop_id")
    return DropResult(
        found["outcome"],
        str(found.get("model_id")),
        tuple(Path(str(path)) for path in found.get("files") or ()),
        str(drop_id) if drop_id is not None else None,
        problems_in(found.get("problems")),
        problems_in(found.get("notes")),
    )
