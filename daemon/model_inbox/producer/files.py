"""A drop of files that exist: beside each other in a folder, or in a tar archive that comes through a pipe.

Owns which files belong to a model that is named alone, and in which order they are checked and copied. Never changes
the files of the producer, and never reads a pickle.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, BinaryIO, Literal, NamedTuple

from ..base.copying import digest_open_file
from ..base.disk import open_regular, read_open_file, read_regular
from ..errors import DropRefused, StorageError
from ..model.file_names import MODEL, NOTHING, SIDECAR, Declared, Role, choose, scaler_stem, stem_of, stems_of
from ..model.metadata import PAIR_PATTERN
from ..model.published import Limits
from ..model.sidecar import parse_sidecar
from ..problems import quoted
from ..problems.artifact import artifact_digest_mismatch
from ..problems.sidecar import sidecar_ambiguous
from .answers import DropResult, inbox_folder
from .archive import Member, members
from .described import Described, Given, described
from .limits import limits_of, must_be_accepted, sidecar_of, with_id
from .provenance import collected
from .publishing import publish
from .remote import Place, drop_remotely, is_remote, place_of
from .writer import DropWriter, copy_all, free_stem, write_chunks

__all__ = ["Beside", "drop_archive", "drop_files", "files_beside"]

Facts = Mapping[str, str] | Literal[False] | None
"""The provenance that the caller says; False: nothing is collected, either."""


class Beside(NamedTuple):
    """The files that belong to a model by their names."""

    sidecar: Path | None
    scaler: Path | None


def files_beside(model: Path, *, with_scaler: bool = True, now: datetime) -> Beside:
    """Return the sidecar and the scaler beside a model's file, by the names that they would have in the inbox.

    Without `with_scaler` no scaler is looked for. Raises DropRefused if there are several sidecars, if the sidecar is
    that of another model, or if several files may be the scaler.
    """
    try:
        names = os.listdir(model.parent)
    except OSError as error:
        raise StorageError("list", model.parent, error) from error
    stems = stems_of(model.name)[:2]
    sidecars = [name for name in names if (match := SIDECAR.fullmatch(name)) is not None and match["stem"] in stems]
    if len(sidecars) > 1:
        raise DropRefused(
            f"cannot drop {quoted(model.name)}: it has several sidecars",
            [sidecar_ambiguous(sorted(sidecars))],
            hint="Say with --meta which one is meant",
        )
    declared = NOTHING
    if sidecars:
        declared = parse_sidecar(_read(model.parent / sidecars[0]), stem=stem_of(model.name), now=now).declared
        if declared.model_file not in (None, model.name):
            raise DropRefused(
                f"cannot drop {quoted(model.name)}: the sidecar {quoted(sidecars[0])} names another file, "
                f"{quoted(declared.model_file)}",
                hint="Drop that file, or say with --meta which sidecar is meant",
            )
    beside = model.parent / sidecars[0] if sidecars else None
    if not with_scaler:
        return Beside(beside, None)
    own = Declared(model.name, declared.scaler_file, declared.has_scaler)
    chosen = choose(stem_of(model.name), [name for name in names if name not in sidecars], own)
    if "scaler" in chosen.unclear:
        raise DropRefused(
            f"cannot drop {quoted(model.name)}: {', '.join(map(quoted, chosen.unclear['scaler']))} may be its scaler",
            hint="Say with --scaler which one is meant, or --no-scaler",
        )
    scaler = chosen.roles.get("scaler")
    return Beside(beside, model.parent / scaler if scaler is not None else None)


def _read(sidecar: Path) -> bytes:
    """Return the bytes of a sidecar, as far as any limit goes. Raises StorageError."""
    try:
        return read_regular(sidecar, Limits().max_sidecar_size)
    except OSError as error:
        raise StorageError("read the sidecar", sidecar, error) from error


def drop_files(
    model: Path,
    sidecar: Path | None = None,
    *,
    inbox: str | os.PathLike[str] = "inbox",
    scaler: Path | None = None,
    wait: bool | float = False,
    pair_pattern: str | None = PAIR_PATTERN,
    given: Given = (),
    provenance: Facts = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    on_opened: Callable[[Path], None] = lambda _: None,
) -> DropResult:
    """Copy existing files into the inbox, with a sidecar that has their names and digests.

    The names of files in the given sidecar are replaced. `given` are values that count more than those of the sidecar.
    What neither says is filled in: `trained_at` is the time when the model's file was written. Without a sidecar the id
    is made from the metadata. `wait` is as in `drop`. Raises DropRefused if the metadata has problems or a name is
    taken in the inbox, and StorageError if a file cannot be read or written. Nothing is left in the inbox then.
    `on_opened` is called with the inbox when the given files are open, and before anything in the inbox is read or
    written: root gives up its rights there.
    """
    place = place_of(inbox) if is_remote(inbox) else None
    folder = inbox_folder(inbox) if place is None else Path(os.devnull)
    sources: dict[Role, Path] = {"model": model} if scaler is None else {"model": model, "scaler": scaler}
    facts = collected(os.environ, Path.cwd(), only_loaded=False) if provenance is not False else {}
    with ExitStack() as stack:
        text_fd = stack.enter_context(_opened(sidecar, "read the sidecar")) if sidecar is not None else None
        opened = {role: stack.enter_context(_opened(path, "read")) for role, path in sources.items()}
        if place is None:
            on_opened(folder)
        limits = limits_of(folder, pair_pattern)
        text, size = _text(sidecar, text_fd, limits)
        found = described(
            text,
            name=sidecar.name if sidecar is not None else None,
            stem=stem_of(sidecar.name) if sidecar is not None else "",
            size=size,
            given=given,
            mtime=os.fstat(opened["model"]).st_mtime_ns // 1000 / 1e6,
            facts=facts,
            said=provenance or {},
            now=now(),
            limits=limits,
        )
        must_be_accepted(found.metadata, limits, template=found.template, has_scaler=scaler is not None)
        if place is not None:
            return _send(place, found, sources, opened, wait)
        stem = None
        if found.template is None:
            stem = free_stem(folder, stem_of(sidecar.name) if sidecar is not None else found.metadata.model_id)
        with DropWriter(folder, stem) as writer:
            digests = {role: writer.add(role, functools.partial(copy_all, source=fd)) for role, fd in opened.items()}
            _must_match(found, sources, digests)
            return publish(writer, folder, found.metadata, found.template, digests, wait)


def _text(sidecar: Path | None, fd: int | None, limits: Limits) -> tuple[bytes, int | None]:
    """Return the text of an open sidecar, and its size if it is too large. No sidecar has no text."""
    if fd is None:
        return b"", None
    try:
        text = read_open_file(fd, limits.max_sidecar_size)
        return text, os.fstat(fd).st_size if len(text) > limits.max_sidecar_size else None
    except OSError as error:
        raise StorageError("read the sidecar", sidecar, error) from error


def _send(
    place: Place, found: Described, sources: Mapping[Role, Path], opened: Mapping[Role, int], wait: bool | float
) -> DropResult:
    """Send open files to another machine."""
    digests = {role: _digest(fd) for role, fd in opened.items()}
    _must_match(found, sources, digests)
    metadata = with_id(found.metadata, found.template, digests["model"])
    with ExitStack() as stack:
        files: dict[Role, IO[bytes]] = {
            role: stack.enter_context(open(fd, "rb", closefd=False)) for role, fd in opened.items()
        }
        return drop_remotely(place, sidecar_of(metadata, metadata.model_id, digests), metadata.model_id, files, wait)


def drop_archive(
    stream: BinaryIO,
    *,
    inbox: str | os.PathLike[str] = "inbox",
    wait: bool | float = False,
    pair_pattern: str | None = PAIR_PATTERN,
    given: Given = (),
    provenance: Facts = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    on_opened: Callable[[Path], None] = lambda _: None,
) -> DropResult:
    """Drop the files of a tar archive: a model, with a sidecar and a scaler if it has them.

    Each file is written as it comes, under a hidden name. `trained_at` is filled in from the archive. Nothing is
    collected for the provenance, because the model was made elsewhere. Raises DropRefused and StorageError as
    `drop_files` does.
    """
    folder = inbox_folder(inbox)
    on_opened(folder)
    limits = limits_of(folder, pair_pattern)
    with DropWriter(folder) as writer:
        received = _Received(writer, limits)
        for member in members(stream, bytes_max=limits.max_artifact_size):
            received.take(member)
        found, names = received.described(given, provenance, now())
        must_be_accepted(found.metadata, limits, template=found.template, has_scaler="scaler" in received.digests)
        _must_match(found, names, received.digests)
        return publish(writer, folder, found.metadata, found.template, received.digests, wait)


class _Received:
    """The files of an archive as far as they came."""

    def __init__(self, writer: DropWriter, limits: Limits) -> None:
        self._writer = writer
        self._limits = limits
        self._names: dict[str, str] = {}
        self._text = b""
        self._mtime: float | None = None
        self.digests: dict[Role, str] = {}

    def take(self, member: Member) -> None:
        """Write one file, or keep the text of the sidecar. Raises DropRefused for a file that belongs to no drop."""
        if SIDECAR.fullmatch(member.name) is not None:
            self._once("sidecar", member.name)
            if member.size > self._limits.max_sidecar_size:
                raise DropRefused(f"cannot take the archive: the sidecar {quoted(member.name)} is too large")
            self._text = b"".join(member.read())
            return
        if MODEL.fullmatch(member.name) is None:
            raise DropRefused(
                f"cannot take the archive: {quoted(member.name)} is neither a model nor a sidecar by its name",
                hint="Put nothing else into it than the model, its scaler and its sidecar",
            )
        role: Role = "scaler" if scaler_stem(member.name) is not None else "model"
        self._once(role, member.name)
        if role == "model":
            self._mtime = member.mtime
        self.digests[role] = self._writer.add(role, functools.partial(write_chunks, chunks=member.read()))

    def _once(self, role: str, name: str) -> None:
        if role in self._names:
            raise DropRefused(
                f"cannot take the archive: {quoted(self._names[role])} and {quoted(name)} are both a {role}",
                hint="Send one drop in each archive",
            )
        self._names[role] = name

    def described(self, given: Given, provenance: Facts, now: datetime) -> tuple[Described, dict[Role, Path]]:
        """Return what the sidecar says of the files, with the names of these."""
        if "model" not in self._names:
            raise DropRefused(
                "cannot take the archive: there is no model in it", hint="Send it with `tar -c MODEL SIDECAR`"
            )
        name = self._names.get("sidecar")
        found = described(
            self._text,
            name=name,
            stem=stem_of(name or self._names["model"]),
            size=None,
            given=given,
            mtime=self._mtime,
            facts={},
            said=provenance or {},
            now=now,
            limits=self._limits,
        )
        declared = found.sidecar.declared
        for role, meant in (("model", declared.model_file), ("scaler", declared.scaler_file)):
            if meant is not None and self._names.get(role) != meant:
                raise DropRefused(
                    f"cannot take the archive: its sidecar names the {role} {quoted(meant)}, which is not in it"
                )
        if declared.has_scaler is not None and declared.has_scaler != ("scaler" in self._names):
            there = "there is one in it" if "scaler" in self._names else "there is none in it"
            said = "has a scaler" if declared.has_scaler else "has no scaler"
            raise DropRefused(f"cannot take the archive: its sidecar says that the model {said}, and {there}")
        return found, {role: Path(self._names[role]) for role in self.digests}


def _must_match(found: Described, sources: Mapping[Role, Path], digests: Mapping[Role, str]) -> None:
    """Raise DropRefused if a file is not the one whose digest the sidecar has."""
    for role, digest in digests.items():
        told = found.sidecar.digests.get(role)
        if told is not None and told != digest:
            problem = artifact_digest_mismatch(role, str(sources[role]), told, digest)
            raise DropRefused(f"cannot drop {str(sources[role])!r}", [problem])


@contextmanager
def _opened(path: Path, to: str) -> Iterator[int]:
    """Open a regular file for reading. Raises StorageError. `to` is what cannot be done with it then."""
    try:
        fd = open_regular(path)
    except OSError as error:
        raise StorageError(to, path, error) from error
    try:
        yield fd
    finally:
        os.close(fd)


def _digest(fd: int) -> str:
    digest = digest_open_file(fd)
    os.lseek(fd, 0, os.SEEK_SET)
    return digest
