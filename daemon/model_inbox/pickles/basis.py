"""What a verdict on a file depends on besides its bytes. Pure."""

from __future__ import annotations

import platform

from .allowlist import Allowlist

__all__ = ["verdict_basis"]


def verdict_basis(allowlist: Allowlist) -> dict[str, str]:
    """Return what a verdict holds for: the Python version, whose parser judged, and the digest of the allowlist.

    Together with the digest and the kind of the file this is all it depends on; where any of them changed, the
    file is to be scanned again.
    """
    return {"python": platform.python_version(), "allowlist": allowlist.digest}
