"""`model-inbox check` and the inbox agree about names, whatever the names are."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from model_inbox.cli import root
from support.examples import examples
from support.world import World, pickled, sidecar

STEMS = st.sampled_from(["m", "M", "m.v1", "a_scaler", "bad name", "m.pkl"])
SIDECARS = st.sampled_from([".yaml", ".yml", ".YAML", ".Yml", ".yaml.bak", ".yam"])
MODELS = st.sampled_from([".pkl", ".PKL", ".pickle", ".joblib", ".sav", ".pt", ".onnx", ".pkl.bak", ".pkl.md5", ".zip"])
OF_NAMES = {
    "sidecar.ambiguous",
    "artifact.ambiguous",
    "artifact.unknown_suffix",
    "artifact.missing",
    "drop.invalid_name",
}


@settings(max_examples=examples(12), deadline=None)
@given(STEMS, SIDECARS, st.lists(MODELS, max_size=3, unique=True), st.lists(SIDECARS, max_size=1))
def test_check_and_inbox_agree_about_names(stem: str, suffix: str, models: list[str], rivals: list[str]) -> None:
    """What `check` accepts is registered; what it rejects for a name is rejected, for the same reasons."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        world = World(Path(folder))
        world.inbox.mkdir()
        names = {f"{stem}{one}" for one in (*models, suffix, *rivals)}
        for name in names:
            is_sidecar = name.lower().endswith((".yaml", ".yml", ".yam", ".yaml.bak"))
            (world.inbox / name).write_bytes(sidecar(model_id="x") if is_sidecar else pickled({"v": 1}))
        checked = CliRunner().invoke(root, ["check", str(world.inbox / f"{stem}{suffix}"), "--json"])
        found = json.loads(checked.stdout)
        with world.running() as service:
            world.live_on(service, 25)
        registered = list(world.answered().registered) == ["x"]
        rejected = [json.loads(path.read_bytes()) for path in (world.inbox / "rejected").glob("*/reason.json")]
        codes = {problem["code"] for answer in rejected for problem in answer["problems"]}
        if suffix.lower() in (".yaml", ".yml"):
            assert (found["verdict"] == "accept") == registered
            assert {problem["code"] for problem in found["problems"]} & OF_NAMES <= codes
        elif suffix == ".yaml.bak":
            assert found["problems"][0]["code"] == "drop.ignored"
            assert f"{stem}{suffix}" in world.left()
        else:
            assert "artifact.unknown_suffix" in {problem["code"] for problem in found["problems"]} & codes
