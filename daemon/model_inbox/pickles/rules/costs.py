"""What calls and states cost a load, in bytes and in microseconds. Pure.

Owns rough costs by name, measured on a machine of 2024 and rounded up. They bound how often a small file may repeat
what is dear. What depends on arguments (an array's bytes, a table's rows) is charged by the rules. Never decides
whether a cost is too high.
"""

from __future__ import annotations

from ..names import is_distribution

__all__ = ["call_cost", "state_microseconds"]

_CALLS = {
    # name: (bytes, microseconds) of one call
    "_codecs.encode": (0, 1),
    "builtins.frozenset": (0, 1),
    "collections.OrderedDict": (128, 1),
    "fractions.Fraction": (64, 5),
    "functools.partial": (128, 1),
    "numpy._core.multiarray._reconstruct": (160, 2),
    "numpy.core.multiarray._reconstruct": (160, 2),
    "numpy._core.multiarray.scalar": (32, 1),
    "numpy.core.multiarray.scalar": (32, 1),
    "numpy.dtype": (128, 2),
    "numpy.random._pickle.__bit_generator_ctor": (4096, 60),
    "numpy.random._pickle.__generator_ctor": (1024, 30),
    "numpy.random._pickle.__randomstate_ctor": (4096, 90),
    "pandas._libs.internals._unpickle_block": (256, 10),
    "pandas._libs.tslibs.timestamps._unpickle_timestamp": (128, 5),
    "pandas._libs.tslibs.timedeltas._timedelta_unpickle": (128, 5),
    "pandas.core.indexes.base._new_Index": (2048, 80),
    "pandas.core.indexes.datetimes._new_DatetimeIndex": (2048, 80),
    "pandas.core.indexes.interval._new_IntervalIndex": (4096, 300),
    "pandas.core.indexes.timedeltas._new_TimedeltaIndex": (2048, 80),
    "torch._utils._rebuild_parameter": (512, 10),
    "torch._utils._rebuild_tensor_v2": (512, 15),
    "torch.storage._load_from_bytes": (4096, 1000),
}
_BY_BEGINNING = (
    ("arch.univariate.recursions.", (1024, 50)),
    ("builtins.", (0, 1)),
    ("datetime.", (64, 1)),
    ("dateutil.", (2048, 100)),
    ("pandas._libs.tslibs.offsets.", (512, 50)),
    ("pandas.", (1024, 20)),
    ("pyarrow.", (512, 30)),
    ("quantile_forest.", (1024, 100)),
    ("statsmodels.tsa.statespace.", (4096, 200)),
    ("torch.", (512, 30)),
)


def call_cost(name: str) -> tuple[int, int]:
    """Return the bytes and the microseconds of a call of `name`, without what its arguments need."""
    found = _CALLS.get(name)
    if found is None:
        found = next((cost for beginning, cost in _BY_BEGINNING if name.startswith(beginning)), (256, 5))
    return found


def state_microseconds(name: str) -> int:
    """Return the microseconds that an object of `name` needs to take its state. Only for names with a rule for it."""
    if is_distribution(name):
        # scipy compiles the functions of a distribution.
        return 2000
    if name.startswith("numpy."):
        return 2
    return 100 if name.startswith(("torch.", "ngboost.", "catboost.", "lightgbm.", "xgboost.")) else 20
