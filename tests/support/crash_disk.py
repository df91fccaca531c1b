"""A disk that stops at a chosen step, and what a power cut leaves of the steps before it.

`CrashingDisk` does every step for real except the syncs, records it in a `Medium`, and at step k stops: before it,
after it, or half-way through a write; from then on each call raises `Crashed`, as for a process that is gone.

`Medium` is the second model of the disk: what was synced is there, and of the rest any part may be. It follows these
rules, which are what `base.disk` assumes: an fsync makes a file's bytes durable; an fsync of a folder makes its names
durable; a rename is one step, but when only its target's folder was synced the old name may be there still; bytes that
were not synced arrive as a prefix. Names that were not synced arrive or not, each by itself.
"""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from model_inbox.base.disk import Disk

Moment = Literal["before", "after", "half"]

Name = tuple[int, str]
"""The number of a folder, and a name in it."""

Names = dict[Name, int]
"""What the names of all folders lead to, by number: files and folders. ROOT is the folder that holds all."""

ROOT = 0


class Crashed(BaseException):
    """The process is gone. No handler for ordinary errors may see it."""


@dataclass
class Change:
    """A change of names that is not known to be durable.

    `add` and `remove` are a name with what it leads to.
    """

    add: tuple[Name, int] | None = None
    remove: tuple[Name, int] | None = None


@dataclass
class Medium:
    """What is durable, and what may be. Paths are relative to the root."""

    names: Names = field(default_factory=dict)
    folders: set[int] = field(default_factory=lambda: {ROOT})
    synced: dict[int, bytes] = field(default_factory=dict)
    live: dict[int, bytes] = field(default_factory=dict)
    live_names: Names = field(default_factory=dict)
    pending: list[Change] = field(default_factory=list)
    count: itertools.count[int] = field(default_factory=lambda: itertools.count(ROOT + 1))

    @classmethod
    def of(cls, root: Path) -> Medium:
        """Return the medium that holds what is in a folder now, all of it durable."""
        medium = cls()
        inodes: dict[int, int] = {root.stat().st_ino: ROOT}
        for path in sorted(root.rglob("*")):
            number = inodes.setdefault(path.lstat().st_ino, next(medium.count))
            medium.live_names[inodes[path.parent.lstat().st_ino], path.name] = number
            if path.is_dir():
                medium.folders.add(number)
            else:
                medium.synced[number] = medium.live[number] = path.read_bytes()
        medium.names = dict(medium.live_names)
        return medium

    def number(self, path: Path) -> int:
        """Return what a path leads to now. KeyError where there is nothing."""
        found = ROOT
        for part in path.parts:
            found = self.live_names[found, part]
        return found

    def _name(self, path: Path) -> Name:
        return self.number(path.parent), path.name

    def new(self, path: Path, *, folder: bool) -> int:
        number = next(self.count)
        if folder:
            self.folders.add(number)
        else:
            self.synced[number] = self.live[number] = b""
        self.add(path, number)
        return number

    def add(self, path: Path, number: int) -> None:
        name = self._name(path)
        self.live_names[name] = number
        self.pending.append(Change(add=(name, number)))

    def remove(self, path: Path) -> None:
        name = self._name(path)
        self.pending.append(Change(remove=(name, self.live_names.pop(name))))

    def rename(self, source: Path, target: Path) -> None:
        old, new = self._name(source), self._name(target)
        number = self.live_names.pop(old)
        self.live_names[new] = number
        self.pending.append(Change(add=(new, number), remove=(old, number)))

    def sync_folder(self, path: Path) -> None:
        folder = self.number(path)
        left = []
        for change in self.pending:
            added = change.add is not None and change.add[0][0] == folder
            removed = change.remove is not None and change.remove[0][0] == folder
            if removed or (added and change.remove is None):
                _apply(self.names, change)
            elif added:
                _apply(self.names, Change(add=change.add))
                left.append(Change(remove=change.remove))
            else:
                left.append(change)
        self.pending = left

    def states(self, most: int, seed: int) -> Iterator[tuple[Names, dict[int, bytes]]]:
        """Yield what a power cut may leave: every combination of what is pending, or `most` of them.

        All of it, none of it, and each single loss come first; after them a sample.
        """
        choices: list[tuple[Any, ...]] = [(True, False) for _ in self.pending]
        choices += [("all", "none", "half") for _ in self._unsynced()]
        total = 1
        for choice in choices:
            total *= len(choice)
        if total <= most:
            picks = list(itertools.product(*choices))
        else:
            first = tuple(choice[0] for choice in choices)
            picks = [first, tuple(choice[-1] if choice[0] is True else "none" for choice in choices)]
            for at, choice in enumerate(choices):
                picks += [(*first[:at], other, *first[at + 1 :]) for other in choice[1:]]
            source = random.Random(seed)
            source.shuffle(picks)
            picks = picks[: most // 2]
            picks += [tuple(source.choice(choice) for choice in choices) for _ in range(most - len(picks))]
        for pick in dict.fromkeys(picks):
            yield self._left_by(pick)

    def commit_names(self) -> None:
        """Make all names durable: what any sync does on a file system that writes names to a journal."""
        for change in self.pending:
            _apply(self.names, change)
        self.pending = []

    def a_state(self, chance: random.Random) -> tuple[Names, dict[int, bytes]]:
        """Return one thing that a power cut may leave on a file system with a journal.

        Of the names that were not synced there the first ones arrive, in the order of the steps, and the last ones do
        not; bytes that were not synced arrive or not, file by file.
        """
        arrived = chance.randint(0, len(self.pending))
        names = [number < arrived for number in range(len(self.pending))]
        return self._left_by((*names, *(chance.choice(("all", "none", "half")) for _ in self._unsynced())))

    def _unsynced(self) -> list[int]:
        return [number for number, data in self.live.items() if self.synced[number] != data]

    def _left_by(self, pick: tuple[Any, ...]) -> tuple[Names, dict[int, bytes]]:
        names = dict(self.names)
        for arrived, change in zip(pick, self.pending, strict=False):
            if arrived:
                _apply(names, change)
        data = dict(self.synced)
        for how, number in zip(pick[len(self.pending) :], self._unsynced(), strict=True):
            old, new = self.synced[number], self.live[number]
            if how == "all":
                data[number] = new
            elif how == "half":  # a prefix of what was appended; of a cut, nothing
                data[number] = new[: (len(old) + len(new)) // 2] if new.startswith(old) else old
        return names, data

    def write(self, root: Path, names: Names, data: dict[int, bytes]) -> dict[int, Path]:
        """Put one of the states into an empty folder; return what was written, by number."""
        written = {ROOT: root}
        waiting = [ROOT]
        while waiting:  # what lies in a folder that did not arrive is nowhere to be found
            folder = waiting.pop()
            for (parent, name), number in sorted(names.items()):
                target = written[folder] / name
                if parent != folder:
                    continue
                if number in self.folders:
                    target.mkdir()
                    written[number] = target
                    waiting.append(number)
                elif number in written:
                    os.link(written[number], target)
                else:
                    target.write_bytes(data[number])
                    target.chmod(0o440 if target.suffix == ".pkl" else 0o640)
                    written[number] = target
        return written


def paths_of(names: Names) -> list[str]:
    """Return the paths that these names make, for a message."""
    folders = {number: name for name, number in names.items()}

    def path(name: Name) -> str:
        above = folders.get(name[0])
        return f"{path(above)}/{name[1]}" if above is not None else name[1]

    return sorted(map(path, names))


def _apply(names: Names, change: Change) -> None:
    if change.remove is not None and names.get(change.remove[0]) == change.remove[1]:
        del names[change.remove[0]]
    if change.add is not None:
        names[change.add[0]] = change.add[1]


class CrashingDisk(Disk):
    """Stops at step `stop_at` (counted from 0), `moment` of it. Without one it only records."""

    def __init__(self, root: Path, stop_at: int | None = None, moment: Moment = "before") -> None:
        self.root = root
        self.stop_at = stop_at
        self.moment = moment
        self.steps: list[str] = []
        self.crashed = False
        self.medium = Medium.of(root)
        self._open: dict[int, int] = {}

    def _step(self, name: str, path: Path | None, *, half: Any = None) -> bool:
        """Count a step; return whether the process dies after it."""
        if self.crashed:
            raise Crashed
        number = len(self.steps)
        self.steps.append(f"{name} {path.relative_to(self.root) if path is not None else ''}".strip())
        if number != self.stop_at:
            return False
        if self.moment == "after":
            return True
        self.crashed = True
        if self.moment == "half" and half is not None:
            half()
        raise Crashed

    def _die(self, now: bool) -> None:
        if now:
            self.crashed = True
            raise Crashed

    def _of(self, path: Path) -> Path:
        return path.relative_to(self.root)

    def _number(self, fd: int) -> int:
        if fd not in self._open:  # opened for reading by somebody else
            return self.medium.number(self._of(Path(os.readlink(f"/proc/self/fd/{fd}"))))
        return self._open[fd]

    def create(self, path: Path, mode: int) -> int:
        dies = self._step("create", path)
        fd = super().create(path, mode)
        self._open[fd] = self.medium.new(self._of(path), folder=False)
        if dies:
            os.close(fd)
        self._die(dies)
        return fd

    def open_append(self, path: Path) -> int:
        if self.crashed:
            raise Crashed
        fd = super().open_append(path)
        self._open[fd] = self.medium.number(self._of(path))
        return fd

    def write(self, fd: int, data: bytes | memoryview) -> None:
        number = self._number(fd)

        def put(part: bytes) -> None:
            Disk.write(self, fd, part)
            self.medium.live[number] += part

        dies = self._step("write", None, half=lambda: put(bytes(data)[: len(data) // 2]))
        put(bytes(data))
        self._die(dies)

    def clone(self, source: int, target: int) -> None:
        raise OSError(95, "no reflinks here")

    def truncate(self, fd: int, size: int) -> None:
        dies = self._step("truncate", None)
        super().truncate(fd, size)
        number = self._number(fd)
        self.medium.live[number] = self.medium.live[number][:size]
        self._die(dies)

    def fsync(self, fd: int) -> None:
        dies = self._step("fsync", None)
        number = self._number(fd)
        self.medium.synced[number] = self.medium.live[number]
        self._die(dies)

    def syncfs(self, fd: int) -> None:
        dies = self._step("syncfs", None)
        self.medium.synced.update(self.medium.live)  # of names it promises nothing here, as fsync does not
        self._die(dies)

    def close(self, fd: int) -> None:
        self._open.pop(fd, None)
        super().close(fd)

    def link(self, source: Path, target: Path) -> None:
        dies = self._step("link", target)
        super().link(source, target)
        self.medium.add(self._of(target), self.medium.number(self._of(source)))
        self._die(dies)

    def rename(self, source: Path, target: Path) -> None:
        dies = self._step("rename", target)
        super().rename(source, target)
        self.medium.rename(self._of(source), self._of(target))
        self._die(dies)

    def rename_new(self, source: Path, target: Path) -> None:
        dies = self._step("rename_new", target)
        super().rename_new(source, target)
        self.medium.rename(self._of(source), self._of(target))
        self._die(dies)

    def unlink(self, path: Path) -> None:
        dies = self._step("unlink", path)
        super().unlink(path)
        self.medium.remove(self._of(path))
        self._die(dies)

    def mkdir(self, path: Path, mode: int) -> None:
        dies = self._step("mkdir", path)
        super().mkdir(path, mode)
        self.medium.new(self._of(path), folder=True)
        self._die(dies)

    def rmdir(self, path: Path) -> None:
        dies = self._step("rmdir", path)
        super().rmdir(path)
        self.medium.remove(self._of(path))
        self._die(dies)

    def fsync_dir(self, path: Path) -> None:
        dies = self._step("fsync_dir", path)
        self.medium.sync_folder(self._of(path))
        self._die(dies)


class QuickDisk(Disk):
    """Does everything but wait for the medium."""

    def fsync(self, fd: int) -> None:
        return

    def syncfs(self, fd: int) -> None:
        return

    def fsync_dir(self, path: Path) -> None:
        return
