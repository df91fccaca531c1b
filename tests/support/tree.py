"""All commands of the command line."""

from __future__ import annotations

import click

from model_inbox.cli import root


def commands() -> list[tuple[list[str], click.Command]]:
    """Return every command with the words that call it."""
    found: list[tuple[list[str], click.Command]] = []

    def walk(words: list[str], command: click.Command) -> None:
        context = click.Context(command)
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                inner = command.get_command(context, name)
                assert inner is not None
                walk([*words, name], inner)
        else:
            found.append((words, command))

    walk([], root)
    return found
