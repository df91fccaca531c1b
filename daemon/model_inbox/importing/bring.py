"""One model version on its way from MLflow into the inbox.

Owns the limits of what is fetched, and what became of a version. The drop itself is the producer's. Loads nothing.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..base.strict_yaml import plain_value, read_yaml
from ..base.units import format_size
from ..errors import DropRefused
from ..problems import quoted
from ..producer import DropResult
from ..producer.files import drop_files
from .described import CannotImport, Naming, pickle_in, sidecar_of
from .source import Source

__all__ = ["Imported", "bring_version", "open_source"]

_MLMODEL_BYTES_MAX = 1 << 18


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a version.

    `outcome` is that of a drop, or "would drop", or "not imported". `reason` says why it was not imported, or rejected.
    """

    name: str
    version: int
    outcome: str
    model_id: str = ""
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "name": self.name,
            "version": self.version,
            "model_id": self.model_id or None,
            "outcome": self.outcome,
            "reason": self.reason or None,
        }


def open_source(tracking_uri: str) -> Source:
    """Return the MLflow at a URI. Raises ClientMissing, and MlflowUnreachable as its calls do."""
    return Source(tracking_uri)


def bring_version(
    source: Source,
    one: Any,
    naming: Naming,
    *,
    work: Path | None,
    bytes_max: int,
    dry_run: bool,
    drop_options: Mapping[str, Any],
    note: Callable[[str], None] = lambda _: None,
) -> Imported:
    """Fetch a version and drop it. What cannot be imported is a value, with the reason.

    `one` is one of `Source.versions_of`. Raises MlflowUnreachable and StorageError: those may pass.
    """
    name, number = str(one.name), int(one.version)
    model_id = ""
    try:
        version = source.version(one)
        files = source.files(version)
        with tempfile.TemporaryDirectory(prefix="model-inbox-import-", dir=work) as folder:
            mlmodel = _mlmodel(source, files, Path(folder))
            fields = sidecar_of(version, mlmodel, naming)
            model_id = str(fields["model_id"])
            pickle = pickle_in(mlmodel)
            size = source.size_of(files, pickle)
            if size is None:
                raise CannotImport(f"its file {quoted(pickle)} is not there")
            if size > bytes_max:
                raise CannotImport(
                    f"its file {quoted(pickle)} has {format_size(size)}, and {format_size(bytes_max)} are allowed "
                    "(inbox.max_artifact_size)"
                )
            if dry_run:
                return Imported(name, number, "would drop", model_id)
            note(model_id)
            fetched = source.fetch(files, pickle, Path(folder))
            sidecar = Path(folder) / f"{model_id}.yaml"
            # JSON is YAML, and is written without a library.
            with sidecar.open("x", encoding="utf-8") as file:
                json.dump(fields, file)
            result = drop_files(fetched, sidecar, provenance=False, **drop_options)
    except CannotImport as error:
        return Imported(name, number, "not imported", model_id, str(error))
    except DropRefused as error:
        return Imported(name, number, "not imported", model_id, _reason(error.message, error.problems))
    return _answered(name, number, result)


def _answered(name: str, number: int, result: DropResult) -> Imported:
    reason = _reason("", result.problems) if result.outcome == "rejected" else ""
    return Imported(name, number, result.outcome, result.model_id, reason)


def _reason(message: str, problems: Any) -> str:
    return "; ".join([*([message] if message else []), *(str(problem) for problem in problems)])[:1000]


def _mlmodel(source: Source, files: Any, folder: Path) -> Any:
    """Return what the version's file MLmodel says. Raises CannotImport."""
    size = source.size_of(files, "MLmodel")
    if size is None:
        raise CannotImport("it has no file MLmodel: its files are no model of MLflow")
    if size > _MLMODEL_BYTES_MAX:
        raise CannotImport(f"its file MLmodel has {format_size(size)}, more than any has")
    data = source.fetch(files, "MLmodel", folder).read_bytes()[:_MLMODEL_BYTES_MAX]
    document = read_yaml(data, called="file", bytes_max=_MLMODEL_BYTES_MAX, depth_max=16, nodes_max=20_000)
    if document.problems:
        raise CannotImport(_reason("its file MLmodel cannot be read", document.problems[:1]))
    return plain_value(document.root) if document.root is not None else None
