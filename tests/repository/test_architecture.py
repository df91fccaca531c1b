"""The shape of the package, read from its sources: who may import whom, who is pure, who changes the disk.

Nothing is imported here, so that a module which does not import is still looked at. A new module needs a place in
INSIDE, a new room one in ROOMS; an exception needs its reason, and is a failure once it is needed no more.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from support.places import ROOT
from support.sources import forget, nodes_of, tree_of

PACKAGE = ROOT / "daemon" / "model_inbox"


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# The rooms of the house from the bottom up, with the rooms that each may import from. A room is a package of the
# package, or a module that stands alone. A whole room is named, or the one module of it that is open.
ROOMS: dict[str, frozenset[str]] = {
    "exit_codes": words(""),
    "problems": words(""),
    "errors": words("problems exit_codes"),
    "base": words("problems errors"),
    "model": words("problems errors base"),
    "pickles": words("problems errors"),
    "config": words("problems errors base model pickles"),
    "registry": words("problems errors base model pickles"),
    "feed": words("errors base registry"),
    "replica": words("problems errors base registry"),
    "mirror": words("problems errors exit_codes base model config registry feed"),
    "serving": words("problems errors base model registry feed replica/record"),
    "mirrored": words("problems errors base model pickles registry feed mirror serving"),
    "gates": words("problems model config registry"),
    "retention": words("problems errors base model config registry"),
    "choosing": words("problems base model config registry"),
    "backup": words("problems errors exit_codes base config registry retention"),
    "producer": words("problems errors base model"),
    "importing": words("problems errors base model mirror producer"),
    "telemetry": words("problems errors exit_codes base registry/paths"),
    "inbox": words("problems errors base model pickles config registry gates telemetry/metrics"),
    "report": words("problems errors base model config registry retention telemetry inbox"),
    "web": words("problems errors exit_codes base config registry report"),
    "why": words("problems base registry"),
    "service": words(
        "problems errors exit_codes base model pickles config registry gates retention choosing telemetry inbox"
    ),
    "__init__": words("problems errors model registry serving mirrored producer"),
    "cli": words(
        """
        problems errors exit_codes base model pickles config registry gates retention choosing backup replica mirror
        importing producer telemetry inbox report web why
        """
    ),
    "__main__": words("cli"),
}
# (module, module): the ways past a room's row, and why. They are taken in functions, or for the type checker alone.
DOORS = {
    ("registry/following", "serving/__init__"): "`follow` is a method of the registry, and serving stands above that",
    ("cli/run", "service/loop"): "`run` alone starts the daemon",
}

# Every package: the modules and packages that lie directly in it, from the bottom up, those of one row in one string.
# A module imports only from rows below its own. `__init__` is what the package shows to others.
INSIDE: dict[str, tuple[str, ...]] = {
    "base": (
        """
        accounts acl boot collector file_systems importable leases log loopback margins owners shapes
        standard_streams units
        """,
        "disk flocks instants yaml_faults yaml_numbers",
        "strict_yaml",
        "abandoned copying users",
        "machine remedies",
        "__init__",
    ),
    "model": (
        "conditions file_names metadata owner slot",
        "receipt",
        "checks sidecar_fields",
        "published",
        "sidecar_parts",
        "sidecar sidecar_writer",
        "sidecar_schema",
        "__init__",
    ),
    "model/conditions": ("paths words", "condition", "__init__"),
    "config": (
        "names sections values",
        "gates retention",
        "search settings",
        "changes metric_orders places problems rules",
        "load",
        "__init__",
    ),
    "registry": (
        "boundary entry paths position",
        "access",
        "journal usage",
        "alias_stack changes clock protection",
        "checkpoint state segments files stored_sidecar",
        "excerpt derived doubt history kept_rules outcomes writer_lock",
        "comparison described finding opening queries unfinished",
        "healing label_format past",
        "checkpoint_file",
        "store",
        "clock_watch label_files live_entries",
        "following loading pickling trash",
        "labels measurements promotions registration",
        "scaler upkeep",
        "registry",
        "repair",
        "__init__",
    ),
    "feed": ("steps wakeups", "feed", "__init__"),
    "replica": ("record transport", "pull", "__init__"),
    "mirror": (
        "errors model_files names tags",
        "plan progress pyfunc",
        "client comparison files",
        "writer",
        "reconcile",
        "following",
        "__init__",
    ),
    "serving": ("course names", "follower source", "hub metrics", "__init__"),
    "importing": ("described", "source", "bring", "__init__"),
    "mirrored": ("cache reading source", "registry", "__init__"),
    "gates": ("evaluate", "__init__"),
    "mirror/model_files": ("model_inbox_pyfunc",),
    "registry/repair": ("evidence undone", "label_recovery verify", "rebuild_plan", "rebuild", "__init__"),
    "why": ("evidence", "rule_text", "arrival keeping standing", "answers", "__init__"),
    "choosing": ("promotion", "apply", "__init__"),
    "retention": (
        "outcomes",
        "entries",
        "times",
        "rules",
        "budget",
        "groups",
        "plan",
        "apply differences forecast foresight occasions",
        "simulation",
        "__init__",
    ),
    "backup": (
        "errors",
        "manifest",
        "folder source",
        "copying restore thinning verification",
        "make",
        "__init__",
    ),
    "producer": (
        "answers archive filling provenance writer",
        "limits remote",
        "described publishing",
        "drops files",
        "__init__",
    ),
    "telemetry": (
        "events journald sd_notify metrics metrics_server",
        "logread watchdog status_file",
        "health logging",
        "__init__",
    ),
    "telemetry/logread": ("coverage records", "words", "questions", "sources", "__init__"),
    "inbox": (
        "watch acceptance claim_names permits differences failures outcomes permissions settle_time states",
        "drop",
        "crowd readiness",
        "late_file",
        "privacy suspects",
        "own_folders",
        "sight",
        "folder",
        "claims obstacles",
        "explain late_scaler older_copy receipts staging tries",
        "batch deferral endings rejected validation",
        "beside recovery",
        "pipeline",
        "__init__",
    ),
    "report": (
        "charts facts figures pages",
        "attention beside decisions drawing partial",
        "model_facts slots trial",
        "gather gather_models gather_trial render",
        "__init__",
    ),
    "report/charts": ("labels scale svg thinning", "chart times", "axes", "amounts calendar metric", "__init__"),
    "web": ("answers sockets", "pages server", "__init__"),
    "service": (
        "attempt health reload unforeseen waiting_log",
        "checkpointing promoting watching",
        "maintenance",
        "schedule",
        "reporter",
        "passes",
        "service",
        "loop",
        "__init__",
    ),
    "cli": (
        "progress tables",
        "output",
        "common trials",
        "completion",
        "arguments check_gates conditions",
        """
        alias allowlist backup check config_trial delete diff drop gathering get history inbox listing log_source
        mlflow pin promote rebuild record rejected reload replace_scaler replica retention run schema status tag trash
        verify
        """,
        "config mlflow_import wait why",
        "report web",
        "log_traces show",
        "logs",
        "init",
        "__init__",
    ),
    "pickles": (
        "kinds names trees",
        "streams",
        "stubs",
        "arguments places unpicklers",
        "allowlist formats",
        "rules",
        "report reviewed_code scan",
        "process suggestions verdict versions",
        "loading",
        "__init__",
    ),
    "pickles/formats": ("joblib_parser torch_storages torch_zip", "torch_scan", "__init__"),
    "pickles/process": ("kill protocol", "fault worker_loop", "scanner worker", "__init__"),
    "pickles/rules": (
        "costs numpy_rules torch_rules zone_rules",
        "arrow_rules callable_rules framework_rules python_rules quantized_rules scipy_rules torch_object_rules "
        "tree_rules",
        "distribution_rules frame_rules mesh_rules neighbor_rules spline_rules state_space_rules svm_rules",
        "formula_rules hook_rules",
        "classic_rules",
        "table",
        "__init__",
    ),
    "pickles/trees": (
        "fault",
        "flatbuffer number_text shape ubjson",
        "byte_stream catboost_statistics lightgbm_text nodes xgboost_model",
        "catboost_calcers",
        "catboost_embeddings catboost_texts",
        "catboost_model",
        "__init__",
    ),
    "problems/catalogue": ("artifacts configuration drops operations registries sidecars", "__init__"),
    "problems": (
        "codes",
        "value",
        "artifact backup catalogue checks clock config explain gates inbox journal registry retention sidecar status",
        "drop yaml",
        "__init__",
    ),
}

# Packages that the modules outside of them know only by what their `__init__` shows.
FACES = words("pickles pickles/formats pickles/process pickles/rules pickles/trees")

# No clock, no disk, no randomness: values in, values out. The name of a room stands for all of it.
PURE = words("""
    exit_codes problems errors
    base/collector base/instants base/shapes base/units base/strict_yaml base/yaml_faults base/yaml_numbers
    model/checks model/file_names model/metadata model/owner model/sidecar model/sidecar_fields model/sidecar_schema
    model/sidecar_parts model/sidecar_writer model/slot
    model/conditions/condition model/conditions/paths model/conditions/words
    base/loopback base/margins config/gates config/names config/retention config/sections config/values
    registry/changes registry/checkpoint registry/clock registry/comparison registry/derived registry/entry
    registry/finding registry/alias_stack registry/journal registry/label_format
    registry/paths registry/position registry/queries registry/state registry/stored_sidecar registry/unfinished
    registry/usage
    registry/repair/undone
    feed/steps replica/record serving/course serving/names
    report/attention report/beside report/decisions report/drawing report/facts report/figures report/model_facts
    report/pages report/slots report/trial
    retention/budget retention/differences retention/entries retention/forecast retention/foresight retention/groups
    retention/occasions retention/outcomes retention/plan retention/rules
    retention/simulation retention/times
    telemetry/events telemetry/metrics telemetry/logread/coverage
    telemetry/logread/questions telemetry/logread/records telemetry/logread/words
    gates/evaluate choosing/promotion
    why
    report/charts/__init__ report/charts/amounts report/charts/axes report/charts/calendar report/charts/chart
    report/charts/labels report/charts/metric report/charts/scale report/charts/svg report/charts/thinning
    report/charts/times
    web/answers
    inbox/acceptance inbox/claim_names inbox/crowd inbox/differences inbox/drop inbox/outcomes inbox/permits
    inbox/readiness inbox/settle_time inbox/states
    pickles/arguments pickles/names pickles/report pickles/stubs pickles/verdict
    pickles/formats/torch_storages pickles/formats/torch_zip
    pickles/process/protocol
    pickles/rules/arrow_rules pickles/rules/callable_rules pickles/rules/classic_rules
    pickles/rules/distribution_rules pickles/rules/frame_rules pickles/rules/hook_rules
    pickles/rules/framework_rules pickles/rules/numpy_rules
    pickles/rules/formula_rules pickles/rules/python_rules pickles/rules/scipy_rules pickles/rules/costs
    pickles/rules/mesh_rules pickles/rules/spline_rules pickles/rules/state_space_rules
    pickles/rules/neighbor_rules pickles/rules/svm_rules pickles/rules/tree_rules pickles/rules/zone_rules
    pickles/trees/__init__ pickles/trees/byte_stream pickles/trees/catboost_calcers pickles/trees/catboost_embeddings
    pickles/trees/catboost_model pickles/trees/catboost_statistics pickles/trees/catboost_texts pickles/trees/fault
    pickles/trees/flatbuffer pickles/trees/lightgbm_text pickles/trees/nodes pickles/trees/number_text
    pickles/trees/shape pickles/trees/ubjson pickles/trees/xgboost_model
""")
# What a pure module may import of one that is not: values, and nothing that does anything.
VALUES_FROM = {
    ("inbox/readiness", "base/leases"): {"Lease"},
    ("inbox/claim_names", "model/receipt"): {"REASON_NAME"},
    ("registry/clock", "base/boot"): {"BootTime"},
    ("inbox/acceptance", "pickles/__init__"): {"PickleReport"},
    ("gates/evaluate", "registry/outcomes"): {"Examined", "InService"},
    ("choosing/promotion", "config/settings"): {"PromotionSection"},
    ("retention/simulation", "registry/past"): {"Past"},
    ("inbox/permits", "base/accounts"): {"Account"},
    ("report/model_facts", "registry/described"): {"SeenFile", "imports_in_words", "origin_in_words"},
    ("inbox/permits", "config/settings"): {"PermitSection", "QuotaSection"},
    ("pickles/formats/torch_storages", "pickles/streams"): {"Source"},
    ("pickles/formats/torch_zip", "pickles/streams"): {"BadStream", "Source"},
    ("pickles/names", "sys"): {"stdlib_module_names"},
    ("pickles/report", "pickles/allowlist"): {"Allowlist"},
    ("pickles/report", "pickles/rules/__init__"): {"HASHABLE", "PLAIN_TYPES", "WITH_KEYWORDS"},
    ("pickles/rules/hook_rules", "pickles/rules/torch_rules"): {"TENSORS"},
    ("pickles/rules/numpy_rules", "pickles/streams"): {"Source"},
    ("pickles/stubs", "pickles/streams"): {"BadStream", "PayloadSkippingStream"},
    ("pickles/verdict", "pickles/allowlist"): {"Allowlist"},
}
CLOCKS_AND_DISKS = words("""
    asyncio fcntl glob io multiprocessing random secrets select shutil signal socket structlog subprocess sys
    tempfile time uuid watchdog
""")

FRAMEWORKS = words("""
    catboost joblib keras lightgbm numpy pandas scipy sklearn statsmodels tensorflow torch xgboost
""")

# Steps that a crash can fall between. They are methods of `base.disk.Disk`, so that a test can stop at each.
OS_STEPS = words("""
    O_CREAT O_TRUNC chmod chown copy_file_range fchmod fchown fdatasync fsync ftruncate lchown link makedirs mkdir
    mkfifo mknod remove removedirs rename renames replace rmdir sendfile symlink truncate unlink utime
    setxattr removexattr
""")
PATH_STEPS = words("""
    chmod hardlink_to mkdir rename rmdir symlink_to touch truncate unlink write_bytes write_text
""")
# (module, step): why that one need not go through the Disk.
STEPS_OUTSIDE_DISK = {
    ("base/flocks", "O_CREAT"): "a lock file holds nothing that must outlast a crash",
    ("base/flocks", "ftruncate"): "the holder's name in it is for people",
    ("telemetry/logging", "O_CREAT"): "a log file is appended to, never promised",
    ("telemetry/logging", "replace"): "and so is one that is full and gets another name",
    ("inbox/watch", "O_CREAT"): "the canary is an empty file that tells whether the watch still hears",
    ("inbox/watch", "unlink"): "and is gone again at once",
    ("mirror/writer", "mkdir"): "the folder of one upload is thrown away after it",
    ("mirror/writer", "write_bytes"): "and so are the small files in it",
    ("mirror/writer", "symlink"): "and the links to the open files of the model",
    ("web/sockets", "unlink"): "the path of a socket leads to nothing once its process has ended",
    ("web/sockets", "chown"): "and its group counts only while it is served",
    ("mirrored/cache", "utime"): "when a file of the cache was used last is worth nothing after a crash",
    ("mirrored/cache", "shutil.rmtree"): "and neither is what a killed process had fetched in part",
    ("inbox/own_folders", "O_CREAT"): "an empty file of our own tells whether this file system has leases",
}


Module = tuple[str, ...]
"""A module by its path below the package: ("pickles", "scan"). That of a package itself ends with "__init__"."""


@dataclass(frozen=True, slots=True)
class Import:
    """One import of a module of ours: `names` of the module `imported`, by the module `importer`."""

    importer: Module
    imported: Module
    names: frozenset[str]
    line: int

    @property
    def unit(self) -> str:
        """The importing module as the tables name it."""
        return "/".join(self.importer)

    @property
    def target(self) -> str:
        """The imported module as the tables name it."""
        return "/".join(self.imported)


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def unit_of(path: Path) -> str:
    """Return a module's name as it stands in the tables: its path in the package, without the suffix."""
    return "/".join(module_of(path))


def where(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def module_of(path: Path) -> Module:
    return path.relative_to(PACKAGE).with_suffix("").parts


def module_named(parts: Module) -> Module:
    """Return the module that an import of these parts runs: for a package, its `__init__`."""
    folder = PACKAGE.joinpath(*parts)
    return (*parts, "__init__") if folder.is_dir() else parts


def is_module(parts: Module) -> bool:
    """Return whether there is such a module, or should be one by ROOMS."""
    path = PACKAGE.joinpath(*parts)
    return path.is_dir() or path.with_suffix(".py").is_file() or (len(parts) == 1 and parts[0] in ROOMS)


@cache
def own_imports(path: Path) -> tuple[Import, ...]:
    """Every import of a module of ours, wherever it stands: in functions and for the type checker, too."""
    return tuple(find_own_imports(path))


def find_own_imports(path: Path) -> Iterator[Import]:
    importer = module_of(path)
    for node in nodes_of(path):
        if isinstance(node, ast.ImportFrom):
            parts = tuple(node.module.split(".")) if node.module else ()
            if node.level:
                base = importer[: len(importer) - node.level]
                parts = (*base, *parts)
            elif parts[:1] == ("model_inbox",):
                parts = parts[1:]
            else:
                continue
            # `from . import submit` is of a module, `from . import __version__` of the package.
            names_of: dict[Module, set[str]] = {}
            for alias in node.names:
                module = (*parts, alias.name)
                names_of.setdefault(module_named(module if is_module(module) else parts), set()).add(alias.name)
            for module, names in names_of.items():
                yield Import(importer, module, frozenset(names), node.lineno)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                first, *rest = alias.name.split(".")
                if first == "model_inbox":
                    yield Import(importer, module_named(tuple(rest)), frozenset(), node.lineno)


def imports_that_count() -> Iterator[tuple[Path, Import]]:
    """Every import between modules of ours but that of the version, which the package knows before anything else."""
    for path in sources():
        for found in own_imports(path):
            if found.names != {"__version__"}:
                yield path, found


def outside_imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """The first part of every absolute import, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.split(".")[0], node.lineno
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module.split(".")[0], node.lineno


@pytest.fixture(scope="module", autouse=True)
def _trees_are_let_go() -> Iterator[None]:
    yield
    read_again()


def read_again() -> None:
    """Let go of what was read of the sources."""
    own_imports.cache_clear()
    forget()


def test_every_room_has_its_place() -> None:
    """ROOMS names every room once, and each row only rooms above it."""
    assert set(ROOMS) == {module_of(path)[0] for path in sources()}
    order = list(ROOMS)
    for room, below in ROOMS.items():
        assert all(order.index(other.partition("/")[0]) < order.index(room) for other in below), room


def test_rooms_are_imported_one_way() -> None:
    """A room imports only from those in its row, also inside functions and for the type checker alone."""
    found, doors = [], set()
    for path, use in imports_that_count():
        room, target = use.importer[0], use.imported[0]
        if target == room:
            continue
        if (use.unit, use.target) in DOORS:
            doors.add((use.unit, use.target))
        elif not {target, use.target} & ROOMS[room]:
            found.append(f"{where(path, use.line)}: {use.unit} imports {use.target}")
    assert found == []
    assert DOORS.keys() - doors == set(), "no longer needed"


def test_few_modules_know_another_room() -> None:
    """A room imports from four others on average, at most: rooms, and files outside of the rooms.

    Problems and errors are open to every room, and do not count.
    """
    pairs = {(use.importer[0], use.imported[0]) for _, use in imports_that_count()}
    known = {(one, other) for one, other in pairs if one != other and other not in ("problems", "errors")}
    assert len(known) <= 4 * len(ROOMS)


def test_every_package_has_an_order() -> None:
    """INSIDE has every package of the package, and in it every module and package once, and nothing else."""
    found: dict[str, set[str]] = {}
    for path in sources():
        package, name = path.parent, path.stem
        while package != PACKAGE:
            found.setdefault(package.relative_to(PACKAGE).as_posix(), set()).add(name)
            package, name = package.parent, package.name
    named = {package: " ".join(rows).split() for package, rows in INSIDE.items()}
    assert {package: sorted(names) for package, names in named.items()} == {
        package: sorted(names) for package, names in found.items()
    }


def upward_imports(package: str) -> list[str]:
    """Return the imports between modules in a package that INSIDE does not allow."""
    rank = {name: number for number, row in enumerate(INSIDE[package]) for name in row.split()}
    prefix = tuple(package.split("/"))
    depth = len(prefix)
    upward = []
    for path, found in imports_that_count():
        if found.importer[:depth] != prefix or found.imported[:depth] != prefix:
            continue
        importer, imported = found.importer[depth], found.imported[depth]
        if importer != imported and rank[imported] >= rank[importer]:
            upward.append(f"{where(path, found.line)}: {importer} imports {imported}")
    return upward


@pytest.mark.parametrize("package", INSIDE)
def test_imports_in_a_package_go_one_way(package: str) -> None:
    """In a package, too, what lies in it imports only from rows below its own, also inside functions."""
    assert upward_imports(package) == []


def imports_past_a_face() -> list[str]:
    """Return the imports of what lies in a package of FACES, by modules outside of it, that do not go by its face."""
    return [
        f"{where(path, found.line)}: {found.unit} imports {found.target}"
        for path, found in imports_that_count()
        for face in (tuple(name.split("/")) for name in FACES)
        if found.imported[: len(face)] == face
        and found.importer[: len(face)] != face
        and found.imported != (*face, "__init__")
    ]


def test_what_lies_behind_a_face_is_imported_by_it() -> None:
    """Of a package with a face, modules outside of it import `__init__` and nothing that lies deeper."""
    assert {*INSIDE} >= FACES
    assert imports_past_a_face() == []


def packages_run(importer: Module, imported: Module) -> Iterator[Module]:
    """The `__init__` of each package that an import runs on its way to a module, as the importer is not in it."""
    for length in range(1, len(imported)):
        if importer[:length] != imported[:length]:
            yield (*imported[:length], "__init__")


def circle_of_imports() -> list[str]:
    """Return modules that each import the next, the first of them again at the end; nothing where there are none."""
    graph: dict[str, set[str]] = {}
    for _, found in imports_that_count():
        if (found.unit, found.target) in DOORS:
            continue
        wanted = {found.imported, *packages_run(found.importer, found.imported)}
        graph.setdefault("/".join(found.importer), set()).update("/".join(module) for module in wanted)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        return circle[::-1]
    return []


def test_no_module_imports_itself_by_way_of_others() -> None:
    """There is no circle of imports, in one package or across several, also inside functions, but for DOORS."""
    assert circle_of_imports() == []


def is_pure(unit: str) -> bool:
    return unit in PURE or unit.partition("/")[0] in PURE


def test_what_is_called_pure_is_there() -> None:
    """PURE names modules and rooms that exist."""
    assert PURE - {unit_of(path) for path in sources()} - ROOMS.keys() == set()


def test_pure_modules_touch_nothing() -> None:
    """A pure module imports no clock, disk, process or log, and of ours only pure modules and values."""
    found = []
    for path in sources():
        if not is_pure(unit_of(path)):
            continue
        tree = tree_of(path)
        for node in tree.body:
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = {alias.name for alias in node.names}
                if names <= VALUES_FROM.get((unit_of(path), node.module or ""), set()):
                    continue
            for name, line in outside_imports(node):
                if name in CLOCKS_AND_DISKS:
                    found.append(f"{where(path, line)}: import {name}")
        for use in own_imports(path):
            values = VALUES_FROM.get((use.unit, use.target), set())
            if not is_pure(use.target) and not (use.names and use.names <= values):
                found.append(f"{where(path, use.line)}: {sorted(use.names)} of {use.target}, which is not pure")
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                dotted = f"{node.value.id}.{node.attr}"
                if node.attr in {"now", "today", "utcnow"} and node.value.id in {"datetime", "date"}:
                    found.append(f"{where(path, node.lineno)}: {dotted}; `now` is passed in")
                if node.value.id == "os" and node.attr not in {"path", "fspath", "PathLike"}:
                    found.append(f"{where(path, node.lineno)}: {dotted}")
            if isinstance(node, ast.Name) and node.id in {"open", "print", "input"}:
                found.append(f"{where(path, node.lineno)}: {node.id}")
    assert found == []


def disk_steps(path: Path) -> Iterator[tuple[str, int]]:
    """The steps in a source that change names or make bytes durable, and are not asked of a Disk."""
    for node in nodes_of(path):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id == "os" and node.attr in OS_STEPS:
                yield node.attr, node.lineno
            if node.value.id == "shutil" and node.attr not in {"get_terminal_size", "disk_usage", "which"}:
                yield f"shutil.{node.attr}", node.lineno
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if ast.unparse(node.func.value) in ("disk", "self.disk", "self._disk", "os"):
                continue
            # `replace` of a path takes one argument; that of text takes two, that of a date names its own.
            is_replace = node.func.attr == "replace" and len(node.args) == 1 and not node.keywords
            if node.func.attr in PATH_STEPS or is_replace:
                yield node.func.attr, node.lineno
        if isinstance(node, ast.ImportFrom) and node.module in ("os", "shutil"):
            for alias in node.names:
                if node.module == "shutil" or alias.name in OS_STEPS:
                    yield f"from {node.module} import {alias.name}", node.lineno


def test_only_base_disk_changes_the_disk() -> None:
    """Names change and bytes are made durable in `base/disk` alone; each exception is listed, and needed."""
    unlisted, used = [], set()
    for path in sources():
        if unit_of(path) == "base/disk":
            continue
        for step, line in disk_steps(path):
            if (unit_of(path), step) in STEPS_OUTSIDE_DISK:
                used.add((unit_of(path), step))
            else:
                unlisted.append(f"{where(path, line)}: {step}")
    assert unlisted == []
    assert STEPS_OUTSIDE_DISK.keys() - used == set(), "no longer needed"


def top_level_imports(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """The imports that run when the module is imported: not those in functions, nor those for the type checker."""
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            waiting += node.orelse
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from outside_imports(node)
        waiting += ast.iter_child_nodes(node)


def test_no_training_framework_is_needed() -> None:
    """No module imports a training framework when it is imported: the daemon runs without any."""
    found = [
        f"{where(path, line)}: import {name}"
        for path in sources()
        for name, line in top_level_imports(tree_of(path))
        if name in FRAMEWORKS
    ]
    assert found == []


def test_watchdog_stays_in_watch() -> None:
    """Only `inbox/watch` knows the library that tells of changes; to all others they are hints."""
    users = {unit_of(path) for path in sources() for name, _ in outside_imports(tree_of(path)) if name == "watchdog"}
    assert users == {"inbox/watch"}


def test_the_library_never_configures_logging() -> None:
    """Only `telemetry/logging` configures structlog, and only the daemon and its commands ask it to."""
    configuring = {
        unit_of(path)
        for path in sources()
        for node in nodes_of(path)
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("structlog.configure", "structlog.configure_once")
    }
    asking = {use.importer[0] for _, use in imports_that_count() if use.target == "telemetry/logging"}
    assert configuring == {"telemetry/logging"}
    assert asking <= {"service", "cli"}


def test_the_source_root_is_no_package() -> None:
    """daemon/ has no __init__.py: in a checkout it would hide python-daemon, whose package has that name."""
    assert not (PACKAGE.parent / "__init__.py").exists()
    assert (PACKAGE / "py.typed").is_file()


def all_of(tree: ast.Module) -> set[str]:
    """The names in a module's `__all__`."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    return set()


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_docstrings(path: Path) -> None:
    """A module says what it owns, and every function and class in its `__all__` what it means.

    Of what `import model_inbox` gives to users, every method does, too.
    """
    tree = tree_of(path)
    assert (ast.get_docstring(tree) or "").strip(), f"{path.name} has no docstring"
    for_users = all_of(tree_of(PACKAGE / "__init__.py"))
    silent = []
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name not in all_of(tree):
            continue
        if not ast.get_docstring(node):
            silent.append(node.name)
        for method in node.body if isinstance(node, ast.ClassDef) and node.name in for_users else []:
            if not isinstance(method, ast.FunctionDef) or method.name.startswith("_") or ast.get_docstring(method):
                continue
            if not any(ast.unparse(decorator).endswith(".setter") for decorator in method.decorator_list):
                silent.append(f"{node.name}.{method.name}")
    assert silent == []


def test_every_ignored_type_error_has_its_reason() -> None:
    """`# type: ignore` names the error that it hides and says why, on its line."""
    bare = []
    for path in [*sources(), ROOT / "tests" / "typing" / "api.py"]:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if re.search(r"#\s*type:\s*ignore", line) and not re.search(
                r"# type: ignore\[[a-z, -]+\]  # (?!noqa)\S.*", line
            ):
                bare.append(where(path, number))
    assert bare == [], "write `# type: ignore[code]  # why`"


def test_nothing_is_left_out_of_the_measure() -> None:
    """No line is kept from coverage or skipped by a comment."""
    mark = "pragma: no " + "cover"
    assert [str(path) for path in sources() if mark in path.read_text(encoding="utf-8")] == []


BAD = '''
import os
import time
from datetime import datetime

import torch
from watchdog.observers import Observer

from ..registry import ModelRegistry
from .. import service


def now(path, disk):
    """Break each rule once."""
    os.replace(path, path)
    path.unlink()
    path.replace(path)
    disk.unlink(path)  # allowed
    "text".replace("a", "b")  # allowed
    return datetime.now()  # type: ignore
'''


def test_the_checks_see_what_they_are_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that breaks the rules is found by each check here; what is allowed in it is not."""
    path = tmp_path / "base" / "units.py"
    path.parent.mkdir()
    path.write_text(BAD)
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    assert [(found.unit, found.target) for found in own_imports(path)] == [
        ("base/units", "registry"),
        ("base/units", "service"),
    ]
    assert sorted(step for step, _ in disk_steps(path)) == ["replace", "replace", "unlink"]
    assert {name for name, _ in top_level_imports(tree_of(path))} == {"os", "time", "datetime", "torch", "watchdog"}
    for check in (
        test_rooms_are_imported_one_way,
        test_pure_modules_touch_nothing,
        test_only_base_disk_changes_the_disk,
        test_no_training_framework_is_needed,
        test_watchdog_stays_in_watch,
    ):
        with pytest.raises(AssertionError, match=r"units"):
            check()


@pytest.mark.parametrize(
    ("files", "circle"),
    [
        (
            {"pack/one.py": "def one():\n    from .two import two\n", "pack/two.py": "from . import one\n"},
            {"pack/one", "pack/two"},
        ),
        (
            {
                "pack/one.py": "if TYPE_CHECKING:\n    import model_inbox.pack.inner.two\n",
                "pack/inner/two.py": "from ...units import three\n",
                "units.py": "from model_inbox.pack import one\n",
            },
            {"pack/one", "pack/inner/two", "units"},
        ),
        (
            {"pack/one.py": "from ..other.two import two\n", "other/__init__.py": "from ..pack.one import one\n"},
            {"pack/one", "other/__init__"},
        ),
    ],
    ids=["in-a-function", "for-the-type-checker-across-packages", "by-way-of-what-a-package-shows"],
)
def test_circles_are_seen(
    files: dict[str, str], circle: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A circle is found wherever the imports that close it stand; without its last import there is none."""
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert set(circle_of_imports()) == circle
    path.write_text("")
    read_again()
    assert circle_of_imports() == []


def test_an_import_against_the_order_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a package, an import from a row above, or from the same row, is found; one from below is allowed."""
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    monkeypatch.setitem(globals(), "INSIDE", {"pack": ("low", "one two", "high")})
    texts = {
        "low": "def low():\n    from .high import high\n",
        "one": "from . import low, two\n",
        "two": "",
        "high": "",
    }
    (tmp_path / "pack").mkdir()
    for name, text in texts.items():
        (tmp_path / "pack" / f"{name}.py").write_text(text)
    test_every_package_has_an_order()
    assert upward_imports("pack") == [
        "pack/low.py:2: low imports high",
        "pack/one.py:1: one imports two",
    ]
    (tmp_path / "pack" / "new.py").write_text("")
    with pytest.raises(AssertionError, match="new"):
        test_every_package_has_an_order()


def test_an_import_past_a_face_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From outside, an import of a module behind a face is found; one of the face is allowed, and one from within."""
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    monkeypatch.setitem(globals(), "FACES", {"pack"})
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text("from .one import one\n")
    (tmp_path / "pack" / "one.py").write_text("from .two import two\n")
    (tmp_path / "pack" / "two.py").write_text("")
    (tmp_path / "units.py").write_text(
        "from .pack import one\nfrom .pack.two import two\nfrom .pack import shown\nimport model_inbox.pack\n"
    )
    assert imports_past_a_face() == [
        "units.py:1: units imports pack/one",
        "units.py:2: units imports pack/two",
    ]
