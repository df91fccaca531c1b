"""`model-inbox config`: checks the configuration, and shows its schema and its settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from ..base.units import counted, format_duration, format_size, parse_duration, parse_size
from ..errors import ConfigError
from ..exit_codes import EXIT_CONFIG, EXIT_DONE
from .common import App, Command, Group, pass_app, report_error
from .output import print_json, print_lines, print_problems

__all__ = ["config"]


@click.group(cls=Group)
def config() -> None:
    """Check and show the configuration."""


@config.command(cls=Command, examples=["model-inbox --config config.yaml config check"])
@pass_app
def check(app: App, *, as_json: bool) -> int:
    """Check the configuration. Shows every problem with its line and column, and what to do.

    Tries the folders, the log file and the address for the metrics, too, without making any. Root tries it as the owner
    of the registry or the inbox. Warns of settings that are probably not meant so.
    """
    from .config_trial import try_out, warnings_of

    try:
        config = app.config
        found, notes = try_out(config)
        if found:
            noun = "the default settings" if config.path is None else f"the configuration {str(config.path)!r}"
            raise ConfigError(f"cannot use {noun}: {counted(len(found), 'problem')}", found)
    except ConfigError as error:
        report_error(error, as_json=False)
        if as_json:
            problems = [problem.as_dict() for problem in error.problems]
            print_json({"ok": False, "problems": problems, "error": {"code": error.code, "message": error.message}})
        return EXIT_CONFIG
    warnings = [*warnings_of(config), *notes]
    if as_json:
        source = str(config.path) if config.path is not None else None
        print_json(
            {"ok": True, "path": source, "problems": [], "warnings": [warning.as_dict() for warning in warnings]}
        )
        return EXIT_DONE
    if config.path is None:
        print_lines("There is no config.yaml; all settings are the defaults.")
    else:
        print_lines(f"{str(config.path)!r} has no problems.")
    print_problems(warnings)
    return EXIT_DONE


@config.command(cls=Command, examples=["model-inbox config schema > config.schema.json"])
def schema(*, as_json: bool) -> None:  # noqa: ARG001  # it is JSON either way
    """Print the JSON schema of config.yaml, for editors; `model-inbox schema config` does the same."""
    from ..config.load import config_schema

    print_json(config_schema())


@config.command(cls=Command, examples=["model-inbox config show", "model-inbox config show --json"])
@pass_app
def show(app: App, *, as_json: bool) -> None:
    """Show all settings, including defaults, in the format of config.yaml.

    With --json, durations are in seconds and sizes in bytes.
    """
    import yaml

    from ..config.settings import Config

    values = app.config.model_dump(mode="json")
    if as_json:
        print_json(values)
        return
    source = app.config.path
    print_lines(f"# {f'from {str(source)!r}' if source is not None else 'no config.yaml: the defaults'}")
    readable = _readable(values, Config.model_json_schema())
    click.echo(yaml.safe_dump(readable, sort_keys=False, allow_unicode=True, width=100), nl=False)


def _readable(values: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings with durations and sizes as text, where the text is exact."""
    definitions = schema.get("$defs", {})

    def walk(value: Any, node: Mapping[str, Any]) -> Any:
        while "$ref" in node:
            node = definitions[node["$ref"].rsplit("/", 1)[1]]
        for choice in node.get("anyOf", ()):
            if (choice.get("type") == "null") == (value is None):
                return walk(value, choice)
        if isinstance(value, dict) and "properties" in node:
            return {name: walk(item, node["properties"][name]) for name, item in value.items()}
        kinds = node.get("type")
        if kinds == ["string", "number"]:
            return _written(value, format_duration, parse_duration)
        if kinds in (["string", "integer"], ["integer", "string"]):
            return _written(value, format_size, parse_size)
        return value

    return {name: walk(value, schema["properties"][name]) for name, value in values.items()}


def _written(value: Any, write: Callable[[Any], str], read: Callable[[Any], float]) -> Any:
    text = write(value)
    return text if read(text) == value else value
