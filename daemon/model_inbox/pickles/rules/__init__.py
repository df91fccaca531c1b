"""What the arguments of calls and the states of objects must look like, for Python's own types and each framework.

Owns the tables that a scan gives to its recorder (`call_rules`, `state_rules`, and the defaults for names that have no
rule), the names whose objects may be hashed, and the description of numpy's dtypes that joblib's arrays need as well.
Never says which names are allowed, and imports nothing that a rule is about.
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
