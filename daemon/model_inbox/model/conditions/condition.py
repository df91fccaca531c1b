"""Conditions on entries: `1d.rmse<0.005 and tags.stage=live or pinned=true`.

Owns the grammar of conditions, which values a name can be compared with, and their evaluation. A condition is checked
and compiled once, and then evaluated for any number of entries; an evaluation raises nothing, whatever is in the entry.
Never decides which entries are looked at.

A condition is one or more comparisons, joined by `and` and `or`; `and` binds more tightly. A comparison is
`NAME OPERATOR VALUE`, `NAME exists` or `NAME missing`. A value that is missing fulfils no comparison but `!=`, which is
the opposite of `=`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from ...base.instants import parse_time, time_is_day
from ...base.units import parse_size
from ...base.yaml_numbers import number
from ...problems import escaped, quoted
from .paths import FieldPath, Kind, nearest_name, parse_path
from .words import OPERATORS, Word, refused, split_words

__all__ = ["Comparison", "Condition", "ValueTest", "has", "parse_condition"]

Test = Callable[[Mapping[str, Any]], bool]
"""Returns whether an entry fulfils something."""
ValueTest = Callable[[Any], bool]
"""Returns whether a value does; None is a missing one."""

_ORDER: Mapping[str, Callable[[Any], ValueTest]] = {
    "<": lambda bound: lambda found: found is not None and found < bound,
    "<=": lambda bound: lambda found: found is not None and found <= bound,
    ">": lambda bound: lambda found: found is not None and found > bound,
    ">=": lambda bound: lambda found: found is not None and found >= bound,
}
_YES_NO = {"true": True, "yes": True, "false": False, "no": False}
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One comparison. `operator` is one of < <= = != > >=, "exists" or "missing"; these two have no value.

    `value` is text, a number, a bool or a datetime, by the kind of the path. `is_day`: it is the beginning of a day
    that `=` means as a whole.
    """

    path: FieldPath
    operator: str
    value: Any = None
    is_day: bool = False

    def tests_value(self) -> ValueTest:
        """Return the function that tests a value, as `path.comparable` reads it from an entry."""
        if self.operator == "exists":
            return _is_there
        if self.operator == "missing":
            return _is_missing
        if self.operator in _ORDER:
            return _ORDER[self.operator](self.value)
        equal = self._equal()
        return equal if self.operator == "=" else lambda found: not equal(found)

    def tests_entry(self) -> Test:
        """Return the function that tests an entry."""
        read, test = self.path.comparable(), self.tests_value()
        return lambda entry: test(read(entry))

    def _equal(self) -> ValueTest:
        value = self.value
        if self.path.kind in (Kind.NAMES, Kind.NUMBERS):
            return lambda found: found is not None and value in found
        if self.is_day:
            return lambda found: found is not None and found >= value and found - value < _DAY
        if value == "" and not self.path.part:
            # An empty text of a field is read as a missing one.
            return _is_missing
        return lambda found: bool(found == value)


def _is_there(found: Any) -> bool:
    return found is not None


def _is_missing(found: Any) -> bool:
    return found is None


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition: it holds if all comparisons of one of the `alternatives` do. `holds` tests an entry."""

    text: str
    alternatives: tuple[tuple[Comparison, ...], ...]
    holds: Test = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        any_of = [_joined([one.tests_entry() for one in all_of], all_needed=True) for all_of in self.alternatives]
        object.__setattr__(self, "holds", _joined(any_of, all_needed=False))

    @property
    def comparisons(self) -> tuple[Comparison, ...]:
        """All comparisons in it."""
        return tuple(one for all_of in self.alternatives for one in all_of)


def _joined(tests: Sequence[Test], *, all_needed: bool) -> Test:
    if len(tests) == 1:
        return tests[0]
    # In halves: a thousand tests are called ten deep.
    half = len(tests) // 2
    join = _both if all_needed else _either
    return join(_joined(tests[:half], all_needed=all_needed), _joined(tests[half:], all_needed=all_needed))


def _both(one: Test, other: Test) -> Test:
    return lambda entry: one(entry) and other(entry)


def _either(one: Test, other: Test) -> Test:
    return lambda entry: one(entry) or other(entry)


def has(path: FieldPath, value: str | None = None) -> Condition:
    """Return the condition that a value is there, or with `value` that it is this text or contains this name."""
    one = Comparison(path, "exists") if value is None else Comparison(path, "=", value)
    return Condition(path.text if value is None else f"{path.text}={value}", ((one,),))


# --- parsing -----------------------------------------------------------------------------------------------------


def parse_condition(text: str, now: datetime) -> Condition:
    """Return the condition that a text means. Times like `2h ago` count from `now`.

    Raises ConditionError, with what was probably meant.
    """
    words = split_words(text)
    if not words:
        raise refused(text, "it is empty", "Write it like 1d.rmse<0.005")
    alternatives: list[list[Comparison]] = [[]]
    part: list[Word] = []
    for word in [*words, None]:
        if word is not None and not word.is_keyword("and", "or"):
            part.append(word)
            continue
        if not part:
            beside = quoted(word.text if word is not None else words[-1].text)
            raise refused(text, f"there is no comparison {'before' if word is not None else 'after'} {beside}")
        alternatives[-1].append(_comparison(text, part, now))
        part = []
        if word is not None and word.is_keyword("or"):
            alternatives.append([])
    return Condition(text, tuple(map(tuple, alternatives)))


def _comparison(text: str, words: Sequence[Word], now: datetime) -> Comparison:
    signs = [at for at, word in enumerate(words) if word.is_operator]
    if not signs:
        return _presence(text, words)
    at = signs[0]
    if at == 0:
        raise refused(text, f"there is no name before {words[0].text}", "Write it like 1d.rmse<0.005")
    if len(signs) > 1:
        raise refused(
            text,
            f"{quoted(words[signs[1]].text)} stands where 'and', 'or' or the end was expected",
            "Write 'and' between two comparisons. Put a value with such characters into double quotes",
        )
    path = _path(text, words[:at])
    sign = "=" if words[at].text == "==" else words[at].text
    value = words[at + 1 :]
    if not value:
        raise refused(
            text, f"there is no value after {sign}", f'Write {escaped(path.text)}{sign}VALUE; no text at all is ""'
        )
    given = value[0].text if len(value) == 1 else text[value[0].start : value[-1].end]
    return _typed(text, path, sign, given, now)


def _presence(text: str, words: Sequence[Word]) -> Comparison:
    last = words[-1]
    if len(words) > 1 and last.is_keyword("exists", "missing"):
        return Comparison(_path(text, words[:-1]), last.text.lower())
    path = _path(text, words[1:] if len(words) > 1 and words[0].is_keyword("not", "has") else words)
    name, example = escaped(path.text), "true" if path.kind is Kind.YES_NO else "VALUE"
    raise refused(
        text,
        f"there is no operator after {quoted(path.text)}; the operators are {' '.join(sorted(OPERATORS))}",
        f"Write {name}={example}, '{name} exists' or '{name} missing'",
    )


def _path(text: str, words: Sequence[Word]) -> FieldPath:
    if len(words) > 1:
        name = " ".join(word.text for word in words)
        raise refused(
            text, f"{quoted(name)} is not one name", f'Put a name with spaces into double quotes: "{escaped(name)}"'
        )
    return parse_path(words[0].text)


def _typed(text: str, path: FieldPath, sign: str, given: str, now: datetime) -> Comparison:
    """Return the comparison with a value of the path's kind. Raises ConditionError if it cannot be compared."""
    kind, name = path.kind, quoted(path.text)
    if kind is Kind.OTHER:
        raise refused(text, f"{name} is {kind.value}", f"'{path.text} exists' and '{path.text} missing' test it")
    if sign in _ORDER and kind not in (Kind.NUMBER, Kind.SIZE, Kind.TIME):
        raise refused(text, f"{name} is {kind.value}, and {sign} compares numbers and times", _without_order(path))
    if kind in (Kind.NUMBER, Kind.NUMBERS):
        value = number(given)
        if value is None or not abs(value) < float("inf"):
            raise _not_a_number(text, path, given)
        return Comparison(path, sign, value)
    try:
        if kind is Kind.SIZE:
            return Comparison(path, sign, parse_size(given))
        if kind is Kind.TIME:
            return Comparison(path, sign, parse_time(given, now), time_is_day(given))
    except ValueError as error:
        raise refused(text, f"{name} is {kind.value}, and {quoted(given)} is {error}") from error
    if kind is Kind.YES_NO:
        if given.lower() not in _YES_NO:
            raise refused(text, f"{name} is true or false, and not {quoted(given)}", f"Write {escaped(path.text)}=true")
        return Comparison(path, sign, _YES_NO[given.lower()])
    return Comparison(path, sign, given)


def _without_order(path: FieldPath) -> str:
    name = escaped(path.text)
    if path.kind in (Kind.NAMES, Kind.NUMBERS):
        return f"{name}=NAME holds if it contains that name, '{name} exists' if it is not empty"
    if path.kind is Kind.YES_NO:
        return f"Write {name}=true or {name}=false"
    return "Compare text by = and !=. Text has no order here: 1.10 would stand before 1.9"


def _not_a_number(text: str, path: FieldPath, given: str) -> Exception:
    name, near = quoted(path.text), nearest_name(path.text) if path.is_metric else None
    what = (
        f"{name} is {'a metric and so ' if path.is_metric else ''}{path.kind.value}, and {quoted(given)} is no number"
    )
    if path.kind is Kind.NUMBERS:
        what = f"{name} contains numbers, and {quoted(given)} is no number"
    point = given.replace(",", ".")
    if number(path.text) is not None and number(given) is None:
        return refused(text, what, "Write the name first, then the operator and the number")
    if number(point) is not None:
        return refused(text, what, f"Did you mean {point}?")
    return refused(text, what, f"Did you mean {escaped(near)}?" if near else "Write a number, like 0.005 or 1e-3")
