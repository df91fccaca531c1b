"""model-inbox registers trained models that are dropped into a folder.

`drop` writes a model into the inbox, for training jobs. `ModelRegistry` finds and loads the newest model of a currency
pair, for serving code. The command `model-inbox run` is the daemon that registers dropped models.

A name is imported when it is first used: a training job needs only `drop`, a server only `ModelRegistry`, and the
scanner's worker neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import (
        AliasProtected,
        ConditionError,
        ConfigError,
        DropRefused,
        EntryExists,
        EntryNeeded,
        EntryNotFound,
        EntryProtected,
        FileOutside,
        LoadRefused,
        MetadataError,
        ModelInboxError,
        PromotionRefused,
        RegistryCorrupted,
        RegistryError,
        RegistryLocked,
        RegistryMissing,
        RegistryTooNew,
        RestoreRefused,
        ScanError,
        StorageError,
    )
    from .mirrored import MirrorRegistry
    from .model.metadata import ModelMetadata
    from .problems import Problem
    from .producer import DropResult, drop
    from .registry.position import Position
    from .registry.registry import ModelRegistry
    from .serving import FallenBack, Follower, Followers, Served

    __version__: str

__all__ = [
    "AliasProtected",
    "ConditionError",
    "ConfigError",
    "DropRefused",
    "DropResult",
    "EntryExists",
    "EntryNeeded",
    "EntryNotFound",
    "EntryProtected",
    "FallenBack",
    "FileOutside",
    "Follower",
    "Followers",
    "LoadRefused",
    "MetadataError",
    "MirrorRegistry",
    "ModelInboxError",
    "ModelMetadata",
    "ModelRegistry",
    "Position",
    "Problem",
    "PromotionRefused",
    "RegistryCorrupted",
    "RegistryError",
    "RegistryLocked",
    "RegistryMissing",
    "RegistryTooNew",
    "RestoreRefused",
    "ScanError",
    "Served",
    "StorageError",
    "drop",
]

_MODULES = {
    "DropResult": "producer",
    "FallenBack": "serving",
    "Follower": "serving",
    "Followers": "serving",
    "MirrorRegistry": "mirrored",
    "ModelMetadata": "model.metadata",
    "ModelRegistry": "registry.registry",
    "Position": "registry.position",
    "Problem": "problems",
    "Served": "serving",
    "drop": "producer",
}
"""The module of each public name. The others, which are errors, are in `errors`."""


def __getattr__(name: str) -> Any:
    """Import a public name, or find the version, at its first use."""
    if name == "__version__":
        value: Any = _version()
    elif name in __all__:
        from importlib import import_module

        value = getattr(import_module(f"{__name__}.{_MODULES.get(name, 'errors')}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # The next use finds it without this function.
    return globals().setdefault(name, value)


def __dir__() -> list[str]:
    """Return the names of the module, also those that were not used yet."""
    return sorted({*globals(), *__all__, "__version__"})


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("model-inbox")
    except PackageNotFoundError:
        # The package is used from a checkout that was never installed.
        return "0+unknown"
