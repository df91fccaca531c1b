"""The sidecar of a drop: parses YAML text to a `Sidecar` and reports all its problems at once.

Owns how the text of each field becomes a value, and whether a sidecar is complete: sealed, or perhaps cut short.
Never reads a file or a clock, and never looks at the files that a sidecar names.

A sidecar is **sealed** if its end can be recognised:

- its last line is `...`, which ends a YAML document; or
- it has a digest for every file that it names, and its last value is complete: it is the digests, or it is in brackets
  or quotes, or its line is ended.

A sidecar may be **cut short** if more text at its end could make it valid:

- it is not YAML yet: what is wrong with it is at its end; or
- it does not end with `...`, and its only problems are missing fields, a last field without a value, or a last value
  that extends to the end of the text.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from difflib import get_close_matches
from typing import Any

from ..base.instants import Instant, canonical_instant, read_instant
from ..base.strict_yaml import Document, Items, Node, Pairs, Scalar, locate, read_yaml
from ..base.yaml_numbers import number
from ..problems import Problem, quoted
from ..problems.drop import drop_invalid_name
from ..problems.sidecar import (
    sidecar_empty,
    sidecar_invalid_name,
    sidecar_invalid_value,
    sidecar_missing_field,
    sidecar_more_problems,
    sidecar_no_zone,
    sidecar_not_a_mapping,
    sidecar_path_not_plain_name,
    sidecar_same_file_twice,
    sidecar_unknown_key,
    sidecar_wrong_type,
)
from .checks import check_fields
from .file_names import IGNORED, MODEL, SIDECAR_SUFFIX, SUFFIXES_IN_WORDS, Declared
from .metadata import (
    DEPTH_MAX,
    METADATA_FIELDS,
    REQUIRED_FIELDS,
    TAG_NAME,
    VALID_ID,
    FieldProblem,
    ModelMetadata,
    id_fault,
    is_valid_id,
)
from .sidecar_fields import SIDECAR_BYTES, SIDECAR_BYTES_MAX, SIDECAR_NAMES
from .sidecar_parts import EMPTY

__all__ = ["Sidecar", "parse_sidecar"]

# A key or a value for so many bytes of the limit: what a sidecar of that size may need, and no more, so that a hostile
# one takes some tenths of a second.
_BYTES_OF_NODE = 5
# The document itself is one mapping more than those of the metrics.
SIDECAR_DEPTH_MAX = DEPTH_MAX + 1
PROBLEMS_MAX = 100
# Text with more problems is hostile: further ones are counted, but not located.
_LOCATED_MAX = 10 * PROBLEMS_MAX
# And with more than these no further ones are looked for.
_COUNTED_MAX = 100 * PROBLEMS_MAX

_HEX_DIGEST = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
_TRUE, _FALSE = frozenset({"true", "yes"}), frozenset({"false", "no"})


def _tag_hint(name: str, value: Node) -> str:
    """Return how to write as a tag what is no field: `git_commit: 1a2b` as `tags: {git_commit: "1a2b"}`."""
    text = value.text if isinstance(value, Scalar) and value.text.isprintable() and len(value.text) <= 40 else "..."
    tag = f'{name}: "{text}"' if TAG_NAME.fullmatch(name) and '"' not in text and "\\" not in text else "name: text"
    return f"What is no field can be a tag: tags: {{{tag}}}. {_ALL_FIELDS}"


_ALL_FIELDS = f"The fields are {', '.join(SIDECAR_NAMES)}"
# Mappings of names to text, where null is an empty one.
_TEXTS = frozenset({"tags", "provenance"})
# Other names that people use for these fields; a search for similar spellings does not find them.
_OTHER_NAMES = {
    "model_path": "model_file",
    "scaler_path": "scaler_file",
    "id": "model_id",
    "pair": "currency_pair",
    "features": "features_used",
    "metrics": "validation_metrics",
    "digest": "sha256",
    "type": "model_type",
    # Only beside currency_pair: alone it is another name of that.
    "subject": "currency_pair",
}


@dataclass(frozen=True, slots=True)
class Sidecar:
    """The content of a sidecar. If it has problems, `metadata` is None and the other fields are a best effort.

    `sha256` is the digest of its bytes. `stem_problem` is the problem of a stem that no drop can have, or None.
    `model_id` is the one it gives or the stem, and None if that is not valid. `declared` is what it says about its
    files: plain names, or None where it names none. `digests` has lower-case hexadecimal digits or None for "model" and
    "scaler". `notes` are warnings that reject nothing. `parses` is false if the text is not YAML or is empty. The
    module's docstring defines `sealed` and `cut_short`.
    """

    stem: str
    sha256: str
    problems: tuple[Problem, ...]
    stem_problem: Problem | None
    metadata: ModelMetadata | None
    model_id: str | None
    declared: Declared
    digests: Mapping[str, str | None]
    sealed: bool
    cut_short: bool
    parses: bool
    notes: tuple[Problem, ...] = ()


def parse_sidecar(
    data: bytes,
    *,
    stem: str,
    now: datetime,
    name: str | None = None,
    bytes_max: int = SIDECAR_BYTES,
    size: int | None = None,
    stored: bool = False,
    amend: Callable[[Pairs], Pairs] | None = None,
) -> Sidecar:
    """Parse the bytes of a sidecar. Never raises for bad bytes: see `Sidecar.problems`.

    `name` is the name of its file, if that is not `<stem>.yaml`; `size` is how many bytes that has, if `data` are only
    its first ones. More than `bytes_max` are a problem. With `stored` it is the sidecar of a registered model: what an
    earlier version accepted, or a larger limit, is no problem. `amend` gets what was parsed and returns what is read in
    its place (`sidecar_parts`); an empty text is a mapping without fields then.
    """
    document = read_yaml(
        data,
        called="sidecar",
        bytes_max=SIDECAR_BYTES_MAX if stored else bytes_max,
        depth_max=SIDECAR_DEPTH_MAX,
        # The values of a stored one were counted when it was accepted, or came from an API writer's own objects.
        nodes_max=SIDECAR_BYTES_MAX if stored else bytes_max // _BYTES_OF_NODE,
        size=size,
    )
    if amend is not None and not document.problems:
        root = EMPTY if document.root is None else document.root
        document = replace(document, root=amend(_with_the_pair(root)) if isinstance(root, Pairs) else root)
    reading = _Reading(document, stem, f"{stem}{SIDECAR_SUFFIX}" if name is None else name, stored)
    fields = reading.fields(reading.root, now) if reading.root is not None else {}
    problems = reading.sorted_problems()
    metadata = None
    model_id = fields.get("model_id")
    if not problems and reading.trained_at is not None:
        metadata = ModelMetadata(**{**fields, "trained_at": reading.trained_at.moment})
    elif not isinstance(model_id, str) or not is_valid_id(model_id):
        model_id = None
    return Sidecar(
        stem=stem,
        sha256=hashlib.sha256(data).hexdigest(),
        problems=problems,
        stem_problem=reading.stem_problem,
        metadata=metadata,
        model_id=model_id,
        declared=Declared(reading.model_file, reading.scaler_file, reading.has_scaler),
        digests=reading.digests,
        sealed=reading.is_sealed(),
        cut_short=reading.is_cut_short(),
        parses=document.parses,
        notes=tuple(reading.notes),
    )


@dataclass(slots=True)
class _Reading:
    """The state of parsing one sidecar.

    `found` has each problem, with whether more text at the end of the sidecar could remove it.
    """

    document: Document
    stem: str
    name: str
    stored: bool
    root: Pairs | None = None
    file: str | None = None
    stem_problem: Problem | None = None
    trained_at: Instant | None = None
    found: list[tuple[Problem, bool]] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)
    model_file: str | None = None
    scaler_file: str | None = None
    has_scaler: bool | None = None
    digests: dict[str, str | None] = field(default_factory=lambda: {"model": None, "scaler": None})

    def __post_init__(self) -> None:
        if VALID_ID.fullmatch(self.stem):
            self.file = self.name or None
        else:
            self.stem_problem = drop_invalid_name(self.stem, self.name, id_fault(self.stem))
            self.found.append((self.stem_problem, False))
        for problem in self.document.problems:
            self._add(problem)
        root = self.document.root
        if isinstance(root, Pairs):
            self.root = _with_the_pair(root)
        elif root is not None:
            kind = "a list" if isinstance(root, Items) else "a single text"
            self._add(
                sidecar_not_a_mapping(kind).at(root.line, root.column),
                completable=isinstance(root, Scalar) and self._runs_to_the_end(root, on_a_line_of_its_own=True),
            )
        elif not self.document.problems:
            self._add(sidecar_empty())

    def _add(self, problem: Problem, *, completable: bool = False) -> None:
        if problem.line == 0:
            # It is about a value that is not in the text.
            problem = replace(problem, line=None, column=None)
            self.found.append((problem, False))
        else:
            self.found.append((replace(problem, file=self.file), completable))

    def _add_field_problem(self, located: FieldProblem) -> None:
        if len(self.found) > _LOCATED_MAX:
            self._add(located.problem)
            return
        key, value = locate(self.root, located.path)
        place = key if located.at_name and key is not None else value
        line, column = (place.line, place.column) if place is not None else (None, None)
        completable = not located.at_name and value is not None and self._may_go_on(value)
        self._add(located.problem.at(line, column), completable=completable)

    # -- fields ---------------------------------------------------------------------------------------------

    def fields(self, root: Pairs, now: datetime) -> dict[str, Any]:
        """Return the metadata's fields as values. All problems are added to `found`."""
        self._report_unknown_keys(root)
        values: dict[str, Any] = {}
        for name in METADATA_FIELDS:
            node = root.get(name)
            if node is None:
                if name in REQUIRED_FIELDS:
                    self._report_missing(root, name, f"Add the line '{name}: ...'")
            elif not _is_refused(node):
                values[name] = _value(name, node)
        for located in check_fields(values, now=now, stored=self.stored):
            self._add_field_problem(located)
            if len(self.found) > _COUNTED_MAX:
                break
        self._read_trained_at(values.get("trained_at"))
        self._read_files(root)
        self._read_digests(root)
        return {"model_id": self.stem, **values}

    def _report_unknown_keys(self, root: Pairs) -> None:
        for key, value in root.pairs:
            if key.text in SIDECAR_NAMES:
                continue
            if len(self.found) > _COUNTED_MAX:
                return
            near = _OTHER_NAMES.get(key.text)
            if near is None and len(self.found) <= PROBLEMS_MAX:
                near = next(iter(get_close_matches(key.text[:64], SIDECAR_NAMES, 1, 0.6)), None)
            hint = f"Did you mean {near}?" if near else _tag_hint(key.text, value)
            problem = sidecar_unknown_key(key.text, "a sidecar", quoted(key.text, 64), hint)
            self._add(problem.at(key.line, key.column))

    def _report_missing(self, mapping: Pairs, name: str, hint: str) -> None:
        # A mapping in braces is complete: more text at the end adds no field to it.
        self._add(sidecar_missing_field(name, hint), completable=not mapping.flow)

    def _read_trained_at(self, text: object) -> None:
        if not isinstance(text, str):
            return
        try:
            self.trained_at = read_instant(text)
        except ValueError:
            # It is reported as a problem already.
            return
        if not self.trained_at.has_zone:
            _, node = locate(self.root, ("trained_at",))
            note = sidecar_no_zone("trained_at", text, canonical_instant(self.trained_at.moment))
            if node is not None:
                note = note.at(node.line, node.column)
            self.notes.append(replace(note, file=self.file))

    # -- names and digests of files -------------------------------------------------------------------------

    def _read_files(self, root: Pairs) -> None:
        model = root.get("model_file")
        if model is not None and not _is_refused(model):
            self.model_file = self._file_name("model_file", model)
        scaler = root.get("scaler_file")
        if scaler is not None:
            self.has_scaler = not (isinstance(scaler, Scalar) and scaler.is_null)
            if self.has_scaler and not _is_refused(scaler):
                self.scaler_file = self._file_name("scaler_file", scaler)

    def _file_name(self, name: str, node: Node) -> str | None:
        if not isinstance(node, Scalar) or node.is_null:
            what = "nothing (null)" if isinstance(node, Scalar) else "not text"
            must = "the name of a file" + (", or null for none" if name == "scaler_file" else "")
            self._add_field_problem(FieldProblem((name,), sidecar_wrong_type(name, what, must, f"Write {must}")))
            return None
        problem = _file_name_problem(name, node.text)
        if problem is None:
            return node.text
        self._add_field_problem(FieldProblem((name,), problem))
        return None

    def _read_digests(self, root: Pairs) -> None:
        node = root.get("sha256")
        if isinstance(node, Pairs):
            for key, value in node.pairs:
                self._read_digest(key, value)
            if node.get("model") is None:
                self._report_missing(node, "sha256.model", "Add 'model: ...' to sha256")
        elif node is not None and not _is_refused(node):
            kind = "a list" if isinstance(node, Items) else "nothing (null)" if node.is_null else quoted(node.text)
            hint = "Write it like {model: <64 hexadecimal digits>, scaler: <the same>}"
            self._add_field_problem(FieldProblem(("sha256",), sidecar_wrong_type("sha256", kind, "a mapping", hint)))
        if self.digests["scaler"] is not None and self.has_scaler is None:
            self.has_scaler = True
        if self.model_file is None and self.scaler_file is None:
            return
        model = self.model_file or f"{self.stem}.pkl"
        scaler = self.scaler_file or (f"{self.stem}_scaler.pkl" if self.has_scaler is not False else None)
        if scaler == model:
            name = "scaler_file" if self.scaler_file is not None else "model_file"
            self._add_field_problem(FieldProblem((name,), sidecar_same_file_twice(name, model)))

    def _read_digest(self, key: Scalar, value: Node) -> None:
        name = key.text
        if name not in self.digests:
            problem = sidecar_unknown_key(name, "sha256", "sha256", "Write it like {model: ..., scaler: ...}")
            self._add(problem.at(key.line, key.column))
        elif _is_refused(value) or (name == "scaler" and isinstance(value, Scalar) and value.is_null):
            return
        elif not isinstance(value, Scalar) or not _HEX_DIGEST.fullmatch(value.text):
            shown = quoted(value.text) if isinstance(value, Scalar) else "not text"
            self._invalid_digest(
                name,
                f"sha256.{name} is {shown}, and must be 64 hexadecimal digits",
                "Write what sha256sum prints for the file",
            )
        elif name == "scaler" and self.has_scaler is False:
            self._invalid_digest(
                name,
                "sha256.scaler is the digest of a scaler, and scaler_file says that there is none",
                "Name the scaler's file, or leave its digest out",
            )
        else:
            self.digests[name] = value.text.lower()

    def _invalid_digest(self, name: str, what: str, hint: str) -> None:
        self._add_field_problem(FieldProblem(("sha256", name), sidecar_invalid_value(f"sha256.{name}", what, hint)))

    # -- complete or not ------------------------------------------------------------------------------------

    def sorted_problems(self) -> tuple[Problem, ...]:
        """Return the problems in the order of the text, missing fields last, at most PROBLEMS_MAX and their number."""
        problems = [problem for problem, _ in self.found]
        problems.sort(key=lambda p: (p.line is None, p.line or 0, p.column or 0))
        if len(problems) > PROBLEMS_MAX:
            problems[PROBLEMS_MAX:] = [sidecar_more_problems(len(problems) - PROBLEMS_MAX)]
        return tuple(problems)

    def is_cut_short(self) -> bool:
        """Return whether more text could make it valid; see the module's docstring."""
        if not self.document.parses:
            return not self.document.broken
        return bool(self.found) and not self.document.ended and all(completable for _, completable in self.found)

    def is_sealed(self) -> bool:
        """Return whether its end can be recognised; see the module's docstring."""
        if self.document.ended:
            return True
        if self.root is None or self.digests["model"] is None:
            return False
        if self.has_scaler and self.digests["scaler"] is None:
            return False
        return self.root.flow or self._has_a_certain_end(self.root)

    def _has_a_certain_end(self, root: Pairs) -> bool:
        key, value = root.pairs[-1]
        # The digests have a fixed length, so they are complete.
        if key.text == "sha256":
            return True
        if isinstance(value, Scalar):
            # A plain description can continue on the next line. All other values have one line.
            one_line = value.style in ("'", '"') or (value.style == "" and key.text != "description")
            return one_line and not self._may_go_on(value)
        return value.flow

    def _may_go_on(self, node: Node) -> bool:
        """Return whether more text at the end of the sidecar could belong to this scalar."""
        leaf, on_a_line_of_its_own = self._last_open_leaf()
        if not isinstance(node, Scalar) or node is not leaf:
            return False
        if node.style == "" and node.text == "":
            return True
        return self._runs_to_the_end(node, on_a_line_of_its_own=on_a_line_of_its_own)

    def _runs_to_the_end(self, node: Scalar, *, on_a_line_of_its_own: bool) -> bool:
        # Text in quotes is complete. But if it is the first on its line, it may be a key whose ':' is still missing.
        open_style = ("", "'", '"') if on_a_line_of_its_own else ("",)
        return node.style in open_style and not self.document.text[node.end :].strip(" \t")

    def _last_open_leaf(self) -> tuple[Node | None, bool]:
        """Return the last scalar and whether it is the first on its line. Return None if brackets close after it."""
        node: Node | None = self.root
        key: Scalar | None = None
        while isinstance(node, Items | Pairs):
            if node.flow:
                return None, False
            if isinstance(node, Items):
                key, node = None, node.items[-1]
            else:
                key, node = node.pairs[-1] if node.pairs else (None, None)
        return node, node is not None and (key is None or key.line != node.line)


def _is_refused(node: Node) -> bool:
    """Return whether the value has a problem of syntax (an anchor, a tag). It needs no second problem then."""
    if isinstance(node, Scalar):
        return node.refused
    inner = node.items if isinstance(node, Items) else tuple(value for _, value in node.pairs)
    return any(_is_refused(child) for child in inner)


def _value(name: str, node: Node) -> Any:
    """Return a node as the type of value that the field needs. Text that cannot be converted stays text."""
    if isinstance(node, Scalar):
        return _scalar_value(name, node)
    if isinstance(node, Items):
        if name == "tags" and all(isinstance(item, Scalar) for item in node.items):
            return {item.text: "" for item in node.items if isinstance(item, Scalar)}
        return [_value(name, item) for item in node.items]
    if name in _TEXTS:
        return {
            key.text: "" if isinstance(value, Scalar) and value.is_null else _value(name, value)
            for key, value in node.pairs
        }
    return {key.text: _value(name, value) for key, value in node.pairs}


def _with_the_pair(root: Pairs) -> Pairs:
    """Return the mapping with `currency_pair` for `subject`, its other name, unless it has both."""
    if root.get("currency_pair") is not None:
        return root
    return root._replace(
        pairs=tuple(
            (key._replace(text="currency_pair") if key.text == "subject" else key, value) for key, value in root.pairs
        )
    )


def _scalar_value(name: str, node: Scalar) -> object:
    if node.is_null:
        return "" if name in ("description", "variant") else {} if name in _TEXTS else None
    if name in ("validation_metrics", "min_samples", "horizons"):
        found = number(node.text)
        return node.text if found is None else found
    if name == "calibration_ok":
        word = node.text.lower()
        return word in _TRUE if word in _TRUE | _FALSE else node.text
    return node.text


def _file_name_problem(field_name: str, text: str) -> Problem | None:
    """Return the problem of a file name in the sidecar, or None."""
    if "/" in text or "\\" in text or text in ("", ".", ".."):
        return sidecar_path_not_plain_name(field_name, text)
    if text.startswith("."):
        reason = "it starts with a dot, and such files are ignored"
    elif not text.isprintable():
        reason = "it contains a character that cannot be printed"
    elif len(text.encode("utf-8", "surrogatepass")) > 255:
        reason = "it is longer than the 255 bytes that a file name may have"
    elif MODEL.fullmatch(text) is None:
        reason = f"it does not end in {SUFFIXES_IN_WORDS}"
    elif IGNORED.fullmatch(text):
        reason = "it is a name that the inbox ignores"
    else:
        return None
    return sidecar_invalid_name(field_name, text, reason, "Rename the file, and change the name here")
