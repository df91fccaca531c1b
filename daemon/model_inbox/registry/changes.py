"""What a line of the journal changed, in words for people.

Owns these words. Escapes nothing: who prints them does. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .journal import Line

__all__ = ["change_of"]


def change_of(line: Line, model_id: str | None) -> tuple[str, str]:
    """Return what a journal line changed, in words, and why. `model_id` is the model whose history is shown, if any."""
    detail: Mapping[str, Any] = line.detail or {}
    why = "" if line.reason == line.operation else line.reason
    what = line.operation
    if detail.get("alias"):
        what = f"{what} {detail['alias']}"
        if model_id is not None and line.model_id != model_id:
            what = f"{what} moved to {line.model_id}"
        elif detail.get("from"):
            what = f"{what} from {detail['from']}"
        if detail.get("override_gates"):
            what = f"{what} past its gates"
    if line.operation == "protect":
        what = f"{what} {', '.join(detail.get('aliases') or ()) or 'no alias'}"
    if line.operation == "clock" and not detail.get("confirmed"):
        what = f"{what} from {detail.get('before')} to {detail.get('after')}"
    if line.operation == "record":
        values = ", ".join(f"{name}={value}" for name, value in (detail.get("metrics") or {}).items())
        what = f"{what} {values} ({detail.get('at')})"
    return what, why
