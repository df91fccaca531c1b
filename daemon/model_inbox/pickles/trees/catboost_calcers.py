"""What CatBoost's tables of texts and of embeddings share: parts with identifiers, and which calculates for what. Pure.

A *calcer* turns a text or an embedding into numbers, its outputs. CatBoost keeps the outputs of all calcers in one row,
and takes the places in it from the file (`CalcRuntimeData` of its two collections).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .byte_stream import ByteStream
from .fault import NotATree, check_inside, require
from .flatbuffer import Table

__all__ = ["CLASSES_MAX", "Calcer", "Calculated", "check_outputs", "lists_of", "next_calcer", "next_part"]

CLASSES_MAX = 1 << 16
_OUTPUTS_MAX = 1 << 17
"""The evaluator allocates 512 bytes for each."""
_ID, _ACTIVE, _TYPE, _PARAMETERS = range(4)
"""The fields of a calcer."""


@dataclass(frozen=True)
class Calcer:
    """A calcer before its parameters are checked. `kind` is that of CatBoost's EFeatureCalcerType."""

    id: bytes
    kind: int
    active: Sequence[int]
    parameters: Table

    def check_active(self, results: int) -> None:
        """Check which of the results of its calculation are outputs."""
        check_inside(self.active, results, "a calcer, outputs", "result")
        require(len(self.active) <= results, f"a calcer has {len(self.active)} outputs, and calculates {results}")


@dataclass(frozen=True)
class Calculated:
    """What a collection calculates, for how many features, by the identifiers of its calcers.

    `outputs` is the number of outputs of each calcer, `feature_of` the feature that it is for.
    """

    features: int
    outputs: Mapping[bytes, int]
    feature_of: Mapping[bytes, int]


def next_part(stream: ByteStream) -> tuple[int, bytes]:
    """Return the kind and the identifier of the part that follows. CatBoost does not verify this flatbuffer."""
    part = stream.table()
    return part.number(0, "B"), part.struct_bytes(1, 16)


def next_calcer(stream: ByteStream, magic: bytes, types: Mapping[int, int]) -> Calcer:
    """Read a calcer. `types` has for each kind the type of the parameters, which CatBoost takes without a look."""
    stream.magic(magic)
    kind = stream.number("I")
    calcer = stream.table()
    require(kind in types, f"there is a calcer of kind {kind}")
    parameters = calcer.table(_PARAMETERS)
    if calcer.number(_TYPE, "B") != types[kind] or parameters is None:
        raise NotATree("a calcer has the parameters of another one")
    calcer.require_vector(_ACTIVE)
    return Calcer(calcer.struct_bytes(_ID, 16), kind, calcer.numbers(_ACTIVE, "I"), parameters)


def lists_of(header: Table, field: int) -> list[list[int]]:
    """Return a vector of lists of numbers."""
    header.require_vector(field)
    lists = header.tables(field)
    for one in lists:
        one.require_vector(0)
    return [one.numbers(0, "I") for one in lists]


def check_outputs(used: Sequence[Sequence[int]], calcers: int, outputs: Sequence[int]) -> None:
    """Check which calcers are for what. The first of a feature tells where the outputs of the others are."""
    numbers = [number for one in used for number in one]
    check_inside(numbers, calcers, "calcers of a feature", "calcer")
    require(len(set(numbers)) == len(numbers), "a calcer is for two features")
    total = sum(outputs)
    require(total <= _OUTPUTS_MAX, f"texts and embeddings become {total} numbers, more than {_OUTPUTS_MAX}")
