"""The producer's side: writes a drop that the daemon takes at once, and waits for its receipt.

Needs only the right to write to the inbox, and to read receipts if it waits. Never imports the daemon's code. `files`
has the drops of files, which need a YAML library; a training job that only calls `drop` needs none.
"""

from .answers import Answers, DropResult, wait_for_answer
from .drops import drop

__all__ = ["Answers", "DropResult", "drop", "wait_for_answer"]
