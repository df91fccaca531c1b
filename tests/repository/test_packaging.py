"""What is handed to users: the archives, the locks, and the environments that are made from them."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import model_inbox
from support.places import ROOT

REQUIREMENTS = ROOT / "requirements"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = sorted(path for path in REQUIREMENTS.glob("*.txt") if path.name != "excludes.txt")

# Where somebody who works in the tree has files of their own, which must reach nobody.
PRIVATE = [
    "inbox/usd-eur.pkl",
    "inbox/.processing/20261124/secret.pkl",
    "models/prediction/usd-eur.pkl",
    "models/prediction_registry.json",
    ".venv/pyvenv.cfg",
    ".venv-test/lib/python3.11/site-packages/secret.py",
    ".git/config",
    ".env",
    ".coverage",
    ".hypothesis/examples/secret",
    ".mypy_cache/secret.json",
    "build/secret.py",
    "site/index.html",
    "dist/model_inbox-0.0.1.tar.gz",
    "notes.txt",
    "daemon/model_inbox/__pycache__/secret.cpython-311.pyc",
    "tests/__pycache__/secret.cpython-311.pyc",
    "examples/lightgbm_fx/__pycache__/secret.cpython-311.pyc",
]


@pytest.fixture(scope="session")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build sdist and wheel, with nothing downloaded, from a copy of the tree in which people have worked."""
    tree = tmp_path_factory.mktemp("packaging") / "tree"
    passing = (".git", ".venv*", "build", "dist", ".*_cache", "__pycache__", ".hypothesis", ".cov*")
    passes = shutil.ignore_patterns(*passing)

    def leave_out(folder: str, names: list[str]) -> set[str]:
        at_the_top = {"inbox", "models"} if Path(folder) == ROOT else set()
        return {*passes(folder, names), *at_the_top}

    shutil.copytree(ROOT, tree, ignore=leave_out)
    for name in PRIVATE:
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("private\n")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", tree.parent / "dist"],
        cwd=tree,
        check=True,
        capture_output=True,
    )
    return tree.parent / "dist"


def names_in_wheel(archives: Path) -> set[str]:
    (wheel,) = archives.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def names_in_sdist(archives: Path) -> set[str]:
    (sdist,) = archives.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


def package_files() -> set[str]:
    """The package's files in the tree, as paths from the source root."""
    source_root = ROOT / "daemon"
    return {
        str(path.relative_to(source_root))
        for path in (source_root / "model_inbox").rglob("*")
        if path.is_file() and not {"__pycache__", ".mypy_cache", ".ruff_cache"} & set(path.parts)
    }


def test_the_wheel_holds_the_package_and_nothing_else(archives: Path) -> None:
    """The wheel has every file of model_inbox, data and py.typed too, its metadata, and nothing beside them."""
    names = names_in_wheel(archives)
    metadata = {name for name in names if name.split("/")[0].endswith(".dist-info")}
    assert names - metadata == package_files()
    assert "model_inbox/py.typed" in names
    assert {Path(name).name for name in metadata} == {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "LICENSE"}


def test_the_allowlists_are_packed(archives: Path) -> None:
    """The names that a pickle may import are data files; without them the daemon would refuse everything."""
    data = {name for name in names_in_wheel(archives) if "/pickles/" in name and not name.endswith(".py")}
    assert data
    assert all("/allow/" in name for name in data)


def test_the_sdist_can_be_worked_in(archives: Path) -> None:
    """The sdist has what `make run` and `make test` need: sources, tests, locks, helpers, documents."""
    names = names_in_sdist(archives)
    wanted = {"Makefile", "LICENSE", "README.md", "config.yaml", "pyproject.toml", "tools/venv.sh", ".ci/run"}
    wanted |= {f"requirements/{path.name}" for path in REQUIREMENTS.iterdir()}
    wanted |= {f"daemon/{name}" for name in package_files()}
    wanted |= {str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("*.py")}
    assert wanted - names == set()


@pytest.mark.parametrize("kind", ["sdist", "wheel"])
def test_nobodys_own_files_are_packed(archives: Path, kind: str) -> None:
    """No dropped or stored model, no cache, no environment and no stray file gets into an archive."""
    names = names_in_sdist(archives) if kind == "sdist" else names_in_wheel(archives)
    assert not names & set(PRIVATE)
    private = ("inbox/", "models/", ".git/", ".venv", "build/", "dist/", ".hypothesis/", ".mypy_cache/")
    assert [name for name in names if name.startswith(private)] == []
    assert [name for name in names if "secret" in name or name.endswith(".pyc")] == []
    assert [name for name in names if name.endswith(".pkl") and not name.startswith("tests/data/pickles/")] == []


def test_the_wheel_works_where_it_is_installed(archives: Path, tmp_path: Path) -> None:
    """Installed into a new environment, the command runs from there, knows its version, and scans with its own data."""
    home = tmp_path / "venv"
    venv.create(home, symlinks=True)
    python = home / "bin" / "python"
    (wheel,) = archives.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "-qq", "--disable-pip-version-check", "--python", str(python)]
    subprocess.run([*pip, "install", "--no-deps", "--no-index", wheel], check=True)
    # What it depends on is borrowed from here; a .pth file lends no editable install, so ours is not borrowed.
    import click

    (site_packages,) = (home / "lib").glob("python3.*/site-packages")
    (site_packages / "borrowed.pth").write_text(f"{Path(click.__file__).parent.parent}\n")

    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    where = subprocess.run(
        [python, "-c", "import model_inbox; print(model_inbox.__file__)"],
        cwd=tmp_path,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    assert Path(where.stdout.strip()).is_relative_to(home)
    for command in ([home / "bin" / "model-inbox"], [python, "-m", "model_inbox"]):
        done = subprocess.run([*command, "--version"], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert PYPROJECT["project"]["version"] in done.stdout
    # The scan starts the worker by its file name, and needs the allowlists.
    model = ROOT / "tests" / "data" / "pickles" / "lightgbm.pkl"
    check = [home / "bin" / "model-inbox", "check", model, "--json"]
    done = subprocess.run(check, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["verdict"] == "accept"


def test_the_version_is_said_once() -> None:
    """`model_inbox.__version__` is pyproject.toml's version."""
    assert model_inbox.__version__ == PYPROJECT["project"]["version"]


# --- locks ------------------------------------------------------------------------------------------------------------


def pins(lock: Path) -> dict[str, set[str]]:
    """Return {name: versions} of a lock; a version may differ from one Python to another."""
    found: dict[str, set[str]] = {}
    for match in re.finditer(r"^([A-Za-z0-9._-]+)(?:\[[a-z,]+\])?==([^ ;\\]+)", lock.read_text(), re.MULTILINE):
        found.setdefault(canonicalize_name(match[1]), set()).add(match[2])
    return found


def requirements_in(path: Path) -> list[Requirement]:
    lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    return [Requirement(line) for line in lines if line]


RUN = [Requirement(text) for text in PYPROJECT["project"]["dependencies"]]
BUILD = [Requirement(text) for text in PYPROJECT["build-system"]["requires"]]
GROUPS = {name: [Requirement(text) for text in group] for name, group in PYPROJECT["dependency-groups"].items()}
WANTED = {
    "run": [],
    "test": GROUPS["dev"],
    "docs": GROUPS["docs"],
    "frameworks": [*GROUPS["dev"], *GROUPS["torch"], *GROUPS["frameworks"]],
    "older": [*GROUPS["dev"], *GROUPS["frameworks-older"]],
    "classics": [*GROUPS["dev"], *GROUPS["classics-older"]],
    "mlflow": [*GROUPS["dev"], *GROUPS["mlflow"]],
    "mlflow-older": [*GROUPS["dev"], *GROUPS["mlflow-older"]],
    "mlflow-client": [Requirement(text) for text in PYPROJECT["project"]["optional-dependencies"]["mlflow"]],
    "page": [*GROUPS["dev"], *GROUPS["page"]],
    "example": GROUPS["example"],
    "example-server": GROUPS["example-server"],
    "example-lstm": [*GROUPS["torch"], *GROUPS["example-lstm"]],
}


def test_every_lock_is_known() -> None:
    """There is a lock for each environment of the Makefile, and no other."""
    assert {lock.stem for lock in LOCKS} == set(WANTED)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_a_lock_names_no_place(lock: Path) -> None:
    """A lock says what, not where from: no address, no folder, no option of pip's."""
    text = lock.read_text()
    assert not re.search(r"://|file:|git\+|^\s*-[^-]|^--|\s@\s", text, re.MULTILINE)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_a_lock_pins_everything_by_hash(lock: Path) -> None:
    """Every line of a lock is one exact version with the hashes of its files."""
    text = re.sub(r"\\\n\s*", " ", re.sub(r"^\s*#.*\n", "", lock.read_text(), flags=re.MULTILINE))
    lines = [line for line in text.splitlines() if line.strip()]
    assert lines
    for line in lines:
        assert re.fullmatch(r"[a-z0-9._-]+(\[[a-z,]+\])?==\S+( ; [^\\]+?)?( +--hash=sha256:[0-9a-f]{64})+", line), line


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_a_lock_is_in_step(lock: Path) -> None:
    """A lock has a version that fits for everything asked for in pyproject.toml and its own inputs."""
    locked = pins(lock)
    assert "torch" not in locked, "its build is the machine's choice"
    for wanted in [*RUN, *BUILD, *WANTED[lock.stem]]:
        name = canonicalize_name(wanted.name)
        assert name in locked, f"{wanted} is not in {lock.name}: run `make lock`"
        for version in locked[name]:
            assert wanted.specifier.contains(version), f"{lock.name} has {name} {version}, not {wanted}: `make lock`"


def test_the_locks_agree() -> None:
    """What is tested is what is run: a package has the same version in every lock that has it."""
    run = pins(REQUIREMENTS / "run.txt")
    assert {lock.stem for lock in LOCKS if not run.items() <= pins(lock).items()} == set()


def test_the_build_is_locked_as_it_is_asked_for() -> None:
    """requirements/build.in is pyproject.toml's [build-system]: the package installs without a download."""
    assert requirements_in(REQUIREMENTS / "build.in") == BUILD


def test_the_dependencies_are_those_that_are_imported() -> None:
    """Every distribution that the package imports is declared, and every declared one is imported."""
    distributions = {"yaml": "pyyaml", "pydantic_core": "pydantic", "prometheus_client": "prometheus-client"}
    optional = {"numpy", "joblib", "lz4", "torch", "_typeshed", "zstandard", "mlflow"}  # imported only where needed
    imported = set()
    for path in (ROOT / "daemon" / "model_inbox").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                imported.add(node.module.split(".")[0])
    others = imported - set(sys.stdlib_module_names) - optional - {"model_inbox"}
    assert {distributions.get(name, name) for name in others} == {canonicalize_name(wanted.name) for wanted in RUN}


# --- environments -----------------------------------------------------------------------------------------------------


def make_venv(folder: Path, python: str, *, body: str) -> subprocess.CompletedProcess[str]:
    """Ask tools/venv.sh for an environment, with an interpreter that is a shell script."""
    interpreter = folder / python
    interpreter.write_text(f"#!/bin/sh\n{body}\n")
    interpreter.chmod(0o755)
    return subprocess.run(
        ["sh", ROOT / "tools" / "venv.sh", folder / "venv", "requirements/run.txt"],
        cwd=ROOT,
        env={**os.environ, "PYTHON": str(interpreter)},
        capture_output=True,
        text=True,
    )


def test_an_old_python_is_refused_plainly(tmp_path: Path) -> None:
    """A Python below 3.11 is named with its version, with the command that installs a newer one."""
    done = make_venv(tmp_path, "python3", body="echo 3.10")
    assert done.returncode == 1
    assert f"Python 3.11 or newer, and there is none here ({tmp_path}/python3 is 3.10)" in done.stderr
    assert "sudo apt-get install python3 python3-venv" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_no_python_is_said_plainly(tmp_path: Path) -> None:
    """An interpreter that does not run is named, too."""
    done = make_venv(tmp_path, "python3", body="exit 127")
    assert done.returncode == 1
    assert f"({tmp_path}/python3 does not run)" in done.stderr


def test_a_missing_venv_module_is_said_plainly(tmp_path: Path) -> None:
    """Debian's python3 without its venv package is told the package of that very version."""
    done = make_venv(tmp_path, "python3", body='case "$2" in *ensurepip*) exit 1 ;; *) echo 3.12 ;; esac')
    assert done.returncode == 1
    assert "has no venv module" in done.stderr
    assert "sudo apt-get install python3.12-venv" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_an_environment_is_made_once(tmp_path: Path) -> None:
    """With nothing changed, an environment is taken as it is; another lock makes it again."""
    home = tmp_path / "venv"
    lock = tmp_path / "empty.txt"
    lock.write_text("# nothing\n")
    calls = tmp_path / "calls"
    interpreter = tmp_path / "python3"
    # Stands for `python -m venv`: it makes an environment whose pip only writes down what it was asked for.
    interpreter.write_text(
        f"""#!/bin/sh
case "$*" in
    *version_info*) echo 3.11 ;;
    *base_prefix*) echo one ;;
    *ensurepip*) ;;
    *'-m venv'*) rm -rf {home}; mkdir -p {home}/bin; printf '#!/bin/sh\\necho "$*" >>{calls}\\n' >{home}/bin/python
        chmod +x {home}/bin/python; echo venv >>{calls} ;;
esac
"""
    )
    interpreter.chmod(0o755)

    def make() -> list[str]:
        calls.write_text("")
        subprocess.run(
            ["sh", ROOT / "tools" / "venv.sh", home, lock],
            cwd=ROOT,
            env={**os.environ, "PYTHON": str(interpreter)},
            check=True,
            capture_output=True,
        )
        return [line.partition("--no-input ")[2] or line for line in calls.read_text().splitlines()]

    steps = [
        "venv",
        f"install --require-hashes --no-deps --requirement {lock}",
        "install --no-deps --no-build-isolation --editable .",
    ]
    assert make() == steps
    assert make() == []
    lock.write_text("# something\n")
    assert make() == steps
    (home / "installed").write_text("an older pyproject.toml\n")
    assert make() == steps[2:]
