"""`model-inbox allowlist`: what a name may do, and whether the code behind the lists is still the reviewed one."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from model_inbox.cli import allowlist as command
from model_inbox.cli import root
from model_inbox.pickles import reviewed_code
from model_inbox.pickles.allowlist import AllowedName
from support.places import ROOT

RIDGE = "sklearn.linear_model._ridge.Ridge"


def run(folder: Path, *args: str, config: str = "") -> Result:
    """Run `model-inbox allowlist` with this config.yaml."""
    file = folder / "config.yaml"
    file.write_text(config or "{}\n")
    return CliRunner().invoke(root, ["--config", str(file), "allowlist", *args], prog_name="model-inbox")


def answered(folder: Path, *args: str, status: int, config: str = "") -> Any:
    """Run it with --json and return the answer."""
    result = run(folder, *args, "--json", config=config)
    assert result.exit_code == status, result.output
    return json.loads(result.stdout)


# --- explain ---------------------------------------------------------------------------------------------------


def test_listed_name_is_explained_with_its_uses_and_code(tmp_path: Path) -> None:
    """Which list has it, what it may do in letters and words, and the hooks that a load runs."""
    answer = answered(tmp_path, "explain", RIDGE, status=0)
    assert (answer["allowed"], answer["frameworks"], answer["uses"]) == (True, ["scikit-learn"], "bnr")
    assert answer["permits"] == "be referred to, be created without calling __init__, have its state set"
    assert any(hook.startswith("__setstate__@sklearn.base.BaseEstimator:") for hook in answer["hooks"])
    said = run(tmp_path, "explain", RIDGE).stdout
    assert said.startswith(f"A pickle may contain '{RIDGE}'.")
    assert "__setstate__@sklearn.base.BaseEstimator" in said


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("builtins.eval", "'builtins.eval' is never allowed: only plain value types of the standard library"),
        ("fxmodels.lstm.FxLSTM", "is on no list"),
        ("torch.nn.modules.rnn.LSTM", "is on a list that pickle.frameworks does not select"),
        ("sklearn.linear_model._ridge.Rdige", RIDGE),
        ("x\x1b[31m", "'x\\x1b[31m' is on no list"),
    ],
)
def test_name_that_is_not_allowed_is_told_why(tmp_path: Path, name: str, said: str) -> None:
    """Never allowed, on no list, on a list that is not selected, misspelt: exit 1, each with its own words."""
    config = "pickle: {frameworks: [scikit-learn]}\n"
    result = run(tmp_path, "explain", name, config=config)
    assert result.exit_code == 1
    assert said in result.stdout
    assert answered(tmp_path, "explain", name, status=1, config=config)["allowed"] is False


def test_own_line_of_the_configuration_counts(tmp_path: Path) -> None:
    """pickle.allow allows the user's own class, and the answer says that it does."""
    config = "pickle: {allow: {fxmodels.lstm.FxLSTM: bnr}}\n"
    answer = answered(tmp_path, "explain", "fxmodels.lstm.FxLSTM", status=0, config=config)
    assert (answer["own"], answer["uses"], answer["frameworks"]) == ("bnr", "bnr", [])
    assert "pickle.allow: bnr" in run(tmp_path, "explain", "fxmodels.lstm.FxLSTM", config=config).stdout


# --- diff ------------------------------------------------------------------------------------------------------

SETSTATE = "    def __setstate__(self, state):\n        self.__dict__.update(state)\n"
HASH = hashlib.sha256(SETSTATE.encode()).hexdigest()[:8]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module with two classes, whose list was reviewed with one hook of another source and one name too many."""
    name = "fx_thing_that_was_upgraded"
    (tmp_path / f"{name}.py").write_text(f"class Same:\n{SETSTATE}\nclass Other:\n{SETSTATE}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, name, raising=False)
    lines = [
        AllowedName(f"{name}.Same", "bnr", f"__setstate__@{name}.Same:{HASH}"),
        AllowedName(f"{name}.Other", "bnr", f"__setstate__@{name}.Other:00000000"),
        AllowedName(f"{name}.Gone", "bnr"),
        AllowedName("fx_thing_that_is_not_installed.Model", "bnr"),
    ]
    monkeypatch.setattr(reviewed_code, "read_list", lambda framework: lines if framework == "numpy" else [])
    return name


def test_changed_code_is_a_difference_and_a_missing_name_is_counted(tmp_path: Path, installed: str) -> None:
    """Exit 1 with both hooks where other code runs than was reviewed; names of other versions are no fault."""
    answer = answered(tmp_path, "diff", "numpy", status=1)
    assert answer["numpy"] == {
        "missing": [f"{installed}.Gone", "fx_thing_that_is_not_installed.Model"],
        "changed": [
            {
                "name": f"{installed}.Other",
                "reviewed": [f"__setstate__@{installed}.Other:00000000"],
                "installed": [f"__setstate__@{installed}.Other:{HASH}"],
            }
        ],
    }
    said = run(tmp_path, "diff", "numpy").stdout
    assert "numpy: 1 with other code, 2 not installed here" in said
    assert f"- __setstate__@{installed}.Other:00000000" in said
    assert f"+ __setstate__@{installed}.Other:{HASH}" in said


def test_lists_that_fit_are_no_difference(tmp_path: Path, installed: str) -> None:
    """Exit 0, and an unknown framework is a usage error that names the known ones."""
    assert answered(tmp_path, "diff", "pandas", status=0) == {"pandas": {"missing": [], "changed": []}}
    result = run(tmp_path, "diff", "nunpy")
    assert (result.exit_code, "scikit-learn" in result.stderr) == (2, True)


# --- build -----------------------------------------------------------------------------------------------------


def test_build_runs_the_tool_of_the_source_tree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """It is called with the options given, and its status tells whether the lists would change."""
    assert ROOT / "tools" / "build_allowlist.py" == command._TOOL
    tool = tmp_path / "tool.py"
    tool.write_text("import sys\nprint(sys.argv[1:])\nsys.exit('--check' in sys.argv)\n")
    monkeypatch.setattr(command, "_TOOL", tool)
    assert run(tmp_path, "build", "--merge", "numpy").exit_code == 0
    assert capfd.readouterr().out == "['--merge', '--', 'numpy']\n"
    assert run(tmp_path, "build", "--check").exit_code == 1


def test_build_without_a_source_tree_says_where_it_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed wheel has no models to fit."""
    monkeypatch.setattr(command, "_TOOL", tmp_path / "nothing.py")
    result = run(tmp_path, "build")
    assert (result.exit_code, "make env-frameworks" in result.stderr) == (1, True)
