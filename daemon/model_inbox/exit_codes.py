"""The exit codes of every command and of the daemon. 75 and 78 are those of sysexits.h.

The unit of systemd goes by them: it restarts the daemon after 75, and not after 78.
"""

from __future__ import annotations

__all__ = ["EXIT_CONFIG", "EXIT_DONE", "EXIT_REFUSED", "EXIT_TRY_AGAIN", "EXIT_USAGE"]

EXIT_DONE = 0
EXIT_REFUSED = 1
EXIT_USAGE = 2
# EX_TEMPFAIL of sysexits.h.
EXIT_TRY_AGAIN = 75
# EX_CONFIG of sysexits.h. systemd does not restart the service after it.
EXIT_CONFIG = 78
