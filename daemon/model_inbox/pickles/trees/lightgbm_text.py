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
from .shape import check_split_children

__all__ = ["check_lightgbm"]

_NUMBER = re.compile(r"-?\d{1,10}", re.ASCII)
_KEY = re.compile(r"[a-z_]{1,40}", re.ASCII)
_PARAMETER = re.compile(r"\[[a-z_0-9]{1,60}: .*\]", re.ASCII)
_INTEGER_CHARACTERS = b"0123456789- "
_NUMBER_SHAPES = {
    sign + number
    for sign in (b"", b"-")
    for number in (b"inf", b"nan", *(point + power for point in (b"", b".") for power in (b"", b"e", b"e-", b"e+")))
}
"""Numbers without their digits."""
_ZEROS = bytes.maketrans(b"123456789", b"000000000")
_MISPLACED = (
    *(b"- ", b"-.", b"-e", b" .", b". ", b".e", b" e", b"e ", b"+ "),
    *(b"0-", b"0+", b"0i", b"n0", b"f0", b"0n"),
)
"""What stands in a text of numbers, with 0 for each digit, only where digits are missing, or where they stand before a
sign or in a word."""
_OBJECTIVE_CLASSES = re.compile(r"num_class:(\S*)")
_TREE_LINES_MAX = 22
"""LightGBM reads at most this many lines of a tree."""
_FEATURES_MAX = 1 << 24
_CATEGORICAL = 1
_DECISION_TYPES = frozenset(range(12))
"""Bit 0: by category; bit 1: missing values go left; bits 2 and 3: what is missing (nothing, zero, NaN)."""


def check_lightgbm(text: str) -> None:
    """Check the text of a booster. Raise NotATree for what LightGBM would not survive."""
    require("\0" not in text and "\r" not in text, "the text contains characters that LightGBM does not write")
    lines = text.split("\n")
    first = _first_tree(lines)
    header = _header(lines[:first])
    features = _number(header, "max_feature_idx", "the header", -1, _FEATURES_MAX) + 1
    _check_names(header, features)
    trees = _check_trees(lines, first, header, features)
    _check_classes(header, trees)


def _first_tree(lines: Sequence[str]) -> int:
    return next((place for place, line in enumerate(lines) if line.startswith("Tree=")), len(lines))


def _header(lines: Sequence[str]) -> dict[str, str]:
    header: dict[str, str] = {}
    for line in lines:
        if line == "end of trees":
            break
        if not line:
            continue
        # A line without "=" is a flag. LightGBM takes "=num_class=2" for "num_class=2".
        key, _, value = line.partition("=")
        require(_KEY.fullmatch(key) is not None, f"the header has a line that LightGBM does not write: {line!r:.40}")
        require(key not in header, f"the header has {key} twice")
        header[key] = value
    return header


def _number(fields: Mapping[str, str], key: str, where: str, least: int, most: int) -> int:
    text = fields.get(key)
    if text is None:
        raise NotATree(f"{where} has no {key}")
    require(_NUMBER.fullmatch(text) is not None, f"{where}: {key} is not a number")
    require(least <= int(text) <= most, f"{where}: {key} is {text}, not {least} to {most}")
    return int(text)


def _check_names(header: Mapping[str, str], features: int) -> None:
    for key in ("feature_names", "feature_infos"):
        names = header.get(key, "").split(" ")
        known = len(names) if names != [""] else 0
        require(known == features, f"the header: max_feature_idx is {features - 1}, and there are {known} {key}")


def _check_classes(header: Mapping[str, str], trees: int) -> None:
    """A wrong number of classes is divided by, allocated by, or written past the end of a row of predictions."""
    classes = _number(header, "num_class", "the header", 1, 1 << 20)
    per_iteration = classes
    if "num_tree_per_iteration" in header:
        per_iteration = _number(header, "num_tree_per_iteration", "the header", 1, 1 << 20)
    require(
        per_iteration == classes,
        f"the header: num_tree_per_iteration is {per_iteration}, and num_class is {classes}",
    )
    require(trees % classes == 0, f"the header: num_class is {classes}, and there are {trees} trees")
    # Without a tree nothing else bounds it.
    require(trees > 0 or classes <= _CLASSES_WITHOUT_TREES, f"the header: num_class is {classes}, without a tree")
    objective = header.get("objective", "custom")
    require(bool(objective.split()), "the header: the objective has no name")
    for number in _OBJECTIVE_CLASSES.findall(objective):
        require(number == str(classes), f"the header: num_class is {classes}, and {number!r:.20} in the objective")


_CLASSES_WITHOUT_TREES = 4096


def _check_trees(lines: Sequence[str], first: int, header: Mapping[str, str], features: int) -> int:
    """Check all trees and where they begin. Return how many there are."""
    place, trees = first, 0
    sizes: list[int] = []
    while place < len(lines) and lines[place].startswith("Tree="):
        where = f"tree {trees}"
        end = lines.index("", place) if "" in lines[place : place + _TREE_LINES_MAX + 2] else -1
        require(end > 0, f"{where} has more lines than LightGBM reads")
        block = lines[place + 1 : end]
        fields = dict(line.split("=", 1) for line in block if "=" in line)
        require(
            len(fields) == len(block) <= _TREE_LINES_MAX and lines[place][5:].isdecimal(),
            f"{where} has a line that LightGBM does not write",
        )
        _check_tree(fields, features, where)
        trees += 1
        begin, place = place, end
        while place < len(lines) and not lines[place]:
            place += 1
        sizes.append(sum(map(len, lines[begin:place])) + place - begin)
    _check_sizes(header, sizes, lines, place)
    return trees


def _check_sizes(header: Mapping[str, str], sizes: Sequence[int], lines: Sequence[str], end: int) -> None:
    """LightGBM looks for each tree where its table of sizes says, and stops the process if there is none."""
    # Without the table it would go on reading where a tree ends too early.
    text = header.get("tree_sizes")
    if text is None:
        raise NotATree("the header has no tree_sizes")
    written = _integers(text, "the header: tree_sizes") if text else []
    require(len(written) == len(sizes), f"the header: tree_sizes has {len(written)} sizes for {len(sizes)} trees")
    wrong = next((tree for tree, (a, b) in enumerate(zip(written, sizes, strict=True)) if a != b), None)
    require(wrong is None, f"tree {wrong} has another size than in tree_sizes")
    _check_parameters(lines, end)
    rest = next((place for place in range(end, len(lines)) if lines[place].startswith("Tree=")), None)
    require(rest is None, f"there is a tree behind the last of {len(sizes)}")


def _check_parameters(lines: Sequence[str], begin: int) -> None:
    """LightGBM splits each line of the parameters at its colon, and reads on where there is none."""
    if "parameters:" not in lines[begin:]:
        return
    begin = lines.index("parameters:", begin) + 1
    require("end of parameters" in lines[begin:], "the parameters have no end")
    for line in lines[begin : lines.index("end of parameters", begin)]:
        require(
            not line or _PARAMETER.fullmatch(line) is not None,
            f"the parameters have a line that LightGBM does not write: {line!r:.60}",
        )


def _integers(text: str, where: str) -> list[int]:
    """Return the integers of a line. Raise NotATree for any other text."""
    try:
        if text.encode("ascii").translate(None, _INTEGER_CHARACTERS):
            raise ValueError
        return [*map(int, text.split(" "))]
    except ValueError:
        raise NotATree(f"{where}: not a list of integers") from None


def _check_floats(fields: Mapping[str, str], where: str) -> None:
    """LightGBM stops the process where it finds anything else than a number in a tree."""
    text = " ".join([fields[key] for key in _FLOATS if fields.get(key)])
    # To parse them would take ten times as long. Without digits few shapes are left, and what stands beside each other
    # shows where digits are missing or misplaced.
    padded = f" {text} ".encode("utf-8", "replace").translate(_ZEROS)
    shapes = set(padded.translate(None, b"0").split(b" "))
    # Most lines have no exponent and no word: nothing is searched for a character that is not there.
    there = {*b" 0", *b"".join(shapes)}
    wrong = any(pair in padded for pair in _MISPLACED if there.issuperset(pair))
    if wrong or not _NUMBER_SHAPES.issuperset(shapes):
        raise NotATree(f"{where}: a line of numbers contains something else")


def _of_length(fields: Mapping[str, str], key: str, count: int, where: str) -> list[int]:
    """Return a line of exactly `count` integers."""
    text = fields.get(key)
    if text is None:
        raise NotATree(f"{where} has no {key}")
    numbers = _integers(text, f"{where}, {key}") if text else []
    require(len(numbers) == count, f"{where}: {key} has {len(numbers)} numbers, not {count}")
    return numbers


_OF_LEAVES = ("leaf_value", "leaf_weight", "leaf_count", "leaf_const")
_OF_SPLITS = ("threshold", "split_gain", "internal_value", "internal_weight", "internal_count")
_FLOATS = (*_OF_LEAVES, *_OF_SPLITS, "leaf_coeff", "shrinkage", "cat_threshold")


def _check_tree(fields: Mapping[str, str], features: int, where: str) -> None:
    require(bool(fields.get("leaf_value")), f"{where} has no leaf_value")
    _check_floats(fields, where)
    leaves = fields["leaf_value"].count(" ") + 1
    told = _number(fields, "num_leaves", where, 1, 1 << 30)
    require(told == leaves, f"{where}: num_leaves is {told}, and leaf_value has {leaves} numbers")
    categories = _number(fields, "num_cat", where, 0, 1 << 30)
    is_linear = fields.get("is_linear", "0") != "0"
    if leaves == 1 and not is_linear:
        # LightGBM reads nothing else of it.
        return
    for keys, count in ((_OF_LEAVES, leaves), (_OF_SPLITS, leaves - 1)):
        for key in keys:
            if key in fields:
                line = fields[key]
                # LightGBM does not count what is empty between two spaces.
                found = line.count(" ") + 1 - line.count("  ") - (line[:1] == " ") - (line[-1:] == " ") if line else 0
                require(found == count, f"{where}: {key} has {found} numbers, not {count}")
    require("threshold" in fields, f"{where} has no threshold")
    left = _of_length(fields, "left_child", leaves - 1, where)
    right = _of_length(fields, "right_child", leaves - 1, where)
    if left:
        check_split_children(left, right, where)
        used = _of_length(fields, "split_feature", leaves - 1, where)
        if min(used) < 0 or max(used) >= features:
            check_inside(used, features, f"{where}, split_feature", "feature")
        _check_decisions(fields, leaves - 1, categories, where)
    if categories:
        _check_categories(fields, categories, where)
    if is_linear:
        _check_linear(fields, leaves, features, where)


def _check_decisions(fields: Mapping[str, str], splits: int, categories: int, where: str) -> None:
    kinds = _of_length(fields, "decision_type", splits, where) if "decision_type" in fields else [0] * splits
    if not _DECISION_TYPES.issuperset(kinds):
        node = next(node for node, kind in enumerate(kinds) if kind not in _DECISION_TYPES)
        raise NotATree(f"{where}, node {node}: decision_type is {kinds[node]}")
    if not any(kind & _CATEGORICAL for kind in set(kinds)):
        return
    # A node that decides by category has the place of its set of categories for a threshold.
    thresholds = fields.get("threshold", "").split(" ")
    require(len(thresholds) == splits, f"{where}: threshold has {len(thresholds)} numbers, not {splits}")
    for node, (kind, threshold) in enumerate(zip(kinds, thresholds, strict=True)):
        inside = threshold.isascii() and threshold.isdecimal() and len(threshold) < 12 and int(threshold) < categories
        if kind & _CATEGORICAL and not inside:
            raise NotATree(f"{where}, node {node}: its set of categories is {threshold!r:.30}, not below {categories}")


def _check_categories(fields: Mapping[str, str], categories: int, where: str) -> None:
    bounds = _of_length(fields, "cat_boundaries", categories + 1, where)
    rises = bounds[0] == 0 and all(a <= b for a, b in pairwise(bounds))
    require(rises, f"{where}: cat_boundaries do not rise from 0")
    words = fields.get("cat_threshold", "")
    found = words.count(" ") + 1 if words else 0
    require(found == bounds[-1], f"{where}: cat_threshold has {found} numbers, not {bounds[-1]}")


def _check_linear(fields: Mapping[str, str], leaves: int, features: int, where: str) -> None:
    counts = _of_length(fields, "num_features", leaves, where)
    require(min(counts) >= 0, f"{where}: num_features has a number below 0")
    require("leaf_const" in fields, f"{where} has no leaf_const")
    total = sum(counts)
    for key in ("leaf_features", "leaf_coeff"):
        # A leaf without features still has its separator.
        found = len(fields.get(key, "").split())
        require(found == total, f"{where}: {key} has {found} numbers, not {total}")
    if total:
        used = _integers(" ".join(fields["leaf_features"].split()), f"{where}, leaf_features")
        check_inside(used, features, f"{where}, leaf_features", "feature")
