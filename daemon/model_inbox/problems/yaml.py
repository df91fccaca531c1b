"""Problems of a text as YAML, before anybody asks what its fields mean.

A sidecar and config.yaml are read by the same rules, so each of these constructors makes two codes. Its first argument
is what the message calls the text, and decides the noun of the code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

from .value import Problem, quoted

if TYPE_CHECKING:
    from .codes import Code

__all__ = [
    "Called",
    "Noun",
    "yaml_anchor",
    "yaml_duplicate_key",
    "yaml_key_not_text",
    "yaml_merge_key",
    "yaml_not_utf8",
    "yaml_not_yaml",
    "yaml_several_documents",
    "yaml_tag",
    "yaml_too_deep",
    "yaml_too_large",
    "yaml_too_many_values",
]

Noun = Literal["sidecar", "config"]
"""The nouns of the codes."""

Called = Literal["sidecar", "config", "file", "value"]
"""What is read as YAML: also a file with a part of a sidecar, and the value of an option. Both have the codes of it."""


def yaml_too_large(called: Called, limit: int, size: int | None = None) -> Problem:
    """The text has more bytes than are read. `size` is how many it has, if that is known."""
    has = "more" if size is None else f"{size} bytes, more"
    if called == "sidecar":
        of, hint = "inbox.max_sidecar_size, ", "Shorten it (features_used?), or ask the operator for a larger limit"
    else:
        of, hint = "", "Shorten it"
    return Problem(_code(called, "too_large"), f"the {called} has {has} than {of}{limit} bytes", hint)


def yaml_not_utf8(called: Called, what: str, hint: str = "Save it as UTF-8") -> Problem:
    """The bytes are no UTF-8. `what` says what they are instead, after "is"."""
    return Problem(_code(called, "not_utf8"), f"the {called} is {what}", hint)


def yaml_not_yaml(called: Called, reason: str, hint: str, *, may_be_cut: bool) -> Problem:
    """The text is no YAML or, with `may_be_cut`, perhaps no YAML yet. `reason` says why, without text of the file."""
    what = "is not YAML, or was cut off" if may_be_cut else "is not YAML"
    return Problem(_code(called, "not_yaml"), f"the {called} {what}: {reason}", hint)


def yaml_several_documents(called: Called) -> Problem:
    """Something follows the end of the document."""
    return Problem(
        _code(called, "several_documents"),
        f"something follows the end of the {called}: a second document, or text behind the line '...'",
        "Keep one document in one file, and nothing behind its last line",
    )


def yaml_too_deep(called: Called, limit: int) -> Problem:
    """Collections are nested deeper than is read."""
    return Problem(
        _code(called, "too_deep"),
        f"lists and mappings in the {called} are nested more than {limit} levels deep",
        "Use fewer levels",
    )


def yaml_too_many_values(called: Called, limit: int) -> Problem:
    """There are more names and values than are read."""
    return Problem(
        _code(called, "too_many_values"),
        f"the {called} has more than {limit} names and values; no more are read",
        "Leave out what no reader needs",
    )


def yaml_anchor(called: Called, anchor: str) -> Problem:
    """An anchor or an alias is used. `anchor` has its sign: "&a", "*a"."""
    return Problem(
        _code(called, "anchor"),
        f"the {called} uses an anchor or alias of YAML: {quoted(anchor)}",
        "Write the value out, or put it in quotes if it begins with '&' or '*'",
    )


def yaml_tag(called: Called, tag: str) -> Problem:
    """A tag is used."""
    return Problem(
        _code(called, "tag"),
        f"the {called} uses a tag of YAML: {quoted(tag)}",
        "Write the plain value, or put it in quotes if it begins with '!'",
    )


def yaml_merge_key(called: Called) -> Problem:
    """The merge key is used."""
    return Problem(_code(called, "merge_key"), f"the {called} uses the merge key '<<' of YAML", "Write the fields out")


def yaml_key_not_text(called: Called, kind: str) -> Problem:
    """A list or a mapping stands where a name belongs. `kind` says which."""
    return Problem(
        _code(called, "key_not_text"),
        f"a name in the {called} is a {kind}",
        "Names are plain text; put quotes around text that begins with '[' or '{'",
    )


def yaml_duplicate_key(called: Called, key: str, first_line: int) -> Problem:
    """A name is there twice."""
    return Problem(
        _code(called, "duplicate_key"),
        f"{quoted(key)} is there twice, first in line {first_line}",
        "Keep one of the two",
    )


def _code(called: Called, fault: str) -> Code:
    """Return the code of a fault in such a text; a test holds that the table has it."""
    noun: Noun = "config" if called == "config" else "sidecar"
    return cast("Code", f"{noun}.{fault}")
