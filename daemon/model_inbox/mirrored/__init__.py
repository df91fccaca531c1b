"""A mirror in MLflow, read as a registry is read: the same questions, and models held to the same digests and imports.

Owns `MirrorRegistry`: what the mirror's tags say (`reading`), the files that were fetched (`cache`), and how it is
followed (`source`). Never changes MLflow or a registry, and loads nothing that the tags do not name by its digest.

Public name: `MirrorRegistry`.
"""

from __future__ import annotations

from .registry import MirrorRegistry

__all__ = ["MirrorRegistry"]
