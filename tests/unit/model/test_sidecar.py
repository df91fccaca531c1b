"""A sidecar is read whole, with everything that is wrong at once, or seen to be on its way."""

from __future__ import annotations

import hashlib
import re
import string
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from model_inbox.model.checks import check_metadata
from model_inbox.model.metadata import LATER_FIELDS, REQUIRED_FIELDS, ModelMetadata, fields_of
from model_inbox.model.sidecar import Sidecar, parse_sidecar
from model_inbox.model.sidecar_fields import SIDECAR_BYTES, SIDECAR_FIELDS
from model_inbox.model.sidecar_writer import dump_sidecar
from model_inbox.problems import Problem
from support.examples import examples

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
A, B = "a" * 64, "b" * 64

WHOLE = """\
model_type: lightgbm
currency_pair: USD/EUR
trained_at: 2025-10-25T12:00:00Z
version: 1.10
validation_metrics:
  1d: {rmse: 0.012, directional_accuracy: 7e-1}
min_samples: 500
calibration_ok: true
features_used:
  - sma_5
  - rsi_14
horizons: [1, 7, 30]
"""


def parse(text: str | bytes, stem: str = "usdeur") -> Sidecar:
    return parse_sidecar(text.encode() if isinstance(text, str) else text, stem=stem, now=NOW)


def swap(name: str, line: str, text: str = WHOLE) -> str:
    """Return the text with the (one-line) field replaced by `line`."""
    lines = text.splitlines(keepends=True)
    (position,) = [n for n, old in enumerate(lines) if old.startswith(f"{name}:")]
    lines[position] = line + "\n" if line else ""
    return "".join(lines)


def found(text: str | bytes) -> list[tuple[str, str | None, int | None, int | None]]:
    """Return code, field, line and column of each problem."""
    return [(p.code.removeprefix("sidecar."), p.field, p.line, p.column) for p in parse(text).problems]


# --- what a good one says ----------------------------------------------------------------------------------


def test_the_plain_sidecar_says_all_fields_and_defaults_the_files() -> None:
    """Scalars are what the schema makes of their text; names come from the stem."""
    sidecar = parse(WHOLE)
    assert sidecar.problems == ()
    assert sidecar.notes == ()
    assert sidecar.metadata == ModelMetadata(
        model_id="usdeur",
        model_type="lightgbm",
        currency_pair="USD/EUR",
        trained_at=datetime(2025, 10, 25, 12, 0, tzinfo=UTC),
        version="1.10",
        validation_metrics={"1d": {"rmse": 0.012, "directional_accuracy": 0.7}},
        min_samples=500,
        calibration_ok=True,
        features_used=["sma_5", "rsi_14"],
        horizons=[1, 7, 30],
    )
    assert (sidecar.model_id, sidecar.declared.model_file) == ("usdeur", None)
    assert (sidecar.declared.scaler_file, sidecar.declared.has_scaler) == (None, None)
    assert sidecar.digests == {"model": None, "scaler": None}
    assert (sidecar.sealed, sidecar.cut_short, sidecar.parses) == (False, False, True)
    assert sidecar.sha256 == hashlib.sha256(WHOLE.encode()).hexdigest()


def test_everything_that_can_be_said_is_taken() -> None:
    """The optional fields, with digests in either case."""
    sidecar = parse(
        WHOLE + "model_id: m-1\nmodel_file: x.joblib\nscaler_file: y.pickle\n"
        f"sha256: {{model: {A.upper()}, scaler: {B}}}\ntags: {{year: 2026, stage: }}\n"
        "description: |\n  two\n  lines\n"
    )
    assert sidecar.problems == ()
    assert (sidecar.model_id, sidecar.declared) == ("m-1", ("x.joblib", "y.pickle", True))
    assert sidecar.digests == {"model": A, "scaler": B}
    assert sidecar.metadata is not None
    assert sidecar.metadata.model_id == "m-1"
    assert sidecar.metadata.tags == {"year": "2026", "stage": ""}
    assert sidecar.metadata.description == "two\nlines\n"


@pytest.mark.parametrize(
    ("field", "line", "value"),
    [
        ("version", "version: 1.10", "1.10"),
        ("version", 'version: "null"', "null"),
        ("version", "version: NO", "NO"),
        ("version", "version: 2026-01-01", "2026-01-01"),
        ("min_samples", "min_samples: '500'", 500),
        ("calibration_ok", "calibration_ok: False", False),
        ("calibration_ok", "calibration_ok: YES", True),
        ("calibration_ok", 'calibration_ok: "no"', False),
        ("horizons", "horizons: []", []),
        ("features_used", "features_used: [1, yes]\nx_old:", ["1", "yes"]),
        ("validation_metrics", "validation_metrics: {}\nx_old:", {}),
        (
            "validation_metrics",
            "validation_metrics: {a: 1, b: 1.0, c: -.5}\nx_old:",
            {"a": 1, "b": 1.0, "c": -0.5},
        ),
        ("tags", "min_samples: 500\ntags: [production, 'x']", {"production": "", "x": ""}),
        ("tags", "min_samples: 500\ntags:", {}),
        ("description", "min_samples: 500\ndescription: ~", ""),
        ("description", "min_samples: 500\ndescription: 12", "12"),
    ],
)
def test_text_becomes_what_the_schema_wants(field: str, line: str, value: Any) -> None:
    """Nothing is guessed from how a scalar looks; the field decides."""
    text = swap("min_samples" if line.startswith("min_samples") else field, line)
    if "x_old:" in line:  # the old block value stands below: take it away with its key
        kept, _, rest = text.partition("x_old:\n")
        text = kept + rest.lstrip(" -").split("\n", 2 if field == "features_used" else 1)[-1]
    sidecar = parse(text)
    assert sidecar.problems == ()
    assert getattr(sidecar.metadata, field) == value
    assert type(getattr(sidecar.metadata, field)) is type(value)


def test_a_time_without_zone_is_noted_and_counts_as_utc() -> None:
    """A warning that rejects nothing, with its place."""
    sidecar = parse(swap("trained_at", "trained_at: 2025-10-25 12:00"))
    assert sidecar.metadata is not None
    assert sidecar.metadata.trained_at == datetime(2025, 10, 25, 12, 0, tzinfo=UTC)
    (note,) = sidecar.notes
    assert (note.code, note.line, note.column, note.file) == ("sidecar.no_zone", 3, 13, "usdeur.yaml")
    assert "2025-10-25T12:00:00Z" in note.message


def test_a_digest_of_a_scaler_declares_it() -> None:
    """Who gives the digest of a scaler has one: it is waited for under its usual name."""
    sidecar = parse(WHOLE + f"sha256: {{model: {A}, scaler: {B}}}\n")
    assert (sidecar.declared.scaler_file, sidecar.declared.has_scaler) == (None, True)


@pytest.mark.parametrize("null", ["null", "~", "Null", ""])
def test_a_null_scaler_is_none_at_all(null: str) -> None:
    """`scaler_file: null` says that there is no scaler; its digest may be null then, too."""
    sidecar = parse(WHOLE + f"sha256: {{model: {A}, scaler: null}}\nscaler_file: {null}\n")
    assert sidecar.problems == ()
    assert (sidecar.declared.scaler_file, sidecar.declared.has_scaler) == (None, False)


# --- what can be wrong -------------------------------------------------------------------------------------


def test_everything_wrong_is_reported_at_once_in_the_order_of_the_text() -> None:
    """A producer corrects a sidecar once: each mistake with code, field, line and column, missing ones last."""
    text = (
        "model_type: ''\n"
        "trained_at: 2027-01-01T00:00:00Z\n"
        "version: [1]\n"
        "validation_metrics: {1d: {rmse: .nan, n: x}}\n"
        "min_samples: 12.5\n"
        "calibration_ok: maybe\n"
        "feature_used: [a]\n"
        "horizons:\n"
        "  - 1\n"
        "  - 1\n"
        "model_file: ../evil.pkl\n"
        "version: 3\n"
        "sha256: {model: abc, scalar: x}\n"
        "tags: [a b]\n"
        "end: 1\n"
    )
    assert found(text) == [
        ("invalid_value", "model_type", 1, 13),
        ("future_date", "trained_at", 2, 13),
        ("wrong_type", "version", 3, 10),
        ("invalid_value", "validation_metrics.1d.rmse", 4, 33),
        ("wrong_type", "validation_metrics.1d.n", 4, 42),
        ("wrong_type", "min_samples", 5, 14),
        ("wrong_type", "calibration_ok", 6, 17),
        ("unknown_key", "'feature_used'", 7, 1),
        ("invalid_value", "horizons[1]", 10, 5),
        ("path_not_plain_name", "model_file", 11, 13),
        ("duplicate_key", None, 12, 1),
        ("invalid_value", "sha256.model", 13, 17),
        ("unknown_key", "sha256", 13, 22),
        ("invalid_value", "tags.a b", 14, 8),
        ("unknown_key", "'end'", 15, 1),
        ("missing_field", "currency_pair", None, None),
        ("missing_field", "features_used", None, None),
    ]


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("curency_pair", "Did you mean currency_pair?"),
        ("Horizons", "Did you mean horizons?"),
        ("model_path", "Did you mean model_file?"),
        ("metrics", "Did you mean validation_metrics?"),
        ("zzz", 'What is no field can be a tag: tags: {zzz: "1"}. The fields are model_id, model_type, currency_pair'),
        ("git_commit", 'What is no field can be a tag: tags: {git_commit: "1"}. The fields are'),
        ("author", 'What is no field can be a tag: tags: {author: "1"}'),
        ("run_id", 'What is no field can be a tag: tags: {run_id: "1"}'),
        ("x" * 5000, "What is no field can be a tag: tags: {name: text}. The fields are"),
    ],
)
def test_an_unknown_key_gets_the_nearest_field_as_a_hint(key: str, hint: str) -> None:
    """Typing errors and the usual other names lead to ours."""
    # 5,000 characters are too long for a plain key of YAML, which is then a problem of another kind.
    (problem,) = [p for p in parse(WHOLE + f"? {key}\n: 1\n").problems if p.code == "sidecar.unknown_key"]
    assert problem.hint.startswith(hint)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("model_id: a/b", ("invalid_name", "model_id", 13, 11)),
        ("model_id: x_scaler", ("invalid_name", "model_id", 13, 11)),
        ("model_id: null", ("wrong_type", "model_id", 13, 11)),
        ("model_file: x.txt", ("invalid_name", "model_file", 13, 13)),
        ("model_file: .x.pkl", ("invalid_name", "model_file", 13, 13)),
        ('model_file: "a\\tb.pkl"', ("invalid_name", "model_file", 13, 13)),
        (f"model_file: {'ä' * 127}.pkl", ("invalid_name", "model_file", 13, 13)),
        ("model_file: ..", ("path_not_plain_name", "model_file", 13, 13)),
        ("model_file: a\\b.pkl", ("path_not_plain_name", "model_file", 13, 13)),
        ("model_file: /etc/passwd", ("path_not_plain_name", "model_file", 13, 13)),
        ("model_file: ''", ("path_not_plain_name", "model_file", 13, 13)),
        ("model_file: ~", ("wrong_type", "model_file", 13, 13)),
        ("model_file: [x.pkl]", ("wrong_type", "model_file", 13, 13)),
        ("scaler_file: {a: x.pkl}", ("wrong_type", "scaler_file", 13, 14)),
        ("scaler_file: usdeur.pkl", ("same_file_twice", "scaler_file", 13, 14)),
        ("model_file: usdeur_scaler.pkl", ("same_file_twice", "model_file", 13, 13)),
        ("scaler_file: 'null'", ("invalid_name", "scaler_file", 13, 14)),
        (f"sha256: {A}", ("wrong_type", "sha256", 13, 9)),
        ("sha256:", ("wrong_type", "sha256", 13, 8)),
        (f"sha256: {{scaler: {A}}}", ("missing_field", "sha256.model", None, None)),
        (f"sha256: {{model: {A[1:]}}}", ("invalid_value", "sha256.model", 13, 17)),
        ("sha256: {model: [a]}", ("invalid_value", "sha256.model", 13, 17)),
        ("sha256: {model: null}", ("invalid_value", "sha256.model", 13, 17)),
        ("tags: {a: [b]}", ("wrong_type", "tags.a", 13, 11)),
        ("tags: [[a]]", ("wrong_type", "tags", 13, 7)),
        ("description: [a]", ("wrong_type", "description", 13, 14)),
        ('description: "\\x1b[2J"', ("invalid_value", "description", 13, 14)),
        ("tags: &x {}", ("anchor", None, 13, 7)),
        ("tags: !!python/object:os.system {}", ("tag", None, 13, 7)),
        (f"sha256: !!map {{model: {A}}}", ("tag", None, 13, 9)),
        ("model_file: !!str x.pkl", ("tag", None, 13, 13)),
        ("scaler_file: !!str x.pkl", ("tag", None, 13, 14)),
        ("sha256: {model: !!str x}", ("tag", None, 13, 17)),
        ("tags: {<<: x}", ("merge_key", None, 13, 8)),
        ("tags: {a: {b: {c: {d: {e: {f: {g: {h: i}}}}}}}}", ("too_deep", None, 13, 35)),
    ],
)
def test_each_mistake_has_its_code_and_place(
    line: str, problem: tuple[str, str | None, int | None, int | None]
) -> None:
    """One mistake, one problem."""
    assert found(WHOLE + line + "\n") == [problem]


def test_a_digest_for_a_scaler_that_is_denied_is_a_contradiction() -> None:
    """The sidecar says two things; the producer must choose."""
    text = WHOLE + f"scaler_file: null\nsha256: {{model: {A}, scaler: {B}}}\n"
    assert found(text) == [("invalid_value", "sha256.scaler", 14, 91)]


@pytest.mark.parametrize(("stem", "file"), [("a b", "a b.yaml"), ("x_scaler", "x_scaler.yaml"), ("x\n", r"x\n.yaml")])
def test_the_stem_must_be_a_name_too(stem: str, file: str) -> None:
    """A bad stem is a problem even if the sidecar gives a good id; its file is named so that it can be shown."""
    sidecar = parse(WHOLE + "model_id: good\n", stem)
    assert [(p.code, p.file) for p in sidecar.problems] == [("drop.invalid_name", file)]
    assert sidecar.model_id == "good"
    assert parse(WHOLE, stem).model_id is None


@pytest.mark.parametrize(("text", "what"), [("[a]\n", "a list"), ("just text\n", "a single text")])
def test_what_is_no_mapping_says_what_it_is(text: str, what: str) -> None:
    """YAML that holds no fields is told so."""
    (problem,) = parse(text).problems
    assert problem.code == "sidecar.not_a_mapping"
    assert what in problem.message


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "empty"),
        (b"a: [", "not_yaml"),
        (b"\xff", "not_utf8"),
        (b"a: 1\n---\n", "several_documents"),
        (b"#" * (SIDECAR_BYTES + 1), "too_large"),
    ],
)
def test_what_is_no_document_is_one_problem_of_the_text(data: bytes, code: str) -> None:
    """Nothing is said of missing fields where there are no fields to look at... but of a second document."""
    assert parse(data).problems[0].code in (f"sidecar.{code}", "sidecar.unknown_key")
    assert f"sidecar.{code}" in {p.code for p in parse(data).problems}


def test_thousands_of_problems_are_cut_to_what_people_read() -> None:
    """A hostile sidecar cannot fill a log: a hundred problems, and how many more."""
    sidecar = parse("\n".join(f"k{n}: 1" for n in range(3000)))
    assert len(sidecar.problems) == 101
    assert sidecar.problems[-1] == Problem(
        "sidecar.more_problems", "2909 more problems are not listed", "Solve the problems that are listed first"
    )


# --- sealed, or cut short ----------------------------------------------------------------------------------

DIGEST = f"sha256: {{model: {A}}}\n"


@pytest.mark.parametrize(
    ("text", "sealed"),
    [
        (WHOLE + "...\n", True),
        (WHOLE + "...", True),
        ("x: 1\n...\n", True),
        (WHOLE + DIGEST, True),
        (DIGEST + WHOLE, True),
        (WHOLE + f"sha256:\n  model: {A}\n  scaler: {B}", True),
        (WHOLE + f"scaler_file: s.pkl\nsha256:\n  model: {A}\n", False),
        (WHOLE + f"scaler_file: s.pkl\nsha256:\n  model: {A}\n  scaler: {B[1:]}", False),
        (WHOLE + "sha256: {model: abc}\n", False),
        (WHOLE, False),
        (WHOLE + "..", False),
        (DIGEST + WHOLE + "model_id: us", False),  # may be cut
        (DIGEST + WHOLE + "model_id: us\n", True),
        (DIGEST + WHOLE + "model_id: 'us'", True),
        (DIGEST + WHOLE + "tags:\n  a: b\n", False),  # may go on
        (DIGEST + WHOLE + "tags: {a: b}", True),
        (DIGEST + WHOLE + "tags:\n", False),
        (DIGEST + WHOLE + "description: a\n", False),  # may go on in the next line
        (DIGEST + WHOLE + "description: |\n  a\n", False),
        ("{" + f"model_type: a, sha256: {{model: {A}}}, tags: {{}}" + "}", True),
    ],
)
def test_a_sidecar_is_sealed_when_its_end_can_be_seen(text: str, sealed: bool) -> None:
    """By `...`, or by digests of all files with nothing behind that could go on."""
    assert parse(text).sealed is sealed


@pytest.mark.parametrize(
    ("text", "cut_short"),
    [
        ("", True),
        ("# a comment\n", True),
        ("model_ty", True),
        ("model_type", True),
        ("model_type: light", True),
        ("model_type:", True),
        ("model_type:\n", True),
        ('"model_type"', True),
        ("'model_type'\n", False),
        ('tags:\n  "a"', True),
        ('tags: "a"', False),
        (WHOLE[: WHOLE.index("rmse")], True),
        (WHOLE[: WHOLE.index("horizons")], True),
        (WHOLE[: WHOLE.index("true")] + "tr", True),
        (WHOLE[: WHOLE.index("2025")] + "2025-10-", True),
        (WHOLE + f"sha256:\n  scaler: {A}\n", True),
        (WHOLE + "sha256:\n  model: aaa", True),
        (b"model_type: \xc3", True),
        ("model_type: light\n...\n", False),  # its end was seen
        ("{model_type: light}", False),
        ("- a\n", False),
        ("just text\n", False),
        (swap("min_samples", "min_samples: many"), False),
        (swap("min_samples", "min_sample: 500"), False),
        (WHOLE + "sha256: {model: aaa}", False),
        (WHOLE + f"sha256: {{scaler: {A}}}\n", False),
        (WHOLE[: WHOLE.index("min_samples")] + "min_samples: many\n", False),  # that line is whole
        (WHOLE[: WHOLE.index("min_samples")] + "min_samples: 'many'", False),
        (WHOLE[: WHOLE.index("min_samples")] + "min_samples: many # said", False),
        ("a: " + "[" * 99, False),
        ("#" * (SIDECAR_BYTES + 1), False),
        (WHOLE, False),
    ],
)
def test_cut_short_means_that_more_text_could_make_it_right(text: str | bytes, cut_short: bool) -> None:
    """What waits is what may be on its way; a mistake in what is there is answered at once."""
    assert parse(text).cut_short is cut_short


def test_every_prefix_of_a_whole_sidecar_is_whole_or_cut_short_and_never_sealed() -> None:
    """Wherever a slow writer pauses, the sidecar is not rejected for it, nor taken at once."""
    for text in (
        WHOLE,
        WHOLE + "model_id: x\nscaler_file: null\ntags:\n  a: b\ndescription: >\n  long\n  text\n",
    ):
        data = text.encode()
        for end in range(len(data)):
            sidecar = parse(data[:end])
            assert not sidecar.sealed
            assert bool(sidecar.problems) == sidecar.cut_short, data[:end]


# --- written and read again --------------------------------------------------------------------------------

PRINTABLE = st.characters(exclude_categories=["C", "Z"]) | st.just(" ")
LABELS = st.text(PRINTABLE, min_size=1, max_size=20).map(lambda text: text.strip() or "x")
LOOK_ALIKES = st.sampled_from(
    ["null", "~", "1.10", "yes", "0x1F", "1e5", "- a", "a: b", "#x", "'", "2026-01-01", "..."]
)
FINITE = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53)
METRICS = st.recursive(FINITE, lambda inner: st.dictionaries(LABELS | LOOK_ALIKES, inner, max_size=3), max_leaves=6)
TEXTS = st.text(st.characters(exclude_categories=["Cc", "Cs"]) | st.sampled_from("\n\t"), max_size=60)
IDS = st.text(string.ascii_letters + string.digits, min_size=1, max_size=10)


@st.composite
def good_metadata(draw: st.DrawFn) -> ModelMetadata:
    return ModelMetadata(
        model_id=draw(IDS),
        model_type=draw(LABELS | LOOK_ALIKES),
        currency_pair=draw(LABELS),
        trained_at=draw(st.datetimes(datetime(1990, 1, 1), datetime(2026, 1, 1), timezones=st.just(UTC))),  # noqa: DTZ001
        version=draw(LABELS | LOOK_ALIKES),
        validation_metrics=draw(st.dictionaries(LABELS | LOOK_ALIKES, METRICS, max_size=3)),
        min_samples=draw(st.integers(0, 2**53)),
        calibration_ok=draw(st.booleans()),
        features_used=draw(st.lists(LABELS | LOOK_ALIKES, unique=True, max_size=4)),
        horizons=draw(st.lists(st.integers(1, 36_500), unique=True, max_size=4)),
        tags=draw(st.dictionaries(IDS, st.just("") | LABELS | LOOK_ALIKES, max_size=3)),
        description=draw(TEXTS),
        provenance=draw(st.dictionaries(IDS, st.just("") | LABELS | LOOK_ALIKES, max_size=3)),
    )


FILES = st.sampled_from([("m.pkl", None), ("m.pkl", "s.joblib"), ("model.final.pt", None)])
DIGESTS = st.sampled_from([None, {}, {"model": A}, {"model": A, "scaler": B}])


@settings(deadline=None)
@given(good_metadata(), FILES, DIGESTS)
def test_what_is_dumped_is_read_back_unchanged(
    metadata: ModelMetadata, files: tuple[str, str | None], digests: dict[str, str | None] | None
) -> None:
    """The two are inverses, whatever the texts look like, and the dump is sealed."""
    if files[1] is None and digests:
        digests = {**digests, "scaler": None}
    data = dump_sidecar(metadata, model_file=files[0], scaler_file=files[1], digests=digests)
    sidecar = parse_sidecar(data, stem="other", now=NOW)
    assert sidecar.problems == ()
    assert sidecar.metadata == metadata
    assert sidecar.declared == (*files, files[1] is not None)
    assert {name: d for name, d in sidecar.digests.items() if d} == {n: d for n, d in (digests or {}).items() if d}
    assert sidecar.sealed
    assert data.endswith(b"\n...\n")


@settings(deadline=None)
@given(good_metadata())
def test_other_readers_of_yaml_see_the_same_values(metadata: ModelMetadata) -> None:
    """A dump means the same to YAML 1.1: text stays text, numbers numbers."""
    loaded = yaml.safe_load(dump_sidecar(metadata, model_file="m.pkl", scaler_file=None, digests={"model": A}))
    assert loaded.pop("trained_at").replace(tzinfo=UTC) == metadata.trained_at
    expected = {**fields_of(metadata), "model_file": "m.pkl", "scaler_file": None, "sha256": {"model": A}}
    expected.pop("trained_at")
    for name in LATER_FIELDS:
        # Empty ones are not written.
        if not expected[name]:
            del expected[name]
    assert loaded == expected


@pytest.mark.exhaustive
@settings(max_examples=examples(40), deadline=None)  # hundreds of prefixes each
@given(good_metadata(), DIGESTS)
def test_a_truncated_dump_is_never_taken_for_a_whole_one(
    metadata: ModelMetadata, digests: dict[str, str | None] | None
) -> None:
    """A prefix of a dump is not sealed, or nothing but its last line is missing; nor is it ever rejected."""
    data = dump_sidecar(metadata, model_file="m.pkl", scaler_file="s.pkl", digests=digests)
    whole = len(data) - len(b"\n...\n")
    for end in range(whole + 4):
        sidecar = parse_sidecar(data[:end], stem="other", now=NOW)
        if sidecar.sealed and not sidecar.problems:
            assert end >= whole
            assert digests is not None
            assert sidecar.metadata == metadata
            assert {name: digest for name, digest in sidecar.digests.items() if digest} == digests
        elif sidecar.problems:
            assert sidecar.cut_short


@pytest.mark.exhaustive
@settings(max_examples=examples(60), deadline=None)  # hundreds of prefixes each
@given(good_metadata(), st.permutations([f.name for f in SIDECAR_FIELDS]), st.booleans())
def test_a_prefix_that_is_sealed_by_digests_says_nothing_else(
    metadata: ModelMetadata, order: list[str], sort_keys: bool
) -> None:
    """In any order of the fields, as any dumper writes them: no value of a sealed sidecar was cut."""
    fields = {
        **fields_of(metadata),
        "model_file": "m.pkl",
        "scaler_file": "s.pkl",
        "sha256": {"model": A, "scaler": B},
    }
    text = yaml.safe_dump({name: fields[name] for name in order}, sort_keys=sort_keys, allow_unicode=True)
    data = text.encode()
    full = parse_sidecar(data, stem="other", now=NOW)
    assert full.metadata is not None
    assert fields_of(full.metadata) == fields_of(metadata)
    for end in range(0, len(data), 3):
        part = parse_sidecar(data[:end], stem="other", now=NOW)
        if part.sealed and part.metadata is not None:
            # What may be left out may also stand behind the digests.
            optional = {"model_id": "other", "tags": {}, "description": "", "variant": "", "provenance": {}}
            for name, value in fields_of(part.metadata).items():
                assert value == fields_of(full.metadata)[name] or value == optional.get(name)


@settings(deadline=None)
@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda t: t.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_a_sidecar(data: bytes) -> None:
    """Never an exception; problems or metadata, never both or neither; every message is printable."""
    sidecar = parse(data)
    assert bool(sidecar.problems) != (sidecar.metadata is not None)
    assert all(str(p).isprintable() for p in sidecar.problems)


MUTATIONS = st.lists(
    st.tuples(st.integers(0, len(WHOLE)), st.integers(0, 4), st.text("{}[]:,&*!-'\"#\n \t0a.é\x00", max_size=4)),
    min_size=1,
    max_size=4,
)


@settings(deadline=None)
@given(MUTATIONS)
def test_a_damaged_sidecar_is_problems_or_good_metadata(mutations: list[tuple[int, int, str]]) -> None:
    """Whatever passes would pass the checks of the API, too."""
    text = WHOLE
    for position, removed, inserted in mutations:
        text = text[:position] + inserted + text[position + removed :]
    sidecar = parse(text)
    if sidecar.metadata is not None:
        assert check_metadata(sidecar.metadata, now=NOW, pair_pattern=None) == []
    else:
        assert sidecar.problems


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x]\n" + "\n".join(f"b{n}: &b{n} [*a, *a, *a]" for n in range(2000)),
        "[" * 60_000,
        "{a: " * 16_000,
        "- " * 30_000,
        "? " * 30_000,
        '"' + "\\" * 65_000,
        "a: " + "9" * 65_000,
        "validation_metrics: {" + ",".join(f"m{n}: x" for n in range(4900)) + "}",
        "\n".join(f"{n:x}: 1" for n in range(6000)),
        "features_used: [" + "a," * 30_000,
        "%TAG ! tag:x,2000:\n---\n!a b\n",
    ],
)
def test_a_bomb_costs_no_more_than_its_bytes(text: str) -> None:
    """No text of the allowed size takes long, nests deep or expands; each is refused or waits."""
    started = datetime.now(UTC)
    sidecar = parse(text[:SIDECAR_BYTES])
    assert (datetime.now(UTC) - started).total_seconds() < 5
    assert 1 <= len(sidecar.problems) <= 101


# --- the table of the fields -------------------------------------------------------------------------------


def test_the_table_of_fields_names_what_is_read() -> None:
    """The manual's table is the schema: the required fields are required, and every field is accepted."""
    assert {f.name for f in SIDECAR_FIELDS if f.required} == set(REQUIRED_FIELDS)
    missing = {p.field for p in parse("{}").problems}
    assert missing == set(REQUIRED_FIELDS)
    every = "".join(f"{f.name}:\n" for f in SIDECAR_FIELDS)
    assert "sidecar.unknown_key" not in {p.code for p in parse(every).problems}
    assert all(f.kind and f.meaning.endswith(".") for f in SIDECAR_FIELDS)


@pytest.mark.parametrize(
    ("lines", "pair", "variant"),
    [
        (b"currency_pair: DE\n", "DE", ""),
        (b"subject: DE\nvariant: 30d\n", "DE", "30d"),
        (b"subject: DE\nvariant: ~\n", "DE", ""),
        (b"subject: DE\nvariant: 30\n", "DE", "30"),
    ],
)
def test_a_sidecar_says_its_slot(lines: bytes, pair: str, variant: str) -> None:
    """`subject` is another name of currency_pair, and an empty variant is the same as none."""
    text = re.sub("^currency_pair.*\n", "", WHOLE, flags=re.MULTILINE)
    read = parse_sidecar(lines + text.encode(), stem="m", now=NOW)
    assert read.problems == ()
    assert read.metadata is not None
    assert (read.metadata.currency_pair, read.metadata.variant) == (pair, variant)


def test_two_names_of_the_pair_are_one_too_many() -> None:
    """A sidecar with both is told to leave one out."""
    read = parse_sidecar(b"subject: DE\n" + WHOLE.encode(), stem="m", now=NOW)
    assert [(problem.code, problem.hint) for problem in read.problems] == [
        ("sidecar.unknown_key", "Did you mean currency_pair?")
    ]
