"""`model-inbox replace-scaler`: replaces the scaler of a registered model."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from ..base.disk import open_regular
from ..errors import StorageError
from ..problems import Problem, quoted
from .arguments import find_model, model_argument
from .common import App, Command, Refused, pass_app, reason_option
from .output import print_json, print_lines

__all__ = ["replace_scaler"]


class ScalerRefused(Refused):
    """The inbox would not accept the file as a scaler."""

    code = "scaler.refused"

    def __init__(self, message: str, problems: Sequence[Problem]) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


@click.command(
    "replace-scaler",
    cls=Command,
    examples=["model-inbox replace-scaler usd_eur_20251025 scaler.pkl --reason 'fitted on the wrong window'"],
    exits={1: "no such model, or the scan refuses the scaler", 75: "another writer holds the registry"},
)
@model_argument()
@click.argument("file", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@reason_option()
@pass_app
def replace_scaler(app: App, *, model_id: str, file: Path, reason: str, as_json: bool) -> None:
    """Replace the scaler of a model, or add one.

    Nothing else of a registered model can change. FILE is copied and scanned as in the inbox, and never loaded. The
    old scaler is moved to the model's folder in the trash.
    """
    from ..pickles import Allowlist, Scanner

    section = app.config.pickle
    try:
        # Opened with the rights of the user who calls. From then on the command acts as the registry's owner.
        fd = open_regular(file)
    except OSError as error:
        raise StorageError("open the scaler", file, error) from error
    scanner = Scanner(
        Allowlist.load(section.frameworks, section.allow),
        memory_limit=section.memory_limit,
        time_limit=section.time_limit,
        load_budget=section.load_budget,
    )

    def scan(copy: Path) -> Mapping[str, str]:
        report = scanner.scan(copy, size=copy.stat().st_size)
        if report.problems:
            raise ScalerRefused(f"cannot use {quoted(file.name)} as a scaler", report.problems)
        return dict(report.imports)

    try:
        with app.writing() as registry:
            model_id = find_model(registry, model_id)
            entry = registry.replace_scaler_file(model_id, fd, scan, reason=reason)
    finally:
        scanner.close()
        os.close(fd)
    if as_json:
        print_json(entry)
        return
    print_lines(f"{quoted(model_id)} has a new scaler: {entry['scaler_path']} (SHA-256 {entry['scaler_sha256']}).")
