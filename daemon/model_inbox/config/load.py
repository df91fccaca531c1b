"""Finds config.yaml and parses it to a `Config`; reports all problems at once.

Owns where the file is looked for. Reads no other file, never writes, and never checks whether a folder named in the
file exists.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ..base.shapes import document
from ..base.strict_yaml import Pairs, Scalar, plain_value, read_yaml
from ..errors import ConfigError, StorageError, is_transient
from ..problems import Problem, quoted
from ..problems.config import config_not_a_mapping, config_not_found, config_not_readable
from .problems import placed, problems_of
from .retention import RetentionSection
from .settings import Config

__all__ = [
    "ENVIRONMENT_VARIABLE",
    "SYSTEM_CONFIG",
    "config_schema",
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


def load_config(path: Path | None, *, env: Mapping[str, str], cwd: Path, system_config: Path = SYSTEM_CONFIG) -> Config:
    """Find the configuration file, parse it, and return its settings.

    The file is the first of: `path` (the argument of --config), $MODEL_INBOX_CONFIG, `config.yaml` in `cwd` (an
    absolute path), `system_config`. A file given by the first two must exist. Without any file all settings are the
    defaults, relative to `cwd`. Relative paths in a file count from the file's folder. Raises ConfigError with all
    problems.
    """
    found = _found(path, env=env, cwd=cwd, system_config=system_config)
    return _parsed(Config, b"", cwd / LOCAL_NAME) if found is None else parse_config(found[1], file=found[0])


def load_places(
    path: Path | None, *, env: Mapping[str, str], cwd: Path, system_config: Path = SYSTEM_CONFIG
) -> tuple[Path, Path]:
    """Return only `registry.path` and `inbox.path`, even if other settings have problems.

    `reload` finds the daemon by them. Raises ConfigError with all problems if these two are not usable.
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
    """Return the path of the configuration file and its bytes, or None if there is none.

    Raises ConfigError, or StorageError for an error that may pass.
    """
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
            if is_transient(error):
                raise StorageError("read the configuration", candidate, error) from error
            raise _refusal(candidate, [config_not_readable(error.strerror)]) from None
        return candidate, data
    return None


def parse_config(data: bytes, *, file: Path) -> Config:
    """Parse `data`, the bytes of the configuration file `file`.

    Relative paths count from the folder of `file`. Raises ConfigError with all problems, each with line and column.
    """
    config = _parsed(Config, data, file)
    config._file = file
    return config


def parse_retention(data: bytes, *, file: Path) -> RetentionSection:
    """Parse a file that has only the settings of `retention:`. Raises ConfigError with all problems."""
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
            problems.append(placed(config_not_a_mapping(), root, ()))
    if model is Config and isinstance(values, dict):
        # A section whose settings are all commented out is null; it has the defaults. Missing sections are added, so
        # that their default paths are made absolute.
        given = {name: {} if value is None else value for name, value in values.items()}
        values = {name: {} for name in Config.model_fields} | given
    if isinstance(values, dict):
        try:
            settings = model.model_validate(values, context={"folder": file.parent})
        except ValidationError as error:
            problems += [problem for details in error.errors() for problem in problems_of(model, details, root)]
        else:
            if not problems:
                return settings
    problems.sort(key=lambda p: (p.line is None, p.line or 0, p.column or 0))
    raise _refusal(file, problems)


def _refusal(file: Path, problems: Sequence[Problem]) -> ConfigError:
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    located = [replace(problem, file=file.name) for problem in problems]
    return ConfigError(f"cannot use the configuration {quoted(file, 400)}: {count}", located)


def config_schema() -> dict[str, Any]:
    """Return the JSON schema of config.yaml, with a description of every setting, for editors and people."""
    return document(
        "config",
        "config.yaml of model-inbox",
        "The settings of the daemon and of the commands.",
        Config.model_json_schema(),
    )
