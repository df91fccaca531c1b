"""Parses config.yaml to a `Config`; reports all problems at once.

`search` finds the file. Reads no other file, never writes, and never checks whether a folder named in the file exists.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ..base.shapes import document
from ..base.strict_yaml import Document, Pairs, Scalar, plain_value
from ..errors import ConfigError
from ..problems import Problem
from ..problems.config import config_not_a_mapping
from .places import Places, read_document
from .problems import placed, problems_of
from .retention import RetentionSection
from .search import LOCAL_NAME, SYSTEM_CONFIG, find_config, refusal
from .settings import LISTS, Config

__all__ = [
    "config_schema",
    "load_config",
    "parse_config",
    "parse_daemon_places",
    "parse_found",
    "parse_retention",
    "places_of",
]


def _ignore(_: Problem) -> None:
    """Nobody is to be told that a file was skipped."""


def load_config(
    path: Path | None,
    *,
    env: Mapping[str, str],
    cwd: Path,
    system_config: Path = SYSTEM_CONFIG,
    on_skipped: Callable[[Problem], None] = _ignore,
) -> Config:
    """Find the configuration file, parse it, and return its settings.

    The file is the first of: `path` (the argument of --config), $MODEL_INBOX_CONFIG, `config.yaml` in `cwd` (an
    absolute path), `system_config`. A file given by the first two must exist. The one in `cwd` counts only if nobody
    but this user and root can change it; otherwise `on_skipped` is called with the reason, and if there is no
    `system_config` either, ConfigError is raised. Without any file all settings are the defaults, relative to `cwd`.
    Relative paths in a file count from the file's folder. Raises ConfigError with all problems.
    """
    found = find_config(path, env=env, cwd=cwd, system_config=system_config, on_skipped=on_skipped)
    return parse_found(found, cwd)


def parse_found(found: tuple[Path, bytes] | None, cwd: Path) -> Config:
    """Return the settings of what `find_config` found. Raises ConfigError with all problems."""
    if found is None:
        return _parsed(Config, read_document(b""), cwd / LOCAL_NAME)
    return parse_config(found[1], file=found[0])


def places_of(config: Config) -> Places:
    """Return the places in a configuration."""
    registry = config.registry
    return Places(registry.path, registry.storage_dir, config.inbox.path, registry.lock_timeout, config.path)


def parse_daemon_places(found: tuple[Path, bytes] | None, cwd: Path) -> tuple[Path, Path]:
    """Return only `registry.path` and `inbox.path`, even if other settings have problems.

    `status` and `reload` find the daemon by them. Raises ConfigError with all problems if these two are not usable.
    """
    try:
        config = parse_found(found, cwd)
    except ConfigError:
        root = None if found is None else read_document(found[1]).root
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


def parse_config(data: bytes, *, file: Path) -> Config:
    """Parse `data`, the bytes of the configuration file `file`.

    Relative paths count from the folder of `file`. Raises ConfigError with all problems, each with line and column.
    """
    config = _parsed(Config, read_document(data), file)
    config._file = file
    return config


def parse_retention(data: bytes, *, file: Path) -> RetentionSection:
    """Parse a file that has the settings of `retention:`, or a whole config.yaml. Raises ConfigError with all problems.

    A file with the key `retention` is a whole one: the section has no such key.
    """
    document = read_document(data)
    if isinstance(document.root, Pairs) and document.root.get("retention") is not None:
        return parse_config(data, file=file).retention
    return _parsed(RetentionSection, document, file)


_Model = TypeVar("_Model", bound=BaseModel)


def _parsed(model: type[_Model], document: Document, file: Path) -> _Model:
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
        sections: dict[str, object] = {name: {} for name in Config.model_fields if name not in LISTS}
        given = {name: sections.get(name) if value is None else value for name, value in values.items()}
        values = sections | {name: value for name, value in given.items() if value is not None or name not in LISTS}
    if isinstance(values, dict):
        try:
            settings = model.model_validate(values, context={"folder": file.parent})
        except ValidationError as error:
            problems += [problem for details in error.errors() for problem in problems_of(model, details, root)]
        else:
            if not problems:
                return settings
    problems.sort(key=lambda p: (p.line is None, p.line or 0, p.column or 0))
    raise refusal(file, problems)


def config_schema() -> dict[str, Any]:
    """Return the JSON schema of config.yaml, with a description of every setting, for editors and people."""
    return document(
        "config",
        "config.yaml of model-inbox",
        "The settings of the daemon and of the commands.",
        Config.model_json_schema(),
    )
