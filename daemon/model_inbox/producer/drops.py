"""What a training job calls: pickles a model into the inbox, with metadata that may leave out what can be filled in.

Owns what is checked before anything is written. Needs no YAML library. Never imports the daemon's code.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any, Literal, TypedDict, Unpack, cast

from ..errors import DropRefused
from ..model.checks import check_fields, check_metadata
from ..model.file_names import Role
from ..model.metadata import METADATA_FIELDS, PAIR_PATTERN, REQUIRED_FIELDS, ModelMetadata, plain_values
from ..problems import quoted
from ..problems.sidecar import sidecar_missing_field
from .answers import DropResult, inbox_folder
from .filling import (
    ID_TEMPLATE,
    NO_ID_YET,
    features_of,
    horizons_in,
    is_template,
    names_of,
    template_problem,
    with_filled,
)
from .limits import limits_of, must_be_accepted, sidecar_of, with_id
from .provenance import collected, merged
from .publishing import publish
from .writer import DropWriter, free_stem, write_pickle

__all__ = ["MetadataToDrop", "drop"]


class MetadataToDrop(TypedDict, total=False):
    """The fields of `ModelMetadata`, as `drop` takes them by name. See there for what each means.

    `subject` is another name of `currency_pair`, for those who forecast something else.
    """

    model_id: str
    model_type: str
    currency_pair: str
    subject: str
    trained_at: datetime | str
    version: str
    validation_metrics: dict[str, Any]
    min_samples: int
    calibration_ok: bool
    features_used: list[str]
    horizons: list[int]
    variant: str
    tags: dict[str, str]
    description: str


def drop(
    model: Any,
    metadata: ModelMetadata | Mapping[str, Any] | None = None,
    *,
    inbox: str | os.PathLike[str] = "inbox",
    scaler: Any = None,
    wait: bool | float = False,
    pair_pattern: str | None = PAIR_PATTERN,
    provenance: Mapping[str, Any] | Literal[False] | None = None,
    **fields: Unpack[MetadataToDrop],
) -> DropResult:
    """Pickle a model, and its scaler if it has one, into the inbox with a sealed sidecar.

    The metadata are a `ModelMetadata`, a mapping, or its fields by name, which count more. These are filled in if they
    are left out or None: `trained_at` (now), `features_used` (if the model or the scaler names them), `horizons` (from
    names of metrics like `1d`), and `model_id`, which is made from the others and the digest of the pickle. An id with
    braces, like `"{pair}-{version}-{sha8}"`, is a template.

    `provenance` says where the model comes from, as names with text; the versions of Python and frameworks, the commit,
    host, user and job are added. False: nothing is. `inbox` is a folder, or `ssh://[USER@]HOST[:PORT][/FOLDER]` for
    that of another machine. `wait` is how long to wait for the daemon's answer: seconds, True for 60 seconds, or False.
    `pair_pattern` is the form of a currency pair if the operator's `checks.pair_pattern` is not published in the inbox;
    None is any. Classes are pickled by name, so they must be importable where the model is loaded. A drop that was
    killed can be repeated: it takes up what it left in the inbox.

    Raises DropRefused if the metadata has problems, an object cannot be pickled, or a name is taken in the inbox, and
    StorageError if a file cannot be written. Nothing is left in the inbox then.
    """
    from .remote import drop_remotely, is_remote, place_of

    place = place_of(inbox) if is_remote(inbox) else None
    folder = inbox_folder(inbox) if place is None else Path(os.devnull)
    limits = limits_of(folder, pair_pattern)
    complete, template = _complete(model, scaler, metadata, fields, provenance, datetime.now(UTC), limits.pair_pattern)
    must_be_accepted(complete, limits, template=template, has_scaler=scaler is not None)
    objects: dict[Role, Any] = {"model": model} if scaler is None else {"model": model, "scaler": scaler}
    digests: dict[Role, str] = {}
    if place is not None:
        import tempfile

        with ExitStack() as stack:
            files: dict[Role, IO[bytes]] = {}
            for role, value in objects.items():
                files[role] = stack.enter_context(tempfile.TemporaryFile())
                digests[role] = write_pickle(files[role].fileno(), value=value, what=role)
                files[role].seek(0)
            complete = with_id(complete, template, digests["model"])
            text = sidecar_of(complete, complete.model_id, digests)
            return drop_remotely(place, text, complete.model_id, files, wait)
    stem = None if template is not None else free_stem(folder, complete.model_id)
    with DropWriter(folder, stem) as writer:
        for role, value in objects.items():
            digests[role] = writer.add(role, functools.partial(write_pickle, value=value, what=role))
        return publish(writer, folder, complete, template, digests, wait)


def _complete(
    model: Any,
    scaler: Any,
    metadata: ModelMetadata | Mapping[str, Any] | None,
    fields: MetadataToDrop,
    provenance: Mapping[str, Any] | Literal[False] | None,
    now: datetime,
    pair_pattern: str | None,
) -> tuple[ModelMetadata, str | None]:
    """Return the metadata with what can be filled in, and the template of its id if that is not known yet.

    Raises DropRefused with all problems, and TypeError for a name that is no field.
    """
    values: dict[str, Any] = {}
    if isinstance(metadata, Mapping):
        values |= metadata
    elif metadata is not None:
        values |= {name: getattr(metadata, name) for name in METADATA_FIELDS}
    values |= {name: value for name, value in fields.items() if value is not None}
    values = {name: value for name, value in values.items() if value is not None}
    if "subject" in values:
        if "currency_pair" in values:
            raise TypeError("drop() got both 'currency_pair' and 'subject', which are two names of one field")
        values["currency_pair"] = values.pop("subject")
    unknown = sorted(str(name) for name in {*values, *fields} - {*METADATA_FIELDS, "subject"})
    if unknown:
        near = get_close_matches(unknown[0][:64], METADATA_FIELDS, 1, 0.6)
        meant = f". Did you mean {near[0]!r}?" if near else ""
        raise TypeError(f"drop() got an unexpected keyword argument {unknown[0]!r}{meant}")
    fillings: dict[str, Callable[[], Any]] = {
        "trained_at": lambda: now,
        "features_used": lambda: features_of(model) or features_of(scaler),
        "horizons": lambda: horizons_in(names_of(values.get("validation_metrics"))),
        "model_id": lambda: ID_TEMPLATE,
    }
    filled = []
    for name, fill in fillings.items():
        if name not in values and (value := fill()):
            values[name] = value
            filled.append(name)
    template = values.get("model_id")
    if not isinstance(template, str) or not is_template(template):
        template = None
    problems = []
    if template is not None:
        filled.append("model_id")
        values["model_id"] = NO_ID_YET
        if (problem := template_problem(template)) is not None:
            problems.append(problem)
    if provenance is not None and provenance is not False and not isinstance(provenance, Mapping):
        raise TypeError("provenance must be a mapping of names to text, False or None")
    said = {name: str(value) for name, value in (provenance or {}).items()}
    facts = collected(os.environ, Path.cwd(), only_loaded=True) if provenance is not False else {}
    there = values.get("provenance", {})
    if isinstance(there, Mapping):
        values["provenance"] = with_filled(merged(facts, {**there, **said}), filled)
    missing = [name for name in REQUIRED_FIELDS if name not in values]
    if missing:
        known = SimpleNamespace(**{name: values.get(name) for name in METADATA_FIELDS})
        given = {name: value for name, value in plain_values(cast("ModelMetadata", known)).items() if name in values}
        problems += [sidecar_missing_field(name, f"Say {name}=... in the call of drop") for name in missing]
        problems += [finding.problem for finding in check_fields(given, now=now)]
    else:
        problems += check_metadata(ModelMetadata(**values), now=now, pair_pattern=pair_pattern)
    if problems:
        name = quoted(values["model_id"]) if template is None else "the model"
        raise DropRefused(f"cannot drop {name}: its metadata has problems", problems)
    return with_id(ModelMetadata(**values), template), template
