"""Strict YAML: parses bytes to values with line and column, and reports all problems of the text.

Owns the syntax of sidecars and configuration files; other modules decide what the values mean. Duplicate keys,
anchors, aliases, tags, merge keys and a second document are problems here. Scalars stay text, so that a schema can
tell `1.10` from `1.1`. Never builds an object from a tag and never recurses on the depth of the text. Parsing stops at
the first value over the limit, so that the cost of a hostile text is bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from yaml import YAMLError
from yaml._yaml import CParser
from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    ScalarEvent,
)

from ..problems import Problem
from ..problems.yaml import (
    Called,
    yaml_anchor,
    yaml_duplicate_key,
    yaml_key_not_text,
    yaml_merge_key,
    yaml_not_utf8,
    yaml_not_yaml,
    yaml_several_documents,
    yaml_tag,
    yaml_too_deep,
    yaml_too_large,
    yaml_too_many_values,
)
from .yaml_faults import find_bad_byte, find_fault, foreign_format
from .yaml_numbers import number

__all__ = ["Document", "Items", "Node", "Pairs", "Scalar", "locate", "plain_value", "read_yaml"]

NULLS = frozenset({"", "~", "null", "Null", "NULL"})
"""The plain scalars that mean null."""

_TRUE, _FALSE = frozenset({"true", "True", "TRUE"}), frozenset({"false", "False", "FALSE"})
# Where there are more problems than that, no more are looked for: each costs more than what it is about.
_PROBLEMS_MAX = 1_000
_TOO_MUCH = (float("inf"), float("-inf"))
_ENDED = re.compile(r"(?:\A|[\r\n])\.\.\.[ \t]*(?:#[^\r\n]*)?[\r\n]\s*\Z")
"""A text whose last line is the end of a document."""


class Scalar(NamedTuple):
    """A scalar as text. `style` is "" for a plain one, otherwise a quote, `|` or `>`. Lines and columns count from 1.

    `end` is the offset of the first character after it. `refused` is true if a problem with it was reported, such as
    a tag or an alias.
    """

    text: str
    style: str
    line: int
    column: int
    end: int = 0
    refused: bool = False

    @property
    def is_null(self) -> bool:
        """Whether it means null: an empty value, `~` or `null`, without quotes."""
        return self.style == "" and self.text in NULLS


class Items(NamedTuple):
    """A list. `flow` is true for `[a, b]`, which has its end in the text."""

    items: tuple[Node, ...]
    flow: bool
    line: int
    column: int


class Pairs(NamedTuple):
    """A mapping in the order of the text. Of a duplicate key, the first value is kept."""

    pairs: tuple[tuple[Scalar, Node], ...]
    flow: bool
    line: int
    column: int

    def get(self, name: str) -> Node | None:
        """Return the value of the key `name`, or None."""
        for key, value in self.pairs:
            if key.text == name:
                return value
        return None

    def key(self, name: str) -> Scalar | None:
        """Return the key `name` with its line and column, or None."""
        for key, _ in self.pairs:
            if key.text == name:
                return key
        return None


Node = Scalar | Items | Pairs


@dataclass(frozen=True, slots=True)
class Document:
    """The content of a text. `root` is None if there is no usable value: a problem was found, or the text is empty.

    `parses` is false if the text is not YAML; it may be incomplete, or empty. `broken` is true if it is not YAML and no
    text that follows can make it YAML. `ended` is true if the line `...`, which ends a YAML document, was found.
    """

    root: Node | None
    problems: tuple[Problem, ...]
    parses: bool
    ended: bool
    text: str = field(default="", repr=False)
    broken: bool = False


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end was not read yet. `lines` has the line of each key."""

    start: CollectionStartEvent
    items: list[Node]
    pairs: list[tuple[Scalar, Node]]
    key: Scalar | None = None
    lines: dict[str, int] = field(default_factory=dict)


def read_yaml(
    data: bytes, *, called: Called, bytes_max: int, depth_max: int, nodes_max: int, size: int | None = None
) -> Document:
    """Parse one document. `called` is what messages call the text.

    `depth_max` is the limit of nested collections, including the outermost; `nodes_max` of keys and values together.
    `size` is how many bytes the text has, if `data` are only its first ones. Never raises for bad input: see
    `Document.problems`.
    """
    if len(data) > bytes_max:
        return Document(None, (yaml_too_large(called, bytes_max, size),), parses=True, ended=False)
    foreign = foreign_format(data)
    if foreign is not None:
        problem = yaml_not_utf8(called, foreign.reason, foreign.hint).at(foreign.line, foreign.column)
        return Document(None, (problem,), parses=False, ended=False, broken=True)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        fault = find_bad_byte(error)
        ended = _ENDED.search(data.decode("latin-1")) is not None
        problem = yaml_not_utf8(called, fault.reason, fault.hint).at(fault.line, fault.column)
        return Document(None, (problem,), parses=False, ended=ended, broken=ended or fault.is_final)
    return _Reader(text, called, depth_max, nodes_max).read()


def _line_and_column(event: Event) -> tuple[int, int]:
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark else (1, 1)


class _Reader:
    """Builds the nodes of one text from libyaml's events, with its own stack instead of recursion."""

    def __init__(self, text: str, called: Called, depth_max: int, nodes_max: int) -> None:
        self.text = text
        self._called = called
        self.depth_max = depth_max
        self.nodes_left = nodes_max
        self.nodes_max = nodes_max
        self.stack: list[_Open] = []
        self.root: Node | None = None
        self.problems: list[Problem] = []
        self.ended = False

    def read(self) -> Document:
        parses, documents, broken = True, 0, False
        try:
            for event in self._events():
                # Scalars are the most frequent events, so they are tested first.
                if isinstance(event, ScalarEvent):
                    if not self._take_scalar(event):
                        self.root = None
                        break
                elif isinstance(event, DocumentStartEvent):
                    documents += 1
                    if documents > 1:
                        self._note(yaml_several_documents(self._called), event)
                        # The first document is complete, whatever follows it.
                        self.ended = True
                        break
                elif isinstance(event, DocumentEndEvent):
                    self.ended = bool(event.explicit)
                elif not self._take(event):
                    self.root = None
                    break
        except YAMLError as error:
            fault = find_fault(error, self.text)
            # After the end of a document the error is in what follows it, which must not be there at all.
            if self.ended:
                self.problems.append(yaml_several_documents(self._called).at(fault.line, fault.column))
            else:
                parses, self.root = False, None
                # The line `...` ends a document wherever it stands, also in brackets and quotes.
                self.ended = _ENDED.search(self.text) is not None
                broken = self.ended or fault.is_final
                problem = yaml_not_yaml(self._called, fault.reason, fault.hint, may_be_cut=not broken)
                self.problems.append(problem.at(fault.line, fault.column))
        if documents == 0:
            parses = False
        return Document(self.root, tuple(self.problems), parses, self.ended, self.text, broken)

    def _events(self) -> Iterator[Event]:
        parser = CParser(self.text)
        try:
            while (event := parser.get_event()) is not None:
                yield event
        finally:
            parser.dispose()

    def _take(self, event: Event) -> bool:
        """Process one event. Return False if a limit was reached and parsing must stop."""
        if isinstance(event, CollectionEndEvent):
            self._close()
            return True
        if not isinstance(event, AliasEvent | CollectionStartEvent):
            # The start or the end of the stream.
            return True
        if not self._may_have(event):
            return False
        self._refuse_extras(event)
        if isinstance(event, AliasEvent):
            self._add(Scalar("", "*", *_line_and_column(event), refused=True))
            return True
        if len(self.stack) >= self.depth_max:
            self._note(yaml_too_deep(self._called, self.depth_max), event)
            return False
        self.stack.append(_Open(event, [], []))
        return True

    def _take_scalar(self, event: ScalarEvent) -> bool:
        """Process one scalar. Return False if it is over the limit."""
        if not self._may_have(event):
            return False
        refused = (event.anchor is not None or event.tag is not None) and self._refuse_extras(event)
        line, column = _line_and_column(event)
        end = event.end_mark.index if event.end_mark else 0
        self._add(Scalar(event.value, event.style or "", line, column, end, refused))
        return True

    def _may_have(self, event: Event) -> bool:
        """Count a key or value. Return False, and report a problem, if it is over the limit.

        Return False also behind the last problem that is looked for.
        """
        if len(self.problems) > _PROBLEMS_MAX:
            return False
        self.nodes_left -= 1
        if self.nodes_left >= 0:
            return True
        self._note(yaml_too_many_values(self._called, self.nodes_max), event)
        return False

    def _refuse_extras(self, event: ScalarEvent | AliasEvent | CollectionStartEvent) -> bool:
        refused = False
        if event.anchor is not None:
            sign = "*" if isinstance(event, AliasEvent) else "&"
            self._note(yaml_anchor(self._called, sign + event.anchor), event)
            refused = True
        tag = None if isinstance(event, AliasEvent) else event.tag
        if tag is not None:
            self._note(yaml_tag(self._called, tag.replace("tag:yaml.org,2002:", "!!")), event)
            refused = True
        return refused

    def _close(self) -> None:
        done = self.stack.pop()
        line, column = _line_and_column(done.start)
        flow = bool(done.start.flow_style)
        if isinstance(done.start, MappingStartEvent):
            self._add(Pairs(tuple(done.pairs), flow, line, column))
        else:
            self._add(Items(tuple(done.items), flow, line, column))

    def _add(self, node: Node) -> None:
        """Add a complete node: as the root, an item of a list, a key, or the value of a key."""
        if not self.stack:
            self.root = node
            return
        parent = self.stack[-1]
        if not isinstance(parent.start, MappingStartEvent):
            parent.items.append(node)
        elif parent.key is None:
            parent.key = self._as_key(node)
        else:
            key, parent.key = parent.key, None
            if self._is_new_key(parent, key):
                parent.pairs.append((key, node))

    def _as_key(self, node: Node) -> Scalar:
        if isinstance(node, Scalar):
            return node
        kind = "list" if isinstance(node, Items) else "mapping"
        self.problems.append(yaml_key_not_text(self._called, kind).at(node.line, node.column))
        return Scalar("", "?", node.line, node.column, refused=True)

    def _is_new_key(self, parent: _Open, key: Scalar) -> bool:
        if key.refused:
            return False
        if key.text == "<<" and key.style == "":
            problem = yaml_merge_key(self._called)
        elif key.text in parent.lines:
            problem = yaml_duplicate_key(self._called, key.text, parent.lines[key.text])
        else:
            parent.lines[key.text] = key.line
            return True
        self.problems.append(problem.at(key.line, key.column))
        return False

    def _note(self, problem: Problem, event: Event) -> None:
        self.problems.append(problem.at(*_line_and_column(event)))


def locate(root: Node | None, path: Sequence[str | int]) -> tuple[Scalar | None, Node | None]:
    """Return the key and the value at `path`, or the nearest ones above it that exist.

    A step of the path is a key or an index; in a list, text means the item with this text. An item has no key.
    """
    key: Scalar | None = None
    node = root
    for step in path:
        inner: Node | None = None
        if isinstance(node, Pairs) and isinstance(step, str):
            inner, found = node.get(step), node.key(step)
            key = found or key
        elif isinstance(node, Items):
            inner, key = _item(node, step), None
        if inner is None:
            break
        node = inner
    return key, node


def _item(node: Items, step: str | int) -> Node | None:
    if isinstance(step, int):
        return node.items[step] if 0 <= step < len(node.items) else None
    return next((item for item in node.items if isinstance(item, Scalar) and item.text == step), None)


def plain_value(node: Node) -> object:
    """Return the node as plain Python values: lists, dictionaries, None, booleans and finite decimal numbers.

    The spellings are those of YAML 1.2. Every other scalar, and every quoted one, stays text.
    """
    if isinstance(node, Items):
        return [plain_value(item) for item in node.items]
    if isinstance(node, Pairs):
        return {key.text: plain_value(value) for key, value in node.pairs}
    if node.style:
        return node.text
    if node.is_null:
        return None
    if node.text in _TRUE or node.text in _FALSE:
        return node.text in _TRUE
    found = number(node.text)
    return node.text if found is None or found in _TOO_MUCH or found != found else found
