"""The progress bar of long commands, on stderr.

Owns how it looks. Never decides whether it is shown.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

__all__ = ["Progress", "progress_bar"]

Progress = Callable[[int, int], None]
"""Called with how much is done, and of how much."""


@contextlib.contextmanager
def progress_bar(name: str, *, shown: bool) -> Iterator[Progress | None]:
    """Show a progress bar with a name while the block runs. Yields the function to call with the progress, or None."""
    if not shown:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn(name), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(file=sys.stderr), transient=True) as bar:
        task = bar.add_task(name, total=None)

        def step(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield step
