"""Loading a registered model or scaler: the bytes that were registered, and no import that was not seen in them.

Owns how a stored file is found and verified before it is unpickled (`pickles.loading` does that). Never changes
anything.
"""

from __future__ import annotations

import errno
import stat
import warnings
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from io import FileIO
from pathlib import Path
from typing import Any

from ..base.disk import open_regular
from ..errors import EntryNeeded, LoadRefused, ModelInboxError, StorageError
from ..problems import quoted
from .entry import EntryFields, Role, as_fields, files_of_entry, imports_when_loaded, sequence_of
from .files import Storage
from .store import Store

__all__ = ["entry_given", "load_object", "object_in", "place_of"]


def load_object(
    store: Store, storage: Storage, given: object, role: Role, kept_open: list[FileIO] | None = None
) -> Any:
    """Return the model or the scaler of an entry; None where the entry names no such file.

    With `kept_open` the file stays open and is added to that list: as long as it is open nobody purges the model.

    Raises FileNotFoundError with the path when the file is gone, LoadRefused when its bytes are not the registered
    ones or import what the entry does not list, EntryNeeded when what was given is no entry, StorageError.
    """
    entry = entry_given(given, role)
    for file in files_of_entry(entry):
        if file.role == role:
            path = storage.path_of(entry, file)
            data = _read_whole(
                path, storage.trash_folder(entry) / path.name, file.sha256, lambda: _newer(store, entry), kept_open
            )
            return object_in(data, entry, role)
    return None


def entry_given(given: object, role: Role) -> EntryFields:
    """Return what was given to be loaded. Raises EntryNeeded when it is no entry."""
    if not isinstance(given, Mapping) or not isinstance(given.get("model_path"), str):
        raise _no_entry(given, role)
    return as_fields(given)


def object_in(data: bytes, entry: EntryFields, role: Role) -> Any:
    """Return the object in the bytes of a file of an entry, which were verified. Warns of other versions here.

    Raises LoadRefused when they import what the entry does not list.
    """
    from ..pickles import load, version_differences

    others = version_differences(entry.get("frameworks") or {})
    if role == "model" and others:
        warnings.warn(
            f"model {entry['model_id']}: {'; '.join(others)}. It may fail or predict something else: install "
            "the versions that made it, or train it again",
            stacklevel=5,
        )
    return load(data, imports_when_loaded(entry, role))


def place_of(store: Store, storage: Storage, entry: EntryFields, role: Role) -> Path | None:
    """Return where a file of an entry is: in the trash if it was retired, else at its own name. None: it is nowhere.

    Nothing is read, so the bytes are not compared. Raises FileOutside.
    """
    for file in files_of_entry(entry):
        if file.role == role:
            path = storage.path_of(entry, file)
            # The trash is asked first: the name may belong to another model by now.
            places = [storage.trash_folder(entry) / path.name, *([path] if _newer(store, entry) is None else [])]
            return next((place for place in places if _is_regular(place)), None)
    return None


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StorageError("look at", path, error) from error


def _no_entry(given: object, role: Role) -> EntryNeeded:
    """Return the error for what was given in place of an entry."""
    if given is None:
        what = "None is no entry of a model"
        hint = "`get_model` and `get_model_info` return None if there is no such model; `list_models` shows which exist"
    elif isinstance(given, str):
        what = f"{quoted(given)} is a text, and an entry of a model is needed"
        hint = f"Get it with `registry.get_model_info({quoted(given)})`, or by pair and type with `get_model`"
    else:
        what = f"the {type(given).__name__} that was given is no entry of a model"
        hint = "`get_model`, `get_model_info` and `list_models` return entries"
    return EntryNeeded(f"cannot load the {role}: {what}", hint=hint)


def _newer(store: Store, entry: EntryFields) -> int | None:
    """Return the number of the line that registered the model which has the id of an entry now, if it is another."""
    # A registry that cannot be followed any more has what it had.
    with suppress(ModelInboxError):
        store.refresh()
    known = store.state.entries.get(str(entry["model_id"]))
    return sequence_of(known) if known is not None and sequence_of(known) != sequence_of(entry) else None


def _read_whole(
    path: Path, retired: Path, wanted: str | None, newer: Callable[[], int | None], kept_open: list[FileIO] | None
) -> bytes:
    """Return the bytes of the file with the digest `wanted` (None: any), searching the trash too.

    The trash has the file when the model was retired meanwhile; its own name may belong to another model by then.
    `newer` returns the number of that model's line. The file is read once into memory. Raises FileNotFoundError,
    LoadRefused when only other bytes are found, StorageError.
    """
    from hashlib import sha256

    other: Path | None = None
    # The third try finds a model that was restored between the first and the second.
    for place in (path, retired, path):
        try:
            fd = open_regular(place)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise StorageError("open", place, error) from error
        with ExitStack() as stack:
            file = stack.enter_context(FileIO(fd))
            try:
                # Exactly the file's bytes, which the unpickler's reader shares.
                data = file.read()
            except OSError as error:
                raise StorageError("read", place, error) from error
            if wanted is None or sha256(data).hexdigest() == wanted:
                if kept_open is not None:
                    stack.pop_all()
                    kept_open.append(file)
                return data
        # Damage in the trash is told first: nothing but this model was ever there.
        other = other if other == retired else place
    if other == path and (number := newer()) is not None:
        gone = f"The model was removed permanently; its id belongs to the model of change {number} of the history now"
        raise FileNotFoundError(errno.ENOENT, gone, str(path))
    if other is not None:
        raise LoadRefused(
            f"cannot load {str(other)!r}: its bytes are not those that were registered",
            hint="The file was changed or damaged on disk; `model-inbox verify` tells which are",
        )
    raise FileNotFoundError(errno.ENOENT, "The model's file is gone", str(path))
