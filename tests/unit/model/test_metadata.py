"""What may be registered: ids, instants, and every check on the metadata of a model."""

# ruff: noqa: DTZ001 - datetimes without a zone are a case of their own here
from __future__ import annotations

import copy
import json
import math
from array import array
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_inbox.base.instants import canonical_instant, parse_instant, read_instant
from model_inbox.model.checks import check_fields, check_metadata
from model_inbox.model.metadata import MODEL_ID, REQUIRED_FIELDS, ModelMetadata, fields_of, id_fault, is_valid_id
from model_inbox.problems import Problem

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def metadata(**changes: Any) -> ModelMetadata:
    """Return metadata with nothing wrong but for the changes."""
    fields: dict[str, Any] = {
        "model_id": "lgbm_usdeur_1d",
        "model_type": "lightgbm",
        "currency_pair": "USD/EUR",
        "trained_at": datetime(2025, 10, 25, 12, 0, tzinfo=UTC),
        "version": "1.10",
        "validation_metrics": {"1d": {"rmse": 0.012}, "coverage": 0.9},
        "min_samples": 500,
        "calibration_ok": True,
        "features_used": ["sma_5", "rsi_14"],
        "horizons": [1, 7, 30],
    }
    return ModelMetadata(**{**fields, **changes})


def problems(**changes: Any) -> list[Problem]:
    return check_metadata(metadata(**changes), now=NOW)


def places(**changes: Any) -> list[tuple[str, str | None]]:
    return [(problem.code.removeprefix("sidecar."), problem.field) for problem in problems(**changes)]


# --- the values ------------------------------------------------------------------------------------------


def test_the_first_fields_are_positional_and_tags_and_description_by_name_only() -> None:
    """The order of the fields is part of the API; what came later cannot disturb it."""
    calibrated = True
    made = ModelMetadata("a", "lgbm", "USD/EUR", "2025-10-25", "1", {}, 5, calibrated, [], [1], "/m.pkl", None)
    assert (made.model_path, made.scaler_path, made.tags, made.description) == ("/m.pkl", None, {}, "")
    made.model_path = "/other.pkl"
    assert made.model_path == "/other.pkl"
    with pytest.raises(TypeError):
        ModelMetadata("a", "b", "c", "d", "1", {}, 5, calibrated, [], [1], "", None, {})  # type: ignore[misc]


def test_fields_are_plain_copies_without_paths() -> None:
    """An entry's fields are JSON, in canonical form, and share nothing with what was given."""
    given_metadata = metadata(
        features_used=("sma_5",),
        horizons=(1, 7),
        validation_metrics={7: {"n": 3, "r": Fraction(1, 4)}},
        tags={"year": "2026"},
        model_path="/x.pkl",
    )
    fields = fields_of(given_metadata)
    assert fields == {
        "model_id": "lgbm_usdeur_1d",
        "model_type": "lightgbm",
        "currency_pair": "USD/EUR",
        "trained_at": "2025-10-25T12:00:00Z",
        "version": "1.10",
        "validation_metrics": {"7": {"n": 3, "r": 0.25}},
        "min_samples": 500,
        "calibration_ok": True,
        "features_used": ["sma_5"],
        "horizons": [1, 7],
        "variant": "",
        "tags": {"year": "2026"},
        "description": "",
        "provenance": {},
    }
    assert json.loads(json.dumps(fields)) == fields
    fields["tags"]["x"] = "y"
    assert given_metadata.tags == {"year": "2026"}


# --- ids -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["a", "0", "A.b_c-d", "x" * 128, "a_scaler_b", "lgbm..1", "CON"])
def test_ids_are_letters_digits_dots_dashes_underscores(text: str) -> None:
    """What can be the name of a file everywhere can be an id."""
    assert is_valid_id(text)
    assert id_fault(text) == ""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it is empty"),
        ("x" * 129, "it has 129 characters"),
        ("a_scaler", "it ends in '_scaler', the name of the scaler of 'a'"),
        (".hidden", "it starts with '.'"),
        ("-rf", "it starts with '-'"),
        ("ä", "it starts with 'ä'"),
        ("a/b", "it contains '/'"),
        ("a\n", r"it contains '\n'"),
        ("a b", "it contains ' '"),
        ("a!?#%&+", "and more"),
        ("a\udcff", r"it contains '\udcff'"),
        ("x y_scaler", "it contains ' '"),
    ],
)
def test_a_bad_id_is_refused_with_what_is_wrong_with_it(text: str, reason: str) -> None:
    """The message says which character, or which rule."""
    assert not is_valid_id(text)
    assert reason in id_fault(text)
    (problem,) = check_metadata(metadata(model_id=text), now=NOW)
    assert (problem.code, problem.field) == ("sidecar.invalid_name", "model_id")
    assert problem.message.startswith("cannot use ") and problem.message.endswith(f" as model_id: {id_fault(text)}")


def test_an_id_that_is_not_text_is_a_wrong_type() -> None:
    """Only text can be an id."""
    (problem,) = check_metadata(metadata(model_id=7), now=NOW)
    assert (problem.code, problem.message) == ("sidecar.wrong_type", "model_id is 7, and must be text")


@settings(deadline=None)
@given(st.from_regex(MODEL_ID, fullmatch=True))
def test_the_pattern_and_the_scaler_rule_are_the_whole_rule(text: str) -> None:
    """An id that matches is refused for the ending `_scaler` only."""
    assert is_valid_id(text) == (not text.endswith("_scaler"))


@settings(deadline=None)
@given(st.text())
def test_the_explanation_of_an_id_agrees_with_the_rule(text: str) -> None:
    """Every text is a valid id, or has a fault that can be printed."""
    assert (id_fault(text) == "") == is_valid_id(text)
    assert id_fault(text).isprintable()


# --- instants --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "canonical", "zone"),
    [
        ("2025-10-25T12:00:00Z", "2025-10-25T12:00:00Z", True),
        ("2025-10-25t12:00:00z", "2025-10-25T12:00:00Z", True),
        ("2025-10-25 12:00:00", "2025-10-25T12:00:00Z", False),
        ("2025-10-25  12:00:00 +02:00", "2025-10-25T10:00:00Z", True),
        ("2025-10-25", "2025-10-25T00:00:00Z", False),
        ("2025-10-25T12:00", "2025-10-25T12:00:00Z", False),
        ("2025-10-25T12:00:00.5", "2025-10-25T12:00:00.500000Z", False),
        ("2025-10-25T12:00:00,123456789Z", "2025-10-25T12:00:00.123456Z", True),
        ("2025-10-25T12:00:00+0530", "2025-10-25T06:30:00Z", True),
        ("2025-10-25T00:30:00+02", "2025-10-24T22:30:00Z", True),
        ("2025-10-25T12:00:00-03:30", "2025-10-25T15:30:00Z", True),
        ("2024-02-29", "2024-02-29T00:00:00Z", False),
    ],
)
def test_the_common_forms_of_an_instant_are_read(text: str, canonical: str, zone: bool) -> None:
    """RFC 3339 and what people write of ISO 8601; no zone counts as UTC and can be told."""
    assert canonical_instant(parse_instant(text)) == canonical
    assert read_instant(text).has_zone is zone


@pytest.mark.parametrize(
    "text",
    [
        *("", "yesterday", "2025-02-29", "2025-13-01", "25.10.2025", "20251025", "2025-W43", "2025-10-25T12"),
        *("2025-10-25T24:00:00Z", "2025-10-25T12:00:60Z", "2025-10-25T12:00:00+24:00", "2025-10-25Z"),
        *("2025-10-25T12:00:00+01:60", "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"),
        *("２０２５-10-25", "2025-10-25\n", "1761393600", "0000-01-01"),
    ],
)
def test_what_is_no_instant_is_refused_with_a_way_to_write_it(text: str) -> None:
    """Nothing is guessed; the message shows the form."""
    with pytest.raises(ValueError, match="write it like 2025-10-25T12:00:00Z"):
        parse_instant(text)


@settings(deadline=None)
@given(st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29)), st.integers(-1439, 1439))
def test_the_canonical_form_names_the_same_instant(moment: datetime, minutes: int) -> None:
    """Any zone goes to UTC and back; a datetime without one counts as UTC; the text sorts by time."""
    local = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert parse_instant(canonical_instant(local)) == local
    assert parse_instant(canonical_instant(moment)) == moment.replace(tzinfo=UTC)
    assert parse_instant(local.isoformat()) == local
    assert read_instant(canonical_instant(moment)).has_zone


# --- checks ----------------------------------------------------------------------------------------------


def test_good_metadata_has_no_problems() -> None:
    """The usual case."""
    assert problems() == []


@pytest.mark.parametrize(
    "changes",
    [
        {"features_used": []},
        {"validation_metrics": {}},
        {"validation_metrics": {"1d": {}}},
        {"horizons": []},
        {"horizons": (1, 36_500)},
        {"min_samples": 0},
        {"trained_at": "2025-10-25"},
        {"trained_at": datetime(2025, 10, 25)},
        {"trained_at": NOW + timedelta(minutes=5)},
        {"currency_pair": "日元/欧元"},
        {"validation_metrics": {"q 0.5": {"a.b": 1}, 30: 1.5}},
        {"tags": {"stage": "", "mlflow.run/x:y-z": "a b"}, "description": "two\n\tlines, naïve"},
        {"model_path": 17},
    ],
)
def test_what_hurts_nobody_is_accepted(changes: dict[str, Any]) -> None:
    """The checks are lenient wherever nothing depends on the value."""
    assert problems(**changes) == []


NESTED: dict[str, Any] = {}
NESTED["a"] = NESTED["b"] = NESTED


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"model_id": "a/b"}, [("invalid_name", "model_id")]),
        ({"model_id": None}, [("wrong_type", "model_id")]),
        ({"model_type": 5}, [("wrong_type", "model_type")]),
        ({"model_type": ""}, [("invalid_value", "model_type")]),
        ({"model_type": "x" * 65}, [("invalid_value", "model_type")]),
        ({"currency_pair": "USD\n"}, [("invalid_value", "currency_pair")]),
        ({"currency_pair": " USD/EUR"}, [("invalid_value", "currency_pair")]),
        ({"version": 1.1}, [("wrong_type", "version")]),
        ({"trained_at": None}, [("wrong_type", "trained_at")]),
        ({"trained_at": 1761393600}, [("wrong_type", "trained_at")]),
        ({"trained_at": "soon"}, [("invalid_value", "trained_at")]),
        (
            {"trained_at": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1)))},
            [("invalid_value", "trained_at")],
        ),
        ({"trained_at": NOW + timedelta(minutes=5, seconds=1)}, [("future_date", "trained_at")]),
        ({"validation_metrics": None}, [("wrong_type", "validation_metrics")]),
        ({"validation_metrics": [0.1]}, [("wrong_type", "validation_metrics")]),
        (
            {"validation_metrics": {"1d": {"rmse": math.nan}}},
            [("invalid_value", "validation_metrics.1d.rmse")],
        ),
        ({"validation_metrics": {"a": -math.inf}}, [("invalid_value", "validation_metrics.a")]),
        ({"validation_metrics": {"a": 10**400}}, [("invalid_value", "validation_metrics.a")]),
        ({"validation_metrics": {"a": 2**53 + 1}}, [("invalid_value", "validation_metrics.a")]),
        ({"validation_metrics": {"a": {"n": -(2**53) - 1}}}, [("invalid_value", "validation_metrics.a.n")]),
        ({"validation_metrics": {"a": True}}, [("wrong_type", "validation_metrics.a")]),
        ({"validation_metrics": {"a": "0.1"}}, [("wrong_type", "validation_metrics.a")]),
        ({"validation_metrics": {"a": None}}, [("wrong_type", "validation_metrics.a")]),
        ({"validation_metrics": {"a": [1]}}, [("wrong_type", "validation_metrics.a")]),
        ({"validation_metrics": {"": 1}}, [("invalid_value", "validation_metrics.''")]),
        ({"validation_metrics": {"\x1b": 1}}, [("invalid_value", r"validation_metrics.'\x1b'")]),
        ({"validation_metrics": {1: 1, "1": 2}}, [("invalid_value", "validation_metrics.1")]),
        ({"validation_metrics": {None: 1}}, [("invalid_value", "validation_metrics")]),
        ({"min_samples": True}, [("wrong_type", "min_samples")]),
        ({"min_samples": "500"}, [("wrong_type", "min_samples")]),
        ({"min_samples": 2**53 + 1}, [("invalid_value", "min_samples")]),
        ({"min_samples": -1}, [("invalid_value", "min_samples")]),
        ({"min_samples": 10**5000}, [("invalid_value", "min_samples")]),
        ({"calibration_ok": 1}, [("wrong_type", "calibration_ok")]),
        ({"calibration_ok": object()}, [("wrong_type", "calibration_ok")]),
        ({"features_used": "sma_5"}, [("wrong_type", "features_used")]),
        (
            {"features_used": ["a", "a", 5, ""]},
            [
                ("invalid_value", "features_used[1]"),
                ("wrong_type", "features_used[2]"),
                ("invalid_value", "features_used[3]"),
            ],
        ),
        ({"horizons": 7}, [("wrong_type", "horizons")]),
        (
            {"horizons": [1, 1, 0, 36_501, 1.5, True]},
            [
                ("invalid_value", "horizons[1]"),
                ("invalid_value", "horizons[2]"),
                ("invalid_value", "horizons[3]"),
                ("wrong_type", "horizons[4]"),
                ("wrong_type", "horizons[5]"),
            ],
        ),
        ({"tags": ["production"]}, [("wrong_type", "tags")]),
        ({"tags": {"a b": "x"}}, [("invalid_value", "tags.a b")]),
        ({"tags": {5: "x"}}, [("invalid_value", "tags.5")]),
        ({"tags": {"year": 2026}}, [("wrong_type", "tags.year")]),
        ({"tags": {"note": "x" * 257}}, [("invalid_value", "tags.note")]),
        ({"tags": dict.fromkeys((f"t{n}" for n in range(65)), "")}, [("invalid_value", "tags")]),
        ({"description": None}, [("wrong_type", "description")]),
        ({"description": "a\rb"}, [("invalid_value", "description")]),
        ({"description": "x" * 8193}, [("invalid_value", "description")]),
        ({"model_type": "", "version": 1}, [("invalid_value", "model_type"), ("wrong_type", "version")]),
    ],
)
def test_what_would_hurt_later_is_found_with_its_place(changes: dict[str, Any], found: list[tuple[str, str]]) -> None:
    """Each mistake gives one problem with its code and field, and all are reported at once."""
    assert places(**changes) == found


def test_integers_of_metrics_end_where_a_double_holds_each_of_them() -> None:
    """2^53 either way is right, one more is not, and the message says what to write instead."""
    assert problems(validation_metrics={"most": 2**53, "least": -(2**53), "a float": 2.0**70}) == []
    (found,) = problems(validation_metrics={"n": 2**64})
    assert found.message == "validation_metrics.n is 18446744073709551616, and integers go up to 2^53 either way"
    assert found.hint == "Write it as a decimal number, like 1.8e19, or leave the metric out"


def test_what_an_earlier_version_let_in_is_right_in_a_stored_model() -> None:
    """Integers of 64 bits, which JSON and its readers here hold; no larger ones, which they do not."""
    stored = {"validation_metrics": {"least": -(2**63), "most": 2**64 - 1}}
    assert list(check_fields(stored, now=NOW, stored=True)) == []
    for beyond in (-(2**63) - 1, 2**64):
        assert len(list(check_fields({"validation_metrics": {"n": beyond}}, now=NOW, stored=True))) == 1


@pytest.mark.parametrize("value", [None, "soon"])
def test_the_hint_shows_an_instant_as_it_is_written(value: Any) -> None:
    """With T and Z, in the problem of whatever was there instead."""
    assert [problem.hint for problem in problems(trained_at=value)] == ["Write it like 2025-10-25T12:00:00Z"]


def test_metrics_that_contain_themselves_end_in_problems() -> None:
    """A mapping that is its own value is too deep, not a crash."""
    found = problems(validation_metrics=NESTED)
    assert {problem.code for problem in found} == {"sidecar.invalid_value"}
    assert "nested more than 7 deep" in found[0].message


def test_seven_levels_of_metrics_are_fine_and_eight_are_not() -> None:
    """The stated depth is the exact one."""
    seven: Any = 0.5
    for _ in range(7):
        seven = {"level": seven}
    assert problems(validation_metrics=seven) == []
    assert len(problems(validation_metrics={"level": seven})) == 1


def test_the_future_is_explained_with_both_times() -> None:
    """A producer with a wrong clock or a local time sees what we compared with what."""
    (problem,) = problems(trained_at="2026-11-24T14:00:00")
    assert problem.message == ("trained_at '2026-11-24T14:00:00' is in the future: now is 2026-11-24T12:00:00Z")
    assert "zone" in problem.hint


def test_numpy_like_numbers_count_as_numbers() -> None:
    """Whatever registers as a number is one, and is stored as Python's; numpy's own bool counts as a bool."""

    class bool_:  # noqa: N801 - the name is what is recognised
        def __bool__(self) -> bool:
            return True

    bool_.__module__ = "numpy"
    given_metadata = metadata(calibration_ok=bool_(), validation_metrics={"a": Fraction(1, 2)})
    assert check_metadata(given_metadata, now=NOW) == []
    fields = fields_of(given_metadata)
    assert fields["calibration_ok"] is True
    assert type(fields["validation_metrics"]["a"]) is float


class Series:
    """What pandas and polars have in common with it: their own ways to plain values."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    def tolist(self) -> list[Any]:
        return list(self.values.values())

    def to_dict(self) -> dict[str, Any]:
        return self.values


def test_what_libraries_have_in_place_of_lists_and_mappings_is_taken() -> None:
    """Arrays, ranges, indexes and series become lists, a series among metrics a mapping; faults are named as usual."""
    given_metadata = metadata(
        features_used=Series({"a": "sma_5", "b": "rsi_14"}),
        horizons=array("q", [1, 7]),
        validation_metrics={"1d": Series({"rmse": 0.5})},
    )
    assert check_metadata(given_metadata, now=NOW) == []
    fields = fields_of(given_metadata)
    assert (fields["features_used"], fields["horizons"]) == (["sma_5", "rsi_14"], [1, 7])
    assert fields["validation_metrics"] == {"1d": {"rmse": 0.5}}
    assert fields_of(metadata(horizons=range(1, 4)))["horizons"] == [1, 2, 3]
    wrong = metadata(
        horizons=array("d", [math.nan]), validation_metrics=Series({"rmse": math.inf}), features_used=Series({"a": 1})
    )
    assert sorted(str(problem.field) for problem in check_metadata(wrong, now=NOW)) == [
        "features_used[0]",
        "horizons[0]",
        "validation_metrics.rmse",
    ]


@pytest.mark.parametrize("pair", ["USD/EUR", "USDEUR", "usd-eur", "US_D.x/EUR", "日元/欧元", "BTC/USDT/PERP", "1"])
def test_a_pair_of_the_usual_form_is_accepted(pair: str) -> None:
    """Letters and digits of every script with `._/-`."""
    assert check_metadata(metadata(currency_pair=pair), now=NOW) == []


@pytest.mark.parametrize(
    "pair", ["../../etc", "USD/", "/USD", "USD//EUR", "USD..EUR", "USD EUR", "USD:EUR", "a\\b", "="]
)
def test_a_pair_of_another_form_is_refused(pair: str) -> None:
    """One problem, that says the form; another pattern is another form, and None is any."""
    (problem,) = check_metadata(metadata(currency_pair=pair), now=NOW)
    assert (problem.code, problem.field) == ("checks.pair_pattern", "currency_pair")
    assert "without '..'" in problem.hint
    assert check_metadata(metadata(currency_pair=pair), now=NOW, pair_pattern=None) == []
    (problem,) = check_metadata(metadata(), now=NOW, pair_pattern="[a-z]+")
    assert "'[a-z]+'" in problem.hint


def test_a_field_that_does_not_exist_is_a_mistake_of_the_caller() -> None:
    """`check_fields` knows the fields of the metadata and no others."""
    with pytest.raises(KeyError):
        list(check_fields({"model_path": ""}, now=NOW))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.datetimes(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=8,
)


@settings(deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(("model_id", *REQUIRED_FIELDS, "tags", "description"), ANYTHING),
    )
)
def test_any_value_of_any_field_is_registered_whole_or_explained(changes: dict[str, Any]) -> None:
    """Nothing raises or is changed; messages can be printed; without problems the fields are strict JSON."""
    before = copy.deepcopy(changes)
    found = problems(**changes)
    assert repr(changes) == repr(before)
    assert all(str(problem).isprintable() for problem in found)
    if not found:
        text = json.dumps(fields_of(metadata(**changes)), allow_nan=False)
        assert json.loads(text) == fields_of(metadata(**changes))
