"""Gates: what a model must fulfil before it is served, by itself and beside the model in service.

Owns the evaluation of `gates:` in config.yaml (`evaluate`). The registry asks it under its writer lock; `check` asks it
beforehand. Never changes anything. Pure.

Public names: `Gates`, `gates_for`.
"""

from .evaluate import Gates, gates_for

__all__ = ["Gates", "gates_for"]
