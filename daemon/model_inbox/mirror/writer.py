"""Brings one model at a time in MLflow to what the registry says of it.

Owns the order of the calls, so that whatever is cut short is found and finished, or removed, by the next attempt: the
run with its artifacts, metrics and parameters comes first, then the version that makes them visible, then its aliases
and the end of the run. A run that has not ended was cut short. Calls that need nothing of each other are made at the
same time. What `plan` has decided is carried out. Never changes the registry.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from ..base.log import log
from ..errors import ModelInboxError
from ..model.slot import slot_of
from ..problems import escaped, quoted
from ..registry.entry import EntryFields, as_fields
from ..registry.registry import ModelRegistry
from .client import Client, Run
from .comparison import Differences, Different
from .errors import MlflowRefused
from .files import OpenFile, is_removed, model_files, places_of, registered
from .names import alias_fault, model_name, owner_tags, slot_of_tags
from .plan import Create, Delete, Keep, Retired, Supersede, Version, Wanted, fault_of, is_same, steps, tag_changes
from .pyfunc import loading_name, pyfunc_files
from .tags import (
    ENTRY_PATH,
    MODEL_FOLDER,
    MODEL_ID_TAG,
    MUTABLE_FIELDS,
    PREFIX,
    REGISTRY_TAG,
    EntryFile,
    MirroredFile,
    ReadBack,
    entry_bytes,
    entry_of_tags,
    fields_elsewhere,
    metric_points,
    params_of,
    recorded_points,
    run_tags,
    start_time_ms,
    version_tags,
)

__all__ = ["Outcome", "Target", "Writer", "must_be_mirrored"]

Outcome = Literal["pushed", "unchanged"]

_DESCRIPTION_MAX = 5000
# Through the server, a file of this size takes minutes and much of its memory.
_LARGE_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class Target:
    """Where models go in MLflow, and how."""

    registry_id: str
    experiment: str
    template: str
    retired: Retired


class Writer:
    """Writes the models of one registry into one MLflow. One process at a time does so.

    `work` is a folder for what is made for an upload: a few small files, and links to the open files of the model.
    """

    def __init__(self, client: Client, registry: ModelRegistry, target: Target, work: Path) -> None:
        self._client = client
        self._registry = registry
        self._target = target
        self._work = work
        self._ours = {REGISTRY_TAG: target.registry_id}
        self._experiment_id = ""
        self._owned: set[str] = set()
        self._said_proxied = False
        self._left_out: set[str] = set()
        self.goes_through_the_server: bool | None = None
        """Whether artifacts go through MLflow's own process; None: no run was made yet."""

    def apply(self, wanted: Wanted, found: Sequence[Version] | None = None, *, compare: bool = False) -> Outcome:
        """Bring one model to what is wanted. `found` are the versions with its id; None: ask for them.

        With `compare`, nothing that the tags say is relied on: aliases are read, and the line is not regarded.
        Raises MlflowRefused for what will not be different next time, MlflowUnreachable, StorageError.
        """
        must_be_mirrored(wanted.entry)
        try:
            return self._apply(wanted, self.find(wanted.model_id) if found is None else found, compare=compare)
        except ModelInboxError:
            # What is known of experiment and registered models may be what failed: somebody deleted one.
            self._experiment_id = ""
            self._owned.clear()
            raise

    def _apply(self, wanted: Wanted, found: Sequence[Version], *, compare: bool) -> Outcome:
        planned = steps(wanted, found, self._target.retired, compare=compare)
        kept = {one.version.run_id for one in planned if isinstance(one, Keep)}
        did = False
        for step in planned:
            if isinstance(step, Keep):
                did |= self._update(step.version, wanted, compare=compare)
                continue
            did = True
            if isinstance(step, Create):
                self._create(wanted)
            elif isinstance(step, Delete):
                self.delete(step.version, with_run=step.version.run_id not in kept)
            else:
                self.supersede(step.version)
        return "pushed" if did else "unchanged"

    def find(self, model_id: str) -> tuple[Version, ...]:
        """Return the versions of this registry that have a model's id."""
        return tuple(
            one
            for one in self._client.versions(MODEL_ID_TAG, model_id)
            if one.tags.get(REGISTRY_TAG) == self._target.registry_id
        )

    def sweep(self) -> int:
        """Finish or delete the runs that were left half-way, by a crash or by a request that came twice.

        Only who holds the mirror's lock may call this, between two models. Return how many runs there were.
        """
        left = self._client.runs(self._experiment(), self._ours, unfinished=True)
        for run in left:
            if any(one.run_id == run.run_id for one in self.find(run.tags.get(MODEL_ID_TAG, ""))):
                # All that it holds was there before its version.
                self._client.end_run(run)
            else:
                self._client.delete_run(run.run_id)
        return len(left)

    def run_problems(self, found: Differences) -> tuple[tuple[str, ...], tuple[Different, ...]]:
        """Return the runs of this registry that no version belongs to, and the versions whose runs are gone."""
        known = {version.run_id for versions in found.found.values() for version in versions}
        there = {run.run_id for run in self._client.runs(self._experiment(), self._ours)}
        lost = []
        for wanted in registered(self._registry):
            ours = [one for one in found.found.get(wanted.model_id, ()) if is_same(wanted.entry, one)]
            # Runs may be in another experiment, which mlflow.experiment named before.
            if ours and ours[0].run_id not in there and not self._client.is_active(ours[0].run_id):
                lost.append(Different(wanted, ours[0], ("its run was deleted",)))
        return tuple(sorted(there - known)), tuple(lost)

    # --- a new version ------------------------------------------------------------------------------------------

    def _create(self, wanted: Wanted) -> None:
        entry = wanted.entry
        name = self._registered_model(entry)
        with model_files(self._registry, entry) as files:
            tags, small = self._described(wanted, places_of(files))
            if files:
                small |= {f"{MODEL_FOLDER}/{path}": text for path, text in pyfunc_files(entry).items()}
            points = (*metric_points(entry), *recorded_points(entry))
            with self._laid_out(files, small) as folder:
                run = self._client.create_run(self._experiment(), wanted.model_id, start_time_ms(entry), run_tags(tags))
                self._note_way(run, files)
                with _beside(partial(self._client.log, run.run_id, metrics=points, params=params_of(entry))):
                    self._client.upload(run, folder)
        # From here on the version is visible, with all its bytes. A crash before leaves a run that `sweep` deletes, one
        # after it a run that `sweep` ends, or an alias that is missing: the position is before this model.
        description = str(entry.get("description") or "")
        made = self._client.create_version(
            name, run, MODEL_FOLDER, tags, description if len(description) <= _DESCRIPTION_MAX else ""
        )
        with (
            _beside(partial(self._set_aliases, made, entry, _aliases(wanted), former=())),
            _beside(partial(self._client.end_run, run)),
        ):
            found = self.find(wanted.model_id)
        self._without_doubles(made, wanted, found)

    def _without_doubles(self, made: Version, wanted: Wanted, found: Sequence[Version]) -> None:
        """Keep the earliest version of the model, and delete those that came later: by a request sent twice, or by
        somebody who pushed the same model at the same time. Do with an earlier model of that id what is to be done.
        """
        found = [one for one in found if one.name == made.name or not is_same(wanted.entry, one)]
        first = min([made, *(one for one in found if is_same(wanted.entry, one))], key=lambda one: one.number)
        if first.number != made.number:
            # Before the later one goes: an alias always names a version.
            self._set_aliases(first, wanted.entry, _aliases(wanted), former=())
        for step in steps(wanted, found, self._target.retired, compare=True):
            if isinstance(step, Delete):
                self.delete(step.version, with_run=step.version.run_id != first.run_id)
            elif isinstance(step, Supersede):
                self.supersede(step.version)

    def _described(self, wanted: Wanted, files: Mapping[str, MirroredFile]) -> tuple[dict[str, str], dict[str, bytes]]:
        """Return the tags of a new version, and the artifact with the whole entry if a part of it fits into no tag."""
        tags = self._tags(wanted, files, EntryFile("", ""))
        if not fields_elsewhere(tags):
            return tags, {}
        data = entry_bytes(wanted.entry)
        return self._tags(wanted, files, EntryFile(ENTRY_PATH, hashlib.sha256(data).hexdigest())), {ENTRY_PATH: data}

    def _upload(self, run: Run, files: Mapping[str, OpenFile], small: Mapping[str, bytes]) -> None:
        """Store files in a run that is there."""
        self._note_way(run, files)
        with self._laid_out(files, small) as folder:
            self._client.upload(run, folder)

    @contextmanager
    def _laid_out(self, files: Mapping[str, OpenFile], small: Mapping[str, bytes]) -> Iterator[Path]:
        """Yield a folder with what is to be uploaded. MLflow's client reads the files of the model where they are.

        Raises MlflowRefused in the end if one of those was changed meanwhile.
        """
        with tempfile.TemporaryDirectory(dir=self._work, prefix="upload-") as made:
            folder = Path(made)
            for path, data in small.items():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(data)
            for file in files.values():
                (folder / file.place.path).parent.mkdir(parents=True, exist_ok=True)
                # The open file itself: what is renamed over its name meanwhile is another file.
                os.symlink(f"/proc/{os.getpid()}/fd/{file.fd}", folder / file.place.path)
            yield folder
        for file in files.values():
            file.must_be_unchanged()

    def _note_way(self, run: Run, files: Mapping[str, OpenFile]) -> None:
        size = sum(file.place.size for file in files.values())
        self.goes_through_the_server = run.goes_through_the_server
        if self.goes_through_the_server and not self._said_proxied:
            self._said_proxied = True
            log.info("mlflow.proxied", scheme=escaped(run.artifact_uri.partition(":")[0]))
        if self.goes_through_the_server and size >= _LARGE_BYTES:
            log.warning("mlflow.large_proxied", run_id=run.run_id, bytes=size)

    # --- a version that is there --------------------------------------------------------------------------------

    def _update(self, version: Version, wanted: Wanted, *, compare: bool) -> bool:
        back = _read_back(version)
        if back is None:
            raise MlflowRefused(
                f"cannot mirror {quoted(wanted.model_id)}: version {version.number} of {quoted(version.name)} has its "
                "id, and is not in a form that this version writes",
                hint="`model-inbox mlflow verify --repair` makes it anew, unless a newer model-inbox wrote it",
            )
        files, entry_file = self._add_files(version, wanted, back)
        tags = self._tags(wanted, files, entry_file)
        changed, gone = tag_changes(tags, version.tags, only_content=True)
        did = self._set_aliases(
            version, wanted.entry, _aliases(wanted), former=None if compare else _aliases_said(version)
        )
        if not changed and not gone:
            return did
        changed, gone = tag_changes(tags, version.tags)
        for key in gone:
            self._client.delete_version_tag(version, key)
        self._client.log(version.run_id, metrics=recorded_points(wanted.entry), tags=run_tags(changed))
        # How far we are comes last: with it, nothing is left to do.
        for key in sorted(changed, key=lambda key: key in (f"{PREFIX}line", f"{PREFIX}epoch")):
            self._client.set_version_tag(version, key, changed[key])
        return True

    def _add_files(
        self, version: Version, wanted: Wanted, back: ReadBack
    ) -> tuple[Mapping[str, MirroredFile], EntryFile]:
        """Store what came since: another scaler or the first, and the entry if changes do not fit into tags."""
        entry, files = wanted.entry, dict(back.files)
        entry_file = back.entry_file or EntryFile("", "")
        small: dict[str, bytes] = {}
        elsewhere = set(fields_elsewhere(self._tags(wanted, files, entry_file)))
        data = entry_bytes(entry)
        digest = hashlib.sha256(data).hexdigest()
        # What never changes is in the file that was written first.
        if digest != entry_file.sha256 and (elsewhere & set(MUTABLE_FIELDS) if entry_file.sha256 else elsewhere):
            entry_file = EntryFile(f"model_inbox/entry-{wanted.line}.json", digest)
            small[entry_file.path] = data
        scaler, digest_wanted = files.get("scaler"), entry.get("scaler_sha256")
        # A model that had no scaler gets one in the same way.
        is_there = digest_wanted is None or (scaler is not None and scaler.sha256 == digest_wanted)
        if is_there or not back.has_bytes:
            if small:
                self._upload(self._client.run(version.run_id), {}, small)
            return files, entry_file
        with model_files(self._registry, entry) as opened:
            if "scaler" in opened:
                files["scaler"] = opened["scaler"].place
                name = loading_name(entry)
                small[f"{MODEL_FOLDER}/{name}"] = pyfunc_files(entry)[name]
                self._upload(self._client.run(version.run_id), {"scaler": opened["scaler"]}, small)
        return files, entry_file

    def supersede(self, version: Version) -> None:
        """Mark the version of a model whose id belongs to another model by now."""
        self._set_aliases(version, _entry_said(version), (), former=_aliases_said(version))
        self._client.set_version_tag(
            version, f"{PREFIX}retired", '{"at":"","reason":"its model is registered no more"}'
        )

    def remove(self, version: Version) -> None:
        """Do with a version of a model that is registered no more what is done with retired ones."""
        if self._target.retired == "delete":
            self.delete(version)
        else:
            self.supersede(version)

    def delete(self, version: Version, *, with_run: bool = True) -> None:
        """Delete a version with its run, so that `mlflow gc` frees its bytes.

        The run goes first: a crash between leaves the version, which is found and deleted again.
        """
        if with_run and version.run_id:
            self._client.delete_run(version.run_id)
        self._client.delete_version(version)

    def _set_aliases(
        self, version: Version, entry: EntryFields, wanted: Collection[str], *, former: Iterable[str] | None
    ) -> bool:
        """Set and remove aliases of a version. `former` are those that it has as far as is known; None: read them.

        An alias that the registry gives to another model now stays until that model's version gets it, in one step.
        """
        for alias in wanted:
            if (fault := alias_fault(alias)) and alias not in self._left_out:
                self._left_out.add(alias)
                log.warning("mlflow.alias_left_out", alias=escaped(alias), problem=fault)
        wanted = {alias for alias in wanted if not alias_fault(alias)}
        there: Mapping[str, int] | None = None
        if former is None:
            there = self._client.aliases(version.name)
            former = {alias for alias, number in there.items() if number == version.number}
        known = set(former)
        for alias in sorted(wanted - known):
            self._client.set_alias(version.name, alias, version.number)
        for alias in sorted(known - wanted):
            there = there if there is not None else self._client.aliases(version.name)
            # Another version may have it by now, or gets it soon: until then somebody may be served by this one.
            if there.get(alias) == version.number and not self._is_given(alias, entry):
                self._client.delete_alias(version.name, alias)
        return wanted != known

    def _is_given(self, alias: str, entry: EntryFields) -> bool:
        """Return whether the registry has an alias of this entry's slot, whichever model it names."""
        slot = slot_of(entry)
        return (
            self._registry.get_model(slot.currency_pair, slot.model_type, variant=slot.variant, alias=alias) is not None
        )

    # --- names and tags -----------------------------------------------------------------------------------------

    def _experiment(self) -> str:
        if not self._experiment_id:
            self._experiment_id = self._client.experiment_id(self._target.experiment)
        return self._experiment_id

    def _registered_model(self, entry: EntryFields) -> str:
        """Return the registered model of an entry's slot, which is made if it is missing."""
        slot = slot_of(entry)
        try:
            name = model_name(slot, self._target.template)
        except ValueError as error:
            raise MlflowRefused(f"cannot mirror {quoted(entry['model_id'])}: {error}") from error
        if name not in self._owned:
            wanted = owner_tags(slot, self._target.registry_id)
            found = self._client.model_tags(name, wanted)
            if any(found.get(key) != value for key, value in wanted.items()):
                whose = slot_of_tags(found)
                raise MlflowRefused(
                    f"cannot mirror {quoted(entry['model_id'])}: the registered model {quoted(name)} belongs to "
                    + (
                        f"{quoted(str(whose))} of registry {quoted(found.get(REGISTRY_TAG))}"
                        if whose
                        else "somebody else"
                    ),
                    hint="Set another template in mlflow.name, under which the names differ",
                )
            self._owned.add(name)
        return name

    def _tags(self, wanted: Wanted, files: Mapping[str, MirroredFile], entry_file: EntryFile) -> dict[str, str]:
        return version_tags(
            wanted.entry,
            registry_id=self._target.registry_id,
            line=wanted.line,
            epoch=wanted.epoch,
            files=files,
            entry_file=entry_file,
            retired=wanted.retired,
        )

    def rewrite(self, wanted: Wanted, version: Version) -> None:
        """Make a version anew whose bytes are not what they should be, and delete the old one."""
        self.delete(version)
        self._create(wanted)

    def lacks_bytes(self, wanted: Wanted, version: Version) -> bool:
        """Return whether a version has metadata only although the bytes are here."""
        back = _read_back(version)
        return back is not None and not back.has_bytes and not is_removed(self._registry, wanted.entry)


def must_be_mirrored(entry: Mapping[str, object]) -> None:
    """Raise MlflowRefused for an entry that cannot be in MLflow at all."""
    if fault := fault_of(entry):
        raise MlflowRefused(f"cannot mirror {quoted(entry.get('model_id'))}: {fault}")


@contextmanager
def _beside(work: Callable[[], object]) -> Iterator[None]:
    """Do `work` in another thread while the block runs. Both have ended afterwards. Raises what either raised."""
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(work)
        yield
        other.result()


def _aliases(wanted: Wanted) -> Sequence[str]:
    return tuple(wanted.entry.get("aliases") or ()) if wanted.retired is None else ()


def _entry_said(version: Version) -> EntryFields:
    """Return the entry that a version's tags tell of, as far as they do."""
    back = _read_back(version)
    return back.entry if back is not None else as_fields({})


def _read_back(version: Version) -> ReadBack | None:
    """Return what the tags of a version say; None if they are not in our form, or somebody changed them."""
    try:
        return entry_of_tags(version.tags)
    except ValueError:
        return None


def _aliases_said(version: Version) -> Sequence[str]:
    """Return the aliases that a version was given, as its tags say."""
    back = _read_back(version)
    if back is None or back.retired is not None:
        return ()
    return tuple(alias for alias in back.entry.get("aliases") or () if not alias_fault(alias))
