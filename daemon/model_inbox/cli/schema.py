"""`model-inbox schema`: prints the JSON schemas of the files that other programs read and write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from .arguments import OneOf
from .common import Command
from .output import print_json

__all__ = ["SCHEMAS", "schema"]


def _sidecar() -> dict[str, Any]:
    from ..model.sidecar_schema import sidecar_schema

    return sidecar_schema()


def _entry() -> dict[str, Any]:
    from ..registry.entry import entry_schema

    return entry_schema()


def _receipt() -> dict[str, Any]:
    from ..model.receipt import receipt_schema

    return receipt_schema()


def _config() -> dict[str, Any]:
    from ..config.load import config_schema

    return config_schema()


def _labels() -> dict[str, Any]:
    from ..registry.label_format import labels_schema

    return labels_schema()


SCHEMAS: Mapping[str, Callable[[], dict[str, Any]]] = {
    "sidecar": _sidecar,
    "entry": _entry,
    "labels": _labels,
    "receipt": _receipt,
    "config": _config,
}
"""The functions that make the schemas, by name."""


@click.command(
    cls=Command,
    examples=["model-inbox schema sidecar > sidecar.schema.json", "model-inbox schema entry | jq .required"],
)
@click.argument("name", metavar="NAME", type=OneOf(list(SCHEMAS)))
def schema(*, name: str, as_json: bool) -> None:  # noqa: ARG001  # it is JSON either way
    """Print the JSON schema of a sidecar, an entry, a labels file, a receipt or config.yaml.

    NAME is sidecar, entry, labels, receipt or config. The schemas are for editors, for programs that write sidecars,
    and for programs that read entries and receipts. docs/reference/formats.md describes the files.
    """
    print_json(SCHEMAS[name]())
