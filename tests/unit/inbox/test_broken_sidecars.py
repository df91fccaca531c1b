"""Sidecars that are no YAML: answered at once when nothing can mend them, waited for when they may still grow."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.world import World, pickled, sidecar

LATIN = sidecar(description="CAFE").replace(b"CAFE", b"caf\xe9")
TAB = sidecar().replace(b"\nversion", b"\n\tversion")
BROKEN = [
    ("a tab", TAB, "sidecar.not_yaml", "tab"),
    ("a tab, unsealed", TAB.removesuffix(b"...\n"), "sidecar.not_yaml", "tab"),
    ("Latin-1", LATIN, "sidecar.not_utf8", "Latin-1"),
    ("UTF-16", sidecar().decode().encode("utf-16"), "sidecar.not_utf8", "UTF-16"),
    ("UTF-16 without a mark", sidecar().decode().encode("utf-16-le"), "sidecar.not_utf8", "UTF-16"),
    ("NUL", sidecar().replace(b"light", b"li\0ght"), "sidecar.not_yaml", "NUL"),
    ("nothing", b"", "sidecar.empty", "empty"),
    ("a pickle", pickled({"v": 1}), "sidecar.not_utf8", "a pickle"),
    ("an open bracket, sealed", b"features_used: [a, b\n...\n", "sidecar.not_yaml", "flow sequence"),
]
GROWING = [
    b"# written by train.py\n",
    b"features_used: [a, b\n",
    sidecar(seal="").split(b"horizons")[0] + b"hor",
    LATIN.split(b"\xe9")[0] + "\u00e9".encode()[:-1],
]


@pytest.fixture(name="world")
def _world(memory_folder: Path) -> World:
    return World(memory_folder)


@pytest.mark.parametrize(("text", "code", "word"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_a_broken_sidecar_is_answered_within_the_settle_time(world: World, text: bytes, code: str, word: str) -> None:
    """With its reason, and its model goes along."""
    world.put("m", text=text)
    with world.running() as service:
        world.live_on(service, 5)
    receipt = world.receipt("m")
    assert receipt is not None
    problem = receipt["problems"][0]
    assert (receipt["outcome"], problem["code"]) == ("rejected", code)
    assert word in problem["message"]
    assert "..." not in problem.get("hint", "")
    (folder,) = (world.inbox / "rejected").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["m.pkl", "m.yaml", "reason.json"]


@pytest.mark.parametrize("text", GROWING)
def test_a_sidecar_that_may_still_grow_is_waited_for(world: World, text: bytes) -> None:
    """It is complete later, and registered."""
    world.put("m", text=text)
    with world.running() as service:
        world.live_on(service, 5)
        assert world.receipt("m") is None
        (world.inbox / "m.yaml").write_bytes(sidecar())
        world.live_on(service, 5)
    assert list(world.answered().registered) == ["m"]


def test_an_empty_sidecar_that_somebody_has_open_is_waited_for(world: World) -> None:
    """A writer that has opened it and has not written yet is no reason to reject."""
    world.put("m", text=b"")
    with world.running() as service:
        with (world.inbox / "m.yaml").open("wb") as file:
            world.live_on(service, 5)
            assert world.receipt("m") is None
            file.write(sidecar())
        world.live_on(service, 5)
    assert list(world.answered().registered) == ["m"]
