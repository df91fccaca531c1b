"""Where `tools/install.sh` writes: never by way of a link, or into a folder, that another user could exchange."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from support.places import ROOT
from support.users import let_through
from support.world import must_be_root

MALLORY = 61_666
# Stands for an interpreter that can be used; what would be installed with it does not matter here.
INTERPRETER = "#!/bin/sh\necho /\n"


@pytest.fixture(name="place")
def _place(tmp_path: Path) -> Path:
    must_be_root()
    let_through(tmp_path)
    (tmp_path / "python").write_text(INTERPRETER)
    (tmp_path / "python").chmod(0o755)
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim/kept").write_text("kept")
    (tmp_path / "stage").mkdir()
    return tmp_path


def install(place: Path, action: str = "install", destdir: str = "stage") -> str:
    """Return what the script says."""
    environment = {
        "PATH": os.environ["PATH"],
        "DESTDIR": str(place / destdir),
        "PREFIX": "/opt/model-inbox",
        "PYTHON": str(place / "python"),
    }
    done = subprocess.run(
        ["sh", ROOT / "tools/install.sh", action],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr


def began(said: str) -> bool:
    return "cannot install" not in said and "making " in said


def link(place: Path, below: str) -> None:
    (place / "stage" / below).parent.mkdir(parents=True, exist_ok=True)
    (place / "stage" / below).symlink_to(place / "victim")


def link_of_mallory(place: Path) -> None:
    link(place, "opt")
    os.lchown(place / "stage/opt", MALLORY, MALLORY)


def link_where_others_write(place: Path) -> None:
    """A link of root's, which a hard link to it can be anywhere: below a sticky folder it proves nothing."""
    link(place, "etc/model-inbox")
    (place / "stage/etc").chmod(0o1777)


def folder_of_mallory(place: Path) -> None:
    (place / "stage/usr").mkdir()
    os.chown(place / "stage/usr", MALLORY, MALLORY)


def destdir_of_mallory(place: Path) -> None:
    os.chown(place / "stage", MALLORY, MALLORY)


def folder_for_everybody(place: Path) -> None:
    (place / "stage/opt").mkdir()
    (place / "stage/opt").chmod(0o777)


def folder_for_a_group(place: Path) -> None:
    (place / "stage/opt").mkdir()
    os.chown(place / "stage/opt", 0, MALLORY)
    (place / "stage/opt").chmod(0o775)


def sticky_folder_at_the_end(place: Path) -> None:
    (place / "stage/etc/model-inbox").mkdir(parents=True)
    (place / "stage/etc/model-inbox").chmod(0o1777)


def link_to_a_link_of_mallory(place: Path) -> None:
    (place / "open").mkdir()
    (place / "open").chmod(0o1777)
    (place / "open/on").symlink_to(place / "victim")
    os.lchown(place / "open/on", MALLORY, MALLORY)
    (place / "stage/opt").symlink_to("../open/on")


ATTACKS: list[Callable[[Path], None]] = [
    link_of_mallory,
    link_where_others_write,
    folder_of_mallory,
    destdir_of_mallory,
    folder_for_everybody,
    folder_for_a_group,
    sticky_folder_at_the_end,
    link_to_a_link_of_mallory,
]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
@pytest.mark.parametrize("action", ["install", "uninstall"])
def test_what_others_could_exchange_is_refused(place: Path, attack: Callable[[Path], None], action: str) -> None:
    """Before anything is written or removed, and saying which folder it is."""
    attack(place)
    said = install(place, action)
    assert said.startswith(f"cannot {action}: ")
    assert str(place) in said
    assert {path.name: path.read_text() for path in (place / "victim").iterdir()} == {"kept": "kept"}
    assert [path for path in (place / "stage").rglob("*") if path.is_file()] == []


def test_a_plain_destination_is_taken(place: Path) -> None:
    """A new folder in a sticky one, and a link of root's where nobody else can write."""
    assert began(install(place))
    (place / "sticky").mkdir()
    (place / "sticky").chmod(0o1777)
    assert began(install(place, destdir="sticky/new"))
    (place / "linked").symlink_to("stage")
    assert began(install(place, destdir="linked"))
    assert not (place / "victim/releases").exists()


def test_nothing_is_written_through_a_link_that_was_left(place: Path) -> None:
    """A link under the name of a file is replaced, not followed: the folder may have been open to others before."""
    (place / "stage/etc/model-inbox").mkdir(parents=True)
    for name in ("config.yaml", "config.yaml.part", "config.yaml.new"):
        (place / "stage/etc/model-inbox" / name).symlink_to(place / "victim/made")
    script = (ROOT / "tools/install.sh").read_text()
    # What follows the release, which needs an interpreter and a network.
    (place / "files.sh").write_text(script.replace("        make_release\n        use_release\n", ""))
    done = subprocess.run(
        ["sh", place / "files.sh", "install"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "DESTDIR": str(place / "stage"), "PYTHON": str(place / "python")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not (place / "victim/made").exists()
    assert "path: /var/lib/model-inbox/inbox" in (place / "stage/etc/model-inbox/config.yaml").read_text()
    assert not (place / "stage/etc/model-inbox/config.yaml").is_symlink()
