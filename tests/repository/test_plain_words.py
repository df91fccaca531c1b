"""What people read has plain words: no private term of this project stands in a text that a command prints."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import model_inbox

PACKAGE = Path(model_inbox.__file__).parent
# Names in JSON, in code and in events are single words: only texts of several words are read by people.
PRIVATE = re.compile(
    r"\bdeaf\b|neither down|whole by|complete by [a-z]+\)|\bby lease\b|in hand\b|looks? by the clock|of ours\b|"
    r"\bsound\b|cannot be told\b|\bline \{entry|, line \{|can be believed",
    re.IGNORECASE,
)


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the texts of several words in a module, but for docstrings: what of it may be printed."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
        if is_text and " " in node.value.strip():
            yield node.lineno, node.value


@pytest.mark.parametrize("room", ["backup", "base", "cli", "inbox", "problems", "registry", "service", "telemetry"])
def test_no_private_term_is_printed(room: str) -> None:
    """Each text of a room says what happened in words that a new user knows."""
    found = [
        f"{path.relative_to(PACKAGE)}:{line}: {text}"
        for path in sorted((PACKAGE / room).rglob("*.py"))
        for line, text in texts(path)
        if PRIVATE.search(text)
    ]
    assert found == []
