"""Inert stand-ins for the names in a pickle, and a record of what the pickle does with them.

Owns the stub classes that a scanning unpickler returns for names, and `Recorder`, which collects the uses of each name
and the findings. Never imports or calls what a pickle names: to the unpickler a stub *is* the class or function, but an
operation on it only records a use or a finding.

The record consists of plain values, so that the worker can send it as JSON. `report` compares it with an allowlist and
puts it into words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Mapping
from typing import Any, NoReturn

from .names import carries_code, is_method, is_nested, is_well_formed, resolve
from .streams import BadStream, PayloadSkippingStream

__all__ = ["BadArguments", "Finding", "Global", "Recorder", "Rule", "StateRule", "Stub", "instance_of"]

Finding = tuple[str, str, str]
"""What was found (a key of `report.FINDINGS`), the name it is about, and a detail. The last two may be empty."""

NAMES_MAX = 2000
FINDINGS_MAX = 100
ATTRIBUTES_MAX = 1000
DEPTH_MAX = 100
_BYTES, _MICROSECONDS, _CALLS = range(3)
"""The places in what a class costs."""
_ITEM_BYTES = 40
"""What an item of a dictionary needs in it."""

_SKLEARN_VERSION = "_sklearn_version"
_VERSION = re.compile(r"v?\d{1,4}[0-9A-Za-z.+]{0,30}", re.ASCII)


class BadArguments(Exception):
    """Arguments or a state that a rule does not accept. It becomes a finding, and the scan continues."""


class Global(type):
    """The metaclass of the stub classes: an operation on a stub class is one on a global name, not on an instance.

    The unpickler looks up `__setstate__`, `append`, `extend` and `add` as attributes, and sets items by operator. On a
    global each of them would change the class or module for the whole process, so each ends the scan.
    """

    name: str
    uses: set[str]
    recorder: Recorder
    attributes: set[str] | None
    """Attributes that passed the checks in an earlier state. None if a rule has to see every state."""
    cost: list[int]
    """What its objects cost a load so far: bytes and microseconds without those of calls, and the number of calls. A
    list, because to set an attribute of a class is slow."""
    called: tuple[Recorder, Rule, set[str], list[int]]
    """Recorder, rule, uses and cost, for calls: a file can have millions, and to look up an attribute of a class is
    slow, too."""
    call_cost: tuple[int, int]
    state_microseconds: int
    state_rule: StateRule | None

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        recorder, rule, uses, cost = cls.called
        uses.add("c")
        if kwargs:
            recorder.note("keyword-arguments", cls.name)
        try:
            result = rule(recorder, cls, args)
        except BadArguments as error:
            recorder.note("bad-arguments", cls.name, str(error))
            result = None
        cost[_CALLS] += 1
        if result is None:
            result = instance_of(cls)
            result.kept = args if cls.attributes is not None else _copied(args)
        # A rule that knows the depth of what it made has set it.
        if isinstance(result, Stub) and not hasattr(result, "depth") and (depth := depth_of(args)):
            result.nest(depth)
        return result

    def __setitem__(cls, key: object, value: object) -> NoReturn:
        raise BadStream("changes-global", cls.name, "SETITEM")

    def __repr__(cls) -> str:
        return f"<global {cls.name}>"


def _refuse(what: str) -> property:
    def refuse(cls: Global) -> NoReturn:
        raise BadStream("changes-global", cls.name, what)

    return property(refuse)


def _no_init_arguments(cls: Global) -> NoReturn:
    """The old opcodes INST and OBJ without arguments look this up. What they do depends on the real class."""
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
    """An object that the pickle made: with NEWOBJ from a global, or as the result of a call.

    `value` is what rules need to know of it later (the item size of a dtype, the shape of an array). `real` is a value
    whose hash and comparison cost what those of the real object cost. `keys` are the keys that items were set with.
    `kept` and `items` hold what the real object would hold, so that a scan needs the memory of a load. `depth` is how
    many objects without a bound of their own are nested in it (see `nest`).
    """

    __slots__ = ("depth", "items", "kept", "keys", "real", "value")
    name = "?"
    depth: int
    items: list[Any]
    kept: Any
    keys: set[Any]
    real: Any
    value: Any

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        cls.uses.add("n")
        if args or kwargs:
            # The real class would run more than object.__new__, so this needs the same permission as a call.
            return Global.__call__(cls, *args, **kwargs)
        made = object.__new__(cls)
        made.kept = None
        return made

    def __setstate__(self, state: Any) -> None:
        cls = type(self)
        cls.uses.add("b")
        # A file can have millions of objects of one class with the same attributes: check each attribute once.
        if type(state) is not dict or cls.attributes is None or not cls.attributes.issuperset(state):
            cls.recorder.build(self, state)
        kept = state if cls.attributes is not None else _copied(state)
        self.kept = kept if self.kept is None else (self.kept, kept)
        if type(state) is dict:
            # A file can give one dictionary to any number of objects, and each copies it.
            cls.cost[_BYTES] += _ITEM_BYTES * len(state)

    def __setitem__(self, key: object, value: object) -> None:
        type(self).uses.add("s")
        self._hash(key)
        self._keep(value)

    def append(self, item: object) -> None:
        type(self).uses.add("a")
        self._keep(item)

    def extend(self, items: object) -> None:
        type(self).uses.add("a")
        if type(items) is list:
            if depth := depth_of(items):
                self.nest(depth)
            try:
                self.items += items
            except AttributeError:
                self.items = items

    def add(self, item: object) -> None:
        type(self).uses.add("d")
        self._hash(item)

    def _hash(self, key: object) -> None:
        """Hash and compare a key as a mapping or set does. If that is slow or crashes, it must happen in the scan."""
        try:
            self.keys.add(key)
        except AttributeError:
            self.keys = {key}

    def _keep(self, item: object) -> None:
        if isinstance(item, Stub):
            self.nest(getattr(item, "depth", 0) + 1)
        try:
            self.items.append(item)
        except AttributeError:
            self.items = [item]

    def nest(self, depth: int) -> None:
        """Record that objects are nested so deeply in this one.

        C types like arrays free what they hold by recursion, without the bound that lists, tuples, dictionaries and
        instances of Python's classes have: thousands of them inside each other overflow the stack when they are freed.
        """
        self.depth = max(getattr(self, "depth", 0), depth)
        if self.depth > DEPTH_MAX:
            raise BadStream("nested-objects", type(self).name, str(DEPTH_MAX))

    def __hash__(self) -> int:
        cls = type(self)
        cls.recorder.note("hashed", cls.name)
        return hash(self.real) if hasattr(self, "real") else object.__hash__(self)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not hasattr(self, "real"):
            return False
        return bool(self.real == (getattr(other, "real", None) if isinstance(other, Stub) else other))

    def __call__(self, *_args: Any, **_kwargs: Any) -> Any:
        type(self).recorder.note("calls-computed", type(self).name)
        return instance_of(type(self))

    def __repr__(self) -> str:
        return f"<object of {type(self).name}>"


def _copied(value: Any) -> Any:
    """Return what an object of a class with rules keeps. A pickle can change a dictionary later, but not the object."""
    if type(value) is dict:
        return value.copy()
    if type(value) is tuple and dict in map(type, value):
        return tuple([item.copy() if type(item) is dict else item for item in value])
    return value


def _awaited(cls: type[Stub], *args: Any, **kwargs: Any) -> Any:
    """Make an object that must get a state: the real one would crash the process that looks at it without."""
    made = Stub.__new__(cls, *args, **kwargs)

    def check() -> None:
        if made.kept is None:
            raise BadArguments("it gets no state")

    cls.recorder.check_later(cls.name, check)
    return made


def _is_dunder(name: Any) -> bool:
    return type(name) is str and name[:2] == "__" and name[-2:] == "__"


def _is_label(attribute: str, value: Any) -> bool:
    """Return whether this attribute only describes an object: what nothing looks up while a pickle is loaded."""
    if attribute == "__skforecast_tags__":
        return type(value) is dict
    return attribute in ("__doc__", "__name__") and type(value) in (str, type(None))


def instance_of(cls: Global, value: Any = None) -> Any:
    """Return a new object of a stub class without recording a use. `value` is what rules know of it."""
    made: Any = object.__new__(cls)  # type: ignore[arg-type]  # every `Global` is a sub-class of `Stub`
    made.kept = None
    if value is not None:
        made.value = value
    return made


def stand_in(cls: Global, real: Any) -> Any:
    """Return a new object of a stub class that is hashed and compared as `real` is."""
    made: Any = object.__new__(cls)  # type: ignore[arg-type]  # as in `instance_of`: a call less, for millions
    made.kept = None
    made.real = real
    return made


def depth_of(items: Any, levels: int = 1) -> int:
    """Return how deeply objects are nested in a list or tuple, and in `levels` of lists and tuples in it, plus one.

    0 if there are no objects in it.
    """
    if _LEAVES.issuperset(map(type, items)):
        return 0
    deepest = 0
    for item in items:
        kind = type(item)
        if kind in _LEAVES:
            continue
        if isinstance(item, Stub):
            depth = getattr(item, "depth", 0) + 1
        elif levels and (kind is tuple or kind is list):
            depth = depth_of(item, levels - 1)
        else:
            continue
        deepest = max(deepest, depth)
    return deepest


_LEAVES = frozenset({int, float, str, bytes, bool, type(None)})


Rule = Callable[["Recorder", Global, tuple[Any, ...]], Any]
"""Check the arguments of a call. Return the result, or None for a plain stub of the callee."""

StateRule = Callable[["Recorder", Stub, Any], None]
"""Check the state that an object gets."""


class Recorder:
    """The record of one scan: the uses of each name, the findings, and the stub classes.

    Each scan has its own recorder and its own stub classes, so that no file leaves anything to the next.
    """

    NESTING_MAX = 3
    STUB: type[Stub] = Stub

    def __init__(
        self,
        call_rules: Mapping[str, Rule],
        state_rules: Mapping[str, StateRule],
        default_rule: Callable[[str], Rule],
        default_state_rule: Callable[[str], StateRule | None] = lambda _name: None,
        call_cost: Callable[[str], tuple[int, int]] = lambda _name: (0, 0),
        state_microseconds: Callable[[str], int] = lambda _name: 0,
        need_a_state: Container[str] = (),
    ) -> None:
        self._call_rules = call_rules
        self._state_rules = state_rules
        self._default_rule = default_rule
        self._default_state_rule = default_state_rule
        self._call_cost = call_cost
        self._state_microseconds = state_microseconds
        self._need_a_state = need_a_state
        self._classes: dict[str, Global] = {}
        self._internal: dict[str, Global] = {}
        self._findings: dict[Finding, None] = {}
        self._shadowing: dict[tuple[str, str], Global] = {}
        self.versions: dict[str, str] = {}
        """Versions of frameworks that the file claims, for the frameworks that write theirs."""
        self.stream: PayloadSkippingStream | None = None
        self.streams: list[PayloadSkippingStream] = []
        """All streams of the scan. Each knows how many bytes of payloads it has skipped."""
        self.rows = 0
        """Rows of ranges so far. They take no bytes in the file."""
        self.nesting = 0
        self.later: list[Callable[[], None]] = []
        """Checks that need bytes which stand behind the pickle. They raise BadArguments."""
        self.torch_legacy = False
        """Set in a file of torch's old format, from which torch cannot load every tensor."""
        self.torch_modules = False
        """Set in a torch file, where torch's own unpickler renames an old module."""

    # --- called by the unpicklers ------------------------------------------------------------------------------

    def find(self, module: object, name: object) -> Global:
        """Return the stub for a name and record that it was referred to. A malformed name becomes a finding."""
        if not is_well_formed(module, name) and not is_method(module, name):
            self.note("nested-name" if is_nested(module, name) else "bad-name", f"{module!s:.200} {name!s:.200}")
            return self.internal("<bad name>")
        module, name = resolve(str(module), str(name))
        if self.torch_modules and module == "torch.tensor":
            module = "torch._tensor"
        stub = self.named(f"{module}.{name}")
        stub.uses.add("r")
        return stub

    def named(self, name: str) -> Global:
        """Return the stub for a full name without recording a use."""
        stub = self._classes.get(name)
        if stub is None:
            if len(self._classes) >= NAMES_MAX:
                raise BadStream("too-many-names", detail=str(NAMES_MAX))
            stub = self._classes[name] = self._new_class(name)
        return stub

    def internal(self, name: str) -> Global:
        """Return the stub class for objects without a name in the pickle, such as storages of torch."""
        stub = self._internal.get(name)
        if stub is None:
            stub = self._internal[name] = self._new_class(name)
        return stub

    def _new_class(self, name: str) -> Global:
        rule, uses, cost = self.rule_of(name), set[str](), [0, 0, 0]
        state_rule = self._state_rules.get(name) or self._default_state_rule(name)
        attributes: set[str] | None = None if state_rule is not None else set()
        members: dict[str, Any] = {
            "__slots__": (), "name": name, "uses": uses, "recorder": self, "attributes": attributes, "cost": cost,
            "called": (self, rule, uses, cost), "call_cost": self._call_cost(name),
            "state_rule": None if state_rule is None else staticmethod(state_rule),
            "state_microseconds": 0 if state_rule is None else self._state_microseconds(name),
        }  # fmt: skip
        if name in self._need_a_state:
            members["__new__"] = _awaited
        return Global("stub", (self.STUB,), members)

    def rule_of(self, name: str) -> Rule:
        """Return the rule for calls of a name."""
        return self._call_rules.get(name) or self._default_rule(name)

    # --- called by the stubs -----------------------------------------------------------------------------------

    def build(self, target: Stub, state: Any) -> None:
        """Check the state that BUILD gives to an object."""
        cls = type(target)
        cls.cost[_MICROSECONDS] += cls.state_microseconds
        # Python's classes without a rule have their attributes in a dictionary, which bounds the recursion.
        held = state.values() if type(state) is dict else state if type(state) in (tuple, list) else ()
        if cls.attributes is None and (depth := depth_of(held)):
            target.nest(depth)
        # An object as state would give its own methods to the real __setstate__. The unpickler takes a tuple of two
        # for two dictionaries of attributes, and an OrderedDict among them would not be looked into below.
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
            self._check_version(cls, plain)
        elif type(state) is tuple:
            # A __setstate__ that takes a tuple can set attributes from a dictionary in it.
            for part in state:
                if type(part) is dict and any(_is_dunder(key) for key in part):
                    self.note("bad-state", cls.name, "an attribute with a special name")
        if cls.state_rule is not None:
            try:
                cls.state_rule(self, target, state)
            except BadArguments as error:
                self.note("bad-state", cls.name, str(error))

    def check_attributes(self, cls: Global, attributes: Mapping[Any, Any]) -> None:
        """Record a finding for each attribute that the unpickler or Python would look up on the object."""
        for attribute in attributes:
            if type(attribute) is not str:
                self.note("bad-state", cls.name, "an attribute whose name is not text")
            elif _is_dunder(attribute) and not _is_label(attribute, attributes[attribute]):
                # The unpickler and Python look up __class__, __setstate__, __dict__ and others on the object.
                self.note("bad-state", cls.name, f"an attribute {attribute[:60]}")
            elif attribute in ("append", "extend", "add"):
                self._shadowing[cls.name, attribute] = cls
            elif cls.attributes is not None and len(cls.attributes) < ATTRIBUTES_MAX and attribute != _SKLEARN_VERSION:
                cls.attributes.add(attribute)

    def _check_version(self, cls: Global, attributes: Mapping[Any, Any]) -> None:
        """Record the version of an estimator. scikit-learn compares it, with the code of whatever stands there."""
        version = attributes.get(_SKLEARN_VERSION)
        if type(version) not in (str, type(None)):
            self.note("bad-state", cls.name, f"{_SKLEARN_VERSION} is not text")
        self.note_version("scikit-learn", version)

    def note_version(self, framework: str, version: Any) -> None:
        """Record the version that a file claims, if it looks like one. No decision depends on it."""
        if type(version) is str and _VERSION.fullmatch(version):
            self.versions.setdefault(framework, version)

    def note(self, what: str, subject: str = "", detail: str = "") -> None:
        """Record a finding once. The number of findings is bounded."""
        if len(self._findings) < FINDINGS_MAX:
            self._findings[what, subject, detail] = None

    def charge(self, cls: Global, size: int, microseconds: int = 0) -> None:
        """Record that a load needs so many bytes and so much time for an object of this class."""
        cost = cls.cost
        cost[_BYTES] += size
        cost[_MICROSECONDS] += microseconds

    def real_bytes(self, data: bytes | bytearray) -> bytes:
        """Return the bytes that `data` stands for. The stream skips large payloads: their bytes are in the file."""
        return bytes(data) if self.stream is None else self.stream.payload(data).read_at(0, len(data))

    def check_later(self, name: str, check: Callable[[], None]) -> None:
        """Make a check of the arguments of a call of `name` when the whole file was parsed."""

        def run() -> None:
            try:
                check()
            except BadArguments as error:
                self.note("bad-arguments", name, str(error))

        self.later.append(run)

    def run_later(self) -> None:
        """Make the checks that were put off."""
        for check in self.later:
            check()
        self.later.clear()

    # --- the record --------------------------------------------------------------------------------------------

    @property
    def uses(self) -> dict[str, str]:
        """The names in the file, sorted, each with its letters in order."""
        return {name: "".join(sorted(cls.uses)) for name, cls in sorted(self._classes.items()) if cls.uses}

    @property
    def findings(self) -> list[Finding]:
        """All findings, in the order in which they were made."""
        for (name, attribute), cls in self._shadowing.items():
            if cls.uses & {"a", "d"}:
                # Items would be passed to the attribute of that name, which the file has set.
                self.note("bad-state", name, f"an attribute {attribute}")
        return list(self._findings)

    @property
    def bytes_read(self) -> int:
        """The bytes of the pickles, without compression, as far as they were read."""
        return sum(stream.tell() for stream in self.streams)

    def cost(self) -> dict[str, Any]:
        """What a load needs for the objects in the file: bytes and microseconds, and the names that need most of each.

        Without what plain values need, which are the same in a scan.
        """
        found: dict[str, Any] = {}
        for at, key in ((_BYTES, "bytes"), (_MICROSECONDS, "microseconds")):
            costs = {
                name: cls.cost[at] + cls.cost[_CALLS] * cls.call_cost[at]
                for name, cls in {**self._internal, **self._classes}.items()
            }
            by_name = {name: cost for name, cost in costs.items() if cost}
            found[key] = sum(by_name.values())
            found[f"most_{key}"] = max(by_name, key=by_name.__getitem__, default="")
        found["bytes"] += sum(stream.skipped for stream in self.streams)
        return found

    @property
    def carries_code(self) -> bool:
        """Whether the file contains functions or classes by value."""
        return any(carries_code(name) for name in self._classes)
