"""Rules for the arguments of calls and the states of objects: for Python's own types and for each framework.

Owns the tables that a scan gives to its recorder (`call_rules`, `state_rules`, and the defaults for names without a
rule), the names whose objects may be hashed (`HASHABLE`), and the description of numpy's dtypes, which joblib's arrays
need too. Never says which names are allowed, and never imports a framework.
"""

from __future__ import annotations

from .numpy_rules import DtypeValue, dtype_of, new_array
from .table import HASHABLE, call_rules, default_rule, default_state_rule, state_rules

__all__ = [
    "HASHABLE",
    "DtypeValue",
    "call_rules",
    "default_rule",
    "default_state_rule",
    "dtype_of",
    "new_array",
    "state_rules",
]
