"""Rules for models of statsmodels that were fitted from a formula, which it evaluates again while they load. Pure.

Owns the few formulas that come in: sums of plain names, categories `C(name)`, squares and cubes `I(name ** 2)`, and
products of two of these. To evaluate one looks names up in the frame of the model, and calls nothing else. Also owns
what it costs: a column of text becomes a column of numbers for each of its values.
"""

from __future__ import annotations

import re
from typing import Any

from ..arguments import is_object, must
from ..stubs import BadArguments, Recorder, Stub
from .frame_rules import BlockValue, length_of
from .numpy_rules import array_of

__all__ = ["check_formula"]

_RESTORES = ("restore_model_spec", "restore_design_info")
"""With one of these keys, of 0.15 and of the versions before it, statsmodels evaluates the formula in the state."""
_FORMULA_MAX = 2000
_NAME = r"[A-Za-z_]\w{0,60}"
_FACTOR = rf"(?:{_NAME}|C\({_NAME}\)|I\({_NAME} ?\*\* ?[23]\))"
_TERM = rf"(?:[01]|{_FACTOR}(?: ?[:*] ?{_FACTOR})?)"
_SIDE = rf"(?:{_TERM}(?: ?[+-] ?{_TERM})*)"
_FORMULA = re.compile(rf"\s*{_NAME}\s*~\s*{_SIDE}\s*\Z", re.ASCII)
_INSIDE = re.compile(r"\([^)]*\)")
_PRODUCT = re.compile(r"[:*]")
_OTHERWISE = (
    "statsmodels would evaluate its formula while it is loaded. Sums of plain names, C(name) and I(name ** 2) come in; "
    "else fit the model from arrays or frames (sm.OLS(y, X), with patsy.dmatrices for y and X)"
)
_FRAMES = ("pandas.DataFrame", "pandas.core.frame.DataFrame")
_TEXTS = (
    "pandas.arrays.ArrowStringArray",
    "pandas.core.arrays.string_arrow.ArrowStringArray",
    "pandas.core.arrays.string_arrow.ArrowStringArrayNumpySemantics",
)


def check_formula(recorder: Recorder, target: Stub, state: dict[Any, Any]) -> None:
    """Check the formula in the state of a model's data, if statsmodels would evaluate it. Charge what that costs."""
    if not any(key in state for key in _RESTORES):
        return
    formula, frame = state.get("formula"), state.get("frame")
    must(type(formula) is str and len(formula) <= _FORMULA_MAX, _OTHERWISE)
    must(_FORMULA.match(str(formula)) is not None, _OTHERWISE)
    must(is_object(frame, *_FRAMES), "the formula has no frame")
    rows, has_texts = _contents_of(frame)
    levels = rows if has_texts or "C(" in str(formula) else 1
    columns = 0
    for term in re.split(r"[~+-]", str(formula)):
        # Outside of parentheses, these stand between two factors.
        factors = 2 if _PRODUCT.search(_INSIDE.sub("", term)) else 1
        columns += 1 + levels**factors
    # It makes the columns, and a frame of them.
    recorder.charge(type(target), 2 * 8 * rows * columns, 5000 + rows * columns // 50)


def _contents_of(frame: Any) -> tuple[int, bool]:
    """Return the number of rows of a frame, and whether it has a column of text.

    Raise BadArguments if there are other objects in it: the values of a category are hashed and compared.
    """
    state = frame.kept
    must(type(state) is dict, "the formula has no frame")
    manager = state.get("_mgr", state.get("_data"))
    parts = manager.kept if isinstance(manager, Stub) else None
    if type(parts) is not tuple or len(parts) != 2:
        raise BadArguments("the frame of the formula is none")
    rows, has_texts = 0, False
    for block in parts[0]:
        known = getattr(block, "value", None)
        if not isinstance(known, BlockValue):
            raise BadArguments("the frame of the formula is none")
        has_texts |= _holds_text(known.values)
        length = length_of(known.values) if known.rows < 0 else known.rows
        if length is None:
            raise BadArguments("a column of the formula has no length")
        rows = max(rows, length)
    return rows, has_texts


def _holds_text(values: Any) -> bool:
    """Return whether these are texts, not numbers."""
    if is_object(values, *_TEXTS):
        return True
    must(is_object(values, "numpy.ndarray"), "a column of the formula has another type than numbers and text")
    known = array_of(values)
    kind = known.dtype.kind if known.dtype is not None else ""
    if kind == "O":
        must(
            bool(known.item_types) and known.item_types <= {str, type(None)},
            "a column of the formula has other objects",
        )
        return True
    must(kind in tuple("fiub"), "a column of the formula has another type than numbers and text")
    return False
