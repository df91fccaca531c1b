"""What is wrong with something that a person or a program gave us: every problem that exists, and its wording.

Owns the value (`Problem`), how producer text enters a message (`quoted`) or a field (`escaped`), all codes (`codes`,
with their meanings in `catalogue`), and the constructors: one function for each code, named after it, in the module of
the code's noun (`artifact.missing` is made by `artifact.artifact_missing`).

The constructors stand here, at the very bottom, and not beside the checks that find the problems: one problem is
found in several parts of the program (the inbox, the commands, the producer's side, the pickle scanner), which may not
import each other, and must have one wording in all of them. So they take plain values only: names, numbers that are
written already, reasons. Never decides what is a problem, never prints, imports nothing else of model-inbox.
"""

from __future__ import annotations

from .value import Problem, escaped, is_unicode, problems_in, quoted

__all__ = ["Problem", "escaped", "is_unicode", "problems_in", "quoted"]
