"""`MirrorRegistry`: what `ModelRegistry` answers, answered from a mirror in MLflow.

Owns the queries over what the tags say, and how a model's file comes here before it is loaded. Never changes anything.

What is trusted: all who may write to MLflow. A model that came through an inbox may, when loaded, import only what the
tags list, and nothing that no list may allow; one that was registered from Python is not limited, as in its registry.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base.disk import Disk
from ..base.log import log
from ..errors import EntryNotFound, LoadRefused, RegistryError
from ..mirror.client import Client
from ..mirror.plan import Version
from ..mirror.tags import MODEL_ID_TAG, MirroredFile, artifact_path, entry_of_bytes
from ..model.slot import Slot
from ..problems import escaped, quoted
from ..registry.entry import Entry, EntryFields, Role, as_fields, imports_when_loaded, sequence_of
from ..registry.following import Followable
from ..registry.loading import entry_given, object_in
from ..registry.queries import model_in
from ..registry.state import State
from .cache import Cache, default_folder
from .reading import Mirrored, current, file_of

if TYPE_CHECKING:
    from ..registry.finding import Table
    from ..serving import FollowerHub

__all__ = ["MirrorRegistry"]

CACHE_BYTES = 10 << 30
POLL_SECONDS = 5.0
_SYSTEM_CLOCK: Callable[[], datetime] = lambda: datetime.now(UTC)  # noqa: E731  # a default that can be replaced
_NO_HISTORY = "Ask the registry itself, or a replica of it: `ModelRegistry` answers this"


class MirrorRegistry(Followable):
    """The mirror of a registry in the MLflow at `tracking_uri` (default: MLFLOW_TRACKING_URI). It only reads.

    It offers `get_model`, `get_model_info`, `list_models`, `search`, `load_model_objects`, `load_model`, `load_scaler`,
    `file_of` and `follow` as `ModelRegistry` does, so a program moves by changing the line that makes its registry.
    Each question asks MLflow; followers do so every `poll_seconds`. What the mirror does not hold, such as the history,
    raises RegistryError, or AttributeError for methods, which say whom to ask.

    Files are fetched once and kept in `cache_dir` (default: below the user's cache folder), up to `cache_bytes`. If
    MLflow has mirrors of several registries, `registry_id` chooses one. Raises ClientMissing if MLflow's client is not
    installed. `clock` is for tests.
    """

    def __init__(
        self,
        tracking_uri: str | None = None,
        *,
        registry_id: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        cache_bytes: int = CACHE_BYTES,
        poll_seconds: float = POLL_SECONDS,
        clock: Callable[[], datetime] = _SYSTEM_CLOCK,
    ) -> None:
        uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or ""
        if not uri:
            raise RegistryError(
                "cannot read a mirror: nobody says where MLflow is",
                hint='Say it, as in MirrorRegistry("http://mlflow:5000"), or set MLFLOW_TRACKING_URI',
            )
        self.tracking_uri = uri
        self.registry_id = registry_id
        self.poll_seconds = poll_seconds
        self.read_only = True
        self._clock = clock
        self._client = Client(uri)
        self._cache = Cache(Path(cache_dir) if cache_dir is not None else default_folder(), cache_bytes, Disk())
        # What was last read of each model, to find its files again.
        self._known: dict[tuple[str, int], Mirrored] = {}
        self._table: Table | None = None
        self._lock = threading.Lock()
        self._is_closed = False

    # --- reading ----------------------------------------------------------------------------------------------

    def get_model_info(self, model_id: str, *, as_of: datetime | None = None) -> Entry | None:
        """Return the entry of a model, or None."""
        self._must_be_now(as_of)
        return self._state(MODEL_ID_TAG, model_id).view(model_id)

    def get_model(
        self,
        currency_pair: str,
        model_type: str = "lightgbm",
        *,
        variant: str = "",
        alias: str | None = None,
        calibrated: bool = False,
        trained_before: datetime | None = None,
        as_of: datetime | None = None,
    ) -> Entry | None:
        """Return the newest model of a pair, type and variant, or the one that an alias names; None if there is none.

        The rules are those of `ModelRegistry.get_model`.
        """
        self._must_be_now(as_of)
        state = self.state_of_pair(currency_pair)
        slot = Slot(currency_pair, model_type, variant)
        return model_in(state, self._clock(), slot, alias, trained_before, calibrated=calibrated)

    def list_models(
        self,
        currency_pair: str | None = None,
        model_type: str | None = None,
        *,
        variant: str | None = None,
        as_of: datetime | None = None,
    ) -> list[Entry]:
        """Return the entries of a pair, type and variant, newest first. None is any."""
        self._must_be_now(as_of)
        state = self.state_of_pair(currency_pair) if currency_pair is not None else self.whole_state()
        return state.newest_first(currency_pair, model_type, variant)

    def search(
        self,
        where: str | Iterable[str] = (),
        *,
        currency_pair: str | None = None,
        model_type: str | None = None,
        variant: str | None = None,
        tags: Mapping[str, str | None] | None = None,
        alias: str | None = None,
        held: bool | None = None,
        sort: str | None = None,
        limit: int | None = None,
        as_of: datetime | None = None,
    ) -> list[Entry]:
        """Return the entries for which all conditions hold; newest first. See `ModelRegistry.search`."""
        from ..registry.finding import search

        conditions = {"where": where, "tags": tags, "alias": alias, "held": held}
        entries = self.list_models(currency_pair, model_type, variant=variant, as_of=as_of)
        found, self._table = search(entries, self._table, conditions, sort, limit, now=self._clock())
        for unknown in found.unknown:
            log.warning("registry.name_unknown", name=escaped(unknown.path.text), problem=str(unknown))
        return found.entries

    # --- loading ----------------------------------------------------------------------------------------------

    def load_model_objects(self, entry: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return (model, scaler), the scaler None where the entry has none.

        The bytes that are unpickled are those whose SHA-256 the entry names; a model that came through the inbox can
        import only what its entry's `imports` list. Raises LoadRefused, FileNotFoundError when MLflow has no such file,
        EntryNeeded when `entry` is none, MlflowUnreachable.
        """
        return self.load_model(entry), self.load_scaler(entry)

    def load_model(self, entry: Mapping[str, Any]) -> Any:
        """Return the model alone; see `load_model_objects`."""
        return self._load(entry, "model")

    def load_scaler(self, entry: Mapping[str, Any]) -> Any:
        """Return the scaler alone, or None where the entry has none; see `load_model_objects`."""
        return self._load(entry, "scaler")

    def file_of(self, entry: Mapping[str, Any], role: Role = "model") -> Path | None:
        """Return where the model or the scaler of an entry is in the cache, fetched if need be. None: there is none."""
        fields = entry_given(entry, role)
        found = self._bytes_of(fields, role)
        return self._cache.folder / self._cache.name(found[0]) if found is not None else None

    # --- the end ----------------------------------------------------------------------------------------------

    def close(self) -> None:
        """End all followers. What was loaded stays usable."""
        self._is_closed = True
        self._end_following()

    def __enter__(self) -> MirrorRegistry:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<MirrorRegistry at {quoted(self.tracking_uri)}>"

    if not TYPE_CHECKING:
        # A type checker is to know the names that are here.
        def __getattr__(self, name: str) -> Any:
            """Say of what only a registry has that a mirror does not have it."""
            from ..registry.registry import ModelRegistry

            if not name.startswith("_") and hasattr(ModelRegistry, name):
                raise AttributeError(
                    f"a mirror in MLflow has no {name!r}: it only reads, without a history. {_NO_HISTORY}"
                )
            raise AttributeError(f"MirrorRegistry has no attribute {name!r}")

    # --- for the room -----------------------------------------------------------------------------------------

    def now(self) -> datetime:
        """Return the time, in UTC."""
        return self._clock()

    def state_of_pair(self, currency_pair: str) -> State:
        """Return what MLflow says now of all models of a pair."""
        return self._state("model_inbox.currency_pair", currency_pair)

    def whole_state(self) -> State:
        """Return what MLflow says now of all models."""
        return self._state("model_inbox.mirror", "1")

    def _new_hub(self) -> FollowerHub:
        from ..serving import FollowerHub
        from .source import MirrorSource

        return FollowerHub(MirrorSource(self))

    def _must_be_now(self, as_of: datetime | None) -> None:
        if self._is_closed:
            raise RegistryError(f"cannot read the mirror at {quoted(self.tracking_uri)}: this handle is closed")
        if as_of is not None:
            raise RegistryError(
                "cannot answer from a mirror what was so at another time: MLflow holds no history", hint=_NO_HISTORY
            )

    def _state(self, tag: str, value: str) -> State:
        found = current(self._versions(tag, value), self.registry_id)
        entries = {model_id: self._whole(one) for model_id, one in found.items()}
        with self._lock:
            self._known.update({(model_id, sequence_of(one.entry)): one for model_id, one in found.items()})
        return State(str(self._cache.folder), entries, max(map(sequence_of, entries.values()), default=0))

    def _versions(self, tag: str, value: str) -> Iterable[Version]:
        if "'" in value or "\\" in value:
            # MLflow's filters have no way to write it.
            return [one for one in self._client.versions("model_inbox.mirror", "1") if one.tags.get(tag) == value]
        return self._client.versions(tag, value)

    def _whole(self, one: Mirrored) -> EntryFields:
        """Return the entry, with the paths of the cache, and with what no tag could hold."""
        entry, said = one.entry, one.said
        if said.elsewhere and said.entry_file is not None:
            place = said.entry_file
            data = self._cache.get(
                place.sha256, None, lambda folder: self._client.download(one.run, place.path, folder)
            )
            try:
                written = entry_of_bytes(data)
            except ValueError as error:
                raise RegistryError(f"cannot read the mirror: {quoted(place.path)} holds no entry") from error
            # What was in a tag is of later than the file.
            fields: Mapping[str, Any] = written
            entry = as_fields({**{name: fields[name] for name in said.elsewhere if name in fields}, **entry})
        paths = {
            f"{role}_path": self._cache.name(file.sha256) if (file := file_of(one, role)) is not None else path
            for role, path in (("model", entry.get("model_path") or ""), ("scaler", entry.get("scaler_path")))
            if path is not None
        }
        return as_fields({**entry, **paths})

    def _load(self, given: object, role: Role) -> Any:
        entry = entry_given(given, role)
        found = self._bytes_of(entry, role)
        if found is None:
            return None
        _must_be_allowed(entry, role)
        return object_in(found[1], entry, role)

    def _bytes_of(self, entry: EntryFields, role: Role) -> tuple[str, bytes] | None:
        """Return the digest and the bytes of a file of an entry; None where the entry names no such file."""
        path = entry.get("model_path") if role == "model" else entry.get("scaler_path")
        if not path:
            return None
        one = self._mirrored(entry)
        place = file_of(one, role)
        digest = entry.get("sha256") if role == "model" else entry.get("scaler_sha256")
        if digest is not None and (place is None or place.sha256 != digest) and role == "scaler":
            # The scaler was replaced since. The one of this entry is where it was put first.
            place = MirroredFile(artifact_path(role, str(path), int(entry.get("scaler_replaced") or 0)), digest, -1)
        model_id = quoted(str(entry["model_id"]))
        if place is None:
            raise FileNotFoundError(errno.ENOENT, f"The mirror has no {role} of {model_id}: it was purged before", path)
        if digest is not None and place.sha256 != digest:
            raise LoadRefused(f"cannot load the {role} of {model_id}: the mirror has another file than its entry names")
        wanted = place

        def fetch(folder: Path) -> Path:
            return self._client.download(one.run, wanted.path, folder)

        size = wanted.size if wanted.size >= 0 else None
        return wanted.sha256, self._cache.get(wanted.sha256, size, fetch)

    def _mirrored(self, entry: EntryFields) -> Mirrored:
        """Return what is known of the files of an entry. Raises EntryNotFound."""
        model_id, sequence = str(entry["model_id"]), sequence_of(entry)
        known = self._known.get((model_id, sequence))
        if known is None:
            self._state(MODEL_ID_TAG, model_id)
            known = self._known.get((model_id, sequence))
        if known is None:
            raise EntryNotFound(
                f"cannot find {quoted(model_id)} in the mirror: no version there has this id and its registration",
                hint="`list_models` shows what the mirror has; a model appears there some time after its registration",
            )
        return known


def _must_be_allowed(entry: EntryFields, role: Role) -> None:
    """Raise LoadRefused for limits that no registry of ours would have written: somebody changed the tags."""
    from ..pickles import never_allowed

    for name in imports_when_loaded(entry, role) or ():
        if (why := never_allowed(str(name))) is not None:
            model_id = quoted(str(entry["model_id"]))
            raise LoadRefused(
                f"cannot load the {role} of {model_id}: its tags let it import {quoted(str(name))}, which no list may "
                f"allow ({escaped(why)})",
                hint="Somebody changed the tags in MLflow: `model-inbox mlflow verify` compares them with the registry",
            )
