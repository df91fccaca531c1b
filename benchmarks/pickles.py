"""How fast a scan is, beside the work that nobody can do without: a digest of the same file, a load of the same pickle.

    python benchmarks/pickles.py [--megabytes 500] [--objects 2000000] [--rounds 3]

Prints for each file the best time of the scan (in its worker, as the daemon scans) and of its measure, their ratio, and
whether that is what is promised: an array of 500 MB at the speed of its digest, two million small objects in at
most three times what `pickle.load` takes for them. Ratios, because two machines are never equally fast. Exit status 1
where a promise is not kept. Needs no framework: the array's file is written by hand, as numpy writes it.
"""

from __future__ import annotations

import argparse
import hashlib
import pickle
import resource
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / part) for part in ("daemon", "tests")]

import pickle_builders as build  # noqa: E402 - found by the line above

from model_inbox.fsio import digest_file_at  # noqa: E402 - as above
from model_inbox.pickles import Allowlist, Scanner  # noqa: E402 - as above
