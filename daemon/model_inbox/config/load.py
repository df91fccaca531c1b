"""config.yaml -> `Config`: every setting with its meaning, its default and its limits, all problems at once.

Owns the settings (but for `retention:`, whose models are policy.py's), where the file is looked for, and
what can change while the daemon runs. The one thing it reads is that file. Never writes, and never looks
whether the folders named in it exist.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from difflib import get_close_matches
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from ..base.strict_yaml import Node, Pairs, Scalar, locate, plain_value, read_yaml
from ..base.units import parse_duration, parse_size
from ..errors import ConfigError
from ..model.metadata import dotted
from ..problems import Problem, quoted
from ..problems.config import (
    config_invalid_value,
    config_missing_key,
    config_not_a_mapping,
    config_not_found,
    config_not_readable,
    config_unknown_key,
)
from .retention import RetentionSection

__all__ = [
    "ENVIRONMENT_VARIABLE",
    "RESTART_KEYS",
    "SYSTEM_CONFIG",
    "ChecksSection",
    "Config",
    "InboxSection",
    "LoggingSection",
    "MetricsSection",
    "PickleSection",
    "RegistrySection",
    "config_schema",
    "describe_changes",
    "load_config",
    "load_places",
    "parse_config",
    "parse_retention",
]

ENVIRONMENT_VARIABLE = "MODEL_INBOX_CONFIG"
LOCAL_NAME = "config.yaml"
SYSTEM_CONFIG = Path("/etc/model-inbox/config.yaml")

CONFIG_BYTES_MAX = 1024 * 1024
CONFIG_NODES_MAX = 100_000
CONFIG_DEPTH_MAX = 16

RESTART_KEYS = frozenset({"inbox.path", "inbox.watcher", "registry.path", "registry.storage_dir"})
"""The settings that a running daemon cannot change: they say what it holds locked and watches."""


# --- kinds of values ---------------------------------------------------------------------------------------


def _duration(value: object) -> float:
    seconds = parse_duration(value)  # type: ignore[arg-type]  # it refuses what is not text or a number
    if seconds <= 0:
        raise ValueError("it must be longer than nothing")
    return seconds


def _size(value: object) -> int:
    size = parse_size(value)  # type: ignore[arg-type]  # it refuses what is not text or a number
    if size <= 0:
        raise ValueError("it must be more than nothing")
    return size


def _path(value: object, info: ValidationInfo) -> Path:
    """Return an absolute path, counted from the folder in the validation's context if there is one."""
    if not isinstance(value, str | Path) or not str(value):
        raise ValueError("not a path; write it as text")
    text = str(value)
    if not text.isprintable():
        raise ValueError("a path must not contain characters that cannot be shown")
    if text.startswith("~"):
        raise ValueError("'~' has no meaning here; write the whole path")
    folder = (info.context or {}).get("folder")
    return Path(folder, text) if folder is not None else Path(text)


def _word(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _pattern(value: str) -> str:
    if not value or not value.isprintable():
        raise ValueError("not a pattern; write text like 'lightgbm' or 'USD/*'")
    return value


def _patterns(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value:
        raise ValueError("an empty list would accept nothing; write null to accept anything")
    return value


def _textfile(value: Path) -> Path:
    if value.suffix != ".prom":
        raise ValueError("its name must end in .prom; node_exporter reads no other files")
    return value


def _listen(value: object) -> str:
    """Return `address:port` in its plain form. Raises ValueError for anything but a loopback address and a port."""
    host, colon, port = value.strip().rpartition(":") if isinstance(value, str) else ("", "", "")
    if not colon or not port.isdecimal() or not port.isascii() or not 1 <= int(port) <= 65535:
        raise ValueError("not an address with a port; write it like '127.0.0.1:9477' or '[::1]:9477'")
    try:
        address = ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        raise ValueError("the address must be a number; write it like '127.0.0.1:9477' or '[::1]:9477'") from None
    if not address.is_loopback:
        raise ValueError(
            "only a loopback address is served; let a reverse proxy with authentication, or node_exporter with "
            "metrics.textfile, carry the numbers to other machines"
        )
    return f"[{address}]:{int(port)}" if address.version == 6 else f"{address}:{int(port)}"


Duration = Annotated[
    float,
    BeforeValidator(_duration),
    WithJsonSchema({"type": ["string", "number"], "examples": ["90s", "15m", "1h", "7d"]}),
]
Size = Annotated[
    int,
    BeforeValidator(_size),
    WithJsonSchema({"type": ["string", "integer"], "examples": ["20GiB", "500MB"]}),
]
AbsolutePath = Annotated[Path, BeforeValidator(_path), WithJsonSchema({"type": "string"})]
Patterns = Annotated[
    tuple[Annotated[str, AfterValidator(_pattern)], ...],
    AfterValidator(_patterns),
    Field(json_schema_extra={"minItems": 1}),
]


def _setting(default: object, description: str) -> Any:
    """Return a field whose default is written as in config.yaml, and read the same way."""
    return Field(default=default, description=description)


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True)


# --- the sections ------------------------------------------------------------------------------------------


class InboxSection(_Section):
    """Where drops arrive, and how long which of them are waited for."""

    path: AbsolutePath = _setting("inbox", "The folder that producers write into.")
    watcher: Annotated[Literal["auto", "inotify", "polling"], BeforeValidator(_word)] = _setting(
        "auto", "How changes are noticed; auto polls network file systems and uses inotify elsewhere."
    )
    settle_seconds: Duration | None = _setting(
        None,
        "How long an unsealed drop must stay unchanged; null is 2 seconds, or 10 where the folder is polled.",
    )
    rescan_seconds: Duration = _setting(30, "How often the folder is read whatever was noticed.")
    incomplete_timeout: Duration = _setting(
        "15m", "When a drop that stays incomplete is rejected, counted from its last change."
    )
    orphan_timeout: Duration = _setting(
        "24h", "When a file that belongs to no drop is rejected, counted from its last change."
    )
    max_artifact_size: Size = _setting("20GiB", "The largest model or scaler that is taken.")
    rejected_keep: Duration = _setting("30d", "How long rejected drops are kept.")
    receipts_keep: Duration = _setting("30d", "How long receipts are kept.")

    def settle_for(self, *, polling: bool) -> float:
        """Return the seconds of quiet that an unsealed drop needs, where the folder is polled or is not."""
        if self.settle_seconds is not None:
            return self.settle_seconds
        return 10.0 if polling else 2.0

    @property
    def effective_settle_seconds(self) -> float:
        """The seconds of quiet as far as the file tells: `auto` counts as not polling."""
        return self.settle_for(polling=self.watcher == "polling")


class RegistrySection(_Section):
    """Where models are kept and registered."""

    path: AbsolutePath = _setting("models/prediction_registry.json", "The registry's file; its journal is beside it.")
    storage_dir: AbsolutePath = _setting("models/prediction", "The folder of the stored models.")
    lock_timeout: Duration = _setting("10s", "How long a writer waits for another one.")
    checkpoint_seconds: Duration = _setting(5, "How often the registry's file is written at most while models arrive.")
    history_keep: Duration = _setting("730d", "How long the history of the registry is kept.")


class PickleSection(_Section):
    """What a dropped pickle may hold, and what judging it may cost."""

    frameworks: tuple[str, ...] | None = _setting(
        None,
        "The frameworks whose classes are allowed, like [lightgbm, scikit-learn]; null is all that we know.",
    )
    allow: dict[str, str] = _setting(
        {}, "Your own classes, by their full name, with what may be done: 'fxmodels.lstm.FxLSTM: bnr'."
    )
    memory_limit: Size = _setting("2GiB", "The memory that judging one drop may take.")
    time_limit: Duration = _setting("120s", "The time that judging one drop may take.")

    @field_validator("frameworks")
    @classmethod
    def _frameworks_are_known(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value is None:
            return None
        from ..pickles import check_frameworks

        if problems := check_frameworks(value):
            raise _several(problems)
        return value

    @field_validator("allow")
    @classmethod
    def _names_may_be_allowed(cls, value: dict[str, str]) -> dict[str, str]:
        if value:
            from ..pickles import check_extra

            if problems := check_extra(value):
                raise _several(problems)
        return value


class ChecksSection(_Section):
    """What else a model must be like to be accepted."""

    model_types: Patterns | None = _setting(
        None, "The types of model that are accepted, as patterns like 'lightgbm*'; null is any."
    )
    currency_pairs: Patterns | None = _setting(
        None, "The currency pairs that are accepted, as patterns like 'USD/*'; null is any."
    )


class LoggingSection(_Section):
    """What is logged, how and where to."""

    level: Annotated[Literal["debug", "info", "warning", "error", "critical"], BeforeValidator(_word)] = _setting(
        "info", "The least level that is logged."
    )
    format: Annotated[Literal["auto", "console", "json", "journal"], BeforeValidator(_word)] = _setting(
        "auto", "auto is console on a terminal, journal under systemd, json elsewhere."
    )
    file: AbsolutePath | None = _setting(None, "A file that gets the log as JSON lines, too; null is none.")


class MetricsSection(_Section):
    """Where the numbers for Prometheus go."""

    textfile: Annotated[AbsolutePath, AfterValidator(_textfile)] | None = _setting(
        None, "A .prom file for the textfile collector of node_exporter; null is none."
    )
    listen: Annotated[str, BeforeValidator(_listen), WithJsonSchema({"type": "string"})] | None = _setting(
        None, "A loopback address with a port that serves /metrics, like 127.0.0.1:9477; null is none."
    )


class Config(_Section):
    """All settings. Times are in seconds, sizes in bytes, paths absolute when read by `load_config`."""

    inbox: InboxSection = Field(default_factory=InboxSection)
    registry: RegistrySection = Field(default_factory=RegistrySection)
    pickle: PickleSection = Field(default_factory=PickleSection)
    checks: ChecksSection = Field(default_factory=ChecksSection)
    retention: RetentionSection = Field(default_factory=RetentionSection)
    logging: LoggingSection = Field(default_factory=LoggingSection)
    metrics: MetricsSection = Field(default_factory=MetricsSection)

    _file: Path | None = PrivateAttr(default=None)

    @property
    def path(self) -> Path | None:
        """The file that was read; None when there was none and the defaults hold."""
        return self._file

    @model_validator(mode="after")
    def _folders_are_apart(self) -> Self:
        inbox, models, registry = self.inbox.path, self.registry.storage_dir, self.registry.path
        for name, path in (("registry.storage_dir", models), ("registry.path", registry)):
            if path.is_relative_to(inbox):
                raise ValueError(f"{name} must not be in inbox.path: what is stored would be taken for drops")
        if inbox.is_relative_to(models) or inbox.is_relative_to(registry):
            raise ValueError("inbox.path must not be in registry.storage_dir: drops would lie among the models")
        return self


# --- reading -----------------------------------------------------------------------------------------------


def load_config(path: Path | None, *, env: Mapping[str, str], cwd: Path, system_config: Path = SYSTEM_CONFIG) -> Config:
    """Find the configuration, read it, and return its settings.

    Looks at `path` (what --config names), else $MODEL_INBOX_CONFIG, else `config.yaml` in `cwd`, which is
    absolute, else `system_config`. A file that is named must exist; without any file the defaults hold,
    relative to `cwd`. Relative paths in a file count from its folder. Raises ConfigError with everything that
    is wrong.
    """
    found = _found(path, env=env, cwd=cwd, system_config=system_config)
    return _parsed(Config, b"", cwd / LOCAL_NAME) if found is None else parse_config(found[1], file=found[0])


def load_places(
    path: Path | None, *, env: Mapping[str, str], cwd: Path, system_config: Path = SYSTEM_CONFIG
) -> tuple[Path, Path]:
    """Return `registry.path` and `inbox.path` alone, also of a configuration that has problems elsewhere.

    For whoever looks for the daemon that is to be told of them. Raises ConfigError, with all problems, when these
    two cannot be made out.
    """
    try:
        config = load_config(path, env=env, cwd=cwd, system_config=system_config)
    except ConfigError:
        found = _found(path, env=env, cwd=cwd, system_config=system_config)
        root = (
            None
            if found is None
            else read_yaml(
                found[1],
                noun="config",
                bytes_max=CONFIG_BYTES_MAX,
                depth_max=CONFIG_DEPTH_MAX,
                nodes_max=CONFIG_NODES_MAX,
            ).root
        )
        values = plain_value(root) if isinstance(root, Pairs) else None
        if found is None or not isinstance(values, dict):
            raise
        given = {}
        for name in ("registry", "inbox"):
            section = values.get(name)
            given[name] = {"path": section["path"]} if isinstance(section, dict) and "path" in section else {}
        right = None
        with suppress(ValidationError):
            right = Config.model_validate(given, context={"folder": found[0].parent})
        if right is None:
            raise
        config = right
    return config.registry.path, config.inbox.path


def _found(path: Path | None, *, env: Mapping[str, str], cwd: Path, system_config: Path) -> tuple[Path, bytes] | None:
    """Return the configuration file and its bytes, or None when there is none. Raises ConfigError."""
    source, named = "--config", path
    if named is None and env.get(ENVIRONMENT_VARIABLE):
        source, named = f"${ENVIRONMENT_VARIABLE}", Path(env[ENVIRONMENT_VARIABLE])
    for candidate in (cwd / LOCAL_NAME, system_config) if named is None else (cwd / named,):
        try:
            with candidate.open("rb") as file:
                data = file.read(CONFIG_BYTES_MAX + 1)
        except FileNotFoundError as error:
            if named is None:
                continue
            raise _refusal(candidate, [config_not_found(error.strerror, source)]) from None
        except OSError as error:
            raise _refusal(candidate, [config_not_readable(error.strerror)]) from None
        return candidate, data
    return None


def parse_config(data: bytes, *, file: Path) -> Config:
    """Return the settings that `data`, the bytes of the configuration file `file`, holds.

    Relative paths count from the folder of `file`. Raises ConfigError with everything that is wrong, each
    with line and column.
    """
    config = _parsed(Config, data, file)
    config._file = file
    return config


def parse_retention(data: bytes, *, file: Path) -> RetentionSection:
    """Return the rules of a file that holds what stands under `retention:`. Raises ConfigError."""
    return _parsed(RetentionSection, data, file)


_Model = TypeVar("_Model", bound=BaseModel)


def _parsed(model: type[_Model], data: bytes, file: Path) -> _Model:
    document = read_yaml(
        data,
        noun="config",
        bytes_max=CONFIG_BYTES_MAX,
        depth_max=CONFIG_DEPTH_MAX,
        nodes_max=CONFIG_NODES_MAX,
    )
    problems = list(document.problems)
    root = document.root
    values: object = {}
    if root is not None and not (isinstance(root, Scalar) and root.is_null):
        values = plain_value(root)
        if not isinstance(root, Pairs):
            problems.append(_placed(config_not_a_mapping(), root, ()))
    if model is Config and isinstance(values, dict):
        # A section whose settings are all commented out is empty, and an empty one has its defaults.
        # One that is not there is given, too, so that its paths are made absolute.
        given = {name: {} if value is None else value for name, value in values.items()}
        values = {name: {} for name in Config.model_fields} | given
    if isinstance(values, dict):
        try:
            settings = model.model_validate(values, context={"folder": file.parent})
        except ValidationError as error:
            problems += [problem for details in error.errors() for problem in _problems(model, details, root)]
        else:
            if not problems:
                return settings
    problems.sort(key=lambda p: (p.line is None, p.line or 0, p.column or 0))
    raise _refusal(file, problems)


def _refusal(file: Path, problems: Sequence[Problem]) -> ConfigError:
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    located = [replace(problem, file=file.name) for problem in problems]
    return ConfigError(f"cannot use the configuration {quoted(file, 400)}: {count}", located)


# --- problems of a schema ----------------------------------------------------------------------------------


Steps = tuple[str | int, ...]


def _several(problems: Sequence[Problem]) -> PydanticCustomError:
    """Return one error for pydantic that carries problems of our own; each `field` is a name within."""
    return PydanticCustomError("problems", "there are problems", {"problems": tuple(problems)})


def _problems(model: type[BaseModel], details: ErrorDetails, root: Node | None) -> Iterator[Problem]:
    """Yield what one error of pydantic says, in our words and with its place in the text."""
    path = tuple(step for step in details["loc"] if step != "[key]")
    context: Mapping[str, Any] = details.get("ctx") or {}
    if details["type"] == "problems":
        for problem in context["problems"]:
            name = (problem.field or "").removeprefix(f"{dotted(path)}.")
            inner = (name,) if name else ()
            yield _placed(replace(problem, field=dotted((*path, *inner))), root, (*path, *inner))
    elif details["type"] == "extra_forbidden":
        known = _known_names(model, path[:-1])
        key, _ = locate(root, path)
        hint = _did_you_mean(str(path[-1]), known, "The settings are")
        problem = config_unknown_key(dotted(path), path[-1], dotted(path[:-1]), hint)
        yield problem if key is None else problem.at(key.line, key.column)
    elif details["type"] == "missing":
        yield _placed(config_missing_key(dotted(path), dotted(path[-1:])), root, path)
    else:
        yield _placed(_invalid_value(path, details, context), root, path)


def _placed(problem: Problem, root: Node | None, path: Steps) -> Problem:
    _, node = locate(root, path)
    return problem if node is None else problem.at(node.line, node.column)


def _invalid_value(path: Steps, details: ErrorDetails, context: Mapping[str, Any]) -> Problem:
    name, value, hint = dotted(path), details["input"], ""
    if details["type"] == "value_error":
        reason, _, hint = str(context.get("error", "")).partition("; ")
    elif details["type"] == "literal_error":
        words = re.findall(r"'([^']*)'", str(context["expected"]))
        reason, hint = (
            "it is none of the words that may stand here",
            _did_you_mean(str(value), words, "Write one of"),
        )
    elif details["type"] in ("model_type", "dict_type"):
        reason, hint = "it must be a mapping", "Write it as 'name: value', indented, one a line"
    elif details["type"] in ("tuple_type", "list_type"):
        reason, hint = "it must be a list", "Write it like [a, b]"
    elif details["type"] == "string_type":
        reason, hint = "it must be text", "Put it in quotes"
    else:
        reason = details["msg"].replace("Input should be", "it must be")
    # A reason that shows the value itself, or that is about several settings, is told as it stands.
    if not name:
        message = reason
    elif isinstance(value, dict | list | tuple | BaseModel) or reason.startswith("'"):
        message = f"{name}: {reason}"
    else:
        message = f"{name} is {'nothing (null)' if value is None else quoted(value)}: {reason}"
    return config_invalid_value(name or None, message, hint[:1].upper() + hint[1:])


def _did_you_mean(name: str, known: Sequence[str], otherwise: str) -> str:
    near = get_close_matches(name[:64], known, 1, 0.6)
    return f"Did you mean {near[0]}?" if near else f"{otherwise} {', '.join(known)}"


def _known_names(model: type[BaseModel], path: Steps) -> list[str]:
    """Return the settings that may stand at `path`, where a mapping of settings stands, by the schema."""
    schema = model.model_json_schema()
    node: dict[str, Any] = schema
    for step in path:
        node = node["items"] if isinstance(step, int) else node["properties"][step]
        while "$ref" in node or "anyOf" in node:
            node = schema["$defs"][node["$ref"].rsplit("/", 1)[1]] if "$ref" in node else _mapping(node)
    return list(node["properties"])


def _mapping(node: dict[str, Any]) -> dict[str, Any]:
    """Return the alternative that is a mapping."""
    return next(one for one in node["anyOf"] if "$ref" in one or "properties" in one or "items" in one)


# --- for commands and the service --------------------------------------------------------------------------


def config_schema() -> dict[str, Any]:
    """Return the JSON schema of config.yaml, with a description of every setting, for editors and people."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Config.model_json_schema(),
        "title": "config.yaml of model-inbox",
    }


def describe_changes(old: Config, new: Config) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the settings that differ: those that apply at once, and those that need a restart, dotted."""
    before, after = dict(_flat(old.model_dump())), dict(_flat(new.model_dump()))
    changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return (
        tuple(name for name in changed if name not in RESTART_KEYS),
        tuple(name for name in changed if name in RESTART_KEYS),
    )


def settings_of(config: Config) -> dict[str, Any]:
    """Return the settings that are not the defaults, dotted, in seconds and bytes: what tells two of them apart."""
    folder = config.path.parent if config.path is not None else Path.cwd()
    defaults = Config.model_validate({name: {} for name in Config.model_fields}, context={"folder": folder})
    usual = dict(_flat(defaults.model_dump(mode="json")))
    return {name: value for name, value in _flat(config.model_dump(mode="json")) if usual.get(name) != value}


_WHOLE = frozenset({"pickle.allow"})  # its keys are the user's, and are no settings


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and name not in _WHOLE:
            yield from _flat(value, f"{name}.")
        else:
            yield name, value
