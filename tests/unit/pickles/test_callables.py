"""`getattr`, `functools.partial`, time zones and distributions: the one form that honest pickles have, and no other."""

from __future__ import annotations

import functools
import pickle
import re
import zoneinfo
from datetime import datetime
from typing import Any

import pytest

from model_inbox.errors import LoadRefused
from model_inbox.pickles import Allowlist, check_extra, load, scan_bytes
from support import pickle_builders as build

ALLOWLIST = Allowlist.load()
GETATTR = build.named("builtins", "getattr")
PARTIAL = build.named("functools", "partial")
ZONE = build.named("zoneinfo", "ZoneInfo")
UNPICKLE = build.called(GETATTR, ZONE, build.text("_unpickle"))


def codes(opcodes: bytes) -> set[str]:
    """Return the codes of the problems that a scan of these opcodes finds."""
    return {problem.code for problem in scan_bytes(build.pickled(opcodes), ALLOWLIST).problems}


def partial(function: bytes, args: bytes = b")", keywords: bytes = b"}", attributes: bytes = b"N") -> bytes:
    """Opcodes of a partial, with its state."""
    return build.built(build.called(PARTIAL, function), b"(" + function + args + keywords + attributes + b"t")


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize(
    "value",
    [
        zoneinfo.ZoneInfo("Europe/Berlin"),
        datetime(2026, 1, 2, tzinfo=zoneinfo.ZoneInfo("Asia/Tokyo")),
        str.split,
        functools.partial(int, base=2),
        re.compile("a+", re.IGNORECASE),
        {"errors": [ValueError, KeyError("a")], "dots": ...},
    ],
    ids=["zone", "aware date", "method of text", "partial", "pattern", "errors"],
)
def test_honest_values_are_accepted_and_load_as_they_were(value: Any, protocol: int) -> None:
    """What Python writes for them is accepted, and is the same after a load under its own imports alone."""
    data = pickle.dumps(value, protocol)
    report = scan_bytes(data, ALLOWLIST)
    assert report.problems == ()
    assert repr(load(data, report.imports)) == repr(value)


HOSTILE = {
    "attribute of a module": build.called(GETATTR, build.named("numpy", "log"), build.text("__self__")),
    "class of an object": build.called(GETATTR, build.array(), build.text("__class__")),
    "class method of a zone": build.called(GETATTR, ZONE, build.text("from_file")),
    "format of text": build.called(GETATTR, build.named("builtins", "str"), build.text("format")),
    "subclasses": build.called(GETATTR, build.named("builtins", "object"), build.text("__subclasses__")),
    "a default": build.called(GETATTR, ZONE, build.text("_unpickle"), build.value(1)),
    "attribute by bytes": build.called(GETATTR, ZONE, build.data(b"_unpickle")),
    "zone outside of its folder": build.called(UNPICKLE, build.text("../../etc/passwd"), build.value(1)),
    "absolute zone": build.called(UNPICKLE, build.text("/etc/passwd"), build.value(1)),
    "zone of no text": build.called(UNPICKLE, build.value(1), build.value(1)),
    "method of text is called": build.called(
        build.called(GETATTR, build.named("builtins", "str"), build.text("split")), build.text("a")
    ),
    "made zone gets attributes": build.built(
        build.called(UNPICKLE, build.text("UTC"), build.value(1)),
        build.mapping({"utcoffset": build.named("numpy", "log")}),
    ),
    "method of an unfitted booster is called": build.called(
        build.called(
            GETATTR,
            build.new("sklearn.ensemble._hist_gradient_boosting.gradient_boosting", "HistGradientBoostingRegressor"),
            build.text("_raw_predict"),
        ),
        build.array(),
    ),
    "partial of a callee": partial(build.named("numpy._core.multiarray", "_reconstruct")),
    "partial of getattr": partial(GETATTR),
    "partial of partial": partial(PARTIAL),
    "partial of a factory": partial(build.named("copyreg", "_reconstructor")),
    "partial that is called": build.called(partial(build.named("builtins", "int")), build.value(1)),
    "another function in the state": build.built(
        build.called(PARTIAL, build.named("builtins", "int")), b"(" + build.named("numpy", "dtype") + b")}Nt"
    ),
    "partial with attributes": partial(
        build.named("builtins", "int"), attributes=build.mapping({"__class__": build.named("builtins", "int")})
    ),
    "arguments in an object": partial(build.named("builtins", "int"), args=build.array()),
    "partial with arguments at once": build.called(PARTIAL, build.named("builtins", "int"), build.value(1)),
    "factory of a dictionary": build.called(
        build.named("collections", "defaultdict"), partial(build.named("numpy", "log"))
    ),
    "pattern that prints": build.called(build.named("re", "_compile"), build.text("a"), build.value(128)),
    "giant pattern": build.called(build.named("re", "_compile"), build.text("(a|b)" * 2000), build.value(0)),
    "pattern of an object": build.called(build.named("re", "_compile"), build.array(), build.value(0)),
}


@pytest.mark.parametrize("opcodes", HOSTILE.values(), ids=HOSTILE.keys())
def test_any_other_form_is_refused(opcodes: bytes) -> None:
    """Another attribute, another function, other arguments: the file is refused."""
    assert codes(opcodes) & {"artifact.forbidden_arguments", "artifact.forbidden_use"}


def test_trees_make_no_objects_of_other_modules() -> None:
    """Else an isotonic regression would get its state past its own rule, and call any function with it."""
    made = build.called(
        build.named("sklearn.neighbors._kd_tree", "newObj"), build.named("sklearn.isotonic", "IsotonicRegression")
    )
    state = build.mapping({"_build_f": build.named("numpy", "power"), "X_thresholds_": build.value(9)})
    assert "artifact.forbidden_arguments" in codes(build.built(made, state))
    tree = build.named("sklearn.neighbors._kd_tree", "KDTree")
    assert codes(build.called(build.named("sklearn.neighbors._kd_tree", "newObj"), tree)) == set()


@pytest.mark.parametrize("name", ["builtins.getattr", "functools.partial", "re._compile", "zoneinfo.ZoneInfo"])
def test_no_line_of_the_user_can_widen_them(name: str) -> None:
    """A line under pickle.allow would add uses that no rule checks."""
    assert [problem.code for problem in check_extra({name: "cr"})] == ["config.invalid_allow"]


def test_load_has_no_getattr_but_for_these_attributes() -> None:
    """Even a file that was accepted under a wrong rule gets a function that looks up nothing else."""
    data = build.pickled(build.called(GETATTR, build.named("builtins", "object"), build.text("__subclasses__")))
    with pytest.raises((AttributeError, LoadRefused)):
        load(data, {"builtins.getattr": "cr", "builtins.object": "r"})
    looked_up = load(build.pickled(GETATTR), {"builtins.getattr": "cr"})
    with pytest.raises(AttributeError):
        looked_up(str, "format")
    with pytest.raises(AttributeError):
        looked_up(zoneinfo.ZoneInfo("UTC"), "__class__")


# --- distributions -------------------------------------------------------------------------------------------

TEXT = """
def _parse_args(self, {0} loc=0, scale=1):
    return ({0}), loc, scale

def _parse_args_rvs(self, {0} loc=0, scale=1, size=None):
    return self._argcheck_rvs({0} loc, scale, size=size)

def _parse_args_stats(self, {0} loc=0, scale=1, moments='mv'):
    return ({0}), loc, scale, moments
"""


def distribution(text: str, shapes: str | None, **more: bytes) -> bytes:
    """Opcodes of a distribution that runs `text` when it is loaded."""
    state = {"_parse_arg_template": build.text(text), "shapes": b"N" if shapes is None else build.text(shapes)}
    return build.built(build.new("scipy.stats._continuous_distns", "beta_gen"), build.mapping({**state, **more}))


def test_distribution_with_the_text_of_scipy_is_accepted() -> None:
    """Without parameters and with two, the text is the one that scipy's class makes."""
    assert codes(distribution(TEXT.format(""), None)) == set()
    assert codes(distribution(TEXT.format("a, b, "), "a, b")) == set()


@pytest.mark.parametrize(
    ("text", "shapes"),
    [
        (TEXT.format("") + "import os\n", None),
        (TEXT.format("a=__import__('os'), "), "a=__import__('os')"),
        (TEXT.format("a, b, "), "a"),
        (TEXT.format("lambda, "), "lambda"),
        (TEXT.format("a\n, "), "a\n"),
        ("", None),
    ],
)
def test_distribution_with_any_other_text_is_refused(text: str, shapes: str | None) -> None:
    """scipy runs the text, so a byte more refuses the file."""
    assert codes(distribution(text, shapes)) == {"artifact.forbidden_arguments"}


@pytest.mark.parametrize("name", ["_attach_methods", "_attach_argparser_methods", "_ppf_single", "_entropy", "other"])
def test_distribution_cannot_replace_a_method(name: str) -> None:
    """A load calls the first two and wraps the others."""
    opcodes = distribution(TEXT.format(""), None, **{name: build.named("numpy", "log")})
    assert "artifact.forbidden_arguments" in codes(opcodes)
