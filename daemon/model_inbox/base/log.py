"""The log of the rooms below the service: imports structlog when the first line is written.

structlog imports rich and asyncio, which takes longer than most commands, and a command that reads writes no line.
Owns when structlog is imported, and nothing that it does. `telemetry.logging` configures it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["configure_at_first_line", "log"]


def _nothing() -> None:
    """Leave structlog as the program that uses the library has configured it."""


_configure: Callable[[], None] = _nothing


def configure_at_first_line(configure: Callable[[], None]) -> None:
    """Call `configure` once, before the next line is written. A program does this that may write no line at all."""
    global _configure
    _configure = configure


class _Log:
    """The logger of this package, as structlog's: `log.info("noun.past_participle", field=value)`."""

    _logger: Any = None

    def __getattr__(self, name: str) -> Any:
        global _configure
        if self._logger is None:
            import structlog

            self._logger = structlog.get_logger("model_inbox")
        configure, _configure = _configure, _nothing
        configure()
        return getattr(self._logger, name)


log: Any = _Log()
