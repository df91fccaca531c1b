"""What `verify` finds wrong with a registry and its files. The noun `registry`; the journal has its own."""

from __future__ import annotations

from pathlib import Path

from .value import Problem, quoted

__all__ = [
    "registry_checkpoint_damaged",
    "registry_checkpoint_missing",
    "registry_digest_mismatch",
    "registry_entry_differs",
    "registry_entry_incomplete",
    "registry_file_missing",
    "registry_file_not_regular",
    "registry_file_outside",
    "registry_file_writable",
    "registry_labels_damaged",
    "registry_labels_differ",
    "registry_labels_missing",
    "registry_leftover_file",
    "registry_mark_damaged",
    "registry_mark_differs",
    "registry_mark_missing",
    "registry_rules_damaged",
    "registry_rules_missing",
    "registry_sidecar_damaged",
    "registry_sidecar_differs",
    "registry_sidecar_missing",
    "registry_size_mismatch",
    "registry_staging_leftover",
    "registry_storage_missing",
    "registry_text_not_unicode",
    "registry_trash_damaged",
    "registry_trash_extra",
    "registry_trash_incomplete",
    "registry_trash_missing",
    "registry_trash_unknown",
    "registry_unreadable",
    "registry_verdict_changed",
]

_REWRITE_JSON = (
    "The daemon, or the next command that changes the registry, writes it again from the journal and keeps this one. "
    "If it says that the journal does not suffice, stop it: `model-inbox rebuild` recovers what it can"
)
_REBUILD = "Stop the daemon, then `model-inbox rebuild` makes the registry agree with its files, and keeps the old ones"
_RESTORE = "Restore the file from a backup or drop the model again; `model-inbox rebuild` removes the entry"
_NEXT_START = "A start of the daemon moves what a crash left; `model-inbox rebuild` sets aside what stays"
_REWRITE_SIDECAR = "`model-inbox rebuild` writes it again from the entry, and keeps the old one"

_REWRITE_LABELS = (
    "A start of the daemon writes it again from the entry, and so does `model-inbox rebuild`; a damaged one is kept"
)


# --- what is written into it ---------------------------------------------------------------------------------


def registry_text_not_unicode(name: str, text: str) -> Problem:
    """A free text for the history has characters that UTF-8 cannot hold. `name` is that of the parameter."""
    return Problem(
        "registry.text_not_unicode",
        f"{name} {quoted(text)} is not valid Unicode text",
        "Give it in UTF-8",
        field=name,
    )


# --- the JSON file and its mark ------------------------------------------------------------------------------


def registry_unreadable(path: Path, why: object) -> Problem:
    """A file or folder of the registry cannot be read by this user, or by this disk."""
    return Problem(
        "registry.unreadable",
        f"cannot be read: {why}",
        "Run this as the user who owns the registry; if that is who you are, look at the disk",
        file=str(path),
    )


def registry_checkpoint_missing(path: Path) -> Problem:
    """The JSON file is gone."""
    return Problem("registry.checkpoint_missing", "the JSON file is missing", _REWRITE_JSON, file=str(path))


def registry_checkpoint_damaged(path: Path, what: str) -> Problem:
    """The JSON file is damaged, or was edited."""
    return Problem("registry.checkpoint_damaged", what, _REWRITE_JSON, file=str(path))


def registry_mark_missing(path: Path) -> Problem:
    """The mark, which says which line the JSON file has reached, is gone."""
    return Problem("registry.mark_missing", "the checkpoint's mark is missing", _REWRITE_JSON, file=str(path))


def registry_mark_damaged(path: Path, what: str) -> Problem:
    """The mark is damaged."""
    return Problem("registry.mark_damaged", what, _REWRITE_JSON, file=str(path))


def registry_mark_differs(path: Path, named: str, current: str) -> Problem:
    """The mark is of another epoch than the journal."""
    what = f"the checkpoint's mark is of the epoch {named}, the journal of {current}"
    return Problem("registry.mark_differs", what, _REWRITE_JSON, file=str(path))


# --- entries and files ---------------------------------------------------------------------------------------


def registry_entry_differs(path: Path, model_id: str, how: str) -> Problem:
    """An entry is not the one that the journal gives."""
    return Problem("registry.entry_differs", f"the entry {quoted(model_id)} {how}", _REBUILD, file=str(path))


def registry_entry_incomplete(path: Path, model_id: str) -> Problem:
    """An entry has no model_path."""
    return Problem(
        "registry.entry_incomplete",
        f"the entry {quoted(model_id)} names no file of a model",
        _RESTORE,
        file=str(path),
    )


def registry_file_outside(path: object, folder: object, storage_dir: object) -> Problem:
    """An entry names a file outside of the folders of its registry. It is not opened."""
    return Problem(
        "registry.file_outside",
        f"the file {quoted(path, 400)} is not in the registry's folder {quoted(folder, 400)}, and not in its "
        f"storage folder {quoted(storage_dir, 400)}",
        "If it is the model, drop or register it as a new one, and delete this entry: its files stay where they are. "
        "If the models are stored elsewhere, name that folder in `registry.storage_dir`, in Python as `storage_dir`",
        file=str(path),
    )


def registry_file_missing(path: Path) -> Problem:
    """A file that an entry names is gone."""
    return Problem("registry.file_missing", "the file is missing", _RESTORE, file=str(path))


def registry_file_not_regular(path: Path) -> Problem:
    """A link, a folder or something else stands where a stored file belongs."""
    return Problem("registry.file_not_regular", "this is not a regular file", _RESTORE, file=str(path))


def registry_file_writable(path: Path, model_id: str) -> Problem:
    """A stored file can be changed by others than its owner."""
    return Problem(
        "registry.file_writable",
        f"a file of {quoted(model_id)} can be changed by others than its owner",
        f"chmod 0440 {path}",
        file=str(path),
    )


def registry_size_mismatch(path: Path, model_id: str, found: int, known: int) -> Problem:
    """The files of a model have another size together than was registered."""
    return Problem(
        "registry.size_mismatch",
        f"the files of {quoted(model_id)} have {found} bytes together, but {known} were registered",
        _RESTORE,
        file=str(path),
    )


def registry_digest_mismatch(path: Path, found: str, known: str) -> Problem:
    """A stored file has other bytes than were registered."""
    return Problem(
        "registry.digest_mismatch",
        f"the file's bytes are not those that were registered: SHA-256 {found}, not {quoted(known)}",
        _RESTORE,
        file=str(path),
    )


def registry_verdict_changed(path: Path, what: str, hint: str) -> Problem:
    """A new scan of a stored file says something else than the one at its registration."""
    return Problem("registry.verdict_changed", what, hint, file=str(path))


def registry_sidecar_missing(path: Path, model_id: str) -> Problem:
    """The stored sidecar is gone."""
    return Problem(
        "registry.sidecar_missing", f"the sidecar of {quoted(model_id)} is missing", _REWRITE_SIDECAR, file=str(path)
    )


def registry_sidecar_damaged(path: Path, model_id: str, why: str) -> Problem:
    """The stored sidecar is no valid sidecar any more."""
    return Problem(
        "registry.sidecar_damaged",
        f"the sidecar of {quoted(model_id)} cannot be read: {why}",
        _REWRITE_SIDECAR,
        file=str(path),
    )


def registry_sidecar_differs(path: Path, model_id: str, fields: str) -> Problem:
    """The stored sidecar and the entry disagree. `fields` lists where."""
    return Problem(
        "registry.sidecar_differs",
        f"the sidecar of {quoted(model_id)} does not agree with its entry: {fields}",
        _REWRITE_SIDECAR,
        file=str(path),
    )


def registry_labels_missing(path: Path, model_id: str) -> Problem:
    """The labels file of a model with labels is gone, or an earlier version set them."""
    return Problem(
        "registry.labels_missing",
        f"the labels file of {quoted(model_id)} is missing",
        _REWRITE_LABELS,
        file=str(path),
    )


def registry_labels_damaged(path: Path, model_id: str, why: str) -> Problem:
    """The labels file cannot be used."""
    return Problem(
        "registry.labels_damaged",
        f"the labels file of {quoted(model_id)} cannot be used: {why}",
        _REWRITE_LABELS,
        file=str(path),
    )


def registry_rules_missing(path: Path) -> Problem:
    """Rules that lines name are not kept."""
    return Problem(
        "registry.rules_missing",
        "changes in the history name these rules, and the file that keeps them is missing",
        "Copy it from a backup. Without it `model-inbox why` cannot show these rules",
        file=str(path),
    )


def registry_rules_damaged(path: Path) -> Problem:
    """The file of kept rules has other bytes than its name says."""
    return Problem(
        "registry.rules_damaged",
        "the kept rules have not the SHA-256 that the file's name says",
        "Copy it from a backup. If these rules are still in force, a start of the daemon writes it again",
        file=str(path),
    )


def registry_labels_differ(path: Path, model_id: str, how: str) -> Problem:
    """The labels file and the entry disagree. `how` lists where."""
    return Problem(
        "registry.labels_differ",
        f"the labels file of {quoted(model_id)} does not agree with its entry: {how}",
        _REWRITE_LABELS,
        file=str(path),
    )


# --- the folders ---------------------------------------------------------------------------------------------


def registry_storage_missing(folder: Path) -> Problem:
    """The folder of the stored models is gone."""
    return Problem(
        "registry.storage_missing",
        "the folder of the stored models is missing",
        "Is its file system mounted? `registry.storage_dir` in config.yaml says where it is",
        file=str(folder),
    )


def registry_leftover_file(path: Path) -> Problem:
    """A file lies among the stored models that no entry names."""
    return Problem("registry.leftover_file", "no entry names this file", _NEXT_START, file=str(path))


def registry_staging_leftover(path: Path) -> Problem:
    """A file lies in the staging folder for more than a day."""
    return Problem(
        "registry.staging_leftover",
        "a file has been on its way to its final name for more than a day",
        "Its writer died; the next start of the daemon removes it",
        file=str(path),
    )


def registry_trash_missing(folder: Path, model_id: str, sequence: int) -> Problem:
    """The trash does not have the folder of a retired model."""
    return Problem(
        "registry.trash_missing",
        f"the trash does not hold {quoted(model_id)}, which line {sequence} retired",
        _NEXT_START,
        file=str(folder),
    )


def registry_trash_damaged(path: Path, model_id: str, found: str, known: str) -> Problem:
    """A file of a retired model has other bytes than were registered."""
    return Problem(
        "registry.trash_damaged",
        f"the bytes of this file of {quoted(model_id)} are not those that were registered: SHA-256 {found}, not "
        f"{quoted(known)}",
        "Put the file from a backup in its place, or purge the model and drop it again",
        file=str(path),
    )


def registry_trash_extra(path: Path, model_id: str) -> Problem:
    """The trash folder of a model has a file that the model does not have."""
    return Problem(
        "registry.trash_extra",
        f"this file is none of {quoted(model_id)}",
        "Move it away, or leave it to `model-inbox rebuild`, which sets it aside",
        file=str(path),
    )


def registry_trash_incomplete(folder: Path, model_id: str, sequence: int) -> Problem:
    """The trash has the folder of a retired model, and not all its files."""
    return Problem(
        "registry.trash_incomplete",
        f"files of {quoted(model_id)}, which line {sequence} retired, are missing in the trash",
        _NEXT_START,
        file=str(folder),
    )


def registry_trash_unknown(folder: Path) -> Problem:
    """A folder lies in the trash that belongs to no retired model."""
    return Problem(
        "registry.trash_unknown",
        "the journal tells of no retired model that this folder of the trash would hold",
        _NEXT_START,
        file=str(folder),
    )
