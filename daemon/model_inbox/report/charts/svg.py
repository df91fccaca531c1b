"""SVG as text: elements, attributes and paths, with everything escaped that a caller did not make here.

Owns the escaping and the numbers in attributes. Never decides what a chart shows. Pure.
"""

from __future__ import annotations

import html
from collections.abc import Iterable

from ...problems import escaped

__all__ = ["HEIGHT_OF_LINE", "Svg", "element", "joined", "number", "picture", "plain", "text"]

HEIGHT_OF_LINE = 20
"""The height that a line of text takes, in pixels; charts.css sets text of 13 pixels."""

TEXT_MAX = 160
"""How many characters of a text of a producer a chart shows at most."""

Attribute = str | int | float


class Svg(str):
    """Markup that is safe: a template with autoescape inserts it as it is."""

    __slots__ = ()

    def __html__(self) -> str:
        """Return the markup, for the template engine."""
        return str(self)


def plain(value: object, limit: int = TEXT_MAX) -> str:
    """Return text for people, as XML can hold it: what cannot be printed is escaped, and longer text is cut."""
    return escaped(value, limit)


def number(value: float) -> str:
    """Return a coordinate with at most one digit after the point."""
    return f"{round(value, 1) + 0.0:.1f}".removesuffix(".0")


def element(name: str, *children: object, **attributes: Attribute) -> Svg:
    """Return an element. Children that are not Svg are texts, and are escaped, as all attributes are.

    An underscore at the end of an attribute's name is left out (`class_`), any other is a hyphen.
    """
    parts = [f"<{name}"]
    for key, value in attributes.items():
        shown = value if isinstance(value, str) else number(value)
        parts.append(f' {key.removesuffix("_").replace("_", "-")}="{html.escape(shown)}"')
    if not children:
        return Svg("".join((*parts, "/>")))
    inner = (child if isinstance(child, Svg) else html.escape(plain(child), quote=False) for child in children)
    return Svg("".join((*parts, ">", *inner, f"</{name}>")))


def joined(parts: Iterable[Svg]) -> Svg:
    """Return several elements as one piece of markup."""
    return Svg("".join(parts))


def text(shown: str, x: float, y: float, kind: str, anchor: str = "start") -> Svg:
    """Return a line of text with its baseline at `y`. `anchor` says which point of it is at `x`: start, middle, end."""
    where: dict[str, Attribute] = {} if anchor == "start" else {"text_anchor": anchor}
    return element("text", shown, class_=kind, x=x, y=y, **where)


def picture(key: str, title: str, description: str, size: tuple[float, float], parts: Iterable[Svg]) -> Svg:
    """Return a whole SVG of `size` in pixels, with the title and description that a screen reader says.

    `key` is unique in the page: letters, digits and hyphens. The ids begin with it.
    """
    width, height = size
    return element(
        "svg",
        element("title", title, id=f"{key}-t"),
        element("desc", Svg(html.escape(plain(description, 2000), quote=False)), id=f"{key}-d"),
        *parts,
        class_="plot",
        viewBox=f"0 0 {number(width)} {number(height)}",
        width=width,
        height=height,
        role="img",
        aria_labelledby=f"{key}-t {key}-d",
    )
