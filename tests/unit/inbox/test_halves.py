"""One stem, one truth: halves pair whatever their suffixes are, and a rejected drop keeps its halves together."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from model_inbox.base.disk import Disk
from model_inbox.inbox.rejected import list_rejected, retry_rejected
from model_inbox.service.service import Service
from support.world import World, pickled, sidecar


@pytest.fixture(name="world")
def _world(memory_folder: Path) -> World:
    world = World(memory_folder)
    world.inbox.mkdir(parents=True)
    return world


def put(world: World, *names: str, **fields: Any) -> None:
    """Write files into the inbox: sidecars by their suffix, all others a pickle."""
    for name in names:
        is_sidecar = name.lower().endswith((".yaml", ".yml"))
        data = sidecar(**fields) if is_sidecar else pickled({"of": name})
        (world.inbox / name).write_bytes(gzip.compress(data) if name.lower().endswith(".gz") else data)


def live(world: World, service: Service, seconds: float = 5) -> None:
    world.live_on(service, seconds)


def after(world: World, seconds: float = 5) -> None:
    """Let a service live so long."""
    with world.running() as service:
        world.live_on(service, seconds)


def rejected(world: World) -> dict[str, list[str]]:
    """Return the files of each rejected drop, by its stem."""
    found = {}
    for folder in sorted((world.inbox / "rejected").iterdir()):
        reason = json.loads((folder / "reason.json").read_bytes())
        found[reason["stem"]] = sorted(path.name for path in folder.iterdir() if path.name != "reason.json")
    return found


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize(
    ("sidecar_name", "model_name"),
    [
        ("pic.yaml", "pic.pickle"),
        ("pic.yml", "pic.pkl"),
        ("pic.YAML", "pic.PKL"),
        ("pic.Yml", "pic.sav"),
        ("pic.yaml", "pic.pkl.gz"),
        ("pic.YML", "pic.JOBLIB.GZ"),
        ("pic.pkl.yaml", "pic.pkl"),
    ],
)
def test_halves_pair_whatever_their_suffixes_are(world: World, sidecar_name: str, model_name: str, first: int) -> None:
    """Without `model_file`, in any order. The model is stored under the one name that stored models have."""
    names = [sidecar_name, model_name]
    with world.running() as service:
        put(world, names[first])
        live(world, service)
        assert not (world.inbox / "receipts" / "pic.json").exists()
        put(world, names[1 - first])
        live(world, service)
    stem = "pic.pkl" if sidecar_name == "pic.pkl.yaml" else "pic"
    answered = world.answered()
    assert (list(answered.registered), answered.left, answered.rejected) == ([stem], [], {})
    assert answered.registered[stem]["model_path"].endswith(f"{stem}.pkl")
    with world.registry() as registry:
        model, _ = registry.load_model_objects(registry.registry[stem])
    assert model == {"of": model_name}


def test_scalers_pair_in_the_same_way(world: World) -> None:
    """A scaler of another suffix than the model's is its scaler, and never left out without a word."""
    put(world, "M.YML", "M.PKL", "M_SCALER.PICKLE")
    after(world)
    assert world.answered().registered["M"]["scaler_path"] is not None


@pytest.mark.parametrize("names", [("pic.yaml", "pic.yml"), ("pic.yml", "pic.YML")])
def test_of_two_sidecars_neither_is_taken(world: World, names: tuple[str, str]) -> None:
    """The answer names both, and everything is together."""
    put(world, *names, "pic.pkl", "pic_scaler.pkl")
    after(world)
    receipt = world.receipt("pic")
    assert receipt is not None
    (problem,) = receipt["problems"]
    assert problem["code"] == "sidecar.ambiguous"
    assert all(repr(name) in problem["message"] for name in names)
    assert rejected(world) == {"pic": sorted([*names, "pic.pkl", "pic_scaler.pkl"])}
    assert world.left() == []


def test_of_several_models_pkl_is_taken_and_the_others_are_told(world: World) -> None:
    """The receipt says which was taken; the others stay, and wait."""
    put(world, "pic.joblib", "pic.pkl", "pic.yaml")
    after(world)
    receipt = world.receipt("pic")
    assert receipt is not None
    assert (receipt["outcome"], [note["code"] for note in receipt["notes"]]) == ("registered", ["artifact.others"])
    assert "'pic.pkl' was taken" in receipt["notes"][0]["message"]
    assert "'pic.joblib'" in receipt["notes"][0]["message"]
    assert world.left() == ["pic.joblib"]


def test_of_several_models_of_which_none_comes_first_none_is_taken(world: World) -> None:
    """They are rejected with their sidecar."""
    put(world, "pic.joblib", "pic.pt", "pic.yaml")
    after(world)
    assert world.answered().rejected == {"pic": ["artifact.ambiguous"]}
    assert rejected(world) == {"pic": ["pic.joblib", "pic.pt", "pic.yaml"]}


def test_a_model_in_another_format_is_rejected_with_its_sidecar(world: World) -> None:
    """One answer within the settle time for both."""
    put(world, "pic.yaml", "pic.onnx")
    after(world)
    assert world.answered().rejected == {"pic": ["artifact.unknown_suffix"]}
    assert rejected(world) == {"pic": ["pic.onnx", "pic.yaml"]}


def test_a_name_that_nothing_can_take_is_answered_within_the_settle_time(world: World) -> None:
    """But not while somebody writes it; and what is ignored stays without a word."""
    put(world, "pic.png", "notes.md", "Thumbs.db", "m.pkl.sha256")
    with (world.inbox / "grows.txt").open("wb") as file, world.running() as service:
        file.write(b"x")
        file.flush()
        live(world, service)
        assert world.left() == ["Thumbs.db", "grows.txt", "m.pkl.sha256"]
    assert world.answered().rejected == {
        "notes.md": ["artifact.unknown_suffix"],
        "pic.png": ["artifact.unknown_suffix"],
    }


@pytest.mark.parametrize("stem", ["bad name", "a_scaler", "-rf"])
@pytest.mark.parametrize("suffixes", [(".yaml", ".pkl"), (".YML", ".sav")])
def test_a_sidecar_rejected_for_its_name_takes_its_model_along(
    world: World, stem: str, suffixes: tuple[str, str]
) -> None:
    """One folder, one reason."""
    put(world, *(f"{stem}{suffix}" for suffix in suffixes))
    after(world)
    assert rejected(world) == {stem: sorted(f"{stem}{suffix}" for suffix in suffixes)}
    assert world.answered().rejected == {stem: ["drop.invalid_name"]}
    assert world.left() == []


def test_a_rejected_sidecar_takes_along_all_files_of_its_stem(world: World) -> None:
    """Also those that it does not mean: a model that it names wrongly, a scaler that it denies."""
    put(world, "pic.joblib", "pic_scaler.pkl", "other.pkl", "pic.yaml", model_file="pic.h5", scaler_file=None)
    after(world)
    assert rejected(world) == {"pic": ["pic.joblib", "pic.yaml", "pic_scaler.pkl"]}
    assert world.left() == ["other.pkl"]


def test_stems_are_case_sensitive(world: World) -> None:
    """`m` and `M` are two drops, each with its own model."""
    put(world, "m.yaml", "M.yaml", "m.pkl", "M.PKL")
    after(world)
    assert sorted(world.answered().registered) == ["M", "m"]


# --- a half that comes after the answer ------------------------------------------------------------------------------


def test_a_model_that_comes_after_its_sidecar_was_rejected_goes_along(world: World) -> None:
    """The receipt stays that of the sidecar, and the rejected drop has its halves together, the scaler too."""
    with world.running() as service:
        put(world, "pic.yaml", leave_out=["version"], horizons=["x"])
        live(world, service, 2)
        before = world.receipt("pic")
        assert before is not None
        put(world, "pic.joblib")
        live(world, service, 1)
        assert world.left() == ["pic.joblib"]
        put(world, "pic_scaler.pkl")
        live(world, service, 8)
    assert world.receipt("pic") == before
    assert rejected(world) == {"pic": ["pic.joblib", "pic.yaml", "pic_scaler.pkl"]}
    assert world.left() == []


def test_a_corrected_sidecar_takes_the_model_that_waits(world: World) -> None:
    """Before the model has gone along: dropped alone, the corrected copy is registered with it."""
    with world.running() as service:
        put(world, "pic.yaml", horizons=["x"])
        live(world, service, 2)
        put(world, "pic.pkl")
        live(world, service, 1)
        put(world, "pic.yaml")
        live(world, service, 2)
    assert list(world.answered().registered) == ["pic"]
    assert rejected(world) == {"pic": ["pic.yaml"]}


def test_the_model_of_a_corrected_drop_is_not_taken_for_a_late_half(world: World) -> None:
    """The rejected drop has its model: a new one waits for its sidecar, and is registered with it."""
    with world.running() as service:
        put(world, "pic.yaml", "pic.pkl", horizons=["x"])
        live(world, service, 2)
        put(world, "pic.pkl")
        live(world, service, 10)
        assert world.left() == ["pic.pkl"]
        put(world, "pic.yaml")
        live(world, service, 2)
    assert list(world.answered().registered) == ["pic"]


@pytest.mark.parametrize("stem", ["bad name", "a_scaler"])
def test_the_model_of_a_sidecar_rejected_for_its_name_goes_along_at_once(world: World, stem: str) -> None:
    """No corrected sidecar can have that stem."""
    with world.running() as service:
        put(world, f"{stem}.yaml")
        live(world, service, 2)
        put(world, f"{stem}.pkl")
        live(world, service, 1)
    assert rejected(world) == {stem: [f"{stem}.pkl", f"{stem}.yaml"]}
    assert world.answered().rejected == {stem: ["drop.invalid_name"]}


def test_a_model_long_after_is_no_late_half(world: World) -> None:
    """After `incomplete_timeout` (here 20 seconds) it is the first file of the next drop."""
    with world.running() as service:
        put(world, "pic.yaml", horizons=["x"])
        live(world, service, 25)
        put(world, "pic.pkl")
        live(world, service, 10)
    assert world.left() == ["pic.pkl"]


def test_a_late_half_is_known_after_a_restart_too(world: World) -> None:
    """Nothing but what is on the disk tells of it."""
    put(world, "pic.yaml", horizons=["x"])
    after(world, 2)
    put(world, "pic.pkl")
    after(world, 8)
    assert rejected(world) == {"pic": ["pic.pkl", "pic.yaml"]}


def test_what_was_sent_back_takes_its_late_half_in_the_inbox(world: World) -> None:
    """`rejected retry` before the model has gone along: the two are one drop again."""
    with world.running() as service:
        put(world, "pic.yaml", horizons=["x"])
        live(world, service, 2)
        put(world, "pic.pkl")
        live(world, service, 1)
        (drop,) = list_rejected(world.inbox / "rejected")
        assert retry_rejected(drop, world.inbox, Disk()) == ["pic.yaml"]
        live(world, service, 8)
    assert rejected(world) == {"pic": ["pic.pkl", "pic.yaml"]}


def test_a_late_file_that_the_rejected_sidecar_names_goes_along(world: World) -> None:
    """`model_file` and `scaler_file` count, not only the stem; the reasons tell what was missing."""
    with world.running() as service:
        put(world, "pic.yaml", horizons=["x"], model_file="weights.joblib", scaler_file="norm.pkl")
        live(world, service, 2)
        (folder,) = (world.inbox / "rejected").iterdir()
        assert json.loads((folder / "reason.json").read_bytes())["missing"] == ["weights.joblib", "norm.pkl"]
        put(world, "weights.joblib", "norm.pkl", "other.pkl")
        live(world, service, 1)
        assert world.left() == ["norm.pkl", "other.pkl", "weights.joblib"]
        live(world, service, 8)
    assert rejected(world) == {"pic": ["norm.pkl", "pic.yaml", "weights.joblib"]}
    assert world.left() == ["other.pkl"]


def test_a_corrected_sidecar_of_another_stem_takes_the_named_file_that_waits(world: World) -> None:
    """The rejected sidecar has no claim on the file before it has gone along."""
    with world.running() as service:
        put(world, "bad name.yaml", model_file="weights.pkl")
        live(world, service, 2)
        put(world, "weights.pkl")
        live(world, service, 1)
        put(world, "good.yaml", model_file="weights.pkl")
        live(world, service, 2)
    assert list(world.answered().registered) == ["good"]
    assert rejected(world) == {"bad name": ["bad name.yaml"]}
