"""CatBoost's tables for texts and embeddings are accepted as CatBoost 1.2 wrote them, and not with a number changed.

The files in tests/data/trees were saved by CatBoost. One has a text of words with dictionaries of words and of pairs,
and one calcer of each kind with two classes. The other has an embedding of three dimensions and 20 neighbours.
"""

from __future__ import annotations

import struct
from functools import partial
from pathlib import Path

import pytest

from model_inbox.pickles.trees import Unchecked, check_catboost
from model_inbox.pickles.trees.flatbuffer import Table, root_table
from support.tree_faults import fault_of

fault = partial(fault_of, check_catboost)

DATA = Path(__file__).parents[3] / "data" / "trees"
TEXTS = (DATA / "catboost-texts.cbm").read_bytes()
EMBEDDINGS = (DATA / "catboost-embeddings.cbm").read_bytes()
PAIRS = 1
"""The place of the dictionary of pairs."""
OUTPUTS = 2
"""How many outputs the calcer of the first calculated feature has, in both models."""


def put(model: bytes, place: int, layout: str, *numbers: float) -> bytes:
    """The model with other numbers at a place."""
    changed = struct.pack(f"<{layout}", *numbers)
    return model[:place] + changed + model[place + len(changed) :]


def read(model: bytes, place: int, layout: str) -> int:
    """A number in the model."""
    return int(struct.unpack_from(f"<{layout}", model, place)[0])


def field(model: bytes, begin: int, number: int, of: int | None = None) -> int:
    """Where a field of a flatbuffer is, or one of the table in its field `of`."""
    root: Table | None = root_table(model[begin:])
    if root is not None and of is not None:
        root = root.table(of)
    place = root._at(number) if root is not None else None
    assert place is not None
    return begin + place


def vector(model: bytes, begin: int, number: int, of: int | None = None) -> int:
    """Where the first item of a vector in a field is."""
    place = field(model, begin, number, of)
    return place + read(model, place, "I") + 4


def places(model: bytes, magic: bytes) -> list[int]:
    """Where the parts with this name begin."""
    found, place = [], model.find(magic)
    while place >= 0:
        found.append(place)
        place = model.find(magic, place + 1)
    return found


def calcer(kind: int) -> int:
    """Where the flatbuffer of the text calcer of a kind begins: words in a bag 0, naive Bayes 1, BM25 2."""
    (part,) = [place for place in places(TEXTS, b"FeatureCalcerV1") if read(TEXTS, place + 16, "I") == kind]
    return part + 28


def neighbors() -> tuple[int, int]:
    """Where the flatbuffer of the calcer of neighbours begins, and where it ends."""
    (part,) = [place for place in places(EMBEDDINGS, b"EmbedCalcerV1") if read(EMBEDDINGS, place + 16, "I") == 4]
    return part + 28, part + 28 + read(EMBEDDINGS, part + 20, "Q")


def projection() -> int:
    """Where the flatbuffer of the calcer of projections begins."""
    (part,) = [place for place in places(EMBEDDINGS, b"EmbedCalcerV1") if read(EMBEDDINGS, place + 16, "I") == 3]
    return part + 28


def dictionary(number: int) -> tuple[int, int]:
    """Where the flatbuffer of a dictionary begins, and its first hash table, with its size before it."""
    begin = places(TEXTS, b"MMapDictionary")[number] + 32
    return begin, begin + read(TEXTS, begin - 8, "Q")


def calculated(model: bytes, number: int) -> int:
    """Where a field of the first feature is that is calculated."""
    trees = root_table(model[8 : 8 + read(model, 4, "I")]).table(1)
    assert trees is not None
    place = trees.tables(13)[0]._at(number)
    assert place is not None
    return 8 + place


@pytest.mark.parametrize("model", [TEXTS, EMBEDDINGS])
def test_models_with_texts_and_embeddings_are_accepted(model: bytes) -> None:
    """As CatBoost wrote them."""
    assert fault(model) == ""


@pytest.mark.parametrize("model", [TEXTS, EMBEDDINGS])
def test_tables_that_are_cut_off_anywhere_are_refused(model: bytes) -> None:
    """At every seventh byte behind the trees; and with a byte more."""
    for end in range(8 + read(model, 4, "I"), len(model), 7):
        assert fault(model[:end])
    assert fault(model + b"\0") == "there is something behind the tables of the model"


def test_hash_table_of_a_dictionary_can_be_searched() -> None:
    """A search for a word that is in no place ends at an empty one, and goes round by a mask."""
    for number in (0, 1):
        _, table = dictionary(number)
        size = read(TEXTS, table, "Q")
        full = TEXTS[: table + 16] + bytes(size) + TEXTS[table + 16 + size :]
        assert fault(full) == "a table of a dictionary is more than half full"
        for wrong in (0, size - 16, size - 1):
            assert fault(put(TEXTS, table, "Q", wrong)) == "a dictionary has no table of a power of two"
        assert "cut off" in fault(put(TEXTS, table, "Q", 2**40))


def test_entries_of_a_dictionary_have_a_number_of_tokens() -> None:
    """CatBoost takes parts of a word, or words of a text, by this number."""
    begin, _ = dictionary(PAIRS)
    place = field(TEXTS, begin, 1, of=1)
    assert read(TEXTS, place, "i") == 2
    for wrong in (0, -1, 6, 2**31 - 1):
        assert fault(put(TEXTS, place, "i", wrong)) == f"a dictionary has entries of {wrong} tokens"


@pytest.mark.parametrize(("kind", "name"), [(1, "naive Bayes"), (2, "BM25")])
def test_calcer_has_numbers_for_each_class(kind: int, name: str) -> None:
    """It writes as many results as it has tables of frequencies."""
    place = field(TEXTS, calcer(kind), 0, of=3)
    assert read(TEXTS, place, "I") == 2, name
    assert fault(put(TEXTS, place, "I", 1)) == "a calcer has 1 classes, and numbers for 2"
    assert fault(put(TEXTS, place, "I", 0)) == "a calcer has 0 classes"
    assert fault(put(TEXTS, place, "I", 2**32 - 1)) == "a calcer has 4294967295 classes"
    end = calcer(kind) + read(TEXTS, calcer(kind) - 8, "Q")
    assert read(TEXTS, end, "I") == 2
    assert fault(put(TEXTS, end, "I", 3)) == "a calcer has 2 classes, and numbers for 3"


def test_hash_table_of_frequencies_can_be_searched() -> None:
    """It has a mask, counts, its size and places of 8 bytes; then what marks an empty place."""
    end = calcer(1) + read(TEXTS, calcer(1) - 8, "Q") + 4
    count = read(TEXTS, end + 24, "I")
    assert count == 256
    assert fault(put(TEXTS, end, "Q", 511)) == "a calcer has no table of a power of two"
    full = TEXTS[: end + 28] + bytes(8 * count) + TEXTS[end + 28 + 8 * count :]
    assert fault(full) == "a table of a calcer is more than half full"
    assert fault(put(TEXTS, end + 28 + 8 * count, "I", 5)) == "a calcer marks empty places with 5"


def test_outputs_of_a_calcer_are_among_its_results() -> None:
    """The calcers with two classes have two results, or one."""
    place = vector(TEXTS, calcer(2), 1)
    assert fault(put(TEXTS, place, "I", 2)) == "a calcer, outputs, place 0: 2 is no result (0 to 1)"


def test_calcer_has_its_own_parameters() -> None:
    """CatBoost takes them by the kind of the calcer, and follows a null pointer if they are another one's."""
    begin = calcer(1)
    assert fault(put(TEXTS, begin - 12, "I", 2)) == "a calcer has the parameters of another one"
    assert fault(put(TEXTS, field(TEXTS, begin, 2), "B", 0)) == "a calcer has the parameters of another one"
    assert fault(put(TEXTS, begin - 12, "I", 3)) == "there is a calcer of kind 3"


def test_each_table_of_texts_is_there_once() -> None:
    """CatBoost looks for their places by identifiers, and takes 0 for one that it does not know."""
    first = places(TEXTS, b"TokenizerV1")[0]
    assert fault(put(TEXTS, first + 16, "Q", 1)) == "a table for texts has two identifiers"
    header = places(TEXTS, b"text_process_v2")[-1] + 24
    name = vector(TEXTS, header, 0)
    assert fault(put(TEXTS, name, "Q", 1)) == "there is a table for texts that the header does not name"
    other = vector(TEXTS, header, 2)
    twice = TEXTS[:name] + TEXTS[other : other + 16] + TEXTS[name + 16 :]
    assert fault(twice) == "two tables for texts have one identifier"


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (3, "texts, place 0: 9 is no dictionary (0 to 1)"),
        (4, "calcers of a feature, place 0: 9 is no calcer (0 to 2)"),
    ],
)
def test_features_name_tables_that_are_there(number: int, message: str) -> None:
    """The dictionaries of a text, and the calcers of a dictionary."""
    header = places(TEXTS, b"text_process_v2")[-1] + 24
    lists = vector(TEXTS, header, number)
    one = lists + read(TEXTS, lists, "I")
    ids = one + read(TEXTS, one - read(TEXTS, one, "i") + 4, "H")
    first = ids + read(TEXTS, ids, "I") + 4
    assert fault(put(TEXTS, first, "I", 9)) == message


@pytest.mark.parametrize("model", [TEXTS, EMBEDDINGS])
def test_calculated_features_are_outputs_of_a_calcer(model: bytes) -> None:
    """The evaluator takes the place of an output from the model."""
    for wrong in (-1, OUTPUTS, 2**31 - 1):
        message = f"calculated feature 0 is output {wrong}, and its calcer has {OUTPUTS}"
        assert fault(put(model, calculated(model, 2), "i", wrong)) == message
    assert fault(put(model, calculated(model, 1), "Q", 0)) == "calculated feature 0 is output 0, and its calcer has 0"
    message = "calculated feature 0 is calculated from text or embedding 1, which is another one"
    assert fault(put(model, calculated(model, 0), "i", 1)) == message


@pytest.mark.parametrize(("model", "features"), [(TEXTS, 12), (EMBEDDINGS, 18)])
def test_feature_that_the_model_uses_has_tables(model: bytes, features: int) -> None:
    """CatBoost calculates for each feature that is marked as used, by its number."""
    trees = root_table(model[8 : 8 + read(model, 4, "I")]).table(1)
    assert trees is not None
    place = trees.tables(features)[0]._at(0)
    assert place is not None
    assert fault(put(model, 8 + place, "i", 5)) == "the model has text or embedding 5, and tables for 1"


def test_neighbours_have_known_classes_and_values() -> None:
    """Classes are where the evaluator counts: it writes there."""
    _, end = neighbors()
    assert read(EMBEDDINGS, end, "I") == 20
    assert fault(put(EMBEDDINGS, end + 4, "I", 2)) == "neighbours, place 0: 2 is no class (0 to 1)"
    assert fault(put(EMBEDDINGS, end, "I", 19)) == "there are 20 neighbours, and answers of 19"


def test_graph_of_neighbours_stays_inside() -> None:
    """Twenty neighbours in level 0, each with at most five."""
    _, end = neighbors()
    graph = end + 4 + 80 + 4
    most, levels, first = (read(EMBEDDINGS, graph + at, "I") for at in (0, 4, 8))
    assert (levels >= 1, first) == (True, 20)
    assert most >= 1
    assert fault(put(EMBEDDINGS, graph + 8, "I", 21)) == "a graph of neighbours has 21 in level 0, and 20 below"
    assert fault(put(EMBEDDINGS, graph + 8, "I", 0)) == "a graph of neighbours has 0 in level 0, and 20 below"
    assert fault(put(EMBEDDINGS, graph, "I", 0)) == "a graph of neighbours is cut off"
    assert fault(put(EMBEDDINGS, graph + 4, "I", 2**32 - 1)) == "a graph of neighbours is cut off"
    ids = graph + 8 + 4 * levels
    assert (
        fault(put(EMBEDDINGS, ids, "I", 20)) == "a graph of neighbours, level 0, place 0: 20 is no neighbour (0 to 19)"
    )


def test_embeddings_have_one_number_of_dimensions() -> None:
    """The evaluator reads as many numbers of a row as the tables say."""
    wide = put(EMBEDDINGS, field(EMBEDDINGS, neighbors()[0], 0, of=3), "i", 2**20)
    assert fault(wide) == "a calcer takes embeddings of 1048576 dimensions"
    wide = put(EMBEDDINGS, field(EMBEDDINGS, neighbors()[0], 0, of=3), "i", 4)
    assert fault(wide) == "neighbours have 60 values, not 20 times 4"
    wide = put(EMBEDDINGS, field(EMBEDDINGS, projection(), 2, of=3), "i", 3)
    assert "values, not 3 times 3" in fault(wide)


def test_likelihoods_of_embeddings_are_refused() -> None:
    """CatBoost does not save what it needs for them, and reads beyond what it has instead."""
    # The field is not there, as it is 0. Let it be that of the number of classes, which is 2.
    table = field(EMBEDDINGS, projection(), 3)
    table += read(EMBEDDINGS, table, "I")
    fields = table - read(EMBEDDINGS, table, "i") + 4
    likely = put(EMBEDDINGS, fields + 6, "H", read(EMBEDDINGS, fields + 2, "H"))
    with pytest.raises(Unchecked, match="it has likelihoods of embeddings"):
        check_catboost(likely)


@pytest.mark.parametrize("model", [TEXTS, EMBEDDINGS])
def test_no_number_behind_the_trees_is_read_out_of_its_table(model: bytes) -> None:
    """Each number of the first 2 KiB is changed: the check says so or accepts it, and raises nothing else."""
    behind = 8 + read(model, 4, "I")
    for place in range(behind, min(behind + 2048, len(model) - 4), 4):
        for wrong in (-1, 2**31 - 1, 1 << 20):
            fault(put(model, place, "i", wrong))
