"""End a worker process: one whose scan takes too long, one that is ending by itself, or one that is not needed.

Owns how a worker is killed and waited for, how long it may take to end, and what is known of it then: its status, its
CPU time and what it wrote to stderr. When the time of a scan is over is found where its answer is waited for
(`scanner`); what the end says about a file is decided in `fault`.
"""

from __future__ import annotations

import os
import subprocess
import time

__all__ = ["kill", "kill_stuck", "wait_for_end"]

END_SECONDS = 5.0
"""How long a worker that has closed its socket may take to end before it is killed."""

_POLL_SECONDS = 0.002
_STDERR_BYTES = 4096
_STDERR_CHARACTERS = 400


def kill_stuck(process: subprocess.Popen[bytes]) -> float:
    """Kill a worker whose scan takes too long, wait until it has ended, and return its CPU seconds."""
    process.kill()
    _, cpu_seconds = wait_for_end(process)
    return cpu_seconds


def wait_for_end(process: subprocess.Popen[bytes]) -> tuple[int, float]:
    """Wait for a worker to end, kill it after END_SECONDS, and return its status and its CPU seconds.

    The status is negative for a signal, as of `subprocess`.
    """
    deadline = time.monotonic() + END_SECONDS
    try:
        while (ended := os.wait4(process.pid, os.WNOHANG))[0] == 0:
            if time.monotonic() >= deadline:
                process.kill()
            time.sleep(_POLL_SECONDS)
    except ChildProcessError:
        # Another part of this program has waited for it.
        return process.wait(), 0.0
    process.returncode = os.waitstatus_to_exitcode(ended[1])
    return process.returncode, ended[2].ru_utime + ended[2].ru_stime


def kill(process: subprocess.Popen[bytes]) -> str:
    """Kill a worker, if it has not ended, and return what it wrote to stderr, shortened."""
    process.kill()
    assert process.stderr is not None  # noqa: S101 - for the type checker: it is a pipe
    with process.stderr as pipe:
        os.set_blocking(pipe.fileno(), False)
        said = pipe.read(_STDERR_BYTES) or b""
    process.wait()
    return said.decode("utf-8", "replace").strip()[-_STDERR_CHARACTERS:]
