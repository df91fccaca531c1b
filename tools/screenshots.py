"""Take the pictures of the page that stand in README.md, of a demonstration registry: `make screenshots`.

Writes docs/images/page-light.png and page-dark.png, each with at most SIZE_MAX bytes.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "page")]

import structlog  # noqa: E402  # where the tests' own modules are is said first
from playwright.sync_api import sync_playwright  # noqa: E402  # as above

from browser import SCHEMES, start  # noqa: E402  # as above
from registries import MADE, PROGRAM  # noqa: E402  # as above
from support.waiting import wait_until  # noqa: E402  # as above

IMAGES = ROOT / "docs" / "images"
WIDTH, HEIGHT = 1200, 1300
SIZE_MAX = 150_000


def is_ready(program: list[str | Path]) -> bool:
    """Return whether the daemon is ready."""
    done = subprocess.run([*program, "status", "--json"], check=False, capture_output=True)
    return bool(json.loads(done.stdout)["ready"])


def main() -> None:
    """Make the registry, write its report, and take the pictures."""
    IMAGES.mkdir(exist_ok=True)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with tempfile.TemporaryDirectory() as folder:
        config, report = MADE["four months"](Path(folder)), Path(folder, "report.html")
        program = [*PROGRAM, "--config", config]
        with subprocess.Popen([*program, "run"], stderr=subprocess.DEVNULL) as daemon:
            wait_until(lambda: is_ready(program), daemon)
            subprocess.run([*program, "report", "-o", report], check=True)
            daemon.terminate()
        with sync_playwright() as playwright:
            browser = start(playwright)
            for scheme in SCHEMES:
                # About as wide as the column of a README.
                page = browser.new_page(
                    viewport={"width": WIDTH, "height": HEIGHT}, color_scheme=scheme, device_scale_factor=0.75
                )
                page.goto(report.as_uri())
                picture = IMAGES / f"page-{scheme}.png"
                picture.write_bytes(page.screenshot())
                if picture.stat().st_size > SIZE_MAX:
                    sys.exit(f"{picture} has {picture.stat().st_size} bytes, more than {SIZE_MAX}")
            browser.close()


if __name__ == "__main__":
    main()
