"""CatBoost's model: whether its evaluator gets what it trusts. Pure.

The model is a header, a flatbuffer with features and trees, and tables of statistics behind it. The fields are numbered
as in catboost/libs/model/flatbuffers/model.fbs and features.fbs of its sources. CatBoost verifies the flatbuffer's
offsets, and follows splits, sizes and leaves without a check (`TModelTrees` in catboost/libs/model/model.cpp). A tree
is symmetric (all nodes of a depth ask the same question, so it is only a list of splits), or a list of nodes, each with
the distance to its two children.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

from .byte_stream import ByteStream
from .catboost_calcers import Calculated
from .catboost_embeddings import check_embeddings
from .catboost_statistics import Known, check_base, check_statistics, key_of
from .catboost_texts import check_texts
from .fault import NotATree, Unchecked, check_inside, require
from .flatbuffer import Table, root_table

__all__ = ["check_catboost"]

_MAGIC = b"CBM1"
_VERSION = "FlabuffersModel_v1"
_DEPTH_MAX = 16
"""CatBoost itself grows no deeper symmetric tree."""
_DIMENSIONS_MAX = 1 << 20
_INDEX_MAX = 10_000_000
_STATISTICS_PART, _TEXTS_PART, _EMBEDDINGS_PART = "static_provider_v1", "text_process_v2\0", "embed_process_1\0"
_PARTS = (_STATISTICS_PART, _TEXTS_PART, _EMBEDDINGS_PART)
"""The parts behind the trees, in the order in which CatBoost writes them."""
_WHERE = "the trees"

# Numbers of the fields of TModelTrees.
_DIMENSION, _SPLITS, _SIZES, _STARTS, _CATEGORICAL, _FLOAT, _ONE_HOT, _STATISTIC = range(8)
_LEAF_VALUES, _LEAF_WEIGHTS, _STEPS, _LEAF_OF_NODE, _TEXT, _ESTIMATED = range(8, 14)
_MULTI_BIAS, _PACKED, _EMBEDDING = 16, 17, 18
_BORDERS = {_FLOAT: 3, _ESTIMATED: 3, _ONE_HOT: 1, _STATISTIC: 1}
"""For each kind of feature, the field of its table with its borders or values: each of them is one possible split."""
_USED = (3, 4)
"""The fields of texts and embeddings that tell whether the model uses them."""
_BORDERS_OF_BUCKET = 254
"""The evaluator keeps a byte for this many borders of a feature."""
_POSITIONS = {_FLOAT: (1, 2), _CATEGORICAL: (0, 1), _TEXT: (0, 1), _EMBEDDING: (0, 1)}
"""The fields with the place of a feature: among those of its kind, and in a row of data."""


def check_catboost(data: bytes) -> None:
    """Check the bytes of a model. Raise NotATree for what CatBoost would not survive."""
    require(data[:4] == _MAGIC and len(data) >= 8, "the model does not begin as CatBoost's do")
    size = int.from_bytes(data[4:8], "little")
    require(size <= len(data) - 8, "the model is cut off")
    core = root_table(data[8 : 8 + size])
    require(core.text(0) == _VERSION, "the model has another format than FlabuffersModel_v1")
    trees = core.table(1)
    if trees is None:
        raise NotATree("the model has no trees")
    dimensions = trees.number(_DIMENSION, "i")
    require(1 <= dimensions <= _DIMENSIONS_MAX, f"the model has {dimensions} outputs")
    require(trees.count(_MULTI_BIAS, 8) in (0, 1, dimensions), "the model has another number of biases than of outputs")
    _check_positions(trees)
    parts = core.texts(3)
    if parts != [part for part in _PARTS if part in parts]:
        raise Unchecked("it has other parts than trees, statistics, texts and embeddings")
    _check_calculated(trees, _check_parts(trees, parts, data[8 + size :]))
    splits, sizes, starts = (trees.numbers(field, "i") for field in (_SPLITS, _SIZES, _STARTS))
    borders = [feature.count(field, 4) for kind, field in _BORDERS.items() for feature in trees.tables(kind)]
    known = sum(borders)
    if splits and not 0 <= min(splits) <= max(splits) < known:
        check_inside(splits, known, f"{_WHERE}, splits", "split")
    require(not sizes or min(sizes) >= 0, f"{_WHERE} have a size below 0")
    require(
        sum(sizes) == len(splits), f"{_WHERE}: the sizes add up to {sum(sizes)}, and there are {len(splits)} splits"
    )
    bounds = [0, *accumulate(sizes)]
    require(starts == bounds[:-1], f"{_WHERE}: a tree does not begin where the one before it ends")
    buckets = sum(-(-count // _BORDERS_OF_BUCKET) for count in borders)
    packed = trees.structs(_PACKED, "<HBB")
    require(len(packed) in (0, len(splits)), f"{_WHERE} have {len(packed)} packed splits, not {len(splits)}")
    check_inside((bucket for bucket, _, _ in packed), buckets, f"{_WHERE}, packed splits", "bucket of a feature")
    values = trees.count(_LEAF_VALUES, 8)
    steps = trees.structs(_STEPS, "<HH")
    leaf_of = trees.numbers(_LEAF_OF_NODE, "I")
    # For CatBoost trees are symmetric only without both.
    if steps or leaf_of:
        leaves = _check_nodes(steps, leaf_of, bounds, dimensions, values)
    else:
        leaves = _check_symmetric(sizes, dimensions, values)
    weights = trees.count(_LEAF_WEIGHTS, 8)
    require(weights in (0, leaves // dimensions), f"{_WHERE} have {weights} weights of leaves")


def _check_positions(trees: Table) -> None:
    """CatBoost makes its rows as wide as the last feature of each kind needs, so the numbers have to rise."""
    flat_places: set[int] = set()
    for kind, fields in _POSITIONS.items():
        own, flat = -1, -1
        for feature in trees.tables(kind):
            places = [feature.number(field, "i", -1) for field in fields]
            require(
                own < places[0] < _INDEX_MAX and flat < places[1] < _INDEX_MAX and places[1] not in flat_places,
                f"the model has a feature with the numbers {places[0]} and {places[1]}, which do not rise",
            )
            own, flat = places
            flat_places.add(flat)


def _check_parts(trees: Table, parts: Sequence[str], data: bytes) -> Sequence[Calculated | None]:
    """Check the tables behind the trees. Return what those of texts and of embeddings calculate."""
    stream = ByteStream(data)
    stream.take(_check_statistics(trees, parts, data))
    texts = check_texts(stream) if _TEXTS_PART in parts else None
    embeddings = check_embeddings(stream) if _EMBEDDINGS_PART in parts else None
    require(not parts or stream.left == 0, "there is something behind the tables of the model")
    return (texts, embeddings)


def _check_calculated(trees: Table, calculated: Sequence[Calculated | None]) -> None:
    """Check the features that are calculated from texts and embeddings: which calcer, and which of its outputs."""
    known = [{source.number(0, "i", -1): source for source in trees.tables(field)} for field in (_TEXT, _EMBEDDING)]
    for sources, used, by in zip(known, _USED, calculated, strict=True):
        if by is None:
            continue
        for number, source in sources.items():
            # CatBoost calculates for those that are marked as used.
            require(
                number < by.features or not source.number(used, "b", 1),
                f"the model has text or embedding {number}, and tables for {by.features}",
            )
    for number, feature in enumerate(trees.tables(_ESTIMATED)):
        where, kind = f"calculated feature {number}", feature.number(4, "b")
        by = calculated[kind] if kind in (0, 1) else None
        if by is None:
            raise NotATree(f"{where} is of a kind without tables")
        id_, output = feature.struct_bytes(1, 16), feature.number(2, "i", -1)
        outputs = by.outputs.get(id_, 0)
        require(0 <= output < outputs, f"{where} is output {output}, and its calcer has {outputs}")
        source_number = feature.number(0, "i", -1)
        require(
            source_number in known[kind] and by.feature_of.get(id_) == source_number,
            f"{where} is calculated from text or embedding {source_number}, which is another one",
        )


def _check_statistics(trees: Table, parts: Sequence[str], data: bytes) -> int:
    """Check the features that stand for categories by statistics. Return how many bytes their tables take."""
    known = Known(
        {feature.number(0, "i", -1) for feature in trees.tables(_CATEGORICAL)},
        {feature.number(1, "i", -1) for feature in trees.tables(_FLOAT)},
    )
    for feature in trees.tables(_ONE_HOT):
        number = feature.number(0, "i", -1)
        require(number in known.categorical, f"the model has values of category {number}, which is no feature")
    end, classes = check_statistics(data, known) if _STATISTICS_PART in parts else (0, {})
    for number, feature in enumerate(trees.tables(_STATISTIC)):
        where = f"statistic {number}"
        statistic = feature.table(0)
        if statistic is None:
            raise NotATree(f"{where} has no features")
        table = classes.get(key_of(*check_base(statistic.table(0), known, where)))
        if table is None:
            raise NotATree(f"{where} has no table")
        border = statistic.number(1, "i")
        require(0 <= border < max(1, table), f"{where} has border {border}, and its table has {table} classes")
    return end


def _check_symmetric(sizes: Sequence[int], dimensions: int, values: int) -> int:
    deepest = max(sizes, default=0)
    require(deepest <= _DEPTH_MAX, f"{_WHERE}: a symmetric tree is {deepest} deep, more than {_DEPTH_MAX}")
    wanted = sum(1 << size for size in sizes) * dimensions
    require(values == wanted, f"{_WHERE} have {values} values of leaves, not {wanted}")
    return values


def _check_nodes(
    steps: Sequence[tuple[Any, ...]], leaf_of: Sequence[int], bounds: Sequence[int], dimensions: int, values: int
) -> int:
    """Check trees of nodes. A node without a distance on a side ends there, and has a leaf."""
    require(
        len(steps) == len(leaf_of) == bounds[-1],
        f"{_WHERE} have {bounds[-1]} nodes, {len(steps)} distances and {len(leaf_of)} leaves of nodes",
    )
    for tree, (begin, end) in enumerate(pairwise(bounds)):
        require(begin < end, f"tree {tree} has no nodes")
        parents = 0
        found = set()
        for node in range(begin, end):
            left, right = steps[node]
            for distance in (left, right):
                if distance:
                    parents += 1
                    found.add(node + distance)
                    require(
                        node + distance < end, f"tree {tree}, node {node - begin}: its child is outside of the tree"
                    )
            if not (left and right):
                leaf = leaf_of[node]
                # The place of the first of its values.
                require(
                    leaf + dimensions <= values,
                    f"tree {tree}, node {node - begin}: its leaf begins at {leaf}, and there are {values} values",
                )
        require(
            parents == len(found) == end - begin - 1,
            f"tree {tree}: {end - begin - 1 - len(found)} nodes are the child of no node, or of two",
        )
    return values
