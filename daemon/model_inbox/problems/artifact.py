"""Problems of the files of a drop: model and scaler. The noun `artifact`.

What the pickle scanner finds has many forms under one code. Their constructors take `what`, the form in words, and
the scanner's own table (`pickles.report.FINDINGS`) holds the forms.
"""

from __future__ import annotations

from collections.abc import Sequence

from .value import Problem, escaped, quoted

__all__ = [
    "artifact_ambiguous",
    "artifact_digest_mismatch",
    "artifact_embedded_code",
    "artifact_forbidden_arguments",
    "artifact_forbidden_import",
    "artifact_forbidden_use",
    "artifact_load_cost",
    "artifact_malformed",
    "artifact_missing",
    "artifact_more_problems",
    "artifact_never_allowed",
    "artifact_not_a_pickle",
    "artifact_not_a_tree",
    "artifact_not_regular",
    "artifact_open_for_writing",
    "artifact_others",
    "artifact_scan_limits",
    "artifact_several_pickles",
    "artifact_too_large",
    "artifact_trailing_data",
    "artifact_truncated",
    "artifact_unknown_suffix",
    "artifact_unsupported",
]

_NAMES_LISTED = 5
_PICKLERS = "Write it with pickle.dump, cloudpickle.dump, joblib.dump or torch.save, one object in one file"


# --- whole or not --------------------------------------------------------------------------------------------


def artifact_missing(role: str, name: str) -> Problem:
    """A file that the sidecar names is not there. `role` is "model" or "scaler"."""
    return Problem(
        "artifact.missing",
        f"the {role} {quoted(name)}, named by the sidecar, is not there",
        f"Put {quoted(name)} beside the sidecar, or correct `{role}_file` in it",
        field=f"{role}_file",
        file=escaped(name),
    )


def artifact_ambiguous(role: str, names: Sequence[str]) -> Problem:
    """The sidecar names no file for the role, and several files of its stem could be meant."""
    return Problem(
        "artifact.ambiguous",
        f"several files could be the {role}: {_listed(names)}",
        f"Name one of them in `{role}_file`, or send one only",
        field=f"{role}_file",
    )


def artifact_others(role: str, taken: str, others: Sequence[str]) -> Problem:
    """The sidecar names no file for the role, and one of several was taken. A note: it rejects nothing."""
    return Problem(
        "artifact.others",
        f"{quoted(taken)} was taken as the {role}; not taken: {_listed(others)}",
        f"Name the file that is meant in `{role}_file`, and send no other ones",
        file=escaped(taken),
    )


def artifact_unknown_suffix(name: str, suffixes: str) -> Problem:
    """A file's name has no suffix of a model, so that nothing can take it. `suffixes` are those that are taken."""
    return Problem(
        "artifact.unknown_suffix",
        f"{quoted(name)} cannot be taken: models and scalers end in {suffixes}",
        "Rename it if it is one; a model of another format must be loaded with its library and pickled",
        file=escaped(name),
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(quoted(name) for name in names[:_NAMES_LISTED]) + (", ..." if len(names) > _NAMES_LISTED else "")


def artifact_not_regular(what: str, file: str | None = None) -> Problem:
    """A file is a link, a folder or something else. `what` says which: "'usd.pkl' is a symbolic link"."""
    return Problem(
        "artifact.not_regular",
        what,
        "Put the file itself there: copy it, or make a hard link",
        file=None if file is None else escaped(file),
    )


def artifact_open_for_writing(name: str) -> Problem:
    """A process has the file open for writing."""
    return Problem(
        "artifact.open_for_writing",
        f"{quoted(name)} is still open for writing",
        "It is taken as soon as its writer closes it",
        file=escaped(name),
    )


def artifact_truncated(what: str, file: str | None = None) -> Problem:
    """A file, or the data in it, has no end. `what` says how that shows: "the file is empty"."""
    return Problem(
        "artifact.truncated",
        what,
        "It may still be on its way; if its writer has finished, write the file again",
        file=None if file is None else escaped(file),
    )


def artifact_too_large(name: str, size: str, limit: str) -> Problem:
    """A file is larger than the operator lets it be."""
    return Problem(
        "artifact.too_large",
        f"{quoted(name)} has {size}, more than inbox.max_artifact_size ({limit})",
        "Drop a smaller model, or ask the operator for a larger limit",
        file=escaped(name),
    )


def artifact_digest_mismatch(role: str, name: str, said: str, found: str) -> Problem:
    """A file has other bytes than the sidecar says. `role` is "model" or "scaler"."""
    return Problem(
        "artifact.digest_mismatch",
        f"{quoted(name, 400)} has the SHA-256 {found}, the sidecar says {said}",
        f"Send the file that the sidecar describes, or correct `sha256.{role}` in the sidecar",
        field=f"sha256.{role}",
        file=escaped(name),
    )


# --- what the scan found -------------------------------------------------------------------------------------


def artifact_not_a_pickle(what: str = "", hint: str = _PICKLERS) -> Problem:
    """The file is of no kind that is known. `what` is the format that it has, if that was recognised."""
    found = f"the file is not a pickle: it is {what}" if what else "the file is not a pickle"
    return Problem("artifact.not_a_pickle", found, hint)


def artifact_malformed(what: str, hint: str = _PICKLERS) -> Problem:
    """The pickle, or the container around it, is damaged or made by hand."""
    return Problem("artifact.malformed", what, hint)


def artifact_trailing_data(what: str) -> Problem:
    """Bytes follow the end of the pickle, or of the compressed data."""
    return Problem("artifact.trailing_data", what, _PICKLERS)


def artifact_several_pickles() -> Problem:
    """The file holds more than one pickle."""
    return Problem("artifact.several_pickles", "several pickles follow each other in the file", _PICKLERS)


def artifact_unsupported(what: str, hint: str) -> Problem:
    """The pickle is in a format, or uses a feature, that is not read here."""
    return Problem("artifact.unsupported", what, hint)


def artifact_scan_limits(what: str, hint: str) -> Problem:
    """The scan came to a limit of memory, time or depth, and gave no result."""
    return Problem("artifact.scan_limits", what, hint)


def artifact_load_cost(what: str, hint: str) -> Problem:
    """A load of the file would need more memory or time than it may."""
    return Problem("artifact.load_cost", what, hint)


def artifact_embedded_code(name: str) -> Problem:
    """The pickle carries functions or classes by value. `name` is the first name that shows it."""
    return Problem(
        "artifact.embedded_code",
        f"the pickle carries functions or classes themselves, not only their names ({quoted(name)})",
        "Put the class into a module that the serving process imports too and add its line under pickle.allow, "
        "or pickle a state dict or plain values, or register the model with "
        "ModelRegistry.register_model from a process that you trust",
    )


def artifact_forbidden_import(name: str, hint: str) -> Problem:
    """The pickle names a class or function that no list allows. `hint` holds the line that would allow it."""
    return Problem("artifact.forbidden_import", f"the pickle names {quoted(name)}, which is on no list", hint)


def artifact_never_allowed(name: str, reason: str, hint: str) -> Problem:
    """The pickle names something that no list may have."""
    return Problem("artifact.never_allowed", f"the pickle names {quoted(name)}: {reason}", hint)


def artifact_forbidden_use(what: str, hint: str) -> Problem:
    """The pickle does more with a name than is allowed for it."""
    return Problem("artifact.forbidden_use", what, hint)


def artifact_forbidden_arguments(what: str, hint: str) -> Problem:
    """The pickle calls an allowed function with arguments that its own library never gives it."""
    return Problem("artifact.forbidden_arguments", what, hint)


def artifact_not_a_tree(what: str) -> Problem:
    """A model of trees whose numbers its library would follow out of its arrays, or in a circle."""
    return Problem(
        "artifact.not_a_tree",
        what,
        "Save the model again from the program that trained it. If that file is refused, too, report it with the "
        "version of the library. If nobody you know wrote the file, treat it as hostile",
    )


def artifact_more_problems(count: int) -> Problem:
    """A pickle carries more names that are not allowed than are listed."""
    return Problem(
        "artifact.more_problems",
        f"the pickle carries {count} more names that are not allowed",
        "Solve the problems that are listed first",
    )
