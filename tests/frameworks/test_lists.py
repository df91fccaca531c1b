"""The shipped lists fit the frameworks that they were learned from: the code behind each name is the reviewed one."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest

from model_inbox.pickles import Allowlist, scan_bytes
from model_inbox.pickles.allowlist import FRAMEWORKS, read_list
from model_inbox.pickles.reviewed_code import differences, fetch
from support import pickle_builders as build

BUILT = [line.name for framework in FRAMEWORKS for line in read_list(framework) if "b" in line.uses]


def called_on_self(function: Any) -> Iterator[str]:
    """Yield the names of the methods that a function calls on its first argument."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function))))
    except (OSError, TypeError):
        return  # compiled code; its attributes cannot be replaced
    definition = tree.body[0]
    assert isinstance(definition, ast.FunctionDef)
    first = definition.args.args[0].arg
    for node in ast.walk(definition):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = node.func.value
            if isinstance(owner, ast.Name) and owner.id == first:
                yield node.func.attr


def called_at_load(kind: type[Any]) -> set[str]:
    """Return the methods that `__setstate__`, and whatever it calls on itself, call by name on the instance."""
    found: set[str] = set()
    waiting = [owner.__dict__["__setstate__"] for owner in kind.__mro__ if "__setstate__" in vars(owner)]
    while waiting:
        for name in called_on_self(waiting.pop()):
            if name not in found and hasattr(kind, name):
                found.add(name)
                waiting.append(getattr(kind, name))
    return found


@pytest.mark.parametrize("framework", [name for name in FRAMEWORKS if name != "builtins"])
def test_code_behind_the_names_is_the_reviewed_code(framework: str) -> None:
    """For the versions that the lists were made with, every hook has the hash that the list says.

    Python's own code is another one in each of its versions, and left out.
    """
    assert [one for one in differences(framework) if one.what == "changed"] == []


@pytest.mark.parametrize("name", BUILT)
@pytest.mark.filterwarnings("ignore")
def test_no_file_can_replace_a_method_that_a_load_calls(name: str) -> None:
    """A method that `__setstate__` calls on the object must not be an attribute that the state has just set."""
    try:
        kind = fetch(name)
    except (ImportError, AttributeError):
        return  # a name of another version, or of a framework that is not installed here
    if not inspect.isclass(kind):
        return
    module, _, last = name.rpartition(".")
    for method in called_at_load(kind):
        state = build.mapping({method: build.named("numpy", "log")})
        report = scan_bytes(build.pickled(build.built(build.new(module, last), state)), Allowlist.load())
        assert report.problems, f"{name}: the file chooses what {method} is"
