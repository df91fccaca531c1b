"""Whether root has to import all before it becomes another user, by the rights of folders and files."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from model_inbox.base.importable import everybody_can_import
from support.users import let_through


@pytest.fixture(name="package")
def _package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with a sub-package, and another one that it imports, in an installation that everybody can read."""
    let_through(tmp_path)
    library = tmp_path / "installation" / "lib"
    for folder in ("ours/inner", "other"):
        (library / folder).mkdir(parents=True)
    for name in ("os.py", "ours/__init__.py", "ours/inner/__init__.py", "other/__init__.py"):
        (library / name).touch()
    for path in (library.parent, library, *library.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    monkeypatch.setattr(sys, "path", [str(library), "", str(tmp_path / "missing.zip")])
    monkeypatch.setattr(os, "__file__", str(library / "os.py"))
    return library / "ours"


def test_an_installation_that_everybody_can_read_is_open(package: Path, tmp_path: Path) -> None:
    """Also where it is reached by a link."""
    assert everybody_can_import(package, ["other"])
    (tmp_path / "link").symlink_to(package)
    assert everybody_can_import(tmp_path / "link", ["other"])


@pytest.mark.parametrize(
    ("place", "mode"),
    [
        ("..", 0o700),
        ("../..", 0o750),
        ("inner", 0o705),
        ("inner/__init__.py", 0o600),
        ("__init__.py", 0o604),
        ("../other", 0o711),
        ("../other/__init__.py", 0o640),
        ("../os.py", 0o640),
    ],
)
def test_what_is_closed_to_the_group_or_to_others_is_found(package: Path, place: str, mode: int) -> None:
    """A folder above, a sub-package, a file that stands for a package, another package, Python's own library."""
    (package / place).chmod(mode)
    assert not everybody_can_import(package, ["other"])


def test_a_link_in_a_closed_folder_is_closed(package: Path, tmp_path: Path) -> None:
    """Though what it leads to is open."""
    (tmp_path / "closed").mkdir(mode=0o700)
    (tmp_path / "closed" / "link").symlink_to(package)
    assert not everybody_can_import(tmp_path / "closed" / "link", ["other"])
