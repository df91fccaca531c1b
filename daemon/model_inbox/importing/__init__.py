"""Models of an MLflow registry, brought in as drops.

Owns what is asked of MLflow for that (`source`), how a model version becomes a model and a sidecar, or the reason why
it cannot (`described`), and the way of one from there into the inbox (`bring`). The daemon judges what comes like any
other drop. Never loads a model and never writes to MLflow.

Public names: `Imported`, `Naming`, `bring_version`, `open_source`.
"""

from __future__ import annotations

from .bring import Imported, bring_version, open_source
from .described import Naming

__all__ = ["Imported", "Naming", "bring_version", "open_source"]
