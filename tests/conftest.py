"""What holds for all tests."""

from __future__ import annotations

import os

from hypothesis import settings

# An example that is slow once (another process had the cores, a disk was synced) is no failure. Where CI is set,
# hypothesis takes its own profile, which has no deadline either and draws the same examples each time.
if "CI" not in os.environ:
    settings.register_profile("model-inbox", deadline=None)
    settings.load_profile("model-inbox")
