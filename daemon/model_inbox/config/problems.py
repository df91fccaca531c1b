"""The errors of pydantic as problems with line and column.

Owns the wording of pydantic's errors in our terms. Never reads a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from ..base.strict_yaml import Node, locate
from ..model.metadata import dotted
from ..problems import Problem, quoted
from ..problems.config import config_invalid_value, config_missing_key, config_unknown_key
from .settings import did_you_mean

__all__ = ["Steps"]

Steps = tuple[str | int, ...]


def problems_of(model: type[BaseModel], details: ErrorDetails, root: Node | None) -> Iterator[Problem]:
    """Yield the problems for one error of pydantic, each with its place in the text."""
    path = tuple(step for step in details["loc"] if step != "[key]")
    context: Mapping[str, Any] = details.get("ctx") or {}
    if details["type"] == "problems":
        for problem in context["problems"]:
            name = (problem.field or "").removeprefix(f"{dotted(path)}.")
            inner = (name,) if name else ()
            yield placed(replace(problem, field=dotted((*path, *inner))), root, (*path, *inner))
    elif details["type"] == "extra_forbidden":
        known = _known_names(model, path[:-1])
        key, _ = locate(root, path)
        hint = did_you_mean(str(path[-1]), known, "The settings are")
        problem = config_unknown_key(dotted(path), path[-1], dotted(path[:-1]), hint)
        yield problem if key is None else problem.at(key.line, key.column)
    elif details["type"] == "missing":
        yield placed(config_missing_key(dotted(path), dotted(path[-1:])), root, path)
    else:
        yield placed(_invalid_value(path, details, context), root, path)


def placed(problem: Problem, root: Node | None, path: Steps) -> Problem:
    """Return the problem with line and column of the value at `path`, or of the nearest one above it."""
    _, node = locate(root, path)
    return problem if node is None else problem.at(node.line, node.column)


def _invalid_value(path: Steps, details: ErrorDetails, context: Mapping[str, Any]) -> Problem:
    name, value, hint = dotted(path), details["input"], ""
    if details["type"] == "value_error":
        reason, _, hint = str(context.get("error", "")).partition("; ")
    elif details["type"] == "literal_error":
        words = re.findall(r"'([^']*)'", str(context["expected"]))
        reason, hint = (
            "it is not one of the allowed words",
            did_you_mean(str(value), words, "Write one of"),
        )
    elif details["type"] in ("model_type", "dict_type"):
        reason, hint = "it must be a mapping", "Write 'name: value', one to a line, indented"
    elif details["type"] in ("tuple_type", "list_type"):
        reason, hint = "it must be a list", "Write it like [a, b]"
    elif details["type"] == "string_type":
        reason, hint = "it must be text", "Put it in quotes"
    else:
        reason = details["msg"].replace("Input should be", "it must be")
    # Do not repeat the value if the reason quotes it, or if the problem is about several settings.
    if not name:
        message = reason
    elif isinstance(value, dict | list | tuple | BaseModel) or reason.startswith("'"):
        message = f"{name}: {reason}"
    else:
        message = f"{name} is {'nothing (null)' if value is None else quoted(value)}: {reason}"
    return config_invalid_value(name or None, message, hint[:1].upper() + hint[1:])


def _known_names(model: type[BaseModel], path: Steps) -> list[str]:
    """Return the names of the settings in the mapping at `path`, according to the schema."""
    schema = model.model_json_schema()
    node: dict[str, Any] = schema
    for step in path:
        if isinstance(step, int):
            node = node["items"]
        else:
            # A mapping whose keys are names of the user has one schema for all values.
            node = node["properties"][step] if "properties" in node else node["additionalProperties"]
        while "$ref" in node or "anyOf" in node:
            node = schema["$defs"][node["$ref"].rsplit("/", 1)[1]] if "$ref" in node else _mapping(node)
    return list(node["properties"])


def _mapping(node: dict[str, Any]) -> dict[str, Any]:
    """Return the alternative of the schema that is a mapping, or a list of them."""
    return next(one for one in node["anyOf"] if "$ref" in one or "properties" in one or "items" in one)
