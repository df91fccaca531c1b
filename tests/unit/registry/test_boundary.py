"""Which files an entry may name: no path leads out of the registry's folder and its storage folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_inbox.registry.boundary import Boundary


@pytest.fixture(name="boundary")
def _boundary(tmp_path: Path) -> Boundary:
    """A registry in `models/`, its storage folder a link to another disk, and a folder that is neither's."""
    for folder in ("models/sub", "disk/deep", "home"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "models/prediction").symlink_to(tmp_path / "disk")
    (tmp_path / "models/out").symlink_to(tmp_path / "home")
    (tmp_path / "models/sub/up").symlink_to("../..")
    (tmp_path / "disk/out").symlink_to(tmp_path / "home")
    (tmp_path / "home/in").symlink_to(tmp_path / "models")
    return Boundary(tmp_path / "models", tmp_path / "models/prediction")


@pytest.mark.parametrize(
    ("stored", "held"),
    [
        ("prediction/m.pkl", True),
        ("m.pkl", True),
        ("sub/missing/m.pkl", True),
        ("prediction/deep/m.pkl", True),
        ("sub/../m.pkl", True),
        ("prediction/../m.pkl", False),
        ("{root}/models/prediction/m.pkl", True),
        ("{root}/models/m.pkl", True),
        ("{root}/disk/m.pkl", True),
        ("{root}/home/in/m.pkl", True),
        ("{root}/models/out/in/m.pkl", True),
        ("../home/m.pkl", False),
        ("prediction/out/m.pkl", False),
        ("out/m.pkl", False),
        ("sub/up/m.pkl", False),
        ("{root}/home/m.pkl", False),
        ("{root}/modelsx/m.pkl", False),
        ("/etc/passwd", False),
        ("prediction/..", False),
        ("prediction/", False),
        ("..", False),
        ("", False),
        ("prediction/m\0.pkl", False),
        ("sub/\0/m.pkl", False),
    ],
)
def test_a_path_is_followed_before_it_is_believed(boundary: Boundary, tmp_path: Path, stored: str, held: bool) -> None:
    """Links, `..` and absolute paths count by where they lead. What is not there yet is inside where its folder is."""
    assert boundary.holds(stored.format(root=tmp_path)) == held


@pytest.mark.parametrize("storage", ["models", "elsewhere"])
def test_the_storage_folder_may_be_the_registrys_or_any_other(tmp_path: Path, storage: str) -> None:
    """Its own entries are inside, as they are stored and as the API shows them."""
    for name in ("models", "elsewhere", "third"):
        (tmp_path / name).mkdir()
    boundary = Boundary(tmp_path / "models", tmp_path / storage)
    assert boundary.holds(str(tmp_path / storage / "m.pkl"))
    assert boundary.holds("m.pkl")
    assert boundary.holds(str(tmp_path / "elsewhere/m.pkl")) == (storage == "elsewhere")
    assert not boundary.holds(str(tmp_path / "third/m.pkl"))
