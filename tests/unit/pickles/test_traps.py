"""Payloads that really run when they are loaded are refused by the scan and by the loader, and nothing runs.

Each attack is first shown to work against pickle itself where it can be: the folder that it makes appears. Then it is
scanned and loaded by us, and the folder must not appear.
"""

from __future__ import annotations

import bz2
import copyreg
import gzip
import lzma
import os
import pickle
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from model_inbox.errors import ConfigError, LoadRefused
from model_inbox.pickles import Allowlist, check_extra, load, scan_bytes
from model_inbox.pickles.scan import new_recorder
from model_inbox.pickles.streams import MemorySource, Stream
from model_inbox.pickles.unpicklers import PlainUnpickler
from support import pickle_builders as build

ALLOWLIST = Allowlist.load()
EVERYTHING = dict.fromkeys(ALLOWLIST, "r")
"""The largest possible imports of an entry: every shipped name."""


def codes(data: bytes) -> list[str]:
    """Return the codes of the problems that a scan finds."""
    return [problem.code for problem in scan_bytes(data, ALLOWLIST).problems]


def refused(data: bytes, marker: Path) -> list[str]:
    """Scan, then load with every shipped name allowed. Check that nothing ran, and return the codes."""
    found = codes(data)
    assert found, "the scan accepted it"
    with pytest.raises(Exception) as caught:
        load(data, EVERYTHING)
    assert not isinstance(caught.value, FileExistsError)
    assert not marker.exists()
    return found


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """The folder that the payloads make when they run."""
    return tmp_path / "ran"


# --- names and uses that evaluate -----------------------------------------------------------------------------

Attack = Callable[[Path], bytes]

DIRECT: dict[str, Attack] = {
    "reduce": lambda m: build.pickled(build.runs(m)),
    "reduce posix": lambda m: build.pickled(build.runs(m, "posix")),
    "protocol 0": lambda m: pickle.dumps(build.RunsCode(m), 0),
    "protocol 5": lambda m: pickle.dumps(build.RunsCode(m), 5),
    "inst": lambda m: b"(" + build.text(str(m)) + b"ios\nmkdir\n.",
    "obj": lambda m: b"(" + build.named("os", "mkdir") + build.text(str(m)) + b"o.",
    "inside a list": lambda m: build.pickled(b"](", build.runs(m), b"e"),
    "popped": lambda m: build.pickled(build.runs(m), b"0N"),
    "eval": lambda m: build.pickled(
        build.called(build.named("builtins", "eval"), build.text(f"__import__('os').mkdir({str(m)!r})"))
    ),
    "exec in Python 2": lambda m: b"c__builtin__\neval\n(" + build.text(f"__import__('os').mkdir({str(m)!r})") + b"tR.",
    "getattr": lambda m: build.pickled(
        build.called(
            build.called(
                build.named("builtins", "getattr"),
                build.called(build.named("builtins", "__import__"), build.text("os")),
                build.text("mkdir"),
            ),
            build.text(str(m)),
        )
    ),
    "partial": lambda m: build.pickled(
        build.called(build.called(build.named("functools", "partial"), build.named("os", "mkdir"), build.text(str(m))))
    ),
    "methodcaller": lambda m: build.pickled(
        build.called(
            build.called(build.named("operator", "methodcaller"), build.text("mkdir"), build.text(str(m))),
            build.called(build.named("builtins", "__import__"), build.text("os")),
        )
    ),
    "map made a list": lambda m: build.pickled(
        build.called(
            build.named("builtins", "list"),
            build.called(build.named("builtins", "map"), build.named("os", "mkdir"), build.value([str(m)])),
        )
    ),
    "dict subclass's factory": lambda m: build.pickled(
        build.called(build.named("collections", "defaultdict"), build.named("os", "getcwd")), b"0", build.runs(m)
    ),
    "newobj of a type": lambda m: build.pickled(
        build.built(build.new("types", "SimpleNamespace"), build.mapping({"a": build.runs(m)}))
    ),
    "dotted name": lambda m: build.pickled(build.called(build.named("shutil", "os.mkdir"), build.text(str(m)))),
}


@pytest.mark.parametrize("attack", DIRECT.values(), ids=DIRECT.keys())
def test_payload_that_runs_is_refused(attack: Attack, marker: Path) -> None:
    """Every way of calling something runs under pickle.loads, and neither under the scan nor under our load."""
    data = attack(marker)
    pickle.loads(data)
    assert marker.is_dir()
    marker.rmdir()
    assert set(refused(data, marker)) <= {
        "artifact.never_allowed",
        "artifact.forbidden_use",
        "artifact.forbidden_arguments",
        "artifact.malformed",
        "artifact.not_a_pickle",
    }


NEVER = [
    "builtins.eval",
    "builtins.exec",
    "builtins.compile",
    "builtins.setattr",
    "builtins.type",
    "functools.partialmethod",
    "types.FunctionType",
    "types.CodeType",
    "operator.attrgetter",
    "operator.methodcaller",
    "os.system",
    "subprocess.Popen",
    "importlib.import_module",
    "timeit.timeit",
    "cloudpickle.cloudpickle._make_function",
    "dill._dill._create_function",
    "formulaic.model_spec.ModelSpec",
    "patsy.desc.ModelDesc",
    "numpy._core._ufunc_reconstruct",
    "numpy.core._ufunc_reconstruct",
    "joblib.numpy_pickle.NDArrayWrapper",
    "joblib.memory.MemorizedFunc",
    "torch.fx.graph_module.reduce_graph_module",
    "torch.jit._script.RecursiveScriptModule",
    "pandas.core.computation.eval.eval",
    "__main__.Model",
    "model_inbox.registry.ModelRegistry",
]


ONLY_SHIPPED = [
    "scipy.interpolate._interpolate.interp1d",
    "scipy.optimize._minimize.minimize",
    "scipy.stats._distn_infrastructure.rv_frozen",
    "scipy.stats._distn_infrastructure.rv_generic",
    "statsmodels.formula._manager.FormulaManager",
    "statsmodels.iolib.smpickle.load_pickle",
    "statsmodels.tools.web.webdoc",
]


@pytest.mark.parametrize("name", ONLY_SHIPPED)
def test_name_that_needs_a_rule_is_in_no_line_of_the_user(name: str) -> None:
    """Packages that evaluate or call what is in a state: only the shipped lists may have their names."""
    assert check_extra({name: "bnr"})
    assert check_extra({name: "r"})
    with pytest.raises(ConfigError):
        Allowlist.load(extra={name: "bnr"})
    if ALLOWLIST.uses(name) is None:
        module, _, last = name.rpartition(".")
        problems = scan_bytes(build.pickled(build.named(module, last)), ALLOWLIST).problems
        assert [problem.code for problem in problems] == ["artifact.never_allowed"]


@pytest.mark.parametrize("name", NEVER)
def test_name_that_evaluates_is_never_allowed(name: str) -> None:
    """Names that are never allowed are refused in the shipped lists and in the user's own lines."""
    assert ALLOWLIST.uses(name) is None
    module, _, last = name.rpartition(".")
    problems = scan_bytes(build.pickled(build.named(module, last)), ALLOWLIST).problems
    assert problems[0].code in ("artifact.never_allowed", "artifact.embedded_code")


def test_shipped_lists_obey_rule_four() -> None:
    """No shipped list has a name that is never allowed."""
    assert [name for name in ALLOWLIST if ALLOWLIST.uses(name) is None] == []


# --- other uses of allowed names ------------------------------------------------------------------------------

LOG = build.named("numpy", "log")
"""A function that the lists let a pickle refer to."""

RIDGE = build.new("sklearn.linear_model._ridge", "Ridge")

RBF = build.new("sklearn.gaussian_process.kernels", "RBF")
"""An object whose class has no `__setstate__`: BUILD sets items in its dictionary."""

SHADOW = build.called(build.named("collections", "OrderedDict")) + build.text("__setstate__") + LOG + b"s"
"""An OrderedDict instead of a dictionary, with an attribute that BUILD would look up next."""

SEED_SEQUENCE = build.called(
    build.named("numpy.random.bit_generator", "__pyx_unpickle_SeedSequence"),
    build.named("numpy.random.bit_generator", "SeedSequence"),
    build.value(1),
    b"N",
)
BACKED = build.called(
    build.named("pandas._libs.arrays", "__pyx_unpickle_NDArrayBacked"),
    build.named("pandas.core.arrays.categorical", "Categorical"),
    build.value(1),
    b"N",
)
TWISTER = build.called(build.named("numpy.random._pickle", "__bit_generator_ctor"), build.text("MT19937"))
RANDOM = build.called(build.named("numpy.random._pickle", "__randomstate_ctor"), TWISTER)

MISUSES: dict[str, tuple[bytes, str]] = {
    "an attribute that BUILD looks up": (
        build.built(build.built(RIDGE, build.mapping({"__setstate__": LOG})), b"K\x01"),
        "artifact.forbidden_arguments",
    ),
    "another class": (
        build.built(RIDGE, build.mapping({"__class__": build.named("numpy", "ndarray")})),
        "artifact.forbidden_arguments",
    ),
    "an attribute by its slot": (
        build.built(RIDGE, b"N" + build.mapping({"__class__": build.named("numpy", "ndarray")}) + b"\x86"),
        "artifact.forbidden_arguments",
    ),
    "a class changed": (
        build.built(build.named("sklearn.linear_model._ridge", "Ridge"), build.mapping({"fit": b"N"})),
        "artifact.forbidden_use",
    ),
    "an estimator called": (
        build.called(build.named("sklearn.linear_model._ridge", "Ridge")),
        "artifact.forbidden_use",
    ),
    "an estimator made with arguments": (
        build.named("sklearn.linear_model._ridge", "Ridge") + b"K\x01\x85\x81",
        "artifact.forbidden_use",
    ),
    "an object called": (build.called(RIDGE), "artifact.forbidden_use"),
    "items appended to an estimator": (RIDGE + b"K\x01a", "artifact.forbidden_use"),
    "items set on an estimator": (RIDGE + b"K\x01K\x02s", "artifact.forbidden_use"),
    "items set on a class": (
        build.named("collections", "OrderedDict") + b"K\x01K\x02s",
        "artifact.forbidden_use",
    ),
    "items appended to a class": (build.named("collections", "deque") + b"K\x01a", "artifact.forbidden_use"),
    "a list's extend chosen by the file": (
        build.built(build.called(build.named("collections", "deque")), build.mapping({"extend": LOG}))
        + b"(K\x01K\x02e",
        "artifact.forbidden_arguments",
    ),
    "a factory that is no type": (
        build.called(build.named("collections", "defaultdict"), LOG),
        "artifact.forbidden_arguments",
    ),
    "a generator from any class": (
        build.called(build.named("numpy.random._pickle", "__bit_generator_ctor"), build.named("numpy", "memmap")),
        "artifact.forbidden_arguments",
    ),
    "a generator from any function": (
        build.called(build.named("numpy.random._pickle", "__generator_ctor"), build.text("PCG64"), LOG),
        "artifact.forbidden_arguments",
    ),
    "a generator that stands outside its table": (
        build.built(
            build.called(build.named("numpy.random._pickle", "__bit_generator_ctor"), build.text("MT19937")),
            build.mapping({"state": build.mapping({"pos": build.value(10**6)})}),
        ),
        "artifact.forbidden_arguments",
    ),
    "an index of any class": (
        build.called(build.named("pandas.core.indexes.base", "_new_Index"), build.named("numpy", "memmap"), b"}"),
        "artifact.forbidden_arguments",
    ),
    "a state that is an object": (build.built(RIDGE, RIDGE), "artifact.forbidden_arguments"),
    "an estimator as a key": (b"}" + RIDGE + b"K\x01s", "artifact.forbidden_use"),
    "an estimator in a set": (
        build.called(build.named("builtins", "set"), b"](" + RIDGE + b"e"),
        "artifact.forbidden_use",
    ),
    "a fraction to be worked out": (
        build.called(build.named("fractions", "Fraction"), build.text("1e999999999")),
        "artifact.forbidden_arguments",
    ),
    "a million bytes from a number": (
        build.called(build.named("builtins", "bytearray"), build.value(10**6)),
        "artifact.forbidden_arguments",
    ),
    "another encoding": (
        build.called(build.named("_codecs", "encode"), build.text("a"), build.text("idna")),
        "artifact.forbidden_arguments",
    ),
    "a base that is no base": (
        build.called(build.named("copyreg", "_reconstructor"), build.named("numpy", "ndarray"), LOG, b"N"),
        "artifact.forbidden_arguments",
    ),
    "a pointer for LightGBM to free": (
        build.built(build.new("lightgbm.basic", "Booster"), build.mapping({"_handle": build.value(4096)})),
        "artifact.forbidden_arguments",
    ),
    "a pointer for XGBoost to read": (
        build.built(build.new("xgboost.core", "Booster"), build.mapping({"handle": build.value(4096)})),
        "artifact.forbidden_arguments",
    ),
    "attributes in a dictionary of another name": (
        build.built(RBF, SHADOW + b"N\x86"),
        "artifact.forbidden_arguments",
    ),
    "slots in a dictionary of another name": (
        build.built(RBF, b"N" + SHADOW + b"\x86"),
        "artifact.forbidden_arguments",
    ),
    "a method of a mapping replaced": (
        build.built(build.called(build.named("collections", "OrderedDict")), build.mapping({"items": LOG})),
        "artifact.forbidden_arguments",
    ),
    "a method replaced that is called at the load": (
        build.built(
            build.new("sklearn.isotonic", "IsotonicRegression"),
            build.mapping({"_build_f": LOG, "X_thresholds_": b"N", "y_thresholds_": b"N"}),
        ),
        "artifact.forbidden_arguments",
    ),
    "nodes of a predictor that are no array": (
        build.built(
            build.new("sklearn.ensemble._hist_gradient_boosting.predictor", "TreePredictor"),
            build.mapping({"nodes": build.built(RBF, build.mapping({"astype": LOG}))}),
        ),
        "artifact.forbidden_arguments",
    ),
    "a method of an optimizer replaced": (
        build.built(
            build.new("torch.optim.adam", "Adam"),
            build.mapping({"_patch_step_function": LOG, "defaults": b"}", "param_groups": b"]", "state": b"}"}),
        ),
        "artifact.forbidden_arguments",
    ),
    "a method of a dtype replaced": (
        build.built(build.new("pandas", "SparseDtype"), build.mapping({"construct_array_type": LOG})),
        "artifact.forbidden_arguments",
    ),
    "an object to be called among an array's attributes": (
        build.built(
            BACKED,
            build.dtype()
            + build.array()
            + build.mapping({"copy": build.new("torch.nn.modules.module", "Module")})
            + b"\x87",
        ),
        "artifact.forbidden_arguments",
    ),
    "an object as the number of a loss": (
        build.built(
            build.called(
                build.named("_loss", "__pyx_unpickle_CyHalfMultinomialLoss"),
                build.named("_loss", "CyHalfMultinomialLoss"),
                build.value(1),
                b"N",
            ),
            RIDGE + b"\x85",
        ),
        "artifact.forbidden_arguments",
    ),
    "an array of pandas over no array": (
        build.built(BACKED, build.dtype() + RBF + b"}\x87"),
        "artifact.forbidden_arguments",
    ),
    "an estimator as a key of another mapping": (
        build.called(build.named("collections", "OrderedDict")) + RIDGE + b"K\x01s",
        "artifact.forbidden_use",
    ),
    "a UUID that hashes what it is given": (
        build.built(build.new("uuid", "UUID"), build.mapping({"int": RIDGE})),
        "artifact.forbidden_arguments",
    ),
    "a position in another mapping": (
        build.built(
            TWISTER,
            build.mapping(
                {
                    "state": build.called(build.named("collections", "OrderedDict"))
                    + build.text("pos")
                    + build.value(10**6)
                    + b"s"
                }
            ),
        ),
        "artifact.forbidden_arguments",
    ),
    "a position in the old form of a state": (
        build.built(RANDOM, build.value(("MT19937", b"", 10**6, 0, 0.0))),
        "artifact.forbidden_arguments",
    ),
    "a pool of another size": (
        build.built(SEED_SEQUENCE, b"(K\x00K\x00" + build.array((4,), bytes(16), build.dtype("u4")) + b"K\x08)t"),
        "artifact.forbidden_arguments",
    ),
    "keywords": (
        build.named("collections", "OrderedDict") + b")" + build.mapping({"a": b"N"}) + b"\x92",
        "artifact.forbidden_arguments",
    ),
}


@pytest.mark.parametrize(("opcodes", "code"), MISUSES.values(), ids=MISUSES.keys())
def test_allowed_name_put_to_another_use_is_refused(opcodes: bytes, code: str) -> None:
    """A name on a list is not enough: its use, arguments and state are checked too."""
    assert code in codes(build.pickled(opcodes))


# --- one parse -------------------------------------------------------------------------------------------------


def straddling(marker: Path) -> bytes:
    """A pickle whose first frame ends within an opcode's argument, so that readers disagree on what follows."""
    hidden = build.runs(marker) + b"0"
    inner = b"N" + b"0" + hidden + b"N."
    frame = b"\x8c" + bytes([len(inner)])
    return b"\x80\x04\x95" + (len(frame)).to_bytes(8, "little") + frame + inner + b"0N."


def test_scan_and_load_read_through_the_same_reader_without_peek() -> None:
    """The unpickler gets an object with read, readline and readinto, and without peek."""
    stream = Stream(MemorySource(b"\x80\x04N."))
    assert not hasattr(stream, "peek")
    assert {name for name in dir(stream) if not name.startswith("_")} >= {"read", "readline", "readinto"}


def test_opcode_that_straddles_a_frame_is_judged_as_it_is_loaded(marker: Path) -> None:
    """Where readers could disagree about the same bytes, scan and load see the same thing, and nothing runs."""
    data = straddling(marker)
    report = scan_bytes(data, ALLOWLIST)
    try:
        loaded: object = load(data, report.imports)
    except Exception:
        assert report.problems
    else:
        assert report.problems == ()
        assert loaded is None
    assert not marker.exists()


@pytest.mark.parametrize("opcode", [bytes([code]) for code in b"\x8cX\x8eBCKJcVSI\x8ai"])
def test_argument_outside_its_frame_is_judged_as_it_is_loaded(opcode: bytes, marker: Path) -> None:
    """Python's readers parse these bytes differently (in 3.11 `loads` runs what BytesIO never reaches), ours do not."""
    body = opcode + b"\x02\x00\x00\x00AB" + build.text("a") + build.runs(marker) + b".K\x01.\n\n."
    for length in range(12):
        data = b"\x80\x04\x95" + length.to_bytes(8, "little") + body
        report = scan_bytes(data, ALLOWLIST)
        try:
            loaded: object = load(data, EVERYTHING)
        except Exception:
            assert report.problems, length
        else:
            assert report.problems == () and not report.imports, (length, loaded)
        assert not marker.exists()


def test_every_split_of_a_frame_is_judged_as_it_is_loaded(marker: Path) -> None:
    """With a frame of any length, right or wrong: if the scan accepts the file, the load does the same as the scan."""
    body = build.value({"a": [1, 2.5, "text"], "b": b"bytes" * 20}) + b"0" + build.value("end") + b"."
    for length in range(len(body) + 3):
        data = b"\x80\x04\x95" + length.to_bytes(8, "little") + body
        recorder = new_recorder()
        stream = Stream(MemorySource(data))
        report = scan_bytes(data, ALLOWLIST)
        try:
            parsed = PlainUnpickler(recorder, stream).load()
        except Exception:
            assert report.problems, length
            continue
        if report.problems == ():
            assert load(data, report.imports) == parsed, length


# --- spelling, extension codes, buffers, persistent ids, trailing data ------------------------------------------


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("a", "b.c"),
        ("sklearn.linear_model", "_ridge.Ridge"),
        ("numpy", "ndarray.__reduce__"),
        ("", "x"),
        ("numpy", ""),
        ("nümpy", "ndarray"),
        ("numpy", "nd array"),
        ("numpy\n", "ndarray"),
        ("n" * 201, "x"),
        (".numpy", "x"),
    ],
)
def test_name_that_is_no_plain_full_name_is_refused(module: str, name: str) -> None:
    """Only plain identifiers are looked up: ('a', 'b.c') and ('a.b', 'c') would be equal after joining."""
    assert "artifact.never_allowed" in codes(build.pickled(build.named(module, name)))
    with pytest.raises(LoadRefused, match="not a full name"):
        load(build.pickled(build.named(module, name)), {f"{module}.{name}": "r"})


def test_only_the_fixed_aliases_of_python_2_are_followed() -> None:
    """`__builtin__.set` is `builtins.set`; other renamings of Python 2 are unknown names."""
    assert scan_bytes(b"c__builtin__\nset\n.", ALLOWLIST).imports == {"builtins.set": "r"}
    assert load(b"c__builtin__\nset\n.", {"builtins.set": "r"}) is set
    assert scan_bytes(b"ccopy_reg\n_reconstructor\n.", ALLOWLIST).imports == {"copyreg._reconstructor": "r"}
    assert codes(b"ccPickle\nloads\n.") == ["artifact.forbidden_import"]


def test_extension_codes_are_refused(marker: Path) -> None:
    """Extension codes are refused: they stand for names that are not in the file."""
    copyreg.add_extension("os", "mkdir", 200)
    try:
        data = build.pickled(build.called(b"\x82\xc8", build.text(str(marker))))
        pickle.loads(data)
        marker.rmdir()
        assert codes(data) == ["artifact.unsupported"]
    finally:
        copyreg.remove_extension("os", "mkdir", 200)
        copyreg.clear_extension_cache()
    assert codes(data) == ["artifact.unsupported"]
    assert not marker.exists()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (build.pickled(b"\x97"), "artifact.malformed"),
        (build.pickled(build.text("0"), b"Q"), "artifact.unsupported"),
        (b"P0\n.", "artifact.unsupported"),
        (pickle.dumps(1) + b"x", "artifact.trailing_data"),
        (pickle.dumps(1) + pickle.dumps(2), "artifact.several_pickles"),
        (pickle.dumps([1] * 9)[:-3], "artifact.truncated"),
        (pickle.dumps(b"x" * 100)[:-50], "artifact.truncated"),
        (b"", "artifact.truncated"),
        (b"hello world", "artifact.not_a_pickle"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "artifact.not_a_pickle"),
        (b'{"a": 1}', "artifact.not_a_pickle"),
        (b"\x80\x04\xff.", "artifact.malformed"),
        (b"\x80\x63N.", "artifact.unsupported"),
        (b"ZF" + bytes(40), "artifact.unsupported"),
        (b"\x80\x04" + b"S'\\q'\n.", "artifact.malformed"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_malformed_file_gets_its_own_code(data: bytes, code: str) -> None:
    """Different faults of a file's format have different codes, because the advice differs."""
    assert codes(data) == [code]


# --- compressed, nested, torch, joblib ---------------------------------------------------------------------------


def nested_places(payload: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the payload, as a pickle or as opcodes, in every place that a loader reads."""
    whole = build.pickled(payload)
    yield "gzip", gzip.compress(whole)
    yield "zlib", zlib.compress(whole)
    yield "bz2", bz2.compress(whole)
    yield "xz", lzma.compress(whole)
    yield "lzma", lzma.compress(whole, lzma.FORMAT_ALONE)
    yield "torch zip", build.torch_archive(whole)
    yield "torch legacy object", build.torch_legacy(whole, [], b"")
    yield "torch legacy magic", build.TORCH_MAGIC + whole
    yield (
        "torch legacy keys",
        build.TORCH_MAGIC + pickle.dumps(1001, 2) + pickle.dumps({}, 2) + pickle.dumps(1, 2) + whole,
    )
    load_bytes = build.named("torch.storage", "_load_from_bytes")
    yield (
        "bytes in a plain pickle",
        build.pickled(build.called(load_bytes, build.data(build.torch_legacy(whole, [], b"")))),
    )
    yield "zip in a plain pickle", build.pickled(build.called(load_bytes, build.data(build.torch_archive(whole))))
    yield "before a joblib array", build.pickled(payload + b"0" + build.joblib_array())
    yield "after a joblib array", build.pickled(build.joblib_array() + b"0" + payload)
    objects = build.dtype("O8", (3, "|", None, None, None, -1, -1, 63))
    inner = build.joblib_array(b"", (1,), objects)[: -len(b"\x03\xff\xff\xff")]
    yield "items of a joblib array", build.pickled(inner + whole)


@pytest.mark.parametrize("place", [place for place, _ in nested_places(b"N")])
def test_payload_is_found_wherever_a_loader_looks(place: str, marker: Path) -> None:
    """A payload is found in compressed data, archives, nested files and arrays of objects."""
    data = dict(nested_places(build.runs(marker)))[place]
    problems = scan_bytes(data, ALLOWLIST).problems
    assert "artifact.never_allowed" in [problem.code for problem in problems], problems
    assert any("os.mkdir" in problem.message for problem in problems)
    assert not marker.exists()


@pytest.mark.parametrize(
    "place", [place for place, _ in nested_places(b"N") if "torch" not in place and "plain" not in place]
)
def test_loader_refuses_it_there_too(place: str, marker: Path) -> None:
    """A load with every shipped name allowed stops at the first name that is not allowed."""
    with pytest.raises(Exception) as caught:
        load(dict(nested_places(build.runs(marker)))[place], EVERYTHING)
    assert isinstance(caught.value, LoadRefused | ModuleNotFoundError)
    assert not marker.exists()


def test_nested_files_are_followed_to_a_depth() -> None:
    """A file in a file in a file is scanned. Deeper nesting is refused, not skipped."""
    data = build.torch_archive(build.pickled(b"N"))
    for _ in range(3):
        wrapped = build.called(build.named("torch.storage", "_load_from_bytes"), build.data(data))
        data = build.torch_archive(build.pickled(wrapped))
    assert codes(data) == []
    wrapped = build.called(build.named("torch.storage", "_load_from_bytes"), build.data(data))
    assert codes(build.pickled(wrapped)) == ["artifact.scan_limits"]


# --- all at once -------------------------------------------------------------------------------------------------


def test_all_unknown_names_are_reported_with_the_very_line_to_add() -> None:
    """A rejection has every unknown class, and the line with the letters that would allow it."""
    first = build.built(build.new("fxmodels.lstm", "FxLSTM"), build.mapping({"a": b"N"}))
    second = build.called(build.named("fxmodels.data", "make"), b"K\x01")
    data = build.pickled(b"](", first, second, b"e")
    problems = scan_bytes(data, ALLOWLIST).problems
    assert [problem.code for problem in problems] == ["artifact.forbidden_import"] * 2
    assert '"fxmodels.data.make": "cr"' in problems[0].hint
    assert '"fxmodels.lstm.FxLSTM": "bnr"' in problems[1].hint
    assert "have its state set" in problems[1].hint
    own = Allowlist.load(extra={"fxmodels.data.make": "cr", "fxmodels.lstm.FxLSTM": "bnr"})
    assert scan_bytes(data, own).problems == ()


def test_number_of_reported_names_is_bounded() -> None:
    """A file with very many names gets a bounded report that counts the rest."""
    data = build.pickled(b"](", *(build.named("many", f"Name{i}") for i in range(300)), b"e")
    problems = scan_bytes(data, ALLOWLIST).problems
    assert len(problems) == 51
    assert "250 more names" in problems[-1].message
    too_many = build.pickled(b"](", *(build.named("many", f"Name{i}") for i in range(2100)), b"e")
    assert "artifact.scan_limits" in codes(too_many)


def test_code_by_value_is_refused_with_the_ways_that_work() -> None:
    """A local class in a file of cloudpickle has a code of its own, with advice."""
    import cloudpickle

    class Local:
        def predict(self) -> int:
            return 1

    report = scan_bytes(cloudpickle.dumps(Local()), ALLOWLIST)
    assert report.embedded_code
    assert report.problems[0].code == "artifact.embedded_code"
    assert "register_model" in report.problems[0].hint
    assert load(cloudpickle.dumps(Local()), None).predict() == 1


def test_loader_gives_nothing_that_the_scan_did_not_see(marker: Path) -> None:
    """A name that is not in the imports of the entry is refused, even if a shipped list has it."""
    data = pickle.dumps({"a": frozenset({1})}, 2)
    assert load(data, {"builtins.frozenset": "cr"}) == {"a": frozenset({1})}
    with pytest.raises(LoadRefused, match=r"builtins\.frozenset"):
        load(data, {"builtins.set": "cr"})
    with pytest.raises(LoadRefused, match=r"os\.mkdir|posix\.mkdir"):
        load(pickle.dumps(build.RunsCode(marker)), EVERYTHING)
    assert not marker.exists()
    assert os.mkdir.__module__ == "posix"
