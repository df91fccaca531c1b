"""One problem, one code, one wording: the table of codes, its constructors and those who call them agree."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

import model_inbox
from model_inbox.problems.catalogue import CODES, NOUNS
from model_inbox.problems.codes import Code
from model_inbox.problems.yaml import Noun
from support.places import ROOT
from support.sources import forget, tree_of

PACKAGE = Path(model_inbox.__file__).parent
EXAMPLES = ROOT / "docs" / "problem_examples.py"
NOT_CONSTRUCTORS = {"__init__", "codes", "value"}
YAML_NOUNS = get_args(Noun)


def module_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").as_posix()


def trees() -> Iterator[tuple[str, ast.Module]]:
    """Every module of the package with its tree."""
    for path in sorted(PACKAGE.rglob("*.py")):
        yield module_of(path), tree_of(path)


def constructors() -> list[tuple[str, ast.FunctionDef]]:
    """The public functions of the room, each with the noun that its module has."""
    return [
        (noun, node)
        for module, tree in trees()
        for room, _, noun in [module.partition("/")]
        if room == "problems" and noun not in NOT_CONSTRUCTORS
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    ]


def dotted(node: ast.expr) -> str:
    """A name, or one of a module's, as it is written; "" for anything else."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return f"{node.value.id}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def problem_calls(tree: ast.AST) -> list[ast.Call]:
    """The places where a Problem is made."""
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and dotted(node.func) in ("Problem", "value.Problem", "problems.Problem")
    ]


def codes_of(call: ast.Call) -> list[str]:
    """The codes that a call of Problem in the room makes: a literal, or `_code(noun, "fault")` for each noun."""
    first = call.args[0]
    if isinstance(first, ast.Constant):
        return [first.value]
    assert isinstance(first, ast.Call) and ast.unparse(first.func) == "_code", ast.unparse(call)
    return [f"{noun}.{ast.literal_eval(first.args[1])}" for noun in YAML_NOUNS]


def codes_of_errors() -> Counter[str]:
    """The codes of the error classes: each class that says `code = "..."`."""
    found: Counter[str] = Counter()
    for _, tree in trees():
        for node in ast.walk(tree):
            if not isinstance(node, ast.ClassDef):
                continue
            for line in node.body:
                target = line.targets[0] if isinstance(line, ast.Assign) else getattr(line, "target", None)
                value = getattr(line, "value", None)
                if isinstance(target, ast.Name) and target.id == "code" and isinstance(value, ast.Constant):
                    found[value.value] += 1
    return found


@pytest.fixture(scope="module", autouse=True)
def _trees_are_let_go() -> Iterator[None]:
    yield
    forget()


def test_each_constructor_makes_the_code_of_its_name() -> None:
    """`noun_rest` is in the module of its noun, makes one Problem with the code `noun.rest`, and returns it."""
    for noun, node in constructors():
        calls = problem_calls(node)
        assert len(calls) == 1, f"{node.name} makes {len(calls)} problems"
        assert [line.value for line in ast.walk(node) if isinstance(line, ast.Return)] == calls, node.name
        rest = node.name.removeprefix(f"{noun}_")
        assert codes_of(calls[0]) == [f"{one}.{rest}" for one in (YAML_NOUNS if noun == "yaml" else [noun])]


def test_each_code_is_made_in_one_place() -> None:
    """The table, the type, and what constructors and error classes make are the same codes, each made once."""
    made = Counter(code for _, node in constructors() for call in problem_calls(node) for code in codes_of(call))
    made += codes_of_errors()
    assert {code: count for code, count in made.items() if count > 1} == {}
    assert sorted(made) == sorted(CODES)
    assert get_args(Code) == tuple(CODES)


def test_nobody_else_makes_a_problem() -> None:
    """Outside of the room no Problem is made, and none is given another code."""
    making = set()
    for module, tree in trees():
        if module.startswith("problems/"):
            continue
        for call in problem_calls(tree):
            if module != "errors" or ast.unparse(call.args[0]) != "self.code":  # an error as a problem
                making.add(module)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and dotted(node.func) in ("replace", "dataclasses.replace"):
                making |= {module for keyword in node.keywords if keyword.arg == "code"}
    assert making == set()


def test_no_constructor_is_left_over() -> None:
    """Each constructor is used outside of the room."""
    used = {
        node.id
        for module, tree in trees()
        if not module.startswith("problems/")
        for node in ast.walk(tree)
        if isinstance(node, ast.Name)
    }
    assert {node.name for _, node in constructors()} - used == set()


# --- what is said --------------------------------------------------------------------------------------------


@pytest.fixture(name="examples", scope="module")
def _examples() -> dict[str, tuple[str, str]]:
    """Message and hint of the example of each code, as the manual shows them: made in a process of their own."""
    done = subprocess.run([sys.executable, str(EXAMPLES)], capture_output=True, text=True, check=True)
    return {code: (message, hint) for code, (message, hint) in json.loads(done.stdout).items()}


def test_every_code_has_an_example(examples: dict[str, tuple[str, str]]) -> None:
    """The examples of docs/problem_examples.py are of the codes of the table, no more and no less."""
    assert sorted(examples) == sorted(CODES)


def test_messages_and_hints_read_alike(examples: dict[str, tuple[str, str]]) -> None:
    """A message goes on after a colon: no capital, no full stop. A hint is a sentence or a command, without a stop."""
    commands = ("chmod ", "chown ", "--config ")
    for code, (message, hint) in examples.items():
        assert message and not message[0].isupper() and not message.endswith("."), code
        assert not hint or hint[0].isupper() or hint[0] == "`" or hint.startswith(commands), code
        assert not hint.endswith("."), code


def test_the_table_is_written_in_sentences() -> None:
    """Meaning, cause and remedy of every code are there and are sentences; every noun is explained, in order."""
    for code, about in CODES.items():
        for text in (about.meaning, about.cause, about.remedy):
            begins = text[:1].isupper() or text.startswith(("`", "config.yaml"))
            assert begins and text.endswith("."), f"{code}: {text}"
    assert list(NOUNS) == list(dict.fromkeys(code.partition(".")[0] for code in CODES))
