"""Names in the inbox: suffixes in any case of letters, stems, what is ignored, and which file a sidecar means."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_inbox.model.file_names import (
    COMPRESSED_SUFFIXES,
    MODEL,
    MODEL_SUFFIXES,
    SIDECAR,
    Declared,
    choose,
    is_ignored,
    scaler_stem,
    stem_of,
)

SUFFIXES = [f"{one}{other}" for one, other in itertools.product(MODEL_SUFFIXES, ("", *COMPRESSED_SUFFIXES))]


def in_some_case(text: str) -> st.SearchStrategy[str]:
    """Return the text with some of its letters in upper case."""
    return st.tuples(*(st.sampled_from((c, c.upper())) for c in text)).map("".join)


@given(st.sampled_from(SUFFIXES).flatmap(in_some_case))
def test_models_have_their_suffixes_in_any_case(suffix: str) -> None:
    """The stem is what stands before the suffix, as it is written; a scaler's is that of its model."""
    assert MODEL.fullmatch(f"Usd.v1{suffix}")
    assert stem_of(f"Usd.v1{suffix}") == "Usd.v1"
    assert scaler_stem(f"Usd.v1_scaler{suffix}") == "Usd.v1"


@given(st.sampled_from([".yaml", ".yml"]).flatmap(in_some_case))
def test_sidecars_have_their_suffixes_in_any_case(suffix: str) -> None:
    """A sidecar is no model, and the other way round."""
    assert SIDECAR.fullmatch(f"m{suffix}")
    assert stem_of(f"m{suffix}") == "m"
    assert not MODEL.fullmatch(f"m{suffix}")


@pytest.mark.parametrize("name", ["m.onnx", "m.pkl.zst", "m.gz", "m", "m.p\u212al", "m.pkl.gz.gz", "m.yaml.txt"])
def test_other_names_are_neither(name: str) -> None:
    """Nor a name with a letter that only looks like one of a suffix."""
    assert not MODEL.fullmatch(name)
    assert not SIDECAR.fullmatch(name)
    assert stem_of(name) == name


DROPPINGS = [
    *("Thumbs.db", "ehthumbs.db", "desktop.ini", ".DS_Store", "m.pkl.md5", "m.pkl.sha1", "m.pkl.sha256", "m.sha512"),
    *("m.pkl.asc", "m.yaml.sig", "m.lock", "m.pkl.!sync", "m.pkl.!ut", "m.pkl.bak", "~$m.pkl", "#m.yaml#", ".#m.yaml"),
    *("m.swp", "~syncthing~m.pkl.tmp", ".syncthing.m.pkl.tmp", "m.sync-conflict-20261101-120000-ABCDEF7.pkl"),
    *(
        "m (Bob's conflicted copy 2026-11-01).pkl",
        ".dropbox",
        "__pycache__",
        ".ipynb_checkpoints",
        "README",
        "README.md",
    ),
]


@given(st.sampled_from(DROPPINGS).flatmap(in_some_case))
def test_what_systems_and_programs_leave_is_ignored(name: str) -> None:
    """In any case of letters."""
    assert is_ignored(name)


@pytest.mark.parametrize(
    "name", ["readme.pkl", "thumbs.pkl", "lock.pkl", "bak.yaml", "m.sync.pkl", "conflicted copy.pkl"]
)
def test_a_model_is_not_ignored_for_a_word_in_its_stem(name: str) -> None:
    """Only whole names and suffixes count."""
    assert not is_ignored(name)


@pytest.mark.parametrize(
    ("there", "model"),
    [
        ([], "m.pkl"),
        (["m.pickle"], "m.pickle"),
        (["M.pkl"], "m.pkl"),
        (["m.joblib", "m.PKL"], "m.PKL"),
        (["m.PKL", "m.pkl", "m.sav"], "m.pkl"),
        (["m.onnx"], "m.onnx"),
        (["m.onnx", "m.sav"], "m.sav"),
        (["m.joblib", "m.pickle"], None),
        (["m.PKL", "m.Pkl"], None),
    ],
)
def test_which_model_a_sidecar_means_that_names_none(there: list[str], model: str | None) -> None:
    """A `.pkl` first, then the only one; with several of a kind, none."""
    files = choose("m", there)
    assert files.roles.get("model") == model
    assert sorted(files.unclear.get("model", ())) == ([] if model else sorted(there))
    assert sorted(files.others) == sorted(set(there) - {model})


def test_a_sidecar_named_after_the_whole_name_of_the_model_means_it() -> None:
    """`m.pkl.yaml` is beside `m.pkl`; but a file of its own stem comes first."""
    assert choose("m.pkl", ["m.pkl"]).roles == {"model": "m.pkl"}
    assert choose("m.pkl", ["m.pkl", "m.pkl.pkl"]).roles == {"model": "m.pkl.pkl"}


@pytest.mark.parametrize(
    ("said", "there", "scaler"),
    [
        (Declared(), ["m_scaler.sav"], "m_scaler.sav"),
        (Declared(), ["m_scaler.sav", "m_scaler.pkl"], "m_scaler.pkl"),
        (Declared("m.joblib"), ["m_scaler.sav", "m_scaler.JOBLIB"], "m_scaler.JOBLIB"),
        (Declared(), ["m_scaler.sav", "m_scaler.pt"], None),
        (Declared(has_scaler=False), ["m_scaler.pkl"], None),
        (Declared(has_scaler=True), [], "m_scaler.pkl"),
        (Declared(scaler_file="s.pkl", has_scaler=True), ["m_scaler.pkl"], "s.pkl"),
    ],
)
def test_which_scaler_a_sidecar_means(said: Declared, there: list[str], scaler: str | None) -> None:
    """What it names; else a `.pkl`, the suffix of the model, or the only one."""
    assert choose("m", there, said).roles.get("scaler") == scaler


def test_the_scaler_of_another_is_not_taken() -> None:
    """A file that another sidecar names is no scaler of this one."""
    assert choose("m", ["m.pkl", "m_scaler.pkl"], taken=["m_scaler.pkl"]).roles == {"model": "m.pkl"}
