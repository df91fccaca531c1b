"""model-inbox registers trained models that are dropped into a folder.

`drop` writes a model into the inbox, for training jobs. `ModelRegistry` finds and loads the newest model of a currency
pair, for serving code. The command `model-inbox run` is the daemon that registers dropped models.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import (
    ConfigError,
    DropRefused,
    EntryExists,
    EntryNeeded,
    EntryNotFound,
    EntryProtected,
    LoadRefused,
    MetadataError,
    ModelInboxError,
    RegistryCorrupted,
    RegistryError,
    RegistryLocked,
    RegistryMissing,
    RegistryTooNew,
    RestoreRefused,
    ScanError,
    StorageError,
)
from .model.metadata import ModelMetadata
from .problems import Problem

if TYPE_CHECKING:
    __version__: str
    from .producer import DropResult, drop
    from .registry.position import Position
    from .registry.registry import ModelRegistry

__all__ = [
    "ConfigError",
    "DropRefused",
    "DropResult",
    "EntryExists",
    "EntryNeeded",
    "EntryNotFound",
    "EntryProtected",
    "LoadRefused",
    "MetadataError",
    "ModelInboxError",
    "ModelMetadata",
    "ModelRegistry",
    "Position",
    "Problem",
    "RegistryCorrupted",
    "RegistryError",
    "RegistryLocked",
    "RegistryMissing",
    "RegistryTooNew",
    "RestoreRefused",
    "ScanError",
    "StorageError",
    "drop",
]


def __getattr__(name: str) -> Any:
    """Import the registry, the producer's side and the version when first asked for.

    The scanner's worker needs none of these, and a training job only one of them.
    """
    if name == "Position":
        from .registry.position import Position

        return Position
    if name == "ModelRegistry":
        from .registry.registry import ModelRegistry

        return ModelRegistry
    if name in ("drop", "DropResult"):
        from . import producer

        return getattr(producer, name)
    if name == "__version__":
        return globals().setdefault(name, _version())
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("model-inbox")
    except PackageNotFoundError:  # used from a checkout that was never installed
        return "0+unknown"
