"""Pickling the objects that a program registers, into staged files.

Owns how objects become the bytes of a model, a scaler and their sidecar. Never gives a file its final name.
"""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from typing import Any

from ..base.disk import remove_quietly, write_new_file
from ..errors import MetadataError, ModelInboxError
from ..model.metadata import ModelMetadata
from ..model.published import sidecar_too_large
from ..model.sidecar_writer import dump_sidecar
from ..problems import quoted
from .files import STORED_MODE, StagedFiles, Storage, staged_paths

__all__ = ["pickled", "stage_objects"]


def stage_objects(
    storage: Storage, metadata: ModelMetadata, model_obj: Any, scaler_obj: Any, *, sidecar_bytes_max: int
) -> StagedFiles:
    """Pickle into the staging folder; every file is written and synced when this returns.

    A crash leaves files in the staging folder, which the next start of the daemon removes. Raises ModelInboxError for
    an object that cannot be pickled, MetadataError for metadata that makes the sidecar larger than the limit,
    StorageError; then nothing is left.
    """
    model_id = metadata.model_id
    token = f"api-{storage.disk.token()}-{model_id}"
    model, scaler, sidecar = staged_paths(storage.staging_dir, token)
    written: list[Path] = []
    try:
        data = pickled(model_obj, "model", model_id)
        digest = hashlib.sha256(data).hexdigest()
        written.append(model)
        write_new_file(storage.disk, model, data, STORED_MODE)
        scaler_digest: str | None = None
        scaler_data = b""
        if scaler_obj is not None:
            scaler_data = pickled(scaler_obj, "scaler", model_id)
            scaler_digest = hashlib.sha256(scaler_data).hexdigest()
            written.append(scaler)
            write_new_file(storage.disk, scaler, scaler_data, STORED_MODE)
        model_name, scaler_name, _ = storage.final_names(model_id)
        text = dump_sidecar(
            metadata,
            model_file=model_name.name,
            scaler_file=scaler_name.name if scaler_digest is not None else None,
            digests={"model": digest, "scaler": scaler_digest},
        )
        if problems := sidecar_too_large(text, sidecar_bytes_max):
            raise MetadataError(f"cannot register {quoted(model_id)}: its metadata is too large", problems)
        written.append(sidecar)
        write_new_file(storage.disk, sidecar, text, STORED_MODE)
    except BaseException:
        for path in written:
            remove_quietly(storage.disk, path)
        raise
    return StagedFiles(
        model,
        digest,
        len(data),
        scaler if scaler_digest is not None else None,
        scaler_digest,
        len(scaler_data),
        sidecar,
    )


def pickled(value: Any, what: str, model_id: str) -> bytes:
    """Return the pickle of an object. Raises ModelInboxError for one that cannot be pickled."""
    # It takes long to import, and a handle that only reads pickles nothing.
    import cloudpickle

    try:
        return bytes(cloudpickle.dumps(value))
    except (pickle.PicklingError, TypeError, AttributeError, RecursionError) as error:
        raise ModelInboxError(
            f"cannot pickle the {what} of {quoted(model_id)}: {error}",
            hint="Leave out what cannot be pickled (open files, locks, generators, lambdas over them)",
        ) from error
