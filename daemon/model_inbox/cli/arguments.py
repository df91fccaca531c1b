"""The words that mean the same in every command: how a model, a pair, a type, a time and a duration are given.

Owns this vocabulary, and the old spellings that still work. Never changes a registry.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..base.instants import parse_time
from ..base.units import parse_duration
from ..errors import EntryNotFound, StorageError
from ..model.slot import Slot, slot_of
from ..problems import quoted
from .common import nearest, now
from .completion import Complete, complete_alias, complete_model, complete_pair, complete_type, complete_variant
from .output import print_lines

if TYPE_CHECKING:
    from ..config.retention import RetentionSection
    from ..registry.outcomes import Retired
    from ..registry.registry import ModelRegistry

_Callback = TypeVar("_Callback", bound=Callable[..., Any])

__all__ = [
    "MODEL",
    "OneOf",
    "alias_option",
    "as_instant",
    "as_seconds",
    "find_model",
    "find_retired",
    "metrics_in",
    "model_argument",
    "no_metrics",
    "no_slot",
    "pair_option",
    "policy_option",
    "read_metrics",
    "read_policy",
    "resolved",
    "type_option",
    "variant_option",
]

MODEL = "ID"
"""The metavar of a model: its id, or `PAIR:TYPE[:VARIANT][@ALIAS]`."""
_SHOWN_MAX = 5


class OptionWithOldNames(click.Option):
    """An option that also has old names. They work, but the help does not show them."""

    def __init__(self, *args: Any, old: Sequence[str] = (), **kw: Any) -> None:
        super().__init__(*args, **kw)
        self.old = tuple(old)

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        """Tell the parser all names."""
        shown, self.opts = self.opts, [*self.opts, *self.old]
        try:
            super().add_to_parser(parser, ctx)
        finally:
            self.opts = shown


class OneOf(click.Choice[str]):
    """One of several words. For another one it suggests the most similar."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the word. Fail with a suggestion if it is not one of them."""
        near = nearest(str(value), [str(choice) for choice in self.choices])
        if near is not None and near != value:
            self.fail(
                f"{quoted(value)} is not one of {', '.join(map(str, self.choices))}. Did you mean {near}?", param, ctx
            )
        return super().convert(value, param, ctx)


def model_argument(name: str = "model_id", *, complete: Complete = complete_model) -> Callable[[_Callback], _Callback]:
    """Return an argument that is a model. `complete` finds what a shell completes."""
    return click.argument(name, metavar=MODEL, shell_complete=complete)


def alias_option(text: str, *, default: str | None = None) -> Callable[[_Callback], _Callback]:
    """Return the option `--alias`. `text` is its help."""
    return click.option("--alias", default=default, metavar="NAME", shell_complete=complete_alias, help=text)


def pair_option(
    text: str = "Only models of this pair, like USD/EUR.", *, required: bool = False, multiple: bool = False
) -> Callable[[_Callback], _Callback]:
    """Return the option `--pair`. `text` is its help."""
    name = "pairs" if multiple else "pair"
    old = ["--currency-pair", "--subject"]
    return _of_slot("pair", name, text, complete_pair, old=old, required=required, multiple=multiple)


def type_option(
    text: str = "Only models of this type, like lightgbm.", *, required: bool = False, multiple: bool = False
) -> Callable[[_Callback], _Callback]:
    """Return the option `--type`. `text` is its help."""
    name = "types" if multiple else "model_type"
    return _of_slot("type", name, text, complete_type, old=["--model-type"], required=required, multiple=multiple)


def variant_option(
    text: str = "Only models of this variant, like 30d; '' is none.",
) -> Callable[[_Callback], _Callback]:
    """Return the option `--variant`. `text` is its help."""
    return _of_slot("variant", "variant", text, complete_variant)


def _of_slot(
    option: str,
    name: str,
    text: str,
    complete: Complete,
    *,
    old: Sequence[str] = (),
    required: bool = False,
    multiple: bool = False,
) -> Callable[[_Callback], _Callback]:
    return click.option(
        f"--{option}",
        name,
        cls=OptionWithOldNames,
        old=old,
        required=required,
        multiple=multiple,
        metavar=option.upper(),
        shell_complete=complete,
        help=text,
    )


def as_instant(_ctx: click.Context, _param: click.Parameter, value: str | None) -> datetime | None:
    """Parse a time; the callback of options with a time. Without a zone it is UTC."""
    try:
        return None if value is None else parse_time(value, now())
    except ValueError as error:
        raise click.BadParameter(f"{quoted(value)} is {error}") from error


def as_seconds(_ctx: click.Context, _param: click.Parameter, value: str | None) -> float | None:
    """Parse a duration to seconds; the callback of options with a duration."""
    try:
        return None if value is None else parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(f"{quoted(value)} is {error}") from error


def policy_option(text: str, option: str = "policy") -> Callable[[_Callback], _Callback]:
    """Return an option with a file of retention rules, which `read_policy` reads. `text` is its help."""
    return click.option(
        f"--{option}",
        f"{option}_file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="FILE",
        help=text,
    )


def read_policy(file: Path) -> RetentionSection:
    """Return the rules of a file that has the settings of `retention:`. Raises StorageError and ConfigError."""
    from ..config.load import parse_retention
    from ..config.search import CONFIG_BYTES_MAX

    return parse_retention(_read_named(file, CONFIG_BYTES_MAX, "read the policy"), file=file.absolute())


def metrics_in(source: str) -> str:
    """Return what an error calls metrics from there: a file, or standard input for `-`."""
    return "the metrics from standard input" if source == "-" else f"the metrics in {quoted(source)}"


def no_metrics(source: str, data: bytes) -> str:
    """Return the error for bytes from there that are not a mapping."""
    fault = "they are not a mapping of names to numbers" if data.strip() else "there are none"
    return f"cannot use {metrics_in(source)}: {fault}"


def read_metrics(source: str, limit: int) -> bytes:
    """Return the bytes of a file of metrics, or of standard input for `-`: at most `limit` + 1. Raises StorageError."""
    if source == "-":
        return sys.stdin.buffer.read(limit + 1)
    return _read_named(Path(source), limit, "read the metrics in")


def _read_named(file: Path, limit: int, action: str) -> bytes:
    """Return at most `limit` + 1 bytes of a file. Raises StorageError.

    The user named the file, so it may be behind a symlink, or a pipe, like the file of `--config`.
    """
    try:
        with file.open("rb") as stream:
            return stream.read(limit + 1)
    except OSError as error:
        raise StorageError(action, file, error) from error


# --- models -----------------------------------------------------------------------------------------------------------


def find_model(registry: ModelRegistry, given: str, *, as_of: datetime | None = None) -> str:
    """Return the id of the model that a person names: an id, `PAIR:TYPE[:VARIANT]` or that with `@ALIAS` behind it.

    An id is returned as it is, registered or not: no id has a colon. What else is named is printed to stderr. Raises
    EntryNotFound.
    """
    if ":" not in given:
        return given
    entries = registry.list_models(as_of=as_of)
    for slot in _slots(entries):
        name = str(slot)
        alias = given.removeprefix(f"{name}@")
        if given == name or alias != given:
            named = None if given == name else alias
            entry = registry.get_model(
                slot.currency_pair, slot.model_type, variant=slot.variant, alias=named, as_of=as_of
            )
            if entry is None:
                what = "newest model" if given == name else f"model with the alias {quoted(alias)}"
                raise EntryNotFound(
                    f"cannot find {quoted(given)}: {quoted(name)} has no {what}",
                    hint="`model-inbox list` shows the models with their aliases",
                )
            return resolved(given, entry)
    raise no_slot(given, entries, "is registered")


def find_retired(retired: Sequence[Retired], given: str) -> str:
    """Return the id of the retired model that a person names: an id, or `PAIR:TYPE[:VARIANT]` for the newest one.

    What a slot means is printed to stderr. Raises EntryNotFound.
    """
    if ":" not in given:
        return given
    entries = [item.entry for item in retired]
    of_slot = [entry for entry in entries if given == str(slot_of(entry))]
    if not of_slot:
        raise no_slot(given, entries, "is in the trash")
    return resolved(given, max(of_slot, key=lambda entry: str(entry.get("trained_at"))))


def resolved(given: str, entry: Mapping[str, Any]) -> str:
    """Return the id of the model that a person named by its slot. What that is is printed to stderr."""
    model_id = str(entry["model_id"])
    print_lines(f"{quoted(given)} is {quoted(model_id)}, trained {entry.get('trained_at')}.", err=True)
    return model_id


def _slots(entries: Iterable[Mapping[str, Any]]) -> list[Slot]:
    """Return the slots of entries. The longest names come first, as a type may contain an `@`."""
    return sorted({slot_of(entry) for entry in entries}, key=lambda slot: (-len(str(slot)), slot))


def no_slot(given: str, entries: Iterable[Mapping[str, Any]], where: str) -> EntryNotFound:
    """Return the error for `PAIR:TYPE[:VARIANT]` of which no entry is, with what was probably meant."""
    names = sorted(str(slot) for slot in _slots(entries))
    near = nearest(given.partition("@")[0], names)
    shown = ", ".join(names[:_SHOWN_MAX]) + (", ..." if len(names) > _SHOWN_MAX else "")
    hint = f"Did you mean {near}?" if near else f"There are {shown}" if names else f"No model {where}"
    return EntryNotFound(f"cannot find {quoted(given)}: no model of this pair, type and variant {where}", hint=hint)
