"""Conditions on entries: the grammar, what is refused, and a comparison with a naive evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_inbox.base.instants import canonical_instant
from model_inbox.errors import ConditionError
from model_inbox.model.conditions.condition import Condition, has, parse_condition
from model_inbox.model.conditions.paths import parse_path
from model_inbox.registry.entry import shown

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)

ENTRY: dict[str, Any] = {
    "model_id": "usd_eur_1",
    "model_type": "lightgbm",
    "currency_pair": "USD/EUR",
    "trained_at": "2026-11-20T12:00:00Z",
    "registered_at": "2026-11-20T12:30:00.250000Z",
    "version": "1.10",
    "validation_metrics": {"1d": {"rmse": 0.004, "n": 7}, "7d.mae": 1, "sharpe ratio": -0.5, "rmse (oos)": 2},
    "min_samples": 800,
    "calibration_ok": True,
    "features_used": ["sma_5", "rsi 14"],
    "horizons": [1, 7],
    "size_bytes": 2_000_000,
    "owner": {"name": "alice", "uid": 1001},
    "imports": {"numpy.ndarray": "b"},
    "frameworks": {"sklearn": "1.5.2"},
    "tags": {"stage": "live", "reviewed": ""},
    "description": "",
    "aliases": ["champion"],
    "pinned": False,
    "recorded": {"1d.rmse": {"value": 0.006, "at": "2026-11-27T00:00:00Z"}},
    "provenance": {"git_commit": "3f0a"},
    "held": None,
}


def holds(text: str, entry: Mapping[str, Any] = ENTRY) -> bool:
    return parse_condition(text, NOW).holds(entry)


@pytest.mark.parametrize(
    "text",
    [
        "1d.rmse<0.005",
        "1d.rmse <= 4e-3",
        "1d.rmse==.004",
        "1d.n>6 and 1d.n<8",
        "1d.rmse>1 or 7d.mae=1",
        "7d.mae=1 AND 1d.n=7 Or 1d.n=1",
        '"sharpe ratio" < -0.4',
        "'rmse (oos)'=2",
        "validation_metrics.1d.rmse<0.005",
        "recorded.1d.rmse>0.005",
        "tags.stage=live",
        "tags.stage = 'live'",
        "tags.reviewed=''",
        "tags.reviewed exists",
        "tags.stage!=test",
        "tags.other!=test",
        "tags=stage and tags!=other",
        "tags.other missing",
        "provenance.git_commit=3f0a",
        "frameworks.sklearn=1.5.2",
        "owner=alice and owner.uid=1001",
        "imports=numpy.ndarray and imports.numpy.ndarray=b",
        "features=sma_5",
        "features_used=rsi 14",
        "features!=lag_1",
        "features.sma_5 exists",
        "features.lag_1 missing",
        "horizons=7 and horizons!=30",
        "aliases=champion",
        "version=1.10",
        "pair=USD/EUR and subject=USD/EUR and currency_pair=USD/EUR",
        "type=lightgbm",
        "variant='' and variant missing and variant!=30d",
        "description missing",
        "calibration_ok=true and pinned=no",
        "min_samples>=800",
        "size_bytes<2MB or size_bytes=2MB",
        "held missing",
        "trained_at>2026-11-20",
        "trained_at=2026-11-20",
        "trained_at!=2026-11-21",
        "trained_at!=9999-12-31",
        "trained_at=2026-11-20 13:00:00+01:00",
        "trained_at < 7d ago and registered_at<yesterday",
        "registered_at>2026-11-20T12:30:00.2Z",
    ],
)
def test_what_holds(text: str) -> None:
    """Each form of the language, on an entry for which it holds; the opposite does not hold for it."""
    assert holds(text)


@pytest.mark.parametrize(
    "text",
    [
        "1d.rmse<0.004",
        "1d.mae<1",
        "1d.mae=0",
        "1d<1",
        "1d.rmse>1 or 7d.mae=2",
        "7d.mae=1 and 1d.n=8",
        "recorded.7d.rmse<1",
        "tags.stage='live '",
        "tags.stage=Live",
        "tags=other",
        "tags.stage missing",
        "features=sma",
        "features!=sma_5",
        "horizons=30",
        "variant exists",
        "version=1.1",
        "held exists",
        "calibration_ok=false",
        "calibration_ok!=true",
        "size_bytes<2MB",
        "trained_at>2026-11-21",
        "trained_at=2026-11-21",
        "trained_at=2026-11-20T12:00:01Z",
        "trained_at>=2d ago",
    ],
)
def test_what_does_not_hold(text: str) -> None:
    """A value that is missing fulfils no comparison but `!=`; names and text are compared whole."""
    assert not holds(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is empty"),
        ("1d.rmse<abc", "'1d.rmse' is a metric and so a number, and 'abc' is no number"),
        ("1d.rmse<0,005", "Did you mean 0.005?"),
        ("1d.rmse<nan", "is no number"),
        ("1d.rmse<1e999", "is no number"),
        ("0.001<1d.rmse", "Write the name first"),
        ("trained>yesterday", "Did you mean trained_at?"),
        ("modeltype=lightgbm", "Did you mean model_type?"),
        ("calibration=yes", "Did you mean calibration_ok?"),
        ("tag.stage=live", "Did you mean tags.stage?"),
        ("alias=champion", "Did you mean aliases?"),
        ("version>1.9", "'version' is text, and > compares numbers and times"),
        ("tags.n<5", "'tags.n' is text"),
        ("features>3", "'features' is a list of names"),
        ("calibration_ok>0", "Write calibration_ok=true or calibration_ok=false"),
        ("calibration_ok=1", "Write calibration_ok=true"),
        ("trained_at>abc", "write it like 2025-10-25T12:00:00Z"),
        ("size_bytes<20G", "write it like '500MB'"),
        ("min_samples=many", "'min_samples' is a number"),
        ("features.'\x08'>3", "Write features.\\x08=true"),
        ("horizons=week", "'horizons' contains numbers"),
        ("verdict=x", "'verdict exists'"),
        ("owner.shoe=42", "the parts of owner are name and uid"),
        ("tags.=x", "the name of a part of tags is missing"),
        ("trained_at.x=1", "'validation_metrics.trained_at.x'"),
        ("pinned", "Write pinned=true"),
        ("not pinned", "Write pinned=true"),
        ("has 1d.rmse", "'1d.rmse exists'"),
        ("sharpe ratio>1", 'Put a name with spaces into double quotes: "sharpe ratio"'),
        ("1d.rmse<1 7d.mae<1", "Write 'and' between two comparisons"),
        ("1d.rmse<1 and", "there is no comparison after 'and'"),
        ("or 1d.rmse<1", "there is no comparison before 'or'"),
        ("1d.rmse<1 and or 1d.n=1", "there is no comparison before 'or'"),
        ("<1", "there is no name before <"),
        ("1d.rmse<", "there is no value after <"),
        ("1d.rmse=<1", "Write <="),
        ("1d.rmse<>1", "Write !="),
        ("1d.rmse<1 && 1d.n=1", "Write and"),
        ("(1d.rmse<1)", "Write without parentheses"),
        ("!pinned", "NAME=false"),
        ("'1d.rmse<1", "a quote has no end"),
        ("''=1", "it is empty"),
        ("x" * 5000, "more than 4096 characters"),
        ("a" + ".b" * 100 + "<1", "more than 64 dots"),
        ("a\x1b[2Jb=c", "a\\x1b[2Jb"),
    ],
)
def test_what_is_refused_with_what_was_meant(text: str, said: str) -> None:
    """Every mistake is one error, which says what was found and what to write, with nothing unprintable in it."""
    with pytest.raises(ConditionError) as raised:
        parse_condition(text, NOW)
    assert said in str(raised.value)
    assert str(raised.value).isprintable()


def test_a_condition_of_its_own_longest_size() -> None:
    """Hundreds of comparisons, and names of many parts, are evaluated as few are."""
    assert holds(" or ".join(["a<1"] * 500 + ["1d.n=7"]))
    assert not holds(" and ".join(["1d.n=7"] * 300 + ["a<1"]))
    assert not holds("a" + ".b" * 64 + "<1")


@pytest.mark.parametrize("value", [None, "0.004", True, [0.004], {}, {"rmse": None}, {"rmse": "x"}])
def test_values_of_another_kind_are_missing(value: Any) -> None:
    """An entry that was made elsewhere may have anything anywhere. Nothing is raised."""
    for name, kind in [("1d.rmse", "<1"), ("trained_at", "<now"), ("min_samples", ">0"), ("sequence", "<9")]:
        first = name.partition(".")[0]
        entry = {"validation_metrics": {first: value}} if "." in name else {name: value}
        assert not holds(name + kind, entry)
    for field in ("validation_metrics", "tags", "recorded", "features_used", "owner", "provenance"):
        for text in ("1d.rmse<1", "tags.a=b", "recorded.a<1", "features=a", "features.a exists", "owner.uid=1"):
            assert not holds(text, {field: value})


def test_has_finds_names_and_text() -> None:
    """The conditions of options are made without text, so that no name needs quotes."""
    assert has(parse_path("tags.stage")).holds(ENTRY)
    assert has(parse_path("tags.stage"), "live").holds(ENTRY)
    assert has(parse_path("aliases"), "champion").holds(ENTRY)
    assert not has(parse_path("aliases"), "champion or x").holds(ENTRY)


# --- against a naive evaluation ------------------------------------------------------------------------------

PARTS = st.sampled_from(["a", "b", "a.b", "1d", "and"])
NUMBERS = st.one_of(st.integers(-3, 3), st.floats(-2, 2, allow_nan=False).map(lambda x: round(x, 1)))
MOMENTS = st.integers(-3 * 86400, 3 * 86400).map(lambda seconds: NOW + timedelta(seconds=seconds, microseconds=500))
WORDS = st.sampled_from(["", "x", "live", "a b", 'q"uote', "back\\slash", "or", "<5", "(z)"])
METRICS = st.recursive(
    st.dictionaries(PARTS, NUMBERS, max_size=3),
    lambda inner: st.dictionaries(PARTS, st.one_of(NUMBERS, inner), max_size=3),
    max_leaves=6,
)
ENTRIES = st.fixed_dictionaries(
    {},
    optional={
        "validation_metrics": METRICS,
        "tags": st.dictionaries(PARTS, WORDS, max_size=2),
        "recorded": st.dictionaries(PARTS, NUMBERS.map(lambda value: {"value": value, "at": ""}), max_size=2),
        "features_used": st.lists(PARTS, max_size=3),
        "variant": WORDS,
        "pinned": st.booleans(),
        "min_samples": st.integers(0, 3),
        "trained_at": st.one_of(MOMENTS.map(canonical_instant), st.just("never"), st.none()),
    },
)
ORDER = ["<", "<=", ">", ">="]
EQUAL = ["=", "==", "!="]


def in_quotes(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def comparing(path: st.SearchStrategy[str], value: st.SearchStrategy[Any], signs: list[str]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.tuples(path, st.sampled_from(signs), value), st.tuples(path, st.sampled_from(["exists", "missing"]))
    )


NAMES = st.lists(PARTS, min_size=1, max_size=3).map(".".join)
COMPARISONS = st.one_of(
    comparing(NAMES, NUMBERS, ORDER + EQUAL),
    comparing(NAMES.map("recorded.{}".format), NUMBERS, ORDER + EQUAL),
    comparing(PARTS.map("tags.{}".format), WORDS, EQUAL),
    comparing(st.just("features"), PARTS, EQUAL),
    comparing(st.just("variant"), WORDS, EQUAL),
    comparing(st.just("pinned"), st.booleans(), EQUAL),
    comparing(st.just("min_samples"), st.integers(0, 3), ORDER + EQUAL),
    comparing(st.just("trained_at"), MOMENTS, ORDER + EQUAL),
)


def ways(metrics: Mapping[str, Any], name: str) -> Iterator[tuple[list[int], float]]:
    """Every number whose keys, joined by dots, are the name, with the lengths of its keys."""
    for key, value in metrics.items():
        if key == name and not isinstance(value, dict):
            yield [len(key)], value
        elif isinstance(value, dict) and name.startswith(f"{key}."):
            yield from (([len(key), *rest], found) for rest, found in ways(value, name[len(key) + 1 :]))


def naive_value(entry: Mapping[str, Any], name: str) -> Any:
    first, _, rest = name.partition(".")
    if name in ("variant", "pinned", "min_samples"):
        return entry.get(name) if entry.get(name) != "" else None
    if name == "features":
        return entry.get("features_used") or None
    if name == "trained_at":
        text = entry.get(name)
        return datetime.fromisoformat(text) if text and text != "never" else None
    if first == "tags":
        return entry.get("tags", {}).get(rest)
    if first == "recorded":
        return entry.get("recorded", {}).get(rest, {}).get("value")
    return min(ways(entry.get("validation_metrics", {}), name), default=(None, None))[1]


def naive(entry: Mapping[str, Any], path: str, sign: str, wanted: Any = None) -> bool:
    value = naive_value(entry, path)
    if sign in ("exists", "missing"):
        return (value is None) == (sign == "missing")
    if sign in ("=", "=="):
        if path == "features":
            return value is not None and wanted in value
        return bool(value == wanted or (path == "variant" and value is None and wanted == ""))
    if sign == "!=":
        return not naive(entry, path, "=", wanted)
    compared: Mapping[str, Any] = {
        "<": lambda: value < wanted,
        "<=": lambda: value <= wanted,
        ">": lambda: value > wanted,
        ">=": lambda: value >= wanted,
    }
    return value is not None and bool(compared[sign]())


def written(path: str, sign: str, *value: Any) -> str:
    if not value:
        return f"{in_quotes(path)} {sign}"
    text = canonical_instant(value[0]) if isinstance(value[0], datetime) else str(value[0])
    return f"{in_quotes(path)}{sign}{in_quotes(text)}"


@given(st.lists(st.lists(COMPARISONS, min_size=1, max_size=3), min_size=1, max_size=3), ENTRIES)
def test_a_condition_holds_as_a_naive_evaluation_says(
    any_of: list[list[tuple[Any, ...]]], entry: dict[str, Any]
) -> None:
    """Of stored entries and of those that the API shows, whatever metrics and tags are called."""
    text = " or ".join(" and ".join(written(*one) for one in all_of) for all_of in any_of)
    expected = any(all(naive(entry, *one) for one in all_of) for all_of in any_of)
    condition = parse_condition(text, NOW)
    assert condition.holds(entry) == expected
    assert condition.holds(shown(entry, "/models")) == expected


@given(st.text(st.sampled_from("ab.1<>=!\"' \\()&|\x1b,é")) | st.text())
def test_any_text_is_a_condition_or_refused(text: str) -> None:
    """One type of error, for whatever is written; a condition can be evaluated for anything."""
    try:
        condition = parse_condition(text, NOW)
    except ConditionError as error:
        assert str(error).isprintable()
    else:
        assert isinstance(condition, Condition)
        assert condition.holds(ENTRY) in (True, False)
