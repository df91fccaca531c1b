"""The checks of a model's metadata, field by field.

Owns the one set of checks for sidecars and for callers of the Python API. They refuse text that cannot be printed,
numbers that JSON cannot hold, names that cannot be file names, and times that cannot be compared. All problems are
reported at once. Pure: `now` is passed in. Never looks at `model_path` and `scaler_path`, which the registry sets.
"""

from __future__ import annotations

import math
import numbers
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from ..base.instants import INSTANT_HELP, as_instant, canonical_instant
from ..problems import Problem, quoted
from ..problems.checks import checks_currency_pair, checks_model_type, checks_pair_pattern
from ..problems.sidecar import sidecar_future_date, sidecar_invalid_name, sidecar_invalid_value, sidecar_wrong_type
from .metadata import (
    DEPTH_MAX,
    DESCRIPTION_CHARACTERS_MAX,
    FUTURE_TOLERANCE,
    HORIZON_DAYS_MAX,
    INTEGER_MAX,
    LABEL_CHARACTERS_MAX,
    NAME_CHARACTERS_MAX,
    PAIR_PATTERN,
    PROVENANCE_MAX,
    PROVENANCE_VALUE_CHARACTERS_MAX,
    STORED_INTEGERS,
    TAG_NAME,
    TAG_VALUE_CHARACTERS_MAX,
    TAGS_MAX,
    VARIANT,
    FieldProblem,
    ModelMetadata,
    dotted,
    id_fault,
    plain_values,
)

__all__ = ["Path", "check_accepted", "check_fields", "check_instant", "check_metadata", "check_metrics", "check_pair"]


def check_metadata(metadata: ModelMetadata, *, now: datetime, pair_pattern: str | None = PAIR_PATTERN) -> list[Problem]:
    """Return all problems of the metadata. The list is empty if the metadata can be registered.

    The codes are those of sidecars (`sidecar.wrong_type`, `sidecar.invalid_value`, ...) for the API, too.
    `pair_pattern` is that of `check_pair`.
    """
    found = [finding.problem for finding in check_fields(plain_values(metadata), now=now)]
    if not any(problem.field == "currency_pair" for problem in found):
        found += check_pair(metadata.currency_pair, pair_pattern)
    return found


def check_pair(currency_pair: str, pattern: str | None) -> list[Problem]:
    """Return the problem of a currency pair that does not have the form of the pattern. None: any form will do."""
    if pattern is None or re.fullmatch(pattern, currency_pair):
        return []
    return [checks_pair_pattern(currency_pair, pattern, default=pattern == PAIR_PATTERN)]


def check_accepted(
    metadata: ModelMetadata,
    *,
    model_types: Sequence[str] | None,
    currency_pairs: Sequence[str] | None,
    pair_pattern: str | None,
) -> list[Problem]:
    """Return why the operator's `checks` do not accept the metadata. None is any type, any pair, any form of a pair."""
    problems = check_pair(metadata.currency_pair, pair_pattern)
    if model_types is not None and not _matches(metadata.model_type, model_types):
        problems.append(checks_model_type(metadata.model_type, model_types))
    if currency_pairs is not None and not _matches(metadata.currency_pair, currency_pairs):
        problems.append(checks_currency_pair(metadata.currency_pair, currency_pairs))
    return problems


def _matches(value: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(value, pattern) for pattern in patterns)


def check_fields(values: Mapping[str, object], *, now: datetime, stored: bool = False) -> Iterator[FieldProblem]:
    """Yield the problems of the values of fields. Raises KeyError for a name that is not a field.

    With `stored` the values are those of a registered model: what an earlier version accepted is no problem.
    """
    for name, value in values.items():
        if name == "trained_at":
            yield from _check_trained_at((name,), value, now)
        elif name == "validation_metrics":
            yield from _check_metrics((name,), value, STORED_INTEGERS if stored else _INTEGERS)
        else:
            yield from _CHECKS[name]((name,), value)


def check_metrics(name: str, value: object) -> list[Problem]:
    """Return all problems of a mapping of names to finite numbers, which may be nested. `name` is used in messages."""
    return [finding.problem for finding in _check_metrics((name,), value, _INTEGERS)]


def check_instant(name: str, value: object, *, now: datetime) -> list[Problem]:
    """Return all problems of an instant that cannot be in the future. `name` is used in messages."""
    return [finding.problem for finding in _check_trained_at((name,), value, now)]


Path = tuple[str | int, ...]
_INTEGERS = range(-INTEGER_MAX, INTEGER_MAX + 1)


def _shown(value: object) -> str:
    """Return a value for a message: text and numbers themselves, any other value by its kind."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, bool | int | float):
        return quoted(_repr(value), 40).strip("'")
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    return f"a value of type {quoted(type(value).__name__)}"


def _repr(value: bool | float) -> str:
    try:
        return repr(value)
    except ValueError:
        # Python does not convert integers with so many digits.
        return "a number of thousands of digits"


def _wrong(path: Path, value: object, must: str, hint: str) -> FieldProblem:
    return FieldProblem(path, sidecar_wrong_type(dotted(path), _shown(value), must, hint))


def _invalid(path: Path, message: str, hint: str, *, at_name: bool = False) -> FieldProblem:
    return FieldProblem(path, sidecar_invalid_value(dotted(path), message, hint), at_name)


def _text_fault(text: str, characters_max: int) -> str:
    """Return why `text` cannot be a one-line label, as a clause without subject. Return "" if it can."""
    if not text:
        return "is empty"
    if len(text) > characters_max:
        return f"has {len(text)} characters, more than {characters_max}"
    if not text.isprintable():
        return "contains a character that cannot be printed"
    if text != text.strip():
        return "starts or ends with a space"
    return ""


def _check_id(path: Path, value: object) -> Iterator[FieldProblem]:
    if not isinstance(value, str):
        yield _wrong(path, value, "text", "Write a name")
    elif fault := id_fault(value):
        yield FieldProblem(path, sidecar_invalid_name(dotted(path), value, fault))


def _check_label(path: Path, value: object) -> Iterator[FieldProblem]:
    if not isinstance(value, str):
        yield _wrong(path, value, "text", f"Write {dotted(path)} as text")
    elif fault := _text_fault(value, LABEL_CHARACTERS_MAX):
        yield _invalid(
            path,
            f"{dotted(path)} {quoted(value)} {fault}",
            f"Use 1 to {LABEL_CHARACTERS_MAX} plain characters",
        )


def _sentence(text: str) -> str:
    """Return the text with its first letter in upper case. (`str.capitalize` changes the other letters, too.)"""
    return text[0].upper() + text[1:]


def _check_trained_at(path: Path, value: object, now: datetime) -> Iterator[FieldProblem]:
    if not isinstance(value, str | datetime):
        yield _wrong(path, value, "a date and time", _sentence(INSTANT_HELP))
        return
    try:
        moment = as_instant(value)
    except ValueError as error:
        reason, _, hint = str(error).partition("; ")
        yield _invalid(path, f"{dotted(path)} {quoted(value)} is {reason}", _sentence(hint or INSTANT_HELP))
        return
    ahead = moment - now
    if ahead > FUTURE_TOLERANCE:
        yield FieldProblem(path, sidecar_future_date(dotted(path), value, canonical_instant(now)))


def _check_metrics(path: Path, value: object, integers: range) -> Iterator[FieldProblem]:
    if not isinstance(value, Mapping):
        yield _wrong(path, value, "a mapping of names to numbers", "Write it like {rmse: 0.012}")
        return
    yield from _check_metrics_level(path, value, integers, 1)


def _check_metrics_level(path: Path, value: Mapping[Any, Any], integers: range, depth: int) -> Iterator[FieldProblem]:
    # The limit also ends the walk through a mapping that contains itself.
    if depth > DEPTH_MAX:
        yield _invalid(path, f"{dotted(path[:3])} is nested more than {DEPTH_MAX} deep", "Use fewer levels")
        return
    seen: set[str] = set()
    for key, inner in value.items():
        # Horizons are common keys here, and json.dump writes {1: ...} as {"1": ...}: accept integers as names.
        name = str(key) if isinstance(key, numbers.Integral) and not isinstance(key, bool) else key
        if not isinstance(name, str):
            yield _invalid(path, f"a name in {dotted(path)} is {_shown(key)}, and must be text", "Use text as the name")
            continue
        here = (*path, name)
        if fault := _text_fault(name, NAME_CHARACTERS_MAX):
            yield _invalid(
                here, f"the name {quoted(name)} in {dotted(path)} {fault}", "Rename the metric", at_name=True
            )
        elif name in seen:
            yield _invalid(here, f"{dotted(path)} has {quoted(name)} twice", "Rename one of them", at_name=True)
        seen.add(name)
        if isinstance(inner, Mapping):
            yield from _check_metrics_level(here, inner, integers, depth + 1)
        elif not isinstance(inner, numbers.Real) or isinstance(inner, bool):
            yield _wrong(here, inner, "a number", "Give a number, or leave the metric out")
        elif isinstance(inner, numbers.Integral):
            if int(inner) not in integers:
                yield _invalid(
                    here,
                    f"{dotted(here)} is {_shown(int(inner))}, and integers go up to 2^53 either way",
                    "Write it as a decimal number, like 1.8e19, or leave the metric out",
                )
        elif not _is_finite(inner):
            yield _invalid(
                here,
                f"{dotted(here)} is {_shown(_as_float(inner))}, and must be a finite number",
                "Leave the metric out",
            )


def _as_float(value: numbers.Real) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _is_finite(value: numbers.Real) -> bool:
    return math.isfinite(_as_float(value))


def _is_whole(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _check_min_samples(path: Path, value: Any) -> Iterator[FieldProblem]:
    if not _is_whole(value):
        yield _wrong(path, value, "a whole number", "Write the number of samples, like 500")
    elif not 0 <= value <= INTEGER_MAX:
        yield _invalid(
            path, f"{dotted(path)} is {_shown(int(value))}, and must be 0 to 2^53", "Write a count of samples"
        )


def _check_calibration_ok(path: Path, value: object) -> Iterator[FieldProblem]:
    # A comparison of numpy numbers returns numpy's bool.
    if not isinstance(value, bool) and (type(value).__module__, type(value).__name__) not in _NUMPY_BOOLS:
        yield _wrong(path, value, "true or false", "Write true or false")


_NUMPY_BOOLS = {("numpy", "bool"), ("numpy", "bool_")}


def _check_features(path: Path, value: Any) -> Iterator[FieldProblem]:
    if not isinstance(value, list | tuple):
        yield _wrong(path, value, "a list of names", "Write it like [sma_5, rsi_14]")
        return
    seen: set[str] = set()
    for position, name in enumerate(value):
        here = (*path, position)
        if not isinstance(name, str):
            yield _wrong(here, name, "a name", "Write the name of a feature")
        elif fault := _text_fault(name, NAME_CHARACTERS_MAX):
            yield _invalid(here, f"{dotted(here)} {quoted(name)} {fault}", "Rename the feature")
        elif name in seen:
            yield _invalid(here, f"{dotted(here)} {quoted(name)} is listed twice", "List each feature once")
        else:
            seen.add(name)


def _check_horizons(path: Path, value: Any) -> Iterator[FieldProblem]:
    if not isinstance(value, list | tuple):
        yield _wrong(path, value, "a list of days", "Write it like [1, 7, 30]")
        return
    seen: set[int] = set()
    for position, days in enumerate(value):
        here = (*path, position)
        if not _is_whole(days):
            yield _wrong(here, days, "a whole number of days", "Write horizons in days, like [1, 7, 30]")
        elif not 1 <= days <= HORIZON_DAYS_MAX:
            yield _invalid(
                here,
                f"{dotted(here)} is {_shown(int(days))}, and must be 1 to {HORIZON_DAYS_MAX} days",
                "Write horizons in days, like [1, 7, 30]",
            )
        elif int(days) in seen:
            yield _invalid(here, f"{dotted(here)}, {int(days)} days, is listed twice", "List each horizon once")
        else:
            seen.add(int(days))


def _check_tags(path: Path, value: object) -> Iterator[FieldProblem]:
    if not isinstance(value, Mapping):
        yield _wrong(path, value, "a mapping of names to text", "Write it like {stage: production}, or [production]")
        return
    yield from _check_texts(path, value, "tag", TAGS_MAX, TAG_VALUE_CHARACTERS_MAX)


def _check_provenance(path: Path, value: object) -> Iterator[FieldProblem]:
    if not isinstance(value, Mapping):
        yield _wrong(path, value, "a mapping of names to text", "Write it like {git_commit: 1a2b3c4, host: trainer-3}")
        return
    yield from _check_texts(path, value, "value", PROVENANCE_MAX, PROVENANCE_VALUE_CHARACTERS_MAX)


def _check_texts(
    path: Path, value: Mapping[Any, Any], what: str, items_max: int, characters_max: int
) -> Iterator[FieldProblem]:
    """Yield the problems of a mapping of names to text. `what` is the word for one of them."""
    if len(value) > items_max:
        yield _invalid(path, f"{dotted(path)} has {len(value)} {what}s, more than {items_max}", f"Use fewer {what}s")
        return
    for name, text in value.items():
        here = (*path, name if isinstance(name, str) else str(name))
        if not isinstance(name, str) or not TAG_NAME.fullmatch(name):
            yield _invalid(
                here,
                f"cannot use {_shown(name)} as the name of a {what}",
                "Use up to 64 letters, digits and '._:/-', starting with a letter or a digit; "
                "write a value after the name: {year: 2026}",
                at_name=True,
            )
        if not isinstance(text, str):
            yield _wrong(here, text, "text", "Write the value as text")
        elif text and (fault := _text_fault(text, characters_max)):
            yield _invalid(here, f"{dotted(here)} {quoted(text)} {fault}", "Correct the value")


def _check_variant(path: Path, value: object) -> Iterator[FieldProblem]:
    if not isinstance(value, str):
        yield _wrong(path, value, "text", "Write a short name, like 30d, or leave the variant out")
    elif not VARIANT.fullmatch(value):
        yield _invalid(
            path,
            f"{dotted(path)} is {_shown(value)}, which is no name of a variant",
            "Use up to 64 letters, digits, dots, underscores and hyphens, like 30d",
        )


def _check_description(path: Path, value: object) -> Iterator[FieldProblem]:
    if not isinstance(value, str):
        yield _wrong(path, value, "text", "Write the description as text")
    elif len(value) > DESCRIPTION_CHARACTERS_MAX:
        yield _invalid(
            path,
            f"{dotted(path)} has {len(value)} characters, more than {DESCRIPTION_CHARACTERS_MAX}",
            "Shorten it",
        )
    elif odd := sorted({c for c in value if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t"}):
        yield _invalid(path, f"{dotted(path)} contains the control character {quoted(odd[0])}", "Remove it")


_CHECKS = {
    "model_id": _check_id,
    "model_type": _check_label,
    "currency_pair": _check_label,
    "version": _check_label,
    "min_samples": _check_min_samples,
    "calibration_ok": _check_calibration_ok,
    "features_used": _check_features,
    "horizons": _check_horizons,
    "variant": _check_variant,
    "tags": _check_tags,
    "description": _check_description,
    "provenance": _check_provenance,
}
