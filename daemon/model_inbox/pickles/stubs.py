"""Inert stand-ins for whatever a pickle names, and the record of what it does with them.

Owns the stub classes that a scanning unpickler hands out and `Recorder`, which collects the uses made of each
name and everything odd. Never imports or calls what a pickle names: to the unpickler a stub *is* the class or
function, but all that any operation on it does is to leave a note.

The record is made of plain values (`Finding` tuples, text), so that it can cross from the worker's process as
JSON; `report` gives it words and weighs it against an allowlist.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from .names import carries_code, is_well_formed, resolve
from .streams import BadStream, PayloadSkippingStream

__all__ = ["BadArguments", "Finding", "Global", "Recorder", "Rule", "StateRule", "Stub", "instance_of"]

Finding = tuple[str, str, str]
"""What was found (a key of `report.FINDINGS`), the name it is about, a detail. The last two may be empty."""

NAMES_MAX = 2000
FINDINGS_MAX = 100
ATTRIBUTES_MAX = 1000


_VERSION = re.compile(r"v?\d{1,4}[0-9A-Za-z.+]{0,30}", re.ASCII)


class BadArguments(Exception):
    """Arguments or a state that are not of the one form that a rule accepts. The scan goes on after it."""


class Global(type):
    """The class of every stub class: what is done to it is done to a global name, not to an instance.

    The unpickler asks for `__setstate__`, `append`, `extend` and `add` by attribute and for items by operator;
    on a global each of these would change the class or module for the whole process, so each ends the scan.
    """

    name: str
    uses: set[str]
    recorder: Recorder
    rule: Rule
    attributes: set[str] | None
    """Names of attributes that a plain state has set and that are in order; None where a rule wants every state."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        cls.uses.add("c")
        if kwargs:
            cls.recorder.note("keyword-arguments", cls.name)
        try:
            result = cls.rule(cls.recorder, cls, args)
        except BadArguments as error:
            cls.recorder.note("bad-arguments", cls.name, str(error))
            result = None
        return object.__new__(cls) if result is None else result  # type: ignore[arg-type]  # see `instance_of`

    def __setitem__(cls, key: object, value: object) -> NoReturn:
        raise BadStream("changes-global", cls.name, "SETITEM")

    def __repr__(cls) -> str:
        return f"<global {cls.name}>"


def _refuse(what: str) -> property:
    def refuse(cls: Global) -> NoReturn:
        raise BadStream("changes-global", cls.name, what)

    return property(refuse)


def _no_init_arguments(cls: Global) -> NoReturn:
    """Python 2's INST and OBJ without arguments ask for this; what they do depends on the real class."""
    cls.recorder.note("old-instance", cls.name)
    raise AttributeError("__getinitargs__")


for _attribute, _what in {
    "__setstate__": "BUILD",
    "append": "APPEND",
    "extend": "APPENDS",
    "add": "ADDITEMS",
}.items():
    setattr(Global, _attribute, _refuse(_what))
setattr(Global, "__getinitargs__", property(_no_init_arguments))  # noqa: B010 - beside the loop above


class Stub(metaclass=Global):
    """An object that the pickle made: by NEWOBJ from a global, or the result of a call.

    `value` is what the rules need to know of it later (the item size of a dtype, the shape of an array); `keys` are
    those that it was given items by.
    """

    __slots__ = ("keys", "value")
    name = "?"
    keys: set[Any]
    value: Any

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        cls.uses.add("n")
        if args or kwargs:
            # More than object.__new__ runs then, so it needs what a call needs.
            return Global.__call__(cls, *args, **kwargs)
        return object.__new__(cls)

    def __setstate__(self, state: Any) -> None:
        cls = type(self)
        cls.uses.add("b")
        # Millions of objects of one class have the same attributes: one look at them tells.
        if type(state) is not dict or cls.attributes is None or not cls.attributes.issuperset(state):
            cls.recorder.build(self, state)

    def __setitem__(self, key: object, value: object) -> None:
        type(self).uses.add("s")
        self._hash(key)

    def append(self, _item: object) -> None:
        type(self).uses.add("a")

    def extend(self, _items: object) -> None:
        type(self).uses.add("a")

    def add(self, item: object) -> None:
        type(self).uses.add("d")
        self._hash(item)

    def _hash(self, key: object) -> None:
        """Do with a key what a mapping or set does: what that costs, or crashes, must show here and not at the load."""
        try:
            self.keys.add(key)
        except AttributeError:
            self.keys = {key}

    def __hash__(self) -> int:
        cls = type(self)
        cls.recorder.note("hashed", cls.name)
        return object.__hash__(self)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __call__(self, *_args: Any, **_kwargs: Any) -> Any:
        type(self).recorder.note("calls-computed", type(self).name)
        return instance_of(type(self))

    def __repr__(self) -> str:
        return f"<object of {type(self).name}>"


def _is_dunder(name: Any) -> bool:
    return type(name) is str and name[:2] == "__" and name[-2:] == "__"


def instance_of(cls: Global, value: Any = None) -> Any:
    """Return a new object of a stub class, without noting a use; `value` is what rules know of it.

    Typed Any, because to the type checker a `Global` is any class, and only here is it known to be a `Stub`'s.
    """
    made: Any = object.__new__(cls)  # type: ignore[arg-type]  # as said
    if value is not None:
        made.value = value
    return made


Rule = Callable[["Recorder", Global, tuple[Any, ...]], Any]
"""Checks the arguments of a call; returns the result, or None for a plain stub of the callee."""

StateRule = Callable[["Recorder", Stub, Any], None]
"""Checks the state given to an object."""


class Recorder:
    """What one file does: the uses of each name, findings, and the stub classes of one scan.

    Every scan has its own recorder and its own stub classes, so nothing is left over from one file to the next.
    """

    NESTING_MAX = 3

    def __init__(
        self,
        call_rules: Mapping[str, Rule],
        state_rules: Mapping[str, StateRule],
        default_rule: Callable[[str], Rule],
        default_state_rule: Callable[[str], StateRule | None] = lambda _name: None,
    ) -> None:
        self._call_rules = call_rules
        self._state_rules = state_rules
        self._default_rule = default_rule
        self._default_state_rule = default_state_rule
        self._classes: dict[str, Global] = {}
        self._internal: dict[str, Global] = {}
        self._findings: dict[Finding, None] = {}
        self._shadowing: dict[tuple[str, str], Global] = {}
        self.versions: dict[str, str] = {}
        """What the file says of the frameworks that wrote it, where they leave word of their version."""
        self.stream: PayloadSkippingStream | None = None
        self.nesting = 0
        self.torch_modules = False
        """Set where torch's own unpickler would rename an old module."""

    # --- what the unpicklers ask for ---------------------------------------------------------------------------

    def find(self, module: object, name: object) -> Global:
        """Return the stub for a name and note that it was referred to. Ill-formed names are noted, not fatal."""
        if not is_well_formed(module, name):
            self.note("bad-name", f"{module!s:.200} {name!s:.200}")
            return self.internal("<bad name>")
        module, name = resolve(str(module), str(name))
        if self.torch_modules and module == "torch.tensor":
            module = "torch._tensor"
        stub = self.named(f"{module}.{name}")
        stub.uses.add("r")
        return stub

    def named(self, name: str) -> Global:
        """Return the stub for a full name without noting a use."""
        stub = self._classes.get(name)
        if stub is None:
            if len(self._classes) >= NAMES_MAX:
                raise BadStream("too-many-names", detail=str(NAMES_MAX))
            stub = self._classes[name] = self._new_class(name)
        return stub

    def internal(self, name: str) -> Global:
        """Return a stub for something that has no name in the pickle, such as a storage of torch."""
        stub = self._internal.get(name)
        if stub is None:
            stub = self._internal[name] = self._new_class(name)
        return stub

    def _new_class(self, name: str) -> Global:
        rule = staticmethod(self._call_rules.get(name) or self._default_rule(name))
        has_rule = name in self._state_rules or self._default_state_rule(name) is not None
        attributes: set[str] | None = None if has_rule else set()
        members = {
            "__slots__": (), "name": name, "uses": set(), "recorder": self, "rule": rule, "attributes": attributes
        }  # fmt: skip
        return Global("stub", (Stub,), members)

    # --- what the stubs report ---------------------------------------------------------------------------------

    def build(self, target: Stub, state: Any) -> None:
        """Check the state that BUILD gives to an object."""
        cls = type(target)
        # What __setstate__ gets to see would be an object with methods of its own. In a tuple of two, the unpickler
        # takes the parts for two dictionaries of attributes, and an OrderedDict passes for one that we looked into.
        parts = state if type(state) is tuple and len(state) == 2 else (state,)
        if cls.name not in self._state_rules and any(isinstance(part, (Stub, Global)) for part in parts):
            self.note("bad-state", cls.name, "its state is not plain data")
            return
        plain: Any = state
        if type(state) is tuple and len(state) == 2:
            plain, slots = state
            if type(slots) is dict and slots:
                cls.uses.add("t")
                self.check_attributes(cls, slots)
        if type(plain) is dict:
            self.check_attributes(cls, plain)
            self.note_version("scikit-learn", plain.get("_sklearn_version"))
        elif type(state) is tuple:
            # A __setstate__ that takes a tuple may set attributes from a dictionary in it.
            for part in state:
                if type(part) is dict and any(_is_dunder(key) for key in part):
                    self.note("bad-state", cls.name, "an attribute with a special name")
        rule = self._state_rules.get(cls.name) or self._default_state_rule(cls.name)
        if rule is not None:
            try:
                rule(self, target, state)
            except BadArguments as error:
                self.note("bad-state", cls.name, str(error))

    def check_attributes(self, cls: Global, attributes: Mapping[Any, Any]) -> None:
        """Note names of attributes that the unpickler or Python would look up on the object."""
        for attribute in attributes:
            if type(attribute) is not str:
                self.note("bad-state", cls.name, "an attribute whose name is not text")
            elif _is_dunder(attribute):
                # __class__, __setstate__, __dict__ ...: the unpickler and Python look these up on the object.
                self.note("bad-state", cls.name, f"an attribute {attribute[:60]}")
            elif attribute in ("append", "extend", "add"):
                self._shadowing[cls.name, attribute] = cls
            elif cls.attributes is not None and len(cls.attributes) < ATTRIBUTES_MAX:
                cls.attributes.add(attribute)

    def note_version(self, framework: str, version: Any) -> None:
        """Record the version that a file claims, if it has the form of one. Nothing is decided by it."""
        if type(version) is str and _VERSION.fullmatch(version):
            self.versions.setdefault(framework, version)

    def note(self, what: str, subject: str = "", detail: str = "") -> None:
        """Record one finding; the same one is recorded once, and their number is bounded."""
        if len(self._findings) < FINDINGS_MAX:
            self._findings[what, subject, detail] = None

    # --- the record --------------------------------------------------------------------------------------------

    @property
    def uses(self) -> dict[str, str]:
        """The names that the file carries, sorted, each with its letters in order."""
        return {name: "".join(sorted(cls.uses)) for name, cls in sorted(self._classes.items()) if cls.uses}

    @property
    def findings(self) -> list[Finding]:
        """Everything odd, in the order in which it was met."""
        for (name, attribute), cls in self._shadowing.items():
            if cls.uses & {"a", "d"}:
                # Items are handed to the attribute of that name, which the file has chosen.
                self.note("bad-state", name, f"an attribute {attribute}")
        return list(self._findings)

    @property
    def carries_code(self) -> bool:
        return any(carries_code(name) for name in self._classes)
