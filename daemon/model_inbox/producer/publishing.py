"""The last steps of a drop whose model is written: its id, its sidecar, the names of its files, and the answer.

Owns the order of these steps, which is the same for objects, files and archives. Never reads a model.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

from ..model.file_names import Role
from ..model.metadata import ModelMetadata
from .answers import Answers, DropResult
from .limits import sidecar_of, with_id
from .writer import DropWriter, free_stem, write_all

__all__ = ["publish"]


def publish(
    writer: DropWriter,
    folder: Path,
    metadata: ModelMetadata,
    template: str | None,
    digests: Mapping[Role, str],
    wait: bool | float,
) -> DropResult:
    """Give the drop its id and its sidecar, and its files their names; wait for the answer if that is wanted.

    `template` makes the id, if it is not known yet. A writer without a stem gets that of the id.
    """
    metadata = with_id(metadata, template, digests["model"])
    stem = writer.stem
    if stem is None:
        stem = free_stem(folder, metadata.model_id)
        writer.name(stem)
    text = writer.adopted(sidecar_of(metadata, stem, digests))
    writer.add("sidecar", functools.partial(write_all, data=text))
    answers = Answers(folder, stem, text, writer.uid, wait)
    return answers.result(metadata.model_id, writer.publish())
