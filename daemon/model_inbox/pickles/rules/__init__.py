"""Rules for the arguments of calls and the states of objects: for Python's own types and for each framework.

Owns the tables that a scan gives to its recorder (`call_rules`, `state_rules`, and the defaults for names without a
rule), the names whose objects may be hashed (`HASHABLE`), the description of numpy's dtypes, which joblib's arrays need
too, and what a load looks up instead of `getattr`. Never says which names are allowed, and never imports a framework.
"""

from __future__ import annotations

from .callable_rules import GETATTR, bound_attribute, builtin_type
from .costs import call_cost, state_microseconds
from .numpy_rules import MATRIXES, DtypeValue, dtype_of, keeps_contents, new_array
from .python_rules import PLAIN_TYPES
from .quantized_rules import SCRIPT_OBJECTS
from .scipy_rules import WITH_KEYWORDS
from .table import HASHABLE, call_rules, default_rule, default_state_rule, state_rules
from .torch_rules import OPTIMIZERS

__all__ = [
    "GETATTR",
    "HASHABLE",
    "MATRIXES",
    "OPTIMIZERS",
    "PLAIN_TYPES",
    "SCRIPT_OBJECTS",
    "WITH_KEYWORDS",
    "DtypeValue",
    "bound_attribute",
    "builtin_type",
    "call_cost",
    "call_rules",
    "default_rule",
    "default_state_rule",
    "dtype_of",
    "keeps_contents",
    "new_array",
    "state_microseconds",
    "state_rules",
]
