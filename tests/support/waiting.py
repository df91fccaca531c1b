"""Waiting on conditions: tests never sleep for a fixed time."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import Any

POLL_SECONDS = 0.01


def wait_until(condition: Callable[[], Any], process: subprocess.Popen[Any] | None = None, seconds: float = 30) -> Any:
    """Return what the condition returns once that is true; fail when it does not come, or the process ended."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert process is None or process.poll() is None, f"the process ended with {process.poll()}"
        assert time.monotonic() < deadline, f"waited {seconds} s in vain"
        time.sleep(POLL_SECONDS)
