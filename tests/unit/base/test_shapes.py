"""The way from a typed dictionary to a JSON schema."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypedDict

import pytest

from model_inbox.base.shapes import Field, document, object_schema, title_of

Name = Annotated[str, Field("A name.", minLength=1)]


class Inner(TypedDict):
    count: Annotated[int, Field("How many.", minimum=0)]


class Base(TypedDict):
    name: Annotated[Name, Field("Its name.", maxLength=9)]


class Shape(Base, total=False):
    ratio: Annotated[float | None, Field("A part of one.")]
    is_open: Annotated[bool, Field("Whether it is open.")]
    kind: Annotated[Literal["a", "b"], Field("Its kind.")]
    names: Annotated[list[Name], Field("Other names.", uniqueItems=True)]
    uses: Annotated[dict[str, str] | None, Field("Names with uses.")]
    inner: Annotated[Inner, Field("What is inside.")]
    rest: Annotated[dict[str, Any], Field("Anything.")]


def test_each_type_has_its_schema() -> None:
    """Types become JSON's types, limits stand beside them, and the outermost meaning counts."""
    assert object_schema(Shape) == {
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": {"title": "Name", "description": "Its name.", "type": "string", "minLength": 1, "maxLength": 9},
            "ratio": {"title": "Ratio", "description": "A part of one.", "type": ["number", "null"]},
            "is_open": {"title": "Is open", "description": "Whether it is open.", "type": "boolean"},
            "kind": {"title": "Kind", "description": "Its kind.", "enum": ["a", "b"]},
            "names": {
                "title": "Names",
                "description": "Other names.",
                "type": "array",
                "items": {"description": "A name.", "type": "string", "minLength": 1},
                "uniqueItems": True,
            },
            "uses": {
                "title": "Uses",
                "description": "Names with uses.",
                "type": ["object", "null"],
                "additionalProperties": {"type": "string"},
            },
            "inner": {
                "title": "Inner",
                "description": "What is inside.",
                "type": "object",
                "required": ["count"],
                "properties": {
                    "count": {"title": "Count", "description": "How many.", "type": "integer", "minimum": 0}
                },
            },
            "rest": {"title": "Rest", "description": "Anything.", "type": "object", "additionalProperties": True},
        },
    }


def test_what_json_does_not_have_is_refused() -> None:
    """A type without a JSON value is an error of ours, not a schema that says nothing."""

    class Odd(TypedDict):
        when: Annotated[bytes, Field("No JSON.")]

    with pytest.raises(TypeError, match="bytes"):
        object_schema(Odd)


def test_a_document_says_what_it_is() -> None:
    """A document begins with its dialect, id, title and description; those of the schema inside do not count."""
    made = document("thing", "Thing", "What it is.", {"title": "Other", "type": "object"})
    assert list(made.items()) == [
        ("$schema", "https://json-schema.org/draft/2020-12/schema"),
        ("$id", "urn:model-inbox:schema:thing"),
        ("title", "Thing"),
        ("description", "What it is."),
        ("type", "object"),
    ]


@pytest.mark.parametrize(("name", "title"), [("min_samples", "Min samples"), ("tags", "Tags")])
def test_titles_are_words(name: str, title: str) -> None:
    """A title is the name as people write it."""
    assert title_of(name) == title
