"""CatBoost's model is accepted as CatBoost 1.2 wrote it, and not with a number changed that its evaluator trusts.

The files in tests/data/trees were saved by CatBoost: two trees each, symmetric, leaf by leaf, and by a category of six
values. Its tables of statistics have the places 0 to 5 for them.
"""

from __future__ import annotations

import re
import struct
from functools import partial
from pathlib import Path

import pytest

from model_inbox.pickles.trees import Unchecked, check_catboost
from model_inbox.pickles.trees.flatbuffer import root_table
from support.tree_faults import fault_of

fault = partial(fault_of, check_catboost)

DATA = Path(__file__).parents[3] / "data" / "trees"
SYMMETRIC = (DATA / "catboost-symmetric.cbm").read_bytes()
BY_CATEGORY = (DATA / "catboost-categories.cbm").read_bytes()
BY_LEAF = (DATA / "catboost-lossguide.cbm").read_bytes()


def integers(*numbers: int) -> bytes:
    """A vector of integers in a flatbuffer: its length, then the numbers."""
    return struct.pack(f"<{len(numbers) + 1}i", len(numbers), *numbers)


def once(model: bytes, before: bytes, after: bytes) -> bytes:
    """The model with one vector changed."""
    assert len(before) == len(after)
    # The length of one vector can look like the end of another.
    head, found, tail = model.rpartition(before)
    assert found
    return head + after + tail


@pytest.mark.parametrize("model", [SYMMETRIC, BY_LEAF, BY_CATEGORY])
def test_model_that_catboost_writes_is_accepted(model: bytes) -> None:
    """Both kinds of trees."""
    assert fault(model) == ""


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (integers(2, 2), integers(2, 3), "the trees: the sizes add up to 5, and there are 4 splits"),
        (integers(2, 2), integers(-1, 5), "the trees have a size below 0"),
        (integers(2, 2), integers(0, 4), "the trees: a tree does not begin where the one before it ends"),
        (integers(0, 2), integers(0, 1), "the trees: a tree does not begin where the one before it ends"),
    ],
)
def test_symmetric_trees_are_cut_out_of_their_splits(before: bytes, after: bytes, message: str) -> None:
    """The sizes of two trees of depth 2, and where they begin."""
    assert fault(once(SYMMETRIC, before, after)) == message


def test_steps_of_a_tree_stay_inside_of_it() -> None:
    """The steps of the first nodes are (1, 0), (0, 1), (1, 2)."""
    steps = struct.pack("<6H", 1, 0, 0, 1, 1, 2)
    outside = once(BY_LEAF, steps, struct.pack("<6H", 1, 0, 0, 1, 1, 9))
    assert fault(outside) == "tree 0, node 2: its child is outside of the tree"
    twice = once(BY_LEAF, steps, struct.pack("<6H", 1, 0, 0, 1, 1, 1))
    assert fault(twice) == "tree 0: 1 nodes are the child of no node, or of two"
    leaf = once(BY_LEAF, integers(0, 1, -1, 2, 3, 4, 5, -1, 6, 7)[4:], integers(0, 9, -1, 2, 3, 4, 5, -1, 6, 7)[4:])
    assert fault(leaf) == "tree 0, node 1: its leaf begins at 9, and there are 8 values"


@pytest.mark.parametrize(("model", "field"), [(SYMMETRIC, 11), (SYMMETRIC, 10), (BY_LEAF, 11), (BY_LEAF, 10)])
def test_distances_and_leaves_of_nodes_come_together(model: bytes, field: int) -> None:
    """CatBoost goes through the nodes of a tree that has either; of symmetric trees both are empty."""
    trees = root_table(model[8 : 8 + int.from_bytes(model[4:8], "little")]).table(1)
    assert trees is not None
    place = trees._at(field)
    assert place is not None
    place += 8 + int.from_bytes(model[8 + place : 12 + place], "little")
    count = int.from_bytes(model[place : place + 4], "little")
    changed = model[:place] + struct.pack("<I", 0 if count else 1) + model[place + 4 :]
    assert re.fullmatch("the trees have [0-9]+ nodes, [0-9]+ distances and [0-9]+ leaves of nodes", fault(changed))


def tables() -> tuple[bytes, bytes]:
    """The model with categories, up to its two tables of statistics, and these."""
    end = 8 + int.from_bytes(BY_CATEGORY[4:8], "little")
    return BY_CATEGORY[:end], BY_CATEGORY[end:]


def buckets(statistics: bytes) -> tuple[int, int]:
    """Where the hash table begins and ends: 16 places of 12 bytes. The first 8 are the key, -1 if it is empty."""
    begin = statistics.index(struct.pack("<I", 192)) + 4
    return begin, begin + 192


def test_place_of_a_category_is_inside_of_its_statistics() -> None:
    """There are numbers for the places 0 to 5."""
    core, statistics = tables()
    begin, end = buckets(statistics)
    used = next(place for place in range(begin, end, 12) if statistics[place : place + 8] != b"\xff" * 8)
    assert int.from_bytes(statistics[used + 8 : used + 12], "little") < 6
    wrong = statistics[: used + 8] + struct.pack("<I", 6) + statistics[used + 12 :]
    assert fault(core + wrong) == "table of statistics 0: a category has place 6, and there are 6"


def test_hash_table_has_an_empty_place() -> None:
    """Without one, the search for a category that was never seen would not end."""
    core, statistics = tables()
    begin, end = buckets(statistics)
    full = statistics[:begin] + bytes(end - begin) + statistics[end:]
    assert fault(core + full) == "table of statistics 0 has a hash table without an empty place"


def test_tables_are_complete_and_nothing_follows() -> None:
    """The last table is cut off, both are missing, or something stands behind them."""
    core, statistics = tables()
    assert fault(core + statistics[:-1]) == "table of statistics 1 is cut off"
    assert fault(core) == "the tables of statistics are cut off"
    assert fault(core + bytes(4)) == "statistic 0 has no table"
    assert fault(core + statistics + b"x") == "there is something behind the tables of the model"


def test_model_that_is_cut_off_anywhere_is_refused() -> None:
    """At each byte. The information at its end is needed by no check."""
    for end in range(0, len(SYMMETRIC), 7):
        assert fault(SYMMETRIC[:end])


@pytest.mark.parametrize("place", range(8, 400, 4))
def test_no_number_of_the_flatbuffer_leads_out_of_it(place: int) -> None:
    """With an offset out of bounds, the reader says so, and raises nothing else."""
    for number in (-1, 2**31 - 1, -(2**31), 1 << 20):
        fault(SYMMETRIC[:place] + struct.pack("<i", number) + SYMMETRIC[place + 4 :])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (b"CBM2" + SYMMETRIC[4:], "the model does not begin as CatBoost's do"),
        (SYMMETRIC.replace(b"FlabuffersModel_v1", b"FlabuffersModel_v2"),
         "the model has another format than FlabuffersModel_v1"),
    ],
)  # fmt: skip
def test_other_formats_are_named(model: bytes, message: str) -> None:
    """The magic number, and the version in the core."""
    assert fault(model) == message


def test_parts_that_no_check_reads_are_refused() -> None:
    """The tables behind the trees have names in the core."""
    name = b"static_provider_v1"
    with pytest.raises(Unchecked, match="it has other parts than trees, statistics, texts and embeddings"):
        check_catboost(BY_CATEGORY.replace(name, b"text_provider_v001"))


def test_numbers_of_features_rise() -> None:
    """CatBoost makes a row as wide as the last feature needs."""
    size = int.from_bytes(SYMMETRIC[4:8], "little")
    trees = root_table(SYMMETRIC[8 : 8 + size]).table(1)
    assert trees is not None
    last = trees.tables(5)[-1]
    for field in (1, 2):
        place = last._at(field)
        assert place is not None
        changed = SYMMETRIC[: 8 + place] + bytes(4) + SYMMETRIC[8 + place + 4 :]
        assert "which do not rise" in fault(changed)
