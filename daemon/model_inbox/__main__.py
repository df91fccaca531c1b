"""`python -m model_inbox` is the command `model-inbox`."""

from __future__ import annotations

from .cli import main

if __name__ == "__main__":
    main()
