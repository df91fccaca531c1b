"""The values that a shell completes: ids, pairs, types, variants, aliases, retired models, rejected drops.

Owns how they are found quickly: in the text of the registry's JSON file, which is not parsed, and by the names in a
folder. What the daemon committed in the last seconds may be missing. Never prints, never fails: without a registry
that this user can read there is nothing to complete.
"""

from __future__ import annotations

import contextlib
import io
import mmap
import os
import re
from collections.abc import Callable, Iterator

import click

from ..errors import ModelInboxError
from ..registry.paths import RegistryFiles
from .common import App

__all__ = [
    "complete_alias",
    "complete_model",
    "complete_pair",
    "complete_rejected",
    "complete_retired",
    "complete_type",
    "complete_variant",
]

_SHOWN_MAX = 1_000
# Pairs, types, variants and aliases are looked up in the newest entries only, so that it takes less than 0.1 seconds.
_NEWEST_BYTES = 32 << 20
# A shell may run what it completes: a value with a sign that a shell reads is left out.
_HARMLESS = re.compile(r"[\w][\w@%+=:,./-]*")

_Lookup = Callable[[App, str], Iterator[str]]
Complete = Callable[[click.Context, click.Parameter, str], list[str]]


def _completing(lookup: _Lookup) -> Complete:
    """Return the function that click calls for the values of a parameter. `lookup` yields them from a registry."""

    def complete(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
        found: dict[str, None] = {}
        # A message would stand in the middle of the command line that is being typed.
        with contextlib.suppress(ModelInboxError, OSError, ValueError), contextlib.redirect_stderr(io.StringIO()):
            for value in lookup(App(ctx.find_root().params.get("config_file")), incomplete):
                if value.startswith(incomplete) and _HARMLESS.fullmatch(value):
                    found[value] = None
                    if len(found) == _SHOWN_MAX:
                        break
        return list(found)

    return complete


@contextlib.contextmanager
def _registry_text(app: App) -> Iterator[mmap.mmap]:
    """Map the JSON file of the registry. It is replaced by a rename, so what is mapped does not change."""
    app.act_as_owner()
    file = os.open(app.places.registry, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        with mmap.mmap(file, 0, prot=mmap.PROT_READ) as text:
            yield text
    finally:
        os.close(file)


def _between(text: mmap.mmap, begin: bytes, end: bytes, *, lowest: int = 0) -> Iterator[str]:
    """Yield what stands between `begin` and `end` in the text, from its end backwards to the position `lowest`."""
    at = len(text)
    while (at := text.rfind(begin, lowest, at)) >= 0:
        start = at + len(begin)
        stop = text.find(end, start)
        if stop >= 0:
            yield text[start:stop].decode(errors="replace")


def _models(app: App, incomplete: str) -> Iterator[str]:
    with _registry_text(app) as text:
        # A line break stands in no value of JSON, so two blanks behind it are those of a key of the outermost object.
        begin = b'\n  "' + incomplete.encode()
        for rest in _between(text, begin, b'"'):
            yield incomplete + rest


def _of_entries(field: str) -> _Lookup:
    """Return what looks up the values of a field of text in the newest entries."""

    def lookup(app: App, _incomplete: str) -> Iterator[str]:
        with _registry_text(app) as text:
            yield from _between(text, f'\n    "{field}": "'.encode(), b'"', lowest=max(0, len(text) - _NEWEST_BYTES))

    return lookup


def _aliases(app: App, _incomplete: str) -> Iterator[str]:
    with _registry_text(app) as text:
        lowest = max(0, len(text) - _NEWEST_BYTES)
        for names in _between(text, b'\n    "aliases": [\n', b"]", lowest=lowest):
            yield from (name.strip(' "') for name in names.replace("\n", "").split(","))


def _retired(app: App, _incomplete: str) -> Iterator[str]:
    app.act_as_owner()
    for name in os.listdir(RegistryFiles(app.places.registry).trash):
        model_id, dot, sequence = name.rpartition(".")
        if dot and sequence.isdigit():
            yield model_id


def _rejected(app: App, _incomplete: str) -> Iterator[str]:
    app.act_as_owner()
    yield from sorted(os.listdir(app.places.inbox / "rejected"), reverse=True)


complete_model = _completing(_models)
complete_pair = _completing(_of_entries("currency_pair"))
complete_type = _completing(_of_entries("model_type"))
complete_variant = _completing(_of_entries("variant"))
complete_alias = _completing(_aliases)
complete_retired = _completing(_retired)
complete_rejected = _completing(_rejected)
