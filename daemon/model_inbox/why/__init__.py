"""Why a model is where it is: why it was accepted, held or refused, is or is not newest, was promoted, kept or retired.

Owns the answers, in sentences, and the form of the evidence that they are made of. Pure: never reads a file, asks a
rule or decides anything.

Public names: `answers`, `Answer`, and `Evidence` with its parts.
"""

from .answers import answers
from .evidence import Answer, Chance, Evidence, Planned, Refusal, Rules, Waiting

__all__ = ["Answer", "Chance", "Evidence", "Planned", "Refusal", "Rules", "Waiting", "answers"]
