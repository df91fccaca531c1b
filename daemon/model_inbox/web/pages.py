"""The pages by their paths, made of what the registry and the inbox are at the moment of the request.

Owns the paths, and what is kept between requests: the open registry, and the last pages, as long as nothing that they
show has changed. `report` makes the pages. Where the registry cannot be read, every page says why and what to do. Only
reads. Several threads may ask; one page is made at a time.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from pathlib import Path

from ..base.instants import parse_time
from ..base.log import log
from ..config.settings import Config
from ..errors import EntryNotFound, ModelInboxError
from ..problems import quoted
from ..registry.paths import status_paths
from ..registry.registry import ModelRegistry
from ..report.facts import Choice
from ..report.gather import gather
from ..report.gather_models import Tell, gather_comparison, gather_model
from ..report.pages import Served
from ..report.render import content_policy, render_comparison, render_model, render_overview
from .answers import Page, page_about

__all__ = ["Site"]

# How long a page is given out again if no file has changed: what depends on the time alone, or changes without a file,
# such as a daemon that was killed, is seen after this. A page that takes long is kept for a multiple of that time.
KEPT_SECONDS = 10.0
KEPT_PARTS = 20.0
# And while only the inbox or the daemon's status has changed: a large registry is not gone through for each of them.
KEPT_PARTS_BESIDE = 4.0
KEPT_PAGES_MAX = 32
COMPARED_MAX = 20
_LINKS = Served()

_Query = Mapping[str, Sequence[str]]
_Make = Callable[[ModelRegistry, Config, datetime], str]


class _NoPageError(Exception):
    """There is no such page. The text says why."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """A page, what it was made of, when, and how long that took."""

    page: Page
    state: Hashable
    beside: Hashable
    at: datetime
    seconds: float

    def is_current(self, state: Hashable, beside: Hashable, now: datetime) -> bool:
        """Return whether the page can be given out for what there is now."""
        parts, least = (KEPT_PARTS, KEPT_SECONDS) if self.beside == beside else (KEPT_PARTS_BESIDE, 0.0)
        age = (now - self.at).total_seconds()
        return self.state == state and 0 <= age < max(parts * self.seconds, least)


class Site:
    """All pages of one registry. `read_config` returns the settings that hold now, and `clock` the time.

    `version` is that of this package, and `tell` returns why a model is where it is.
    """

    def __init__(
        self, read_config: Callable[[], Config], clock: Callable[[], datetime], version: str, tell: Tell
    ) -> None:
        self._read_config = read_config
        self._version = version
        self._tell = tell
        self._clock = clock
        self._lock = threading.Lock()
        self._registry: ModelRegistry | None = None
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()
        self._problem = ""

    def __call__(self, path: str, query: _Query) -> Page:
        """Return the page of a path and a query."""
        with self._lock:
            now = self._clock()
            try:
                make = _page_of(path, query, now, self._version, self._tell)
                config = self._read_config()
                registry = self._opened(config)
                return self._current(path, query, make, registry, config, now)
            except (_NoPageError, EntryNotFound) as error:
                return page_about(HTTPStatus.NOT_FOUND, f"{error}")
            except ModelInboxError as error:
                self.close()
                self._report(error)
                return page_about(HTTPStatus.SERVICE_UNAVAILABLE, error.message, error.hint)

    def prepare(self) -> None:
        """Open the registry before the first request: a large one takes seconds. A problem is told by the requests."""
        with self._lock, suppress(ModelInboxError):
            self._opened(self._read_config())

    def close(self) -> None:
        """Close the registry, if it is open. The next request opens it again."""
        if self._registry is not None:
            with suppress(OSError):
                self._registry.close()
            self._registry = None
        self._kept.clear()

    def _opened(self, config: Config) -> ModelRegistry:
        places = (str(config.registry.path), str(config.registry.storage_dir))
        registry = self._registry
        if registry is None or (registry.registry_path, registry.storage_dir) != places:
            self.close()
            registry = self._registry = ModelRegistry(*places, read_only=True)
        return registry

    def _current(
        self, path: str, query: _Query, make: _Make, registry: ModelRegistry, config: Config, now: datetime
    ) -> Page:
        """Return the page that was made last if it shows nothing that has changed, else make it."""
        asked = (path, tuple((name, tuple(values)) for name, values in sorted(query.items())))
        # A registry that was damaged after it was opened is shown as it was, with the problem.
        state = (str(registry.position), str(registry.problem or ""), config)
        beside = tuple(_stamps(config))
        kept = self._kept.pop(asked, None)
        if kept is None or not kept.is_current(state, beside, now):
            body = make(registry, config, now).encode()
            etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
            page = Page(HTTPStatus.OK, body, etag, f"{content_policy()}; frame-ancestors 'none'")
            kept = _Kept(page, state, beside, now, (self._clock() - now).total_seconds())
        self._kept[asked] = kept
        if len(self._kept) > KEPT_PAGES_MAX:
            self._kept.popitem(last=False)
        if self._problem:
            self._problem = ""
            log.info("web.registry_readable", registry=registry.registry_path)
        return kept.page

    def _report(self, error: ModelInboxError) -> None:
        if self._problem != error.message:
            self._problem = error.message
            log.error("web.registry_unreadable", code=error.code, problem=error.message, hint=error.hint)


def _stamps(config: Config) -> Iterator[tuple[int, ...]]:
    """Yield what changes when the daemon writes its status, and when something comes into the inbox or leaves it."""
    inbox = config.inbox.path
    places: tuple[Path, ...] = (*status_paths(config.registry.path, inbox), inbox, inbox / "receipts")
    for place in (*places, inbox / "rejected"):
        try:
            found = os.stat(place)
        except OSError as error:
            yield (error.errno or 0,)
        else:
            yield found.st_ino, found.st_mtime_ns, found.st_size


def _page_of(path: str, query: _Query, now: datetime, version: str, tell: Tell) -> _Make:
    """Return what makes the page of a path. Raises _NoPageError if there is none."""
    if path in ("", "/"):
        choice = _choice(query, now)
        return lambda registry, config, at: render_overview(
            gather(registry, config, at, choice, version=version), _LINKS
        )
    first, _, model_id = path.removeprefix("/").partition("/")
    if first == "model" and model_id:
        _has_only(query, ())
        return lambda registry, config, at: render_model(
            gather_model(registry, config, model_id, at, tell, version=version), _LINKS
        )
    if path == "/compare":
        _has_only(query, ("id",))
        ids = tuple(dict.fromkeys(query.get("id", ())))
        if not 2 <= len(ids) <= COMPARED_MAX:
            wanted = f"2 to {COMPARED_MAX} different models, as /compare?id=ID&id=ID"
            raise _NoPageError(f"A comparison is of {wanted}, and not of {len(ids)}.")
        return lambda registry, config, at: render_comparison(
            gather_comparison(registry, config, ids, at, version=version), _LINKS
        )
    raise _NoPageError(
        f"There is no page {quoted(path)}. The overview is /, a model is /model/ID, a comparison is "
        "/compare?id=ID&id=ID."
    )


def _choice(query: _Query, now: datetime) -> Choice:
    """Return what the overview is limited to. An empty value limits nothing, but a variant may be empty."""
    _has_only(query, ("pair", "type", "variant", "since"))
    pair, model_type, since = (_one(query, name) or None for name in ("pair", "type", "since"))
    try:
        return Choice(pair, model_type, _one(query, "variant"), parse_time(since, now) if since is not None else None)
    except ValueError as error:
        raise _NoPageError(f"since={quoted(since)} is {error}.") from None


def _has_only(query: _Query, known: Sequence[str]) -> None:
    unknown = query.keys() - set(known)
    if unknown:
        there = f"Its choices are {', '.join(known)}" if known else "It has no choices"
        raise _NoPageError(f"This page has no choice {quoted(min(unknown))}. {there}.")


def _one(query: _Query, name: str) -> str | None:
    values = query.get(name, ())
    if len(values) > 1:
        raise _NoPageError(f"The overview is limited to one {name}, and {len(values)} are given.")
    return values[0] if values else None
