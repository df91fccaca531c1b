"""README.md from top to bottom, for real: every block in its order, in a copy of the project, as a newcomer types it.

The environments are those of this project, since to make them takes minutes. Needs the network (for `pip`), rsync and
scp.
"""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.places import ROOT
from support.readme import Block, Reader, blocks

FROM_THE_PROJECT = (
    "Makefile",
    "README.md",
    "config.yaml",
    "pyproject.toml",
    "daemon",
    "docs",
    "examples",
    "requirements",
    "tools",
)


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    """Return a copy of the project, with links to its environments."""
    folder = tmp_path / "model-inbox"
    folder.mkdir()
    for name in FROM_THE_PROJECT:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, folder / name)
    example = Path(sys.prefix)
    assert example.name.endswith("-example"), "run this with `make test-examples`"
    for name, target in (
        (".venv-example", example),
        (".venv", example.with_name(example.name.removesuffix("-example"))),
    ):
        assert (target / "bin" / "model-inbox").exists(), f"`make env` first: there is no {target}"
        (folder / name).symlink_to(target)
    return folder


def install(reader: Reader, block: Block) -> str:
    """Run a block that installs the package, in an environment of its own. Return what it has then."""
    subprocess.run([sys.executable, "-m", "venv", "other"], cwd=reader.folder, check=True)
    reader.shell(f". other/bin/activate\n{block.text}")
    return reader.shell(
        ". other/bin/activate\npython -c 'import model_inbox; print(model_inbox.__file__, model_inbox.drop.__name__)'"
    )


def test_the_whole_readme_runs_from_top_to_bottom(folder: Path) -> None:
    """Every block does what the text around it says, after all blocks before it."""
    every = blocks()
    assert every[0].mark == "run: daemon"
    reader = Reader(folder, every[0].text.split())
    printed: dict[str, str] = {}
    try:
        for block in every[1:]:
            if block.mark == "run: remote":
                for number in (2, 3):
                    sidecar = (folder / "usdeur.yaml").read_text().replace("usdeur_linear_20261120", f"usdeur{number}")
                    (folder / f"usdeur{number}.yaml").write_text(sidecar)
                    (folder / f"usdeur{number}.pkl").write_bytes(pickle.dumps({"weights": [number]}))
            if block.mark == "run: install":
                printed[block.text] = install(reader, block)
            elif block.mark != "run: service":
                printed[block.text] = reader.run(block)
    finally:
        reader.stop()

    def after(part: str) -> str:
        return next(output for text, output in printed.items() if part in text)

    assert after("Ridge").startswith("registered gbp-chf-ridge-")
    assert "gbp-chf-ridge-" in after("model.predict")
    assert after("registry.promote").startswith("gbp-chf-ridge-")
    assert after("registry.promote").endswith(" None\n")
    assert "usdeur_linear_20261120" in after("model-inbox show")
    assert "wrong" in after("rejected list")
    assert "site-packages" in after("pip wheel")
    assert (folder / "other").as_posix() in after("pip wheel")
    registry = json.loads((folder / "models" / "prediction_registry.json").read_text())
    assert sorted(name.partition("-2")[0].partition("-ridge")[0] for name in registry) == [
        "gbp-chf",
        "lightgbm-gbp-eur",
        "lightgbm-gbp-usd",
        "lightgbm-jpy-eur",
        "lightgbm-usd-eur",
        "usdeur2",
        "usdeur3",
        "usdeur_linear_20261120",
    ]
