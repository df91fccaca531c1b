"""LightGBM's text is accepted as LightGBM writes it, and not with a number changed that its loader trusts."""

from __future__ import annotations

import re
from functools import partial
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_inbox.pickles.trees import check_lightgbm
from support.tree_faults import fault_of

fault = partial(fault_of, check_lightgbm)

NUMBERS = """Tree=0
num_leaves=3
num_cat=0
split_feature=0 1
split_gain=5 4
threshold=0.5 1.5
decision_type=2 2
left_child=1 -2
right_child=-1 -3
leaf_value=0.1 0.2 0.3
leaf_weight=1 1 1
leaf_count=1 1 1
internal_value=0 0
internal_weight=3 2
internal_count=3 2
is_linear=0
shrinkage=1


"""
CATEGORIES = """Tree=1
num_leaves=2
num_cat=1
split_feature=1
split_gain=5
threshold=0
decision_type=1
left_child=-1
right_child=-2
leaf_value=0.1 0.2
leaf_weight=1 1
leaf_count=1 1
internal_value=0
internal_weight=2
internal_count=2
cat_boundaries=0 1
cat_threshold=6
is_linear=0
shrinkage=1


"""
LINEAR = """Tree=2
num_leaves=2
num_cat=0
split_feature=1
split_gain=5
threshold=0.5
decision_type=2
left_child=-1
right_child=-2
leaf_value=0.1 0.2
leaf_weight=1 1
leaf_count=1 1
internal_value=0
internal_weight=2
internal_count=2
is_linear=1
leaf_const=0.1 0.2
num_features=1 0
leaf_features=1 
leaf_coeff=0.5 
shrinkage=1


"""  # noqa: W291 - LightGBM writes them
LEAF = "Tree=3\nnum_leaves=1\nnum_cat=0\nsplit_feature=\nleaf_value=1\nis_linear=0\nshrinkage=1\n\n\n"
TREES = (NUMBERS, CATEGORIES, LINEAR, LEAF)
HEADER = """tree
version=v4
num_class=1
num_tree_per_iteration=1
label_index=0
max_feature_idx=1
objective=regression
feature_names=a b
feature_infos=[0:1] 1:2:3
"""
END = """end of trees

feature_importances:
a=2

parameters:
[boosting: gbdt]
[data: ]

end of parameters

pandas_categorical:null
"""


def text(*trees: str, header: str = HEADER, end: str = END) -> str:
    """A model, with the table of sizes that belongs to its trees."""
    sizes = " ".join(str(len(tree)) for tree in trees)
    return f"{header}tree_sizes={sizes}\n\n{''.join(trees)}{end}"


def test_text_that_lightgbm_writes_is_accepted() -> None:
    """Trees by number, by category, with linear leaves, of a single leaf, and no tree."""
    assert fault(text(*TREES)) == ""
    assert fault(text()) == ""


@pytest.mark.parametrize(
    ("tree", "before", "after", "message"),
    [
        (0, "left_child=1 -2", "left_child=99 -2", "tree 0, node 0: the left child is 99, and there are 2 nodes"),
        (0, "left_child=1 -2", "left_child=1 0", "tree 0, node 1: the left child is node 0, which comes before it"),
        (0, "right_child=-1 -3", "right_child=-1", "tree 0: right_child has 1 numbers, not 2"),
        (0, "left_child=1 -2", "left_child=1 -2x", "tree 0, left_child: not a list of integers"),
        (0, "left_child=1 -2\n", "", "tree 0 has no left_child"),
        (0, "num_leaves=3", "num_leaves=-1", "tree 0: num_leaves is -1, not 1 to 1073741824"),
        (0, "num_leaves=3", "num_leaves=2", "tree 0: num_leaves is 2, and leaf_value has 3 numbers"),
        (0, "num_cat=0", "num_cat=1000000000", "tree 0 has no cat_boundaries"),
        (0, "split_feature=0 1", "split_feature=0 2", "tree 0, split_feature, place 1: 2 is no feature (0 to 1)"),
        (0, "decision_type=2 2", "decision_type=2 3", "tree 0, node 1: its set of categories is '1.5', not below 0"),
        (0, "decision_type=2 2", "decision_type=2 14", "tree 0, node 1: decision_type is 14"),
        (0, "threshold=0.5 1.5", "threshold=0.5", "tree 0: threshold has 1 numbers, not 2"),
        (0, "leaf_count=1 1 1", "leaf_count=1 1", "tree 0: leaf_count has 2 numbers, not 3"),
        (0, "shrinkage=1", "shrinkage=1\nshrinkage=1", "tree 0 has a line that LightGBM does not write"),
        (0, "shrinkage=1", "shrinkage", "tree 0 has a line that LightGBM does not write"),
        (1, "threshold=0", "threshold=1", "tree 1, node 0: its set of categories is '1', not below 1"),
        (1, "cat_boundaries=0 1", "cat_boundaries=0 2", "tree 1: cat_threshold has 1 numbers, not 2"),
        (1, "cat_boundaries=0 1", "cat_boundaries=1 1", "tree 1: cat_boundaries do not rise from 0"),
        (2, "num_features=1 0", "num_features=2 0", "tree 2: leaf_features has 1 numbers, not 2"),
        (2, "num_features=1 0", "num_features=2 -1", "tree 2: num_features has a number below 0"),
        (2, "leaf_coeff=0.5 \n", "", "tree 2: leaf_coeff has 0 numbers, not 1"),
        (2, "leaf_features=1 \n", "", "tree 2: leaf_features has 0 numbers, not 1"),
        (2, "num_features=1 0\n", "", "tree 2 has no num_features"),
        (2, "leaf_const=0.1 0.2\n", "", "tree 2 has no leaf_const"),
        (2, "leaf_features=1 ", "leaf_features=9 ", "tree 2, leaf_features, place 0: 9 is no feature (0 to 1)"),
    ],
)  # fmt: skip
def test_number_that_the_loader_trusts_is_checked(tree: int, before: str, after: str, message: str) -> None:
    """The message names tree, node and value."""
    assert before in TREES[tree]
    changed = TREES[tree].replace(before, after)
    assert fault(text(*TREES[:tree], changed, *TREES[tree + 1 :])) == message


_LEAST = "the header: num_tree_per_iteration is 0, not 1 to 1048576"
_LINE = "the header has a line that LightGBM does not write: '=num_class=7'"
_OBJECTIVE = "the header: num_class is 1, and '9' in the objective"


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("num_tree_per_iteration=1", "num_tree_per_iteration=0", _LEAST),
        ("num_class=1", "num_class=2", "the header: num_tree_per_iteration is 1, and num_class is 2"),
        ("num_class=1\nnum_tree_per_iteration=1", "num_class=3", "the header: num_class is 3, and there are 4 trees"),
        ("num_class=1", "num_class=1\n=num_class=7", _LINE),
        ("num_class=1", "num_class=1\nnum_class=7", "the header has num_class twice"),
        ("max_feature_idx=1", "max_feature_idx=9", "the header: max_feature_idx is 9, and there are 2 feature_names"),
        ("objective=regression", "objective=multiclass num_class:9", _OBJECTIVE),
        ("max_feature_idx=1\n", "", "the header has no max_feature_idx"),
        ("a b", "a\0b", "the text contains characters that LightGBM does not write"),
    ],
)  # fmt: skip
def test_header_agrees_with_itself(before: str, after: str, message: str) -> None:
    """A count in it is allocated by, divided by, or written to."""
    assert before in HEADER
    assert fault(text(*TREES, header=HEADER.replace(before, after))) == message


def test_trees_are_where_the_table_of_sizes_says() -> None:
    """LightGBM stops the process where there is no tree."""
    good = text(*TREES)
    line = next(line for line in good.split("\n") if line.startswith("tree_sizes"))
    assert fault(good.replace(line, f"{line} 9")) == "the header: tree_sizes has 5 sizes for 4 trees"
    assert fault(good.replace("tree_sizes=", "tree_sizes=9 ")) == "tree 0 has another size than in tree_sizes"
    size = f"tree_sizes={len(NUMBERS)} "
    assert fault(good.replace(size, f"tree_sizes={len(NUMBERS) + 1} ")) == "tree 0 has another size than in tree_sizes"
    assert fault(good.replace(f"{line}\n", "")) == "the header has no tree_sizes"
    assert fault(good + NUMBERS) == "there is a tree behind the last of 4"


def test_sizes_are_those_in_bytes() -> None:
    """LightGBM counts bytes: with a character of two of them, each further tree would be missed."""
    changed = NUMBERS.replace("shrinkage", "sh\x82inkage")
    assert fault(text(changed, *TREES[1:])) == "tree 0 has another size than in tree_sizes"
    names = HEADER.replace("a b", "\u00e4 b")
    assert fault(text(*TREES, header=names)) == ""
    assert fault(text("\ud800")) == "the text contains characters that LightGBM does not write"


def test_empty_line_of_numbers_is_counted() -> None:
    """Beside lines that are as LightGBM writes them, also where one number is missing."""
    for line, key in (("split_gain=5\n", "split_gain"), ("internal_value=0\n", "internal_value")):
        changed = CATEGORIES.replace(line, f"{key}=\n")
        assert fault(text(changed)) == f"tree 0: {key} has 0 numbers, not 1"


def number_is_accepted(number: str) -> bool:
    """Return whether a tree is accepted with this text in the place of a number."""
    return fault(text(NUMBERS.replace("leaf_value=0.1 0.2 0.3", f"leaf_value=0.1 {number} 0.3"))) == ""


def is_number(number: str) -> bool:
    """Return whether this is a number as LightGBM prints it."""
    return re.fullmatch(r"-?(\d+(\.\d+)?(e[-+]?\d+)?|inf|nan)", number, re.ASCII) is not None


@given(st.text("0123456789.-+einfa ", max_size=12))
def test_only_numbers_stand_among_numbers(number: str) -> None:
    """Whatever the characters are: a number as LightGBM prints it, or the model is refused."""
    assert number_is_accepted(number) is is_number(number)


def test_no_digit_makes_a_number_of_what_is_none() -> None:
    """A sign, a point or a letter in a wrong place is seen, also between digits: all short texts are tried."""
    for length in range(1, 6):
        for parts in product("0.-+e", repeat=length):
            number = "".join(parts)
            assert number_is_accepted(number) is is_number(number), number
    for word in ("inf", "nan", "-inf", "-nan"):
        assert number_is_accepted(word)
        for place in range(len(word) + 1):
            for other in "1-+.e":
                number = word[:place] + other + word[place:]
                assert number_is_accepted(number) is is_number(number), number


def test_parameters_have_a_colon_and_an_end() -> None:
    """LightGBM reads on where it finds none."""
    wrong = END.replace("[data: ]", "[data]")
    assert fault(text(*TREES, end=wrong)) == "the parameters have a line that LightGBM does not write: '[data]'"
    assert fault(text(*TREES, end=END.replace("end of parameters", ""))) == "the parameters have no end"
