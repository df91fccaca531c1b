"""What makes a mirrored model a model of MLflow: the files that `mlflow.pyfunc.load_model` reads beside the pickles.

Owns `MLmodel`, the code that loads and predicts (a file of `model_files/`, which is copied as it is and is no module of
this package), and `artifacts/loading.json`, which tells that code the digests and what may be imported. Never loads a
model, and needs no MLflow.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from ..registry.entry import EntryFields, as_fields, files_of_entry, imports_when_loaded
from .tags import MODEL_FOLDER, artifact_path

__all__ = ["loading_name", "pyfunc_files"]

CODE_NAME = "model_inbox_pyfunc.py"
# Read when this module is imported: a command of root imports it, and then acts as a user who may not be able to.
_CODE = (Path(__file__).parent / "model_files" / CODE_NAME).read_bytes()
_VERSION = re.compile(r"\d{1,4}(\.\d{1,6}){0,3}([abcrp.dev+]{1,4}\d{1,6})?", re.ASCII)
_PACKAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


def pyfunc_files(entry: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the files by their names below the folder `model` of a run's artifacts.

    All but one are the same for ever. After the scaler was replaced, `loading_name` is another one, and that file is to
    be added: the code takes the latest. `entry` is a stored one or one that was handed out.
    """
    fields = as_fields(entry)
    return {
        "MLmodel": _mlmodel(fields),
        CODE_NAME: _CODE,
        "requirements.txt": "".join(f"{line}\n" for line in _requirements(fields)).encode(),
        loading_name(entry): _loading(fields),
    }


def loading_name(entry: Mapping[str, Any]) -> str:
    """Return the name of the file that says how the files of an entry are loaded."""
    line = int(entry.get("scaler_replaced") or 0)
    return f"artifacts/loading{f'-{line}' if line else ''}.json"


def _mlmodel(entry: EntryFields) -> bytes:
    flavor = {
        "artifacts": {"loading": {"path": "artifacts", "uri": "artifacts"}},
        "code": None,
        "loader_module": "mlflow.pyfunc.model",
        "model_code_path": CODE_NAME,
        **_python(entry),
        "streamable": False,
    }
    model = {
        "flavors": {"python_function": flavor},
        "metadata": {"model_inbox.model_id": entry["model_id"], "model_inbox.sha256": entry.get("sha256")},
        "utc_time_created": str(entry.get("registered_at") or entry.get("trained_at") or ""),
    }
    return yaml.safe_dump(model, sort_keys=True).encode()


def _python(entry: EntryFields) -> dict[str, str]:
    """Return the version of the Python that made the model, as its producer says, else of the one that judged it."""
    provenance, verdict = entry.get("provenance"), entry.get("verdict")
    said = [provenance.get("python") if provenance else None, verdict["python"] if verdict else None]
    found = [version for version in said if isinstance(version, str) and _VERSION.fullmatch(version)]
    return {"python_version": found[0]} if found else {}


def _requirements(entry: EntryFields) -> Iterator[str]:
    """Yield what is known of the libraries that made the model. A producer claims it: nothing else gets through."""
    yield "mlflow"
    for package, version in (entry.get("frameworks") or {}).items():
        plain = str(version).removeprefix("v")
        if _PACKAGE.fullmatch(package) and _VERSION.fullmatch(plain):
            # A version may be only the first part of one.
            yield f"{package}=={plain}" if plain.count(".") > 1 else f"{package}=={plain}.*"


def _loading(entry: EntryFields) -> bytes:
    line = int(entry.get("scaler_replaced") or 0)
    files: dict[str, Any] = {
        file.role: {
            "name": artifact_path(file.role, file.path, line if file.role == "scaler" else 0).removeprefix(
                f"{MODEL_FOLDER}/artifacts/"
            ),
            "sha256": file.sha256,
            "imports": _plain(imports_when_loaded(entry, file.role)),
        }
        for file in files_of_entry(entry)
    }
    known: dict[str, Any] = {"model_id": entry["model_id"], "features": list(entry.get("features_used") or ()), **files}
    return json.dumps(known, indent=1, sort_keys=True).encode()


def _plain(imports: Mapping[str, str] | None) -> dict[str, str] | None:
    return dict(imports) if imports is not None else None
