"""Payloads as an attacker would write them who knows Python's library and the frameworks, but not our lists.

Owns the held-out set of attacks: each leaves a trace (a file whose name begins with the marker's) when an ordinary
loader loads it. None of them was looked at when the rules were made.
"""

from __future__ import annotations

import gzip
import importlib.util
import io
import marshal
import pickle
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from support import pickle_builders as build


class Code(bytes):
    """Opcodes, told apart from bytes that are a value."""


NONE = Code(b"N")
TRUE = Code(b"\x88")
FALSE = Code(b"\x89")
EMPTY = Code(b"}")


def ref(name: str) -> Code:
    """What `module:attribute` stands for; dots are allowed on both sides."""
    return Code(build.named(*name.split(":")))


def _made(value: Any) -> Code:
    return value if isinstance(value, Code) else Code(build.value(value))


def call(callee: str | Code, *arguments: Any) -> Code:
    """A call, of a name or of the result of another call."""
    target = callee if isinstance(callee, Code) else ref(callee)
    return Code(build.called(target, *(_made(argument) for argument in arguments)))


def new(name: str, state: dict[str, Any]) -> Code:
    """An instance without __init__ that is given a state."""
    module, attribute = name.split(":")
    items = {key: _made(value) for key, value in state.items()}
    return Code(build.built(build.new(module, attribute), build.mapping(items)))


def several(*items: Any) -> Code:
    """A tuple of opcodes and values."""
    return Code(b"(" + b"".join(_made(item) for item in items) + b"t")


class Files:
    """What payloads run or read: a script, a site folder, and a pickle that is an attack itself."""

    def __init__(self, folder: Path, m: str) -> None:
        self.source = f"open({m!r}, 'w').close()"
        self.script = str(folder / "script.py")
        Path(self.script).write_text(self.source)
        self.sites = str(folder / "sites")
        Path(self.sites).mkdir(exist_ok=True)
        (folder / "sites" / "x.pth").write_text(f"import os; {self.source}\n")
        self.inner = build.pickled(call("os:mkdir", m))
        self.pickled = str(folder / "inner.pkl")
        Path(self.pickled).write_bytes(self.inner)


def of_python(m: str, files: Files) -> dict[str, Code]:
    """Names of the standard library that run, open or write something, directly or by a detour."""
    source, mkdir = files.source, ref("os:mkdir")
    mapped = call("builtins:map", mkdir, [m])
    imported = call("builtins:__import__", "os")
    function = call("types:FunctionType", call("marshal:loads", marshal.dumps(compile(source, "x", "exec"))), EMPTY)
    settings = {
        "version": 1,
        "root": {"handlers": ["h"]},
        "handlers": {"h": {"class": "logging.FileHandler", "filename": m}},
    }
    found = {
        "mkdir": call("os:mkdir", m),
        "posix.mkdir": call("posix:mkdir", m),
        "makedirs": call("os:makedirs", m),
        "mkfifo": call("os:mkfifo", m),
        "symlink": call("os:symlink", "/", m),
        "os.open": call("os:open", m, 65),
        "system": call("os:system", f"touch {m}"),
        "posix.system": call("posix:system", f"touch {m}"),
        "popen": call("os:_wrap_close.close", call("os:popen", f"touch {m}")),
        "spawn": call("os:spawnvp", 0, "touch", ["touch", m]),
        "run": call("subprocess:run", ["touch", m]),
        "getoutput": call("subprocess:getoutput", f"touch {m}"),
        "Popen": call("subprocess:Popen.wait", call("subprocess:Popen", ["touch", m])),
        "eval": call("builtins:eval", source),
        "exec": call("builtins:exec", source),
        "compile": call("builtins:exec", call("builtins:compile", source, "x", "exec")),
        "open": call("builtins:open", m, "w"),
        "io.open": call("io:open", m, "w"),
        "_io.open": call("_io:open", m, "w"),
        "FileIO": call("io:FileIO", m, "w"),
        "codecs.open": call("codecs:open", m, "w"),
        "touch": call("pathlib:Path.touch", call("pathlib:PosixPath", m)),
        "write_text": call("pathlib:Path.write_text", call("pathlib:PosixPath", m), "x"),
        "copyfile": call("shutil:copyfile", "/etc/hostname", m),
        "FileHandler": call("logging:FileHandler", m),
        "dictConfig": call("logging.config:dictConfig", settings),
        "dbm": call("dbm.dumb:open", m, "c"),
        "ZipFile": call("zipfile:ZipFile", m, "w"),
        "tarfile": call("tarfile:open", m, "w"),
        "gzip": call("gzip:open", m, "w"),
        "BZ2File": call("bz2:BZ2File", m, "w"),
        "LZMAFile": call("lzma:LZMAFile", m, "w"),
        "Maildir": call("mailbox:Maildir", m),
        "urlretrieve": call("urllib.request:urlretrieve", "file:///etc/hostname", m),
        "timeit": call("timeit:timeit", source, "pass", ref("time:time"), 1),
        "cProfile": call("cProfile:run", source),
        "profile": call("profile:run", source),
        "run_path": call("runpy:run_path", files.script),
        "interpreter": call("code:InteractiveInterpreter.runsource", call("code:InteractiveInterpreter"), source),
        "loader": call(
            "importlib.machinery:SourceFileLoader.load_module",
            call("importlib.machinery:SourceFileLoader", "x", files.script),
            "x",
        ),
        "site": call("site:addsitedir", files.sites),
        "py_compile": call("py_compile:compile", files.script, m),
        "pipepager": call("pydoc:pipepager", "", f"touch {m}"),
        "partial": call(call("functools:partial", mkdir, m)),
        "reduce": call("functools:reduce", mkdir, [m, 0o777]),
        "methodcaller": call(call("operator:methodcaller", "mkdir", m), imported),
        "attrgetter": call(call(call("operator:attrgetter", "mkdir"), imported), m),
        "getattr": call(call("builtins:getattr", imported, "mkdir"), m),
        "resolve_name": call(call("pkgutil:resolve_name", "os:mkdir"), m),
        "entry point": call(
            call("importlib.metadata:EntryPoint.load", call("importlib.metadata:EntryPoint", "x", "os:mkdir", "g")), m
        ),
        "starmap": call("builtins:list", call("itertools:starmap", mkdir, [(m,)])),
        "accumulate": call("builtins:list", call("itertools:accumulate", [m, 0o777], mkdir)),
        **{
            f"{name} of a map": call(f"{module}:{name}", mapped)
            for module, names in (
                ("builtins", ("list", "tuple", "set", "frozenset", "dict", "bytes", "bytearray", "sorted", "any")),
                ("collections", ("deque", "Counter", "OrderedDict")),
            )
            for name in names
        },
        "filter": call("builtins:list", call("builtins:filter", mkdir, [m])),
        "finalizer": call("weakref:finalize", call("builtins:set"), mkdir, m),
        "thread": call("threading:Thread.run", call("threading:Thread", NONE, mkdir, "x", several(m))),
        "executor": call(
            "concurrent.futures:ThreadPoolExecutor.shutdown",
            Code(call("concurrent.futures:ThreadPoolExecutor") + b"q\x63"),
            call("concurrent.futures:ThreadPoolExecutor.submit", Code(b"h\x63"), mkdir, m),
        ),
        "context": call("contextvars:Context.run", call("contextvars:Context"), mkdir, m),
        "process": call(
            "multiprocessing.process:BaseProcess.run", call("multiprocessing:Process", NONE, mkdir, "x", several(m))
        ),
        "mapstar": call("multiprocessing.pool:mapstar", several(mkdir, [m])),
        "asyncio": call("asyncio:run", call("asyncio.threads:to_thread", mkdir, m)),
        "trace": call("trace:Trace.run", call("trace:Trace", 0, 0), source),
        "bdb": call("bdb:Bdb.runcall", call("bdb:Bdb"), mkdir, m),
        "doctest": call("doctest:run_docstring_examples", f">>> {source}\n", EMPTY),
        "pickle": call("pickle:loads", files.inner),
        "_pickle": call("_pickle:loads", files.inner),
        "Python's unpickler": call("pickle:_loads", files.inner),
        "FunctionType": call(function),
        "factory": call(
            "collections:defaultdict.__missing__",
            call("collections:defaultdict", call("functools:partial", mkdir, m)),
            1,
        ),
        "namespace": call("builtins:getattr", new("types:SimpleNamespace", {"a": call("os:mkdir", m)}), "a"),
        "callable in a property": call(
            "builtins:property.__get__", call("builtins:property", mkdir), m, NONE
        ),
    }  # fmt: skip
    if sys.version_info < (3, 12):
        found["mkpath"] = call("distutils.dir_util:mkpath", m)
        found["distutils.spawn"] = call("distutils.spawn:spawn", ["touch", m])
        found["imp"] = call("imp:load_source", "x", files.script)
    return found


def of_frameworks(m: str, files: Files) -> dict[str, Code]:
    """Names of numpy, pandas, scipy, scikit-learn, joblib, cloudpickle and LightGBM that do the same."""
    mkdir = ref("os:mkdir")
    frame = call("pandas:DataFrame", [[1]])
    array = call("numpy:array", [1, 2])
    return {
        "numpy.save": call("numpy:save", m, 1),
        "savetxt": call("numpy:savetxt", m, [1]),
        "memmap": call("numpy:memmap", m, "u1", "w+", 0, (4,)),
        "open_memmap": call("numpy.lib.format:open_memmap", m, "w+", "u1", (4,)),
        "savez": call("numpy:savez", m, 1),
        "tofile": call("numpy:ndarray.tofile", array, m),
        "dump": call("numpy:ndarray.dump", array, m),
        "numpy.load": call("numpy:load", files.pickled, NONE, TRUE),
        "vectorize": call(call("numpy:vectorize", mkdir), m),
        "frompyfunc": call(call("numpy:frompyfunc", mkdir, 1, 1), m),
        "ufunc": call(call("numpy.core:_ufunc_reconstruct", "os", "mkdir"), m),
        "fromiter": call("numpy:fromiter", call("builtins:map", mkdir, [m]), "O"),
        "runstring": call("numpy.testing:runstring", files.source, EMPTY),
        "to_csv": call("pandas:DataFrame.to_csv", frame, m),
        "to_pickle": call("pandas:to_pickle", 1, m),
        "read_pickle": call("pandas:read_pickle", files.pickled),
        "get_handle": call("pandas.io.common:get_handle", m, "w"),
        "pipe": call("pandas.core.common:pipe", m, mkdir),
        "apply_if_callable": call("pandas.core.common:apply_if_callable", mkdir, m),
        "Series.map": call("pandas:Series.map", call("pandas:Series", [m]), mkdir),
        "Series.apply": call("pandas:Series.apply", call("pandas:Series", [m]), mkdir),
        "to_json": call("pandas:DataFrame.to_json", frame, m),
        "savemat": call("scipy.io:savemat", m, EMPTY),
        "distribution": new("scipy.stats._continuous_distns:norm_gen", {"_parse_arg_template": files.source}),
        "svmlight": call("sklearn.datasets:dump_svmlight_file", [[1.0]], [1], m),
        "transformer": call(
            "sklearn.preprocessing:FunctionTransformer.transform",
            call("sklearn.preprocessing:FunctionTransformer", mkdir),
            m,
        ),
        "joblib.dump": call("joblib:dump", 1, m),
        "joblib.load": call("joblib:load", files.pickled),
        "Memory": call("joblib:Memory", m),
        "BatchedCalls": call(
            "joblib.parallel:BatchedCalls.__call__",
            call(
                "joblib.parallel:BatchedCalls",
                Code(b"](" + several(mkdir, (m,), {}) + b"e"),
                several(call("joblib._parallel_backends:SequentialBackend", 0), 1),
            ),
        ),
        "_write_fileobject": call("joblib.numpy_pickle_utils:_write_fileobject", m),
        "cloudpickle": call("cloudpickle:loads", files.inner),
        "yaml": call("yaml:unsafe_load", f"!!python/object/apply:os.mkdir ['{m}']"),
        "click": call("click:open_file", m, "w", NONE, "strict", FALSE),
        "hypothesis": call("hypothesis.internal.reflection:source_exec_as_module", files.source),
    }  # fmt: skip


def of_torch(m: str, files: Files) -> dict[str, Code]:
    """Names of torch that do the same."""
    mkdir = ref("os:mkdir")
    return {
        "torch.save": call("torch:save", 1, m),
        "from_file": call("torch:from_file", m, TRUE, 4),
        "storage from_file": call("torch:UntypedStorage.from_file", m, TRUE, 4),
        "collect_env": call("torch.utils.collect_env:run", f"touch {m}"),
        "_rebuild_from_type_v2": call("torch._tensor:_rebuild_from_type_v2", mkdir, ref("builtins:str"), (m,), NONE),
        "tree_map": call("torch.utils._pytree:tree_map", mkdir, m),
        "graph module": call(
            "torch.fx.graph_module:reduce_graph_module",
            {"_code": files.source + "\ndef forward(self): pass", "_graphmodule_cls_name": "X"},
            "",
        ),
        "hook": call("torch.nn.modules.module:_WrappedHook.__call__", new(
            "torch.nn.modules.module:_WrappedHook", {"hook": mkdir, "with_module": False}), m),
        "sequential": call("torch.nn:Module.__call__", new("torch.nn:Module", {
            "forward": mkdir, "_forward_hooks": {}, "_forward_pre_hooks": {}, "_backward_hooks": {},
            "_backward_pre_hooks": {}, "_modules": {}, "_parameters": {}, "_buffers": {}, "training": False}), m),
        "checkpoint": call("torch.utils.checkpoint:CheckpointFunction.apply", mkdir, FALSE, m),
    }  # fmt: skip


def attacks(m: str, folder: Path) -> Iterator[tuple[str, Code]]:
    """Yield every attack that can be made here: (label, opcodes)."""
    files = Files(folder, m)
    groups = [of_python, of_frameworks]
    if importlib.util.find_spec("torch") is not None:
        groups.append(of_torch)
    for group in groups:
        yield from group(m, files).items()


def places(opcodes: bytes) -> Iterator[tuple[str, str, bytes]]:
    """Yield where an attack hides, and the loader that finds it there: (place, "pickle" or "joblib", bytes)."""
    whole = build.pickled(opcodes)
    ridge = build.new("sklearn.linear_model._ridge", "Ridge")
    objects = build.dtype("O8", (3, "|", None, None, None, -1, -1, 63))
    inner = build.joblib_array(b"", (1,), objects)[: -len(b"\x03\xff\xff\xff")]
    yield "alone", "pickle", whole
    yield "an attribute of a model", "pickle", build.pickled(build.built(ridge, build.mapping({"coef_": opcodes})))
    yield "thrown away", "pickle", build.pickled(opcodes, b"0", ridge)
    yield "in a protocol 2 pickle", "pickle", build.pickled(b"](" + opcodes + b"e", protocol=2)
    yield "a frame of its own", "pickle", b"\x80\x04\x95" + (len(opcodes) + 1).to_bytes(8, "little") + opcodes + b"."
    yield "gzipped", "joblib", gzip.compress(whole)
    yield "compressed by zlib", "joblib", zlib.compress(whole)
    yield "behind an array", "joblib", build.pickled(build.joblib_array() + b"0" + opcodes)
    yield "in an array of objects", "joblib", build.pickled(inner + whole)
    if importlib.util.find_spec("torch") is not None:
        yield "in a torch archive", "torch", build.torch_archive(build.pickled(opcodes, protocol=2))
        nested = build.data(build.torch_archive(whole))
        yield "in a storage", "pickle", build.pickled(build.called(ref("torch.storage:_load_from_bytes"), nested))


def load(data: bytes, loader: str) -> object:
    """Load as an unsuspecting user does."""
    if loader == "joblib":
        import joblib

        return joblib.load(io.BytesIO(data))
    if loader == "torch":
        import torch

        return torch.load(io.BytesIO(data), weights_only=False)
    return pickle.loads(data)
