"""The tables behind CatBoost's trees that turn texts into numbers: tokenizers, dictionaries and calcers. Pure.

CatBoost takes them as they are (`TTextProcessingCollection` in catboost/private/libs/text_features, `TMMapDictionary`
in library/cpp/text_processing/dictionary): hash tables that it searches until it meets an empty place, places of
calcers, numbers of classes, and flatbuffers that it does not verify.
"""

from __future__ import annotations

from typing import Final

from .byte_stream import ByteStream
from .catboost_calcers import CLASSES_MAX, Calcer, Calculated, check_outputs, lists_of, next_calcer, next_part
from .fault import NotATree, check_inside, require
from .flatbuffer import root_table

__all__ = ["check_texts"]

_TOKENIZER_IDS, _DICTIONARY_IDS, _CALCER_IDS, _DIGITIZERS, _CALCERS = range(5)
_TOKENIZER, _DICTIONARY, _CALCER, _END = range(4)
_BAG_OF_WORDS, _NAIVE_BAYES, _BM25 = range(3)
_TYPES: Final = {_BAG_OF_WORDS: 3, _NAIVE_BAYES: 2, _BM25: 1}
_EMPTY_BUCKET: Final = 2**64 - 1
_EMPTY_TOKEN: Final = 2**32 - 1
_GRAMS_MAX: Final = {0: 5, 1: 1000}
"""By the level of tokens, words or letters: how many of them can be one entry of a dictionary."""
_SKIP_MAX: Final = 1000


def check_texts(stream: ByteStream) -> Calculated:
    """Check the part of a model with all tables for texts."""
    stream.magic(b"text_process_v2")
    header = stream.table()
    ids = {}
    for kind, field in ((_TOKENIZER, _TOKENIZER_IDS), (_DICTIONARY, _DICTIONARY_IDS), (_CALCER, _CALCER_IDS)):
        header.require_vector(field)
        ids[kind] = [b"".join(one) for one in header.structs(field, "16s")]
    all_ids = [one for some in ids.values() for one in some]
    require(len(set(all_ids)) == len(all_ids), "two tables for texts have one identifier")
    require(len(ids[_TOKENIZER]) == len(ids[_DICTIONARY]), "there is not one dictionary for each tokenizer")
    outputs = _check_parts(stream, ids)
    digitizers, calcers = lists_of(header, _DIGITIZERS), lists_of(header, _CALCERS)
    check_inside((one for some in digitizers for one in some), len(ids[_DICTIONARY]), "texts", "dictionary")
    require(all(some and len(set(some)) == len(some) for some in digitizers), "a text has no dictionary, or one twice")
    require(sum(map(len, digitizers)) == len(calcers), "there are other lists of calcers than dictionaries of texts")
    check_outputs(calcers, len(ids[_CALCER]), list(outputs.values()))
    feature_of = {}
    place = 0
    for feature, some in enumerate(digitizers):
        require(bool(calcers[place]), "the first dictionary of a text has no calcer")
        for one in calcers[place : place + len(some)]:
            feature_of.update({ids[_CALCER][number]: feature for number in one})
        place += len(some)
    return Calculated(len(digitizers), outputs, feature_of)


def _check_parts(stream: ByteStream, ids: dict[int, list[bytes]]) -> dict[bytes, int]:
    """Check each part. Return the number of outputs of each calcer."""
    missing = {kind: set(some) for kind, some in ids.items()}
    outputs = {}
    while True:
        kind, part = next_part(stream)
        if kind == _END:
            break
        require(kind in missing and part in missing[kind], "there is a table for texts that the header does not name")
        missing[kind].remove(part)
        if kind == _TOKENIZER:
            own = _check_tokenizer(stream)
        elif kind == _DICTIONARY:
            own = _check_dictionary(stream)
        else:
            calcer = next_calcer(stream, b"FeatureCalcerV1", _TYPES)
            _check_calcer(stream, calcer)
            own = calcer.id
            outputs[own] = len(calcer.active)
        require(own == part, "a table for texts has two identifiers")
    require(not any(missing.values()), "a table for texts is missing")
    return outputs


def _check_tokenizer(stream: ByteStream) -> bytes:
    stream.magic(b"TokenizerV1")
    identifier = stream.take(16)
    for _ in ("to lower case", "to lemmas"):
        stream.flag()
    stream.choice(3, "way with numbers")
    stream.take(stream.size())
    stream.choice(2, "way to find tokens")
    delimiter = stream.take(stream.size())
    require(len(delimiter) > 0, "a tokenizer has no delimiter")
    for _ in ("each character alone", "no empty tokens"):
        stream.flag()
    for _ in range(stream.size()):
        stream.choice(6, "kind of tokens")
    stream.choice(2, "way with parts of tokens")
    stream.vector("<I")
    return identifier


def _check_dictionary(stream: ByteStream) -> bytes:
    stream.magic(b"DictionaryV1")
    identifier = stream.take(16)
    stream.magic(b"MMapDictionary")
    begin, size = stream.place, stream.number("Q")
    information = root_table(stream.take(stream.number("Q")))
    options = information.table(1)
    if options is None:
        raise NotATree("a dictionary has no options")
    level, grams, skip = options.number(0, "b"), options.number(1, "i", 1), options.number(2, "i")
    require(level in _GRAMS_MAX, f"a dictionary has tokens of no known level ({level})")
    require(1 <= grams <= _GRAMS_MAX[level], f"a dictionary has entries of {grams} tokens")
    require(0 <= skip <= _SKIP_MAX, f"a dictionary skips {skip} tokens")
    require({options.number(4, "b", 1), options.number(5, "b")} <= {0, 1}, "a dictionary ends texts in no known way")
    for _ in range(1 if level == 1 or grams == 1 else 2):
        _check_buckets(stream)
    require(stream.place - begin == size, f"a dictionary says it has {size} bytes, and has {stream.place - begin}")
    return identifier


def _check_buckets(stream: ByteStream) -> None:
    size, _seed = stream.number("Q"), stream.number("Q")
    count, rest = divmod(size, 16)
    require(rest == 0 and count > 0 and count & (count - 1) == 0, "a dictionary has no table of a power of two")
    buckets = stream.take(size)
    empty = sum(buckets.startswith(b"\xff" * 8, place) for place in range(0, size, 16))
    # CatBoost makes its tables at least twice as large as what is in them.
    require(2 * empty >= count, "a table of a dictionary is more than half full")


def _check_calcer(stream: ByteStream, calcer: Calcer) -> None:
    parameters = calcer.parameters
    if calcer.kind == _BAG_OF_WORDS:
        calcer.check_active(parameters.number(0, "I"))
        return
    classes = parameters.number(0, "I")
    require(1 <= classes <= CLASSES_MAX, f"a calcer has {classes} classes")
    counts = {_NAIVE_BAYES: ((4, "I"), (5, "Q")), _BM25: ((5, "Q"),)}[calcer.kind]
    for field, code in counts:
        parameters.require_vector(field)
        _require_classes(parameters.count(field, 4 if code == "I" else 8), classes)
    calcer.check_active(classes)
    tables = stream.size()
    _require_classes(tables, classes)
    for _ in range(tables):
        _check_frequencies(stream)


def _require_classes(found: int, classes: int) -> None:
    require(found == classes, f"a calcer has {classes} classes, and numbers for {found}")


def _check_frequencies(stream: ByteStream) -> None:
    mask, _filled, _limit = stream.number("Q"), stream.number("Q"), stream.number("Q")
    buckets = stream.vector("<II")
    count = len(buckets)
    require(count > 0 and count & (count - 1) == 0 and mask == count - 1, "a calcer has no table of a power of two")
    marker, _count = stream.number("I"), stream.number("I")
    require(marker == _EMPTY_TOKEN, f"a calcer marks empty places with {marker}")
    empty = sum(token == marker for token, _ in buckets)
    require(2 * empty >= count, "a table of a calcer is more than half full")
