"""Problems of a sidecar's fields, and of metadata that is given to the Python API. The noun `sidecar`.

Problems of its YAML are in `yaml`. No constructor knows the place in the text: the caller adds line and column.
"""

from __future__ import annotations

from collections.abc import Sequence

from .value import Problem, escaped, quoted

__all__ = [
    "NAME_RULE",
    "sidecar_ambiguous",
    "sidecar_cut_off",
    "sidecar_empty",
    "sidecar_future_date",
    "sidecar_invalid_name",
    "sidecar_invalid_value",
    "sidecar_missing_field",
    "sidecar_more_problems",
    "sidecar_no_zone",
    "sidecar_not_a_mapping",
    "sidecar_not_owner",
    "sidecar_path_not_plain_name",
    "sidecar_same_file_twice",
    "sidecar_unknown_key",
    "sidecar_wrong_type",
]

NAME_RULE = (
    "Use up to 128 letters, digits, '.', '_' and '-', beginning with a letter or a digit, and not ending in '_scaler'"
)
"""What a model_id and the stem of a drop may look like."""


# --- values --------------------------------------------------------------------------------------------------


def sidecar_missing_field(field: str, hint: str) -> Problem:
    """A required field is not there. `hint` says what to add, and where."""
    return Problem("sidecar.missing_field", f"{field} is missing", hint, field)


def sidecar_unknown_key(key: str, owner: str, field: str, hint: str) -> Problem:
    """A name stands where no field has that name. `owner` is what cannot have it: "a sidecar", "sha256"."""
    return Problem("sidecar.unknown_key", f"{quoted(key)} is not a field of {owner}", hint, field)


def sidecar_wrong_type(field: str, found: str, must: str, hint: str) -> Problem:
    """A value is of another kind than its field takes: `found`, where it `must` be something else."""
    return Problem("sidecar.wrong_type", f"{field} is {found}, and must be {must}", hint, field)


def sidecar_invalid_value(field: str, what: str, hint: str) -> Problem:
    """A value is of the right kind and cannot be used. `what` is the whole message: the checks have many."""
    return Problem("sidecar.invalid_value", what, hint, field)


def sidecar_invalid_name(field: str, text: str, reason: str, hint: str = NAME_RULE) -> Problem:
    """A value cannot be an id, or the name of a file in the inbox."""
    return Problem("sidecar.invalid_name", f"cannot use {quoted(text)} as {field}: {reason}", hint, field)


def sidecar_path_not_plain_name(field: str, text: str) -> Problem:
    """A path stands where the plain name of a file belongs."""
    return Problem(
        "sidecar.path_not_plain_name",
        f"{field} is {quoted(text)}, and must be the plain name of a file beside the sidecar",
        "Put the file into the inbox, and write its name without a folder",
        field,
    )


def sidecar_same_file_twice(field: str, name: str) -> Problem:
    """One file is named as the model and as its scaler."""
    return Problem(
        "sidecar.same_file_twice",
        f"{quoted(name)} is named as the model and as its scaler",
        "Name the two files, or write 'scaler_file: null' if there is no scaler",
        field,
    )


def sidecar_future_date(field: str, text: object, now: str) -> Problem:
    """`trained_at` is ahead of the clock of this machine."""
    return Problem(
        "sidecar.future_date",
        f"{field} {quoted(text)} is in the future: now is {now}",
        "Set the clock of the machine that trains, or write the zone: without one the time counts as UTC",
        field,
    )


def sidecar_no_zone(field: str, text: str, instant: str) -> Problem:
    """`trained_at` names no zone. A note: it rejects nothing."""
    return Problem(
        "sidecar.no_zone",
        f"{field} {quoted(text)} has no zone and counts as {instant}",
        "Write the zone: 2025-10-25T12:00:00Z, or +02:00 instead of the Z",
        field,
    )


# --- the text as a whole -------------------------------------------------------------------------------------


def sidecar_empty() -> Problem:
    """The sidecar holds nothing, or only comments. (An empty config.yaml is right: the defaults hold.)"""
    return Problem("sidecar.empty", "the sidecar is empty", "Write its fields as 'name: value'")


def sidecar_not_a_mapping(kind: str) -> Problem:
    """The sidecar is no mapping of fields. `kind` says what it is: "a list"."""
    return Problem(
        "sidecar.not_a_mapping", f"the sidecar is {kind}, not fields", "Write its fields as 'name: value', one a line"
    )


def sidecar_more_problems(count: int) -> Problem:
    """A sidecar has more problems than are listed."""
    return Problem(
        "sidecar.more_problems", f"{count} more problems are not listed", "Solve the problems that are listed first"
    )


def sidecar_cut_off(name: str, line: int) -> Problem:
    """More text may be to come: a note for `model-inbox inbox`, beside the problems of what is there."""
    return Problem(
        "sidecar.cut_off",
        f"the sidecar is not complete: it ends, or was cut off, at line {line}",
        "It may still be on its way; end a sidecar with a line `...` so that its end can be seen",
        line=line,
        file=escaped(name),
    )


def sidecar_ambiguous(names: Sequence[str]) -> Problem:
    """Several sidecars have the same stem, so that nobody can tell which one is meant."""
    return Problem(
        "sidecar.ambiguous",
        f"there are {len(names)} sidecars for one drop: {', '.join(quoted(name) for name in names)}",
        "Send one of them only",
    )


def sidecar_not_owner(name: str) -> Problem:
    """A file that the sidecar names belongs to another user than the sidecar."""
    return Problem(
        "sidecar.not_owner",
        f"{quoted(name)} belongs to another user than the sidecar",
        "Sidecar and files must be written by the same user; the file was left where it is",
        file=escaped(name),
    )
