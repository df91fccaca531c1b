"""Runs this scanner beside picklescan, fickling and modelscan on the same files, and prints what each says.

For maintainers; every tool in an environment of its own or all in one:

    python -m pip install picklescan fickling modelscan
    python tools/compare_scanners.py

The payloads call or evaluate something by many names, in the manner of tests/unit/pickles/test_traps.py, each plain,
compressed, in a torch archive and behind an array of joblib; the honest files are tests/data/pickles. No payload is
run here: a folder is made only by loading, and nothing is loaded. The table in docs/security.md is this output.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "daemon"), str(ROOT / "tests")]

from support import pickle_builders as build  # noqa: E402 - found by the line above

MARKER = Path("/nonexistent/model-inbox-comparison")


def _import(module: str) -> bytes:
    return build.called(build.named("builtins", "__import__"), build.text(module))


def payloads() -> Iterator[tuple[str, bytes]]:
    """Yield opcodes that call something when they are loaded, by many names."""
    path = build.text(str(MARKER))
    evaluated = build.text(f"__import__('os').mkdir({str(MARKER)!r})")
    yield "os.mkdir", build.runs(MARKER)
    yield "posix.mkdir", build.runs(MARKER, "posix")
    yield "eval", build.called(build.named("builtins", "eval"), evaluated)
    yield "exec", build.called(build.named("builtins", "exec"), evaluated)
    yield (
        "getattr",
        build.called(build.called(build.named("builtins", "getattr"), _import("os"), build.text("mkdir")), path),
    )
    yield "partial", build.called(build.called(build.named("functools", "partial"), build.named("os", "mkdir"), path))
    yield (
        "methodcaller",
        build.called(build.called(build.named("operator", "methodcaller"), build.text("mkdir"), path), _import("os")),
    )
    yield (
        "map",
        build.called(
            build.named("builtins", "list"),
            build.called(build.named("builtins", "map"), build.named("os", "mkdir"), build.value([str(MARKER)])),
        ),
    )
    yield "dotted name", build.called(build.named("shutil", "os.mkdir"), path)
    yield (
        "timeit",
        build.called(
            build.named("timeit", "timeit"), evaluated, build.text("pass"), build.named("time", "time"), b"K\x01"
        ),
    )
    yield "profile", build.called(build.named("cProfile", "run"), evaluated)
    yield "bdb", build.called(build.named("pdb", "run"), evaluated)
    yield "code", build.called(build.named("code", "interact"), build.text("x"))
    yield "importlib", build.called(build.named("importlib", "import_module"), build.text("antigravity"))
    yield "runpy", build.called(build.named("runpy", "run_path"), path)
    yield "shutil", build.called(build.named("shutil", "rmtree"), path)
    yield "logging.config", build.called(build.named("logging.config", "listen"))
    yield "numpy", build.called(build.named("numpy", "load"), path)
    yield "joblib", build.called(build.named("joblib", "load"), path)
    yield "torch", build.called(build.named("torch", "load"), path)
    yield "ufunc", build.called(build.named("numpy._core", "_ufunc_reconstruct"), build.text("os"), build.text("mkdir"))


def malicious() -> Iterator[tuple[str, bytes]]:
    """Yield every payload in every wrapping."""
    for name, opcodes in payloads():
        whole = build.pickled(opcodes)
        yield f"{name}.pkl", whole
        yield f"{name}.pkl.gz", gzip.compress(whole)
        yield f"{name}-zlib.joblib", zlib.compress(whole)
        yield f"{name}.pt", build.torch_archive(whole)
        yield f"{name}.joblib", build.pickled(build.joblib_array() + b"0" + opcodes)


def honest() -> Iterator[tuple[str, bytes]]:
    """Yield the real model files of the test suite."""
    folder = ROOT / "tests" / "data" / "pickles"
    for name in json.loads((folder / "manifest.json").read_text())["files"]:
        yield name, (folder / name).read_bytes()


# --- the scanners: True where a file is refused ----------------------------------------------------------------


def model_inbox(path: Path) -> bool:
    """This scanner, with all shipped lists."""
    from model_inbox.pickles import Allowlist, scan_bytes

    return bool(scan_bytes(path.read_bytes(), Allowlist.load()).problems)


def _run(command: str, *arguments: str) -> tuple[int, str]:
    """Run a command that stands beside this interpreter."""
    program = str(Path(sys.executable).with_name(command))
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout + done.stderr


def picklescan(path: Path) -> bool:
    """picklescan: a file that it counts as infected."""
    return "Infected files: 1" in _run("picklescan", "--path", str(path))[1]


def fickling(path: Path) -> bool:
    """fickling's safety check: anything that it does not hold to be safe, or cannot read."""
    return _run("fickling", "--check-safety", str(path))[0] != 0


def modelscan(path: Path) -> bool:
    """modelscan: exit 1 where issues were found."""
    return _run("modelscan", "-p", str(path))[0] == 1


def main() -> int:
    scanners: list[Callable[[Path], bool]] = [model_inbox, picklescan, fickling, modelscan]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for kind, files in (("malicious", list(malicious())), ("honest", list(honest()))):
            for scanner in scanners:
                refused = 0
                for name, data in files:
                    path = Path(folder) / name.replace(" ", "_")
                    path.write_bytes(data)
                    refused += scanner(path)
                    path.unlink()
                rows.append(f"{kind:10} {scanner.__name__:12} refused {refused:3} of {len(files)}")
                print(rows[-1], flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
