"""`replace-scaler` gives a model another scaler."""

from __future__ import annotations

import pickle

from model_inbox.base.users import person
from support.home import Home


def test_a_scaler_is_replaced_by_one_that_the_scan_accepts(home: Home) -> None:
    """The file is copied and judged as in the inbox, never loaded; the old scaler stays loadable from old entries."""
    file = home.folder / "better.pkl"
    file.write_bytes(pickle.dumps({"scaler": "better"}))
    with home.open() as registry:
        before = registry.registry["old"]
    entry = home.json("replace-scaler", "old", str(file), "--reason", "wrong window")
    assert home.stored()["old"]["scaler_sha256"] == entry["scaler_sha256"] != before["scaler_sha256"]
    assert entry["scaler_imports"] == {}
    with home.open() as registry:
        assert registry.load_scaler(entry) == {"scaler": "better"}
        assert registry.load_scaler(before) == {"scaler": "old"}
    assert home.json("history", "old")[-1] | {"at": ""} == {
        "sequence": 4,
        "at": "",
        "operation": "replace_scaler",
        "model_id": "old",
        "drop_id": None,
        "owner": None,
        "actor": f"cli:{person()}",
        "reason": "wrong window",
    }
    assert "its scaler, since change 4 of the history: nothing" in home.text("show", "old")
    assert home.text("replace-scaler", "old", str(file)).startswith("'old' has a new scaler: ")


def test_a_scaler_that_the_scan_refuses_changes_nothing(home: Home) -> None:
    """The problems are told, and what would have run did not; an unknown model and a missing file are errors too."""
    file = home.folder / "bad.pkl"
    file.write_bytes(b"cos\nsystem\n(S'touch pwned'\ntR.")

    def files() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in home.folder.rglob("*") if path.is_file()}

    before = files()
    error = home.error("replace-scaler", "old", str(file), status=1)
    assert error["code"] == "scaler.refused"
    assert any("os.system" in problem["message"] for problem in error["problems"]), error
    assert files() == before
    file.unlink()
    assert home.run("replace-scaler", "old", str(file)).exit_code == 2
    (home.folder / "good.pkl").write_bytes(pickle.dumps(1))
    assert home.error("replace-scaler", "none", str(home.folder / "good.pkl"), status=1)["code"] == "registry.not_found"
