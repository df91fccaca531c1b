"""Problems with the gates of config.yaml. The noun `gates`."""

from __future__ import annotations

from .value import Problem, quoted

__all__ = ["gates_failed", "gates_held"]


def gates_failed(gate: str, field: str, says: str) -> Problem:
    """A model does not pass a gate that rejects. `says` is a clause like "1d.rmse is 9, and must be at most 1"."""
    return Problem(
        "gates.failed",
        f"gate {quoted(gate)}: {says}",
        "Drop a better model. Whoever runs this inbox sets the gates (gates in config.yaml)",
        field=field,
    )


def gates_held(gate: str, field: str, says: str) -> Problem:
    """A model was registered, but does not pass a gate that holds."""
    return Problem(
        "gates.held",
        f"the model is registered, but held, so it is not served; gate {quoted(gate)}: {says}",
        "Drop a better model, or have this one served with `model-inbox unhold`",
        field=field,
    )
