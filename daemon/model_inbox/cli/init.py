"""`model-inbox init`: makes a folder in which model-inbox can be used at once.

Owns the text of the new configuration and of the template of a sidecar. Never changes a file that is there, but for the
JSON schemas, which are written again.
"""

from __future__ import annotations

import contextlib
import errno
import json
import shlex
from pathlib import Path
from typing import Any

import click

from ..base.disk import Disk, make_folder, replace_file, write_new_file
from ..errors import StorageError
from ..problems import quoted
from .common import Command, act_as_owner
from .output import print_json, print_lines

__all__ = ["CONFIG", "SIDECAR", "init"]

_FILE_MODE = 0o644

CONFIG = """\
# yaml-language-server: $schema=config.schema.json
# The configuration of model-inbox. Relative paths count from the folder of this file. All other settings have their
# defaults; `model-inbox config show` prints them, and docs/reference/configuration.md explains them.
inbox:
  path: inbox
registry:
  path: models/prediction_registry.json
  storage_dir: models/prediction
# Retire old models by rules. `model-inbox retention plan` shows what a rule would do.
# retention:
#   mode: enforce
#   policies:
#     - match: {currency_pair: '*'}
#       keep: {last: 10}
#       min_keep: 2
"""
"""The text of a new config.yaml."""

SIDECAR = """\
# yaml-language-server: $schema=sidecar.schema.json
# The template of a sidecar. Copy it to MODEL.yaml beside MODEL.pkl, replace the values, and run
# `model-inbox drop MODEL.pkl --wait`. What is commented out is filled in by that command.
model_type: lightgbm
currency_pair: USD/EUR
version: "1.0"
validation_metrics:
  1d: {rmse: 0.0049}
  7d: {rmse: 0.0112}
min_samples: 500
calibration_ok: true
features_used: [sma_5, rsi_14]
horizons: [1, 7]
# model_id: usd-eur-lightgbm-20261120
# trained_at: 2026-11-20T18:30:00Z
# variant: 30d
# tags: {desk: fx}
# description: ""
# provenance: {data: ecb-2026-11}
...
"""
"""The text of the template of a sidecar."""


@click.command(
    cls=Command,
    examples=["model-inbox init", "model-inbox init forecasts && cd forecasts && model-inbox run"],
)
@click.argument("folder", metavar="[DIR]", default=".", type=click.Path(file_okay=False, path_type=Path))
def init(*, folder: Path, as_json: bool) -> None:
    """Make an inbox, a configuration, and a template of a sidecar.

    DIR is the folder, by default the current one. Its files that are there stay as they are; the JSON schemas, with
    which an editor completes and checks the YAML files, are written again. The daemon makes everything else when it
    starts.
    """
    from ..config.load import config_schema
    from ..inbox.own_folders import INBOX_MODE
    from ..model.sidecar_schema import sidecar_schema

    disk = Disk()
    folder = folder.absolute()
    made: list[Path] = []
    kept: list[Path] = []
    if folder.is_dir():
        act_as_owner(folder)
    else:
        make_folder(disk, folder)
    inbox = folder / "inbox"
    (kept if inbox.is_dir() else made).append(inbox)
    make_folder(disk, inbox, INBOX_MODE)
    for name, text in (("config.yaml", CONFIG), ("sidecar-template.yaml", SIDECAR)):
        try:
            write_new_file(disk, folder / name, text.encode(), _FILE_MODE)
            made.append(folder / name)
        except StorageError as error:
            if error.errno != errno.EEXIST:
                raise
            kept.append(folder / name)
    for name, schema in (("config.schema.json", config_schema()), ("sidecar.schema.json", sidecar_schema())):
        replace_file(disk, folder / name, _json(schema), _FILE_MODE)
        made.append(folder / name)
    if as_json:
        print_json({"folder": str(folder), "made": list(map(str, made)), "kept": list(map(str, kept))})
        return
    print_lines(f"In {quoted(folder)}:", colour="bold")
    for paths, what in ((made, "written"), (kept, "was there, and is unchanged")):
        for path in paths:
            print_lines(f"{path.name}  {what}", indent=2)
    where = "" if folder == _here() else f"`cd {shlex.quote(str(folder))}`, then "
    print_lines(f"Start the daemon: {where}`model-inbox run`.")
    print_lines("Drop a model: copy sidecar-template.yaml to MODEL.yaml beside MODEL.pkl, write its values there, then")
    print_lines("`model-inbox drop MODEL.pkl --wait`. Or say them as options: `model-inbox drop --help`.")


def _json(schema: dict[str, Any]) -> bytes:
    return (json.dumps(schema, indent=2) + "\n").encode()


def _here() -> Path | None:
    with contextlib.suppress(OSError):
        return Path.cwd()
    return None
