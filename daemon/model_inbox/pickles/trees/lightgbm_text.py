"""LightGBM's text: whether its loader gets what it trusts. Pure.

LightGBM's loader takes counts, children, features and categories from the text without a check (`Tree::Tree(const
char*)` and `GBDT::LoadModelFromString` in its sources, src/io/tree.cpp and src/boosting/gbdt_model_text.cpp). Its
parser is lenient: it takes the last of two equal keys, and a key may stretch over lines. So the text must have the
form that LightGBM itself writes, line by line; only then do the lines that are looked at here decide what is loaded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise

from .fault import NotATree, check_inside, require
from .number_text import is_numbers, is_plain_numbers
from .shape import check_split_children

__all__ = ["check_lightgbm"]

_NUMBER = re.compile(rb"-?\d{1,10}")
_KEY = re.compile(rb"[a-z_]{1,40}")
_PARAMETER = re.compile(rb"\[[a-z_0-9]{1,60}: .*\]")
_OBJECTIVE_CLASSES = re.compile(rb"num_class:(\S*)")
_TREE = b"Tree="
_NUMBERS_BYTES = 1 << 16
"""How much text of numbers is checked together."""
_TREE_LINES_MAX = 22
"""LightGBM reads at most this many lines of a tree."""
_FEATURES_MAX = 1 << 24
_CATEGORICAL = 1
_DECISION_TYPES = frozenset(range(12))
_BY_NUMBER = frozenset(b"%d" % kind for kind in _DECISION_TYPES if not kind & _CATEGORICAL)
"""Bit 0: by category; bit 1: missing values go left; bits 2 and 3: what is missing (nothing, zero, NaN)."""


def check_lightgbm(text: str) -> None:
    """Check the text of a booster. Raise NotATree for what LightGBM would not survive."""
    try:
        # LightGBM counts in bytes.
        data = text.encode()
    except UnicodeEncodeError:
        raise NotATree("the text contains characters that LightGBM does not write") from None
    require(b"\0" not in data and b"\r" not in data, "the text contains characters that LightGBM does not write")
    first = 0 if data.startswith(_TREE) else data.find(b"\n" + _TREE) + 1 or len(data)
    header = _header(data[:first].split(b"\n"))
    features = _number(header, b"max_feature_idx", "the header", -1, _FEATURES_MAX) + 1
    _check_names(header, features)
    trees, end = _check_trees(data, first, header, features)
    _check_parameters(data[end:].split(b"\n"))
    _check_classes(header, trees)


def _header(lines: Sequence[bytes]) -> dict[bytes, bytes]:
    header: dict[bytes, bytes] = {}
    for line in lines:
        if line == b"end of trees":
            break
        if not line:
            continue
        # A line without "=" is a flag. LightGBM takes "=num_class=2" for "num_class=2".
        key, _, value = line.partition(b"=")
        require(_KEY.fullmatch(key) is not None, f"the header has a line that LightGBM does not write: {_shown(line)}")
        require(key not in header, f"the header has {key.decode()} twice")
        header[key] = value
    return header


def _shown(text: bytes, most: int = 40) -> str:
    return f"{text.decode(errors='replace')!r:.{most}}"


def _number(fields: Mapping[bytes, bytes], key: bytes, where: str, least: int, most: int) -> int:
    text = fields.get(key)
    if text is None:
        raise NotATree(f"{where} has no {key.decode()}")
    require(_NUMBER.fullmatch(text) is not None, f"{where}: {key.decode()} is not a number")
    number = int(text)
    require(least <= number <= most, f"{where}: {key.decode()} is {number}, not {least} to {most}")
    return number


def _check_names(header: Mapping[bytes, bytes], features: int) -> None:
    for key in (b"feature_names", b"feature_infos"):
        names = header.get(key, b"").split(b" ")
        known = len(names) if names != [b""] else 0
        require(
            known == features, f"the header: max_feature_idx is {features - 1}, and there are {known} {key.decode()}"
        )


def _check_classes(header: Mapping[bytes, bytes], trees: int) -> None:
    """A wrong number of classes is divided by, allocated by, or written past the end of a row of predictions."""
    classes = _number(header, b"num_class", "the header", 1, 1 << 20)
    per_iteration = classes
    if b"num_tree_per_iteration" in header:
        per_iteration = _number(header, b"num_tree_per_iteration", "the header", 1, 1 << 20)
    require(
        per_iteration == classes,
        f"the header: num_tree_per_iteration is {per_iteration}, and num_class is {classes}",
    )
    require(trees % classes == 0, f"the header: num_class is {classes}, and there are {trees} trees")
    # Without a tree nothing else bounds it.
    require(trees > 0 or classes <= _CLASSES_WITHOUT_TREES, f"the header: num_class is {classes}, without a tree")
    objective = header.get(b"objective", b"custom")
    require(bool(objective.split()), "the header: the objective has no name")
    for number in _OBJECTIVE_CLASSES.findall(objective):
        require(
            number == b"%d" % classes, f"the header: num_class is {classes}, and {_shown(number, 20)} in the objective"
        )


_CLASSES_WITHOUT_TREES = 4096


class _Numbers:
    """The lines of numbers of many trees, which are checked together."""

    __slots__ = ("_lines", "_size", "_trees")

    def __init__(self) -> None:
        self._trees: list[tuple[str, Mapping[bytes, bytes], int]] = []
        self._lines: list[bytes] = []
        self._size = 0

    def add(self, where: str, fields: Mapping[bytes, bytes], leaves: int) -> None:
        """Add a tree. Raise NotATree if one that was added is wrong."""
        lines = [fields[key] for key in _FLOATS if fields.get(key)]
        self._trees.append((where, fields, leaves))
        self._lines += lines
        self._size += sum(map(len, lines))
        if self._size > _NUMBERS_BYTES:
            self.check()

    def check(self) -> None:
        """LightGBM stops the process where it finds anything else than a number in a tree."""
        if self._trees and not is_plain_numbers(b" ".join(self._lines)):
            for where, fields, leaves in self._trees:
                lines = b" ".join([fields[key] for key in _FLOATS if fields.get(key)])
                require(is_numbers(lines), f"{where}: a line of numbers contains something else")
                if leaves > 1 or _is_linear(fields):
                    _check_lengths(fields, leaves, where)
        self._trees.clear()
        self._lines.clear()
        self._size = 0


def _is_linear(fields: Mapping[bytes, bytes]) -> bool:
    return fields.get(b"is_linear", b"0") != b"0"


def _check_lengths(fields: Mapping[bytes, bytes], leaves: int, where: str) -> None:
    """LightGBM does not count what is empty between two spaces."""
    for keys, count in ((_OF_LEAVES, leaves), (_OF_SPLITS, leaves - 1)):
        for key in keys:
            if key in fields:
                parts = fields[key].split(b" ")
                found = len(parts) - parts.count(b"")
                require(found == count, f"{where}: {key.decode()} has {found} numbers, not {count}")


def _check_trees(data: bytes, first: int, header: Mapping[bytes, bytes], features: int) -> tuple[int, int]:
    """Check all trees and where they begin. Return how many there are, and where the last one ends.

    LightGBM looks for each tree where its table of sizes says, and stops the process if there is none.
    """
    text = header.get(b"tree_sizes")
    # Without the table it would go on reading where a tree ends too early.
    require(text is not None, "the header has no tree_sizes")
    sizes = _integers(text, "the header: tree_sizes") if text else []
    numbers = _Numbers()
    integers = _Integers()
    place = first
    for tree, size in enumerate(sizes):
        where = f"tree {tree}"
        require(
            data.startswith(_TREE, place),
            f"the header: tree_sizes has {len(sizes)} sizes for {tree} trees",
        )
        require(0 < size <= len(data) - place, f"{where} has another size than in tree_sizes")
        block = data[place : place + size]
        place += size
        # An empty line ends it, and all empty lines behind it belong to it.
        require(
            block.endswith(b"\n\n") and not data.startswith(b"\n", place),
            f"{where} has another size than in tree_sizes",
        )
        head = block.rstrip(b"\n")
        _check_tree(head, features, where, numbers, integers)
    numbers.check()
    require(data.find(b"\n" + _TREE, max(place - 1, 0)) < 0, f"there is a tree behind the last of {len(sizes)}")
    return len(sizes), place


def _check_parameters(lines: Sequence[bytes]) -> None:
    """LightGBM splits each line of the parameters at its colon, and reads on where there is none."""
    if b"parameters:" not in lines:
        return
    begin = lines.index(b"parameters:") + 1
    require(b"end of parameters" in lines[begin:], "the parameters have no end")
    for line in lines[begin : lines.index(b"end of parameters", begin)]:
        require(
            not line or _PARAMETER.fullmatch(line) is not None,
            f"the parameters have a line that LightGBM does not write: {_shown(line, 60)}",
        )


def _integers(text: bytes, where: str) -> list[int]:
    """Return the integers of a line. Raise NotATree for any other text."""
    try:
        if text.translate(None, b"0123456789- "):
            raise ValueError
        return [*map(int, text.split(b" "))]
    except ValueError:
        raise NotATree(f"{where}: not a list of integers") from None


def _of_length(fields: Mapping[bytes, bytes], key: bytes, count: int, where: str) -> list[int]:
    """Return a line of exactly `count` integers."""
    text = fields.get(key)
    if text is None:
        raise NotATree(f"{where} has no {key.decode()}")
    numbers = _integers(text, f"{where}, {key.decode()}") if text else []
    require(len(numbers) == count, f"{where}: {key.decode()} has {len(numbers)} numbers, not {count}")
    return numbers


class _Integers:
    """Integers by their text: to look one up takes a third of the time that it takes to parse it."""

    __slots__ = ("_by_text", "_end")

    def __init__(self) -> None:
        self._by_text: dict[bytes, int] = {}
        self._end = 0

    def of_length(self, fields: Mapping[bytes, bytes], key: bytes, count: int, where: str) -> list[int]:
        """Return a line of exactly `count` integers."""
        while self._end <= count:
            self._by_text[b"%d" % self._end] = self._end
            self._by_text[b"-%d" % (self._end + 1)] = -self._end - 1
            self._end += 1
        try:
            numbers = [*map(self._by_text.__getitem__, fields[key].split(b" "))]
        except KeyError:
            return _of_length(fields, key, count, where)
        return numbers if len(numbers) == count else _of_length(fields, key, count, where)


_OF_LEAVES = (b"leaf_value", b"leaf_weight", b"leaf_count", b"leaf_const")
_OF_SPLITS = (b"threshold", b"split_gain", b"internal_value", b"internal_weight", b"internal_count")
_FLOATS = (*_OF_LEAVES, *_OF_SPLITS, b"leaf_coeff", b"shrinkage", b"cat_threshold")


def _check_tree(head: bytes, features: int, where: str, numbers: _Numbers, integers: _Integers) -> None:
    number, *lines = head.split(b"\n")
    try:
        fields = dict([line.split(b"=", 1) for line in lines])
    except ValueError:
        raise NotATree(f"{where} has a line that LightGBM does not write") from None
    require(
        len(fields) == len(lines) <= _TREE_LINES_MAX and number[5:].isdigit(),
        f"{where} has a line that LightGBM does not write",
    )
    require(bool(fields.get(b"leaf_value")), f"{where} has no leaf_value")
    leaves = fields[b"leaf_value"].count(b" ") + 1
    numbers.add(where, fields, leaves)
    told = _number(fields, b"num_leaves", where, 1, 1 << 30)
    require(told == leaves, f"{where}: num_leaves is {told}, and leaf_value has {leaves} numbers")
    categories = _number(fields, b"num_cat", where, 0, 1 << 30)
    is_linear = _is_linear(fields)
    if leaves == 1 and not is_linear:
        # LightGBM reads nothing else of it.
        return
    # Lines in which two spaces follow each other are counted again with their numbers.
    for keys, count in ((_OF_LEAVES, leaves), (_OF_SPLITS, leaves - 1)):
        for key in keys:
            line = fields.get(key)
            if line is not None and line.count(b" ") + bool(line) != count:
                _check_lengths(fields, leaves, where)
    require(b"threshold" in fields, f"{where} has no threshold")
    left = integers.of_length(fields, b"left_child", leaves - 1, where)
    right = integers.of_length(fields, b"right_child", leaves - 1, where)
    if left:
        check_split_children(left, right, where)
        used = integers.of_length(fields, b"split_feature", leaves - 1, where)
        if min(used) < 0 or max(used) >= features:
            check_inside(used, features, f"{where}, split_feature", "feature")
        _check_decisions(fields, leaves - 1, categories, where)
    if categories:
        _check_categories(fields, categories, where)
    if is_linear:
        _check_linear(fields, leaves, features, where)


def _check_decisions(fields: Mapping[bytes, bytes], splits: int, categories: int, where: str) -> None:
    if b"decision_type" in fields:
        texts = fields[b"decision_type"].split(b" ")
        if len(texts) == splits and _BY_NUMBER.issuperset(texts):
            return
    kinds = _of_length(fields, b"decision_type", splits, where) if b"decision_type" in fields else [0] * splits
    if not _DECISION_TYPES.issuperset(kinds):
        node = next(node for node, kind in enumerate(kinds) if kind not in _DECISION_TYPES)
        raise NotATree(f"{where}, node {node}: decision_type is {kinds[node]}")
    if not any(kind & _CATEGORICAL for kind in set(kinds)):
        return
    # A node that decides by category has the place of its set of categories for a threshold.
    thresholds = fields.get(b"threshold", b"").split(b" ")
    require(len(thresholds) == splits, f"{where}: threshold has {len(thresholds)} numbers, not {splits}")
    for node, (kind, threshold) in enumerate(zip(kinds, thresholds, strict=True)):
        inside = threshold.isdigit() and len(threshold) < 12 and int(threshold) < categories
        if kind & _CATEGORICAL and not inside:
            raise NotATree(
                f"{where}, node {node}: its set of categories is {_shown(threshold, 30)}, not below {categories}"
            )


def _check_categories(fields: Mapping[bytes, bytes], categories: int, where: str) -> None:
    bounds = _of_length(fields, b"cat_boundaries", categories + 1, where)
    rises = bounds[0] == 0 and all(a <= b for a, b in pairwise(bounds))
    require(rises, f"{where}: cat_boundaries do not rise from 0")
    words = fields.get(b"cat_threshold", b"")
    found = words.count(b" ") + 1 if words else 0
    require(found == bounds[-1], f"{where}: cat_threshold has {found} numbers, not {bounds[-1]}")


def _check_linear(fields: Mapping[bytes, bytes], leaves: int, features: int, where: str) -> None:
    counts = _of_length(fields, b"num_features", leaves, where)
    require(min(counts) >= 0, f"{where}: num_features has a number below 0")
    require(b"leaf_const" in fields, f"{where} has no leaf_const")
    total = sum(counts)
    for key in (b"leaf_features", b"leaf_coeff"):
        # A leaf without features still has its separator.
        found = len(fields.get(key, b"").split())
        require(found == total, f"{where}: {key.decode()} has {found} numbers, not {total}")
    if total:
        used = _integers(b" ".join(fields[b"leaf_features"].split()), f"{where}, leaf_features")
        check_inside(used, features, f"{where}, leaf_features", "feature")
