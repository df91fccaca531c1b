"""Where in a model the functions sit that a file carries by value, and the partials.

Owns a second, slower kind of parse, in which each stub keeps what it was made of, and the walk through the result.
The scan does it only for files that it has parsed without an error and that hold such functions. Nothing is decided
here: without a result, a report only says less. Never reads a file itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .names import root_of
from .stubs import Global, Recorder, Rule, Stub, instance_of

__all__ = ["PARTIAL", "Place", "TracingRecorder", "places_in"]

Place = tuple[list[tuple[str, str]], str]
"""The way to a function, as steps of a kind and a name, and what is there: "a lambda", "a partial of numpy.clip"."""

PARTIAL = "functools.partial"

_FUNCTIONS = frozenset(
    {
        "cloudpickle.cloudpickle._make_function",
        "cloudpickle.cloudpickle._make_skel_func",
        "dill._dill._create_function",
        "joblib.externals.cloudpickle.cloudpickle._make_function",
        "types.FunctionType",
        "types.LambdaType",
    }
)
_CLASSES = frozenset(
    {
        "cloudpickle.cloudpickle._make_skeleton_class",
        "cloudpickle.cloudpickle._make_skeleton_enum",
        "dill._dill._create_type",
    }
)
_STEPS = {
    "steps": "pipeline step",
    "transformer_list": "step of the union",
    "transformers": "step of the column transformer",
    "transformers_": "step of the column transformer",
}
"""Attributes of scikit-learn that hold (name, estimator): a user knows the name, not the index."""

PLACES_MAX = 20
LOOKS_MAX = 500_000
NAME_MAX = 60


class _TracedStub(Stub):
    """A stub that keeps what it was made of: arguments, states and items, in their order."""

    __slots__ = ("parts",)
    parts: list[tuple[str, Any]]

    def keep(self, kind: str, value: Any) -> None:
        try:
            self.parts.append((kind, value))
        except AttributeError:
            self.parts = [(kind, value)]

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        self.keep("state", state)

    def __setitem__(self, key: object, value: object) -> None:
        super().__setitem__(key, value)
        self.keep("item", (key, value))

    def append(self, item: object) -> None:
        super().append(item)
        self.keep("items", [item])

    def extend(self, items: object) -> None:
        super().extend(items)
        self.keep("items", items)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        made = super().__call__(*args, **kwargs)
        made.keep("args", args)
        return made


class TracingRecorder(Recorder):
    """A recorder whose stubs keep what they were made of. It needs as much memory as the model has objects."""

    STUB = _TracedStub

    def rule_of(self, name: str) -> Rule:
        """Return the rule of a name, which also keeps the arguments."""
        rule = super().rule_of(name)

        def keeping(recorder: Recorder, callee: Global, args: tuple[Any, ...]) -> Any:
            made = rule(recorder, callee, args)
            if made is None:
                made = instance_of(callee)
            if isinstance(made, _TracedStub):
                made.keep("args", args)
            return made

        return keeping


def places_in(top: Any) -> list[Place]:
    """Return where functions and classes by value, and partials, sit in the result of a traced parse."""
    found: list[Place] = []
    seen: set[int] = set()
    waiting: list[tuple[Any, tuple[tuple[str, str], ...]]] = [(top, ())]
    looks = 0
    while waiting and len(found) < PLACES_MAX and looks < LOOKS_MAX:
        value, way = waiting.pop()
        looks += 1
        if id(value) in seen or not isinstance(value, (dict, list, tuple, set, frozenset, _TracedStub)):
            continue
        seen.add(id(value))
        if isinstance(value, _TracedStub) and (what := _what(value)):
            found.append((list(way), what))
            continue
        waiting += [(part, (*way, *step)) for step, part in reversed(list(_parts(value)))]
    return found


def _parts(value: Any) -> Iterator[tuple[tuple[tuple[str, str], ...], Any]]:
    """Yield (steps, part) of a container or an object."""
    if isinstance(value, dict):
        yield from (((("key", _short(key)),), part) for key, part in value.items())
    elif isinstance(value, (list, tuple)):
        yield from (((("item", str(index)),), part) for index, part in enumerate(value))
    elif isinstance(value, (set, frozenset)):
        yield from (((("item", "?"),), part) for part in value)
    else:
        yield from _parts_of_object(value)


def _parts_of_object(value: _TracedStub) -> Iterator[tuple[tuple[tuple[str, str], ...], Any]]:
    kind = type(value).name.rpartition(".")[2]
    for what, part in getattr(value, "parts", ()):
        if what == "item":
            yield (("key", _short(part[0])),), part[1]
        elif what != "state":
            yield (), part
        else:
            for state in part if type(part) is tuple else (part,):
                if type(state) is not dict:
                    yield (("attribute", kind),), state
                    continue
                for name, attribute in state.items():
                    yield from _attribute(kind, _short(name), attribute)


def _attribute(kind: str, name: str, value: Any) -> Iterator[tuple[tuple[tuple[str, str], ...], Any]]:
    if name in _STEPS and type(value) is list and all(type(one) is tuple and len(one) > 1 for one in value):
        yield from ((((_STEPS[name], _short(one[0])),), part) for one in value for part in one[1:])
    else:
        yield (("attribute", f"{kind}.{name}"),), value


def _what(value: _TracedStub) -> str:
    """Return what a function, class or partial is, or "" for any other object."""
    name = type(value).name
    if name in _CLASSES:
        return "a class of its own"
    if name in _FUNCTIONS:
        args = [part for what, part in getattr(value, "parts", ()) if what == "args"]
        given = next((arg for arg in (args[0] if args else ()) if type(arg) is str), "") or _name_of_code(args)
        if given == "<lambda>":
            return "a lambda"
        return f"the function {_short(given)}" if given else "a function"
    if name == PARTIAL:
        for what, part in getattr(value, "parts", ()):
            function = part[0] if what in ("args", "state") and type(part) is tuple and part else None
            if isinstance(function, Global):
                return f"a partial of {function.name}"
            if isinstance(function, _TracedStub):
                return f"a partial of {_what(function) or 'an object of ' + root_of(type(function).name)}"
        return "a partial"
    return ""


def _name_of_code(args: list[tuple[Any, ...]]) -> str:
    """Return the name in a code object, the first argument of a function: its texts are file, name and full name."""
    for code in args[0] if args else ():
        for what, part in getattr(code, "parts", ()) if isinstance(code, _TracedStub) else ():
            texts = [text for text in part if type(text) is str] if what == "args" else []
            if len(texts) > 1:
                return texts[1]
    return ""


def _short(value: Any) -> str:
    return str(value)[:NAME_MAX] if type(value) in (str, int, float, bool) else "?"
