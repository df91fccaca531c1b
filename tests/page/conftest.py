"""One browser for all tests here, and the registries that are looked at: each is made once."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from playwright.sync_api import Browser, sync_playwright

from browser import start
from registries import MADE, PROGRAM


@pytest.fixture(scope="session", name="browser")
def _browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = start(playwright)
        yield browser
        browser.close()


@pytest.fixture(scope="session", name="config_of")
def _config_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the config.yaml of a registry by its name in MADE."""
    made: dict[str, Path] = {}

    def config_of(name: str) -> Path:
        if name not in made:
            structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
            made[name] = MADE[name](tmp_path_factory.mktemp("registry"))
        return made[name]

    return config_of


@pytest.fixture(scope="session", name="file_of")
def _file_of(config_of: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Return the address of the file that `model-inbox report` writes about a registry."""
    folder = tmp_path_factory.mktemp("reports")
    written: dict[str, Path] = {}

    def file_of(name: str) -> str:
        if name not in written:
            file = folder / f"{len(written)}.html"
            subprocess.run([*PROGRAM, "--config", config_of(name), "report", "-o", file], check=True)
            written[name] = file
        return written[name].as_uri()

    return file_of
