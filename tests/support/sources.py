"""The package's sources as syntax trees, for tests that read them.

Each file is parsed once. `forget` lets go of the trees: a hundred megabytes, which every collection of garbage would
walk.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

__all__ = ["forget", "nodes_of", "tree_of"]


@cache
def tree_of(path: Path) -> ast.Module:
    """Return the tree of a file. Do not change it."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


@cache
def nodes_of(path: Path) -> tuple[ast.AST, ...]:
    """Return all nodes of a file."""
    return tuple(ast.walk(tree_of(path)))


def forget() -> None:
    """Let go of what was parsed."""
    nodes_of.cache_clear()
    tree_of.cache_clear()
