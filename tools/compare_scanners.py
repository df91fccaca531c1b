"""Runs this scanner beside picklescan, fickling, modelscan and modelaudit on the same files, and prints a table.

For maintainers, in an environment for it alone:

    python -m pip install picklescan fickling modelscan modelaudit -r requirements/run.txt
    python tools/compare_scanners.py

The payloads call or evaluate something by many names, in the manner of tests/unit/pickles/test_traps.py, each plain,
compressed, in a torch archive and behind an array of joblib; the honest files are tests/data/pickles. No payload is
run here: a folder is made only by loading, and nothing is loaded. modelaudit gets settings in which it reports nothing
to its makers. The table in docs/security.md is this output.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "daemon"), str(ROOT / "tests")]

from support import pickle_builders as build  # noqa: E402 - found by the line above

TIMED_OUT = -1
"""A scan that does not end is no refusal."""
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


def harmful() -> Iterator[tuple[str, bytes]]:
    """Yield files that call nothing, and cost whoever loads or uses them memory, time or the process."""
    modulus = (1 << 61) - 1
    keys = b"".join(b"\x8a\x0b" + (number * modulus).to_bytes(11, "little") + b"N" for number in range(1, 60_000))
    yield "memo.pkl", build.pickled(b"N", b"r\x00\x00\x00\x20")
    yield "collisions.pkl", build.pickled(b"}(", keys, b"u")
    yield "lists.pkl", build.pickled(b"(" + b"]" * 10_000_000 + b"1N")
    yield "bomb.pkl.gz", gzip.compress(build.pickled(build.data(bytes(1 << 30))))
    model = (ROOT / "tests" / "data" / "pickles" / "lightgbm.pkl").read_bytes()
    # Children that are far outside, in a text of the same length.
    yield "trees.pkl", re.sub(rb"(?<=\nleft_child=)[-0-9]+", lambda found: b"9" * len(found[0]), model, count=1)


def honest() -> Iterator[tuple[str, bytes]]:
    """Yield the real model files of the test suite."""
    folder = ROOT / "tests" / "data" / "pickles"
    for name in json.loads((folder / "manifest.json").read_text())["files"]:
        yield name, (folder / name).read_bytes()


# --- the scanners: True where a file is refused ----------------------------------------------------------------


def model_inbox(path: Path) -> bool:
    """This scanner, with all shipped lists."""
    from model_inbox.pickles import Allowlist, Scanner

    with Scanner(Allowlist.load()) as scanner:
        return bool(scanner.scan(path).problems)


# modelaudit reports to its makers what it scans, unless one of these is set.
QUIET = {"PROMPTFOO_DISABLE_TELEMETRY": "1", "NO_ANALYTICS": "1"}


def _run(command: str, *arguments: str) -> tuple[int, str]:
    """Run a command that stands beside this interpreter."""
    program = str(Path(sys.executable).with_name(command))
    environment = {**os.environ, **QUIET}
    try:
        done = subprocess.run(
            [program, *arguments], capture_output=True, text=True, timeout=120, check=False, env=environment
        )
    except subprocess.TimeoutExpired:
        return TIMED_OUT, ""
    return done.returncode, done.stdout + done.stderr


def picklescan(path: Path) -> bool:
    """picklescan: a file that it counts as infected."""
    return "Infected files: 1" in _run("picklescan", "--path", str(path))[1]


def fickling(path: Path) -> bool:
    """fickling's safety check: anything that it does not hold to be safe, or cannot read."""
    return _run("fickling", "--check-safety", str(path))[0] not in (0, TIMED_OUT)


def modelscan(path: Path) -> bool:
    """modelscan: exit 1 where issues were found."""
    return _run("modelscan", "-p", str(path))[0] == 1


def modelaudit(path: Path) -> bool:
    """modelaudit: exit 1 where issues were found."""
    return _run("modelaudit", "scan", "--no-cache", str(path))[0] == 1


SCANNERS: tuple[Callable[[Path], bool], ...] = (model_inbox, picklescan, fickling, modelscan, modelaudit)
KINDS = (
    ("files refused that call something", malicious),
    ("files refused that harm a load without a call", harmful),
    ("honest files refused", honest),
)


def main() -> int:
    names = [scanner.__name__.replace("_", "-") for scanner in SCANNERS]
    print(", ".join(f"{name} {version(name)}" for name in names[1:]), "\n")
    print("| | " + " | ".join(names) + " |\n|" + "---|" * (len(names) + 1), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for kind, made in KINDS:
            files = list(made())
            refused = dict.fromkeys(SCANNERS, 0)
            for name, data in files:
                path = Path(folder) / name.replace(" ", "_")
                path.write_bytes(data)
                for scanner in SCANNERS:
                    refused[scanner] += scanner(path)
                path.unlink()
            print(f"| {kind} (of {len(files)}) | " + " | ".join(map(str, refused.values())) + " |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
