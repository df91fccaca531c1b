"""Parts of a sidecar that do not come from its text: from the command line, or filled in by `drop`.

Owns how such a value becomes part of the parsed text, so that all checks see it as if it were written there. Such a
part has no place: its line is 0. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..base.strict_yaml import Items, Node, Pairs, Scalar

__all__ = ["EMPTY", "a_list", "a_mapping", "a_text", "names_in", "with_value", "without", "without_places"]

EMPTY = Pairs((), flow=False, line=0, column=0)
"""A sidecar that says nothing yet."""


def a_text(text: str) -> Scalar:
    """Return text as it is: never a null, a number only where the field is one."""
    return Scalar(text, "'", 0, 0)


def a_list(texts: Iterable[object]) -> Items:
    """Return a list of texts and numbers."""
    return Items(tuple(a_text(str(text)) for text in texts), flow=False, line=0, column=0)


def a_mapping(values: Iterable[tuple[str, str]]) -> Pairs:
    """Return a mapping of names to texts."""
    return EMPTY._replace(pairs=tuple((a_text(name), a_text(value)) for name, value in values))


def without_places(node: Node) -> Node:
    """Return the value without its lines: they are those of another text than the sidecar."""
    if isinstance(node, Scalar):
        return node._replace(line=0, column=0, end=0)
    if isinstance(node, Items):
        return node._replace(items=tuple(map(without_places, node.items)), line=0, column=0)
    return node._replace(
        pairs=tuple((key._replace(line=0, column=0), without_places(value)) for key, value in node.pairs),
        line=0,
        column=0,
    )


def with_value(root: Pairs, path: Sequence[str], node: Node) -> Pairs:
    """Return the mapping with another value at the path. What is no mapping on the way is replaced by one."""
    name, *rest = path
    if rest:
        inner = root.get(name)
        node = with_value(inner if isinstance(inner, Pairs) else EMPTY, rest, node)
    if root.get(name) is None:
        return root._replace(pairs=(*root.pairs, (a_text(name), node)))
    return root._replace(pairs=tuple((key, node if key.text == name else value) for key, value in root.pairs))


def without(root: Pairs, name: str) -> Pairs:
    """Return the mapping without a name."""
    return root._replace(pairs=tuple((key, value) for key, value in root.pairs if key.text != name))


def names_in(node: Node | None) -> list[str]:
    """Return the names in nested mappings, at any depth."""
    if not isinstance(node, Pairs):
        return []
    return [name for key, value in node.pairs for name in (key.text, *names_in(value))]
