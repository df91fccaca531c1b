"""`model-inbox rebuild`: a registry made anew from what is left of a damaged one."""

from __future__ import annotations

import dataclasses

import click

from ..permissions import act_as_owner
from .common import App, Command, now, pass_app, print_fields, print_json, print_lines

__all__ = ["rebuild"]


@click.command(
    cls=Command,
    examples=["model-inbox rebuild"],
    exits={1: "there is nothing to make it from", 75: "the daemon or another writer holds the registry"},
)
@pass_app
def rebuild(app: App, *, as_json: bool) -> None:
    """Make a damaged registry anew.

    From the journal, its history and the stored sidecars. For a registry that `model-inbox verify` finds damaged.
    Stop the daemon first. The old files are kept.
    """
    from ..fsio import Disk
    from ..rebuild import rebuild as make_anew

    section = app.config.registry
    act_as_owner(section.path.parent)
    result = make_anew(section.path, section.storage_dir, disk=Disk(), clock=now)
    if as_json:
        print_json(dataclasses.asdict(result))
        return
    print_lines(f"Made {str(section.path)!r} anew.")
    print_fields((name.replace("_", " "), value) for name, value in dataclasses.asdict(result).items())
