"""One machine with the service on it for all tests here; each finds it running, with the configuration as installed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from installed import UNIT, Installed
from machine import Machine


@pytest.fixture(scope="session", name="bare_machine")
def _bare_machine() -> Iterator[Machine]:
    machine = Machine()
    try:
        yield machine
    finally:
        machine.stop()


@pytest.fixture(scope="session", name="installation")
def _installation(bare_machine: Machine) -> tuple[Installed, str, str]:
    """The service, what its installation said, and the configuration that it brought."""
    installed = Installed(bare_machine)
    installed.bring()
    said = installed.make("install")
    installed.name_groups()
    bare_machine.run("systemctl", "enable", UNIT)
    return installed, said, installed.config.read_text()


@pytest.fixture(name="stopped")
def _stopped(installation: tuple[Installed, str, str]) -> Iterator[Installed]:
    """The service, not running, with the configuration as installed."""
    installed, _, config = installation
    installed.systemctl("stop")
    installed.machine.run("systemctl", "reset-failed", check=False)
    installed.config.write_text(config)
    yield installed
    installed.config.write_text(config)


@pytest.fixture(name="service")
def _service(stopped: Installed) -> Installed:
    """The service, running."""
    stopped.systemctl("start")
    return stopped
