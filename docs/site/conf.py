"""How Sphinx makes the site from the Markdown pages, for `make docs`.

Owns the navigation, and which pages are in the site. The pages stay plain Markdown, which is read as well where they
lie. Never fetches anything: what the site needs to be read and searched is in it.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[2]

project = "model-inbox"
version = release = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
root_doc = "README"
include_patterns = ["*.md", "docs/*.md", "docs/**/*.md", "examples/*.md", "examples/lstm_fx/*.md"]
nitpicky = True

NAVIGATION = {
    "Tasks": ["docs/tasks/README"],
    "Training": ["docs/producers", "docs/security", "examples/README"],
    "Serving": [
        "docs/operations/serving",
        "docs/reference/finding",
        "docs/reference/promotion",
        "docs/operations/replicas",
    ],
    "Running": [
        "docs/operations/systemd",
        "docs/operations/rights",
        "docs/operations/web",
        "docs/operations/why",
        "docs/operations/report",
        "docs/operations/backup",
        "docs/reference/retention",
        "docs/operations/",
        "CHANGELOG",
    ],
    "Reference": [
        "docs/README",
        "docs/reference/commands",
        "docs/reference/options",
        "docs/reference/configuration",
        "docs/reference/problems",
        "docs/reference/logs",
        "docs/reference/metrics",
        "docs/reference/formats",
        "docs/reference/",
    ],
    "Decisions and code": ["docs/decisions/README", "ARCHITECTURE", "CONTRIBUTING"],
}
"""The captions of the navigation, by who reads, with their pages; a folder stands for its pages that are not named.

A page that is nowhere fails the build.
"""

BELOW = {"docs/decisions/README", "docs/tasks/README", "examples/README"}
"""Pages that have others below them in the navigation: those in their folder that they link to, in that order."""

extensions = ["myst_parser"]
myst_heading_anchors = 4
html_theme = "furo"
html_title = f"model-inbox {release}"
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
# The excerpts beside results are fetched, which a browser refuses for files.
html_show_search_summary = False
html_extra_path = ["index.html"]
html_theme_options = {"navigation_with_keys": True}


def add_navigation(_app: Sphinx, page: str, source: list[str]) -> None:
    """Put the navigation behind the text of a page that has one."""
    if page == root_doc:
        source[0] += "".join(toctree(named(pages), caption) for caption, pages in NAVIGATION.items())
    elif page in BELOW:
        source[0] += toctree(list(dict.fromkeys(re.findall(r"\]\((\w[\w/-]*)\.md\)", source[0]))))


def named(pages: list[str]) -> list[str]:
    """Return pages with each folder replaced by its pages that the navigation does not name."""
    known = {page for some in NAVIGATION.values() for page in some}
    found: list[str] = []
    for page in pages:
        others = sorted(ROOT.glob(f"{page}*.md")) if page.endswith("/") else []
        found += [name for path in others if (name := str(path.relative_to(ROOT).with_suffix(""))) not in known]
        found += [] if page.endswith("/") else [page]
    return found


def toctree(pages: list[str], caption: str = "") -> str:
    """Return a table of contents that only the navigation shows."""
    lines = [":hidden:", *([f":caption: {caption}"] if caption else []), "", *pages]
    return "\n\n```{toctree}\n" + "\n".join(lines) + "\n```\n"


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", add_navigation)
