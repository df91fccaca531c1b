"""The tables behind CatBoost's trees that turn embeddings into numbers: projections and neighbours. Pure.

CatBoost takes them as they are (`TEmbeddingProcessingCollection` in catboost/private/libs/embedding_features): sizes of
matrices, classes of neighbours, and a graph of them that it walks (`TOnlineHnswIndexReader` in library/cpp).
"""

from __future__ import annotations

import struct
from typing import Final

from .byte_stream import ByteStream
from .catboost_calcers import CLASSES_MAX, Calcer, Calculated, check_outputs, lists_of, next_calcer, next_part
from .fault import NotATree, Unchecked, check_inside, require

__all__ = ["check_embeddings"]

_PROJECTION, _NEIGHBORS = 3, 4
_TYPES: Final = {_PROJECTION: 1, _NEIGHBORS: 2}
_DIMENSIONS_MAX: Final = 1 << 14
"""CatBoost reads as many numbers of an embedding, whatever its length: it keeps no other number to compare it with."""


def check_embeddings(stream: ByteStream) -> Calculated:
    """Check the part of a model with all tables for embeddings."""
    stream.magic(b"embed_process_1")
    header = stream.table()
    header.require_vector(0)
    ids = [b"".join(one) for one in header.structs(0, "16s")]
    require(len(set(ids)) == len(ids), "two tables for embeddings have one identifier")
    missing = set(ids)
    outputs, dimensions = {}, {}
    for _ in ids:
        kind, part = next_part(stream)
        require(kind == 0 and part in missing, "there is a table for embeddings that the header does not name")
        missing.remove(part)
        calcer = next_calcer(stream, b"EmbedCalcerV1", _TYPES)
        require(calcer.id == part, "a table for embeddings has two identifiers")
        dimensions[part] = _dimensions_of(calcer)
        check = _check_projection if calcer.kind == _PROJECTION else _check_neighbors
        outputs[part] = check(stream, calcer, dimensions[part])
    used = lists_of(header, 1)
    require(all(used), "an embedding has no calcer")
    check_outputs(used, len(ids), list(outputs.values()))
    for some in used:
        require(len({dimensions[ids[number]] for number in some}) == 1, "an embedding has two numbers of dimensions")
    feature_of = {ids[number]: feature for feature, some in enumerate(used) for number in some}
    return Calculated(len(used), outputs, feature_of)


def _dimensions_of(calcer: Calcer) -> int:
    dimensions: int = calcer.parameters.number(0, "i")
    require(1 <= dimensions <= _DIMENSIONS_MAX, f"a calcer takes embeddings of {dimensions} dimensions")
    return dimensions


def _check_projection(_stream: ByteStream, calcer: Calcer, dimensions: int) -> int:
    parameters = calcer.parameters
    classes: int = parameters.number(1, "i")
    projected: int = parameters.number(2, "i")
    likelihoods, by_class = parameters.number(3, "b") != 0, parameters.number(5, "b", 1) != 0
    require(1 <= projected <= dimensions, f"a projection goes from {dimensions} to {projected} dimensions")
    require(0 <= classes <= CLASSES_MAX, f"a calcer has {classes} classes")
    if likelihoods and by_class:
        # CatBoost does not save what it calculates them from, and reads what it has for two dimensions.
        raise Unchecked("it has likelihoods of embeddings")
    parameters.require_vector(4)
    values = parameters.count(4, 4)
    require(values == projected * dimensions, f"a matrix has {values} values, not {projected} times {dimensions}")
    calcer.check_active(projected)
    return projected + (classes if likelihoods else 0)


def _check_neighbors(stream: ByteStream, calcer: Calcer, dimensions: int) -> int:
    parameters = calcer.parameters
    classes, items, by_class = parameters.number(1, "I"), parameters.number(3, "I"), parameters.number(4, "b", 1) != 0
    outputs: int = classes if by_class else 1
    require(1 <= outputs <= CLASSES_MAX, f"a calcer has {outputs} classes")
    targets = stream.vector("<I")
    require(len(targets) == items, f"there are {items} neighbours, and answers of {len(targets)}")
    if by_class:
        check_inside((target for (target,) in targets), outputs, "neighbours", "class")
    _check_graph(stream.take(stream.size()), items)
    values = stream.size()
    require(values == items * dimensions, f"neighbours have {values} values, not {items} times {dimensions}")
    stream.take(4 * values)
    calcer.check_active(outputs)
    return outputs


def _check_graph(data: bytes, items: int) -> None:
    """Check a graph of levels. The neighbours that are found in one are where the search goes on in the next."""
    require(len(data) % 4 == 0 and len(data) >= 8, "a graph of neighbours is cut off")
    numbers = struct.unpack(f"<{len(data) // 4}I", data)
    most, levels = numbers[:2]
    require(most > 0 and 2 + levels <= len(numbers), "a graph of neighbours is cut off")
    sizes, place = numbers[2 : 2 + levels], 2 + levels
    before = items
    for level, size in enumerate(sizes):
        if not 1 <= size <= before:
            raise NotATree(f"a graph of neighbours has {size} in level {level}, and {before} below")
        count = min(most, size - 1) * size
        require(place + count <= len(numbers), "a graph of neighbours is cut off")
        check_inside(numbers[place : place + count], size, f"a graph of neighbours, level {level}", "neighbour")
        place, before = place + count, size
    require(place == len(numbers), "there is something behind a graph of neighbours")
