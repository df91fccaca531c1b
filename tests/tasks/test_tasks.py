"""What the pages in docs/tasks tell their readers to type works when it is typed, and prints what they show."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.tasks import TASKS, follow, steps

PAGES = sorted(path.name for path in TASKS.glob("[a-z]*.md"))


@pytest.mark.parametrize("name", PAGES)
def test_a_page_does_what_it_says(name: str, tmp_path: Path) -> None:
    """Every block that can be run here ends with the exit code of the page, and prints the lines that it shows."""
    assert any(step.mark.startswith("run") for step in steps(TASKS / name))
    follow(TASKS / name, tmp_path)


def test_the_index_names_every_page() -> None:
    """A reader finds each task from the first page of the folder."""
    index = (TASKS / "README.md").read_text(encoding="utf-8")
    assert [name for name in PAGES if f"]({name})" not in index] == []
