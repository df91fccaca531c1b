"""What a configuration is made into, and reading config.yaml again while the daemon runs.

Owns that a reload is all or nothing: everything that can fail is done first, and a configuration that cannot be used
changes nothing. The parts of the daemon take a new one over by themselves.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..config.load import load_config
from ..config.settings import Config
from ..errors import ConfigError, StorageError, is_transient
from ..inbox.validation import Checks
from ..pickles import Allowlist, Scanner
from ..problems.config import config_not_available
from ..registry.paths import RegistryFiles
from ..telemetry.logging import configure
from ..telemetry.metrics import CONTENT_TYPE
from ..telemetry.metrics_server import MetricsServer

__all__ = ["Reloaded", "checks_of", "configure_logs", "open_server", "read_again", "scanner_of"]


def checks_of(config: Config, rules: str = "") -> Checks:
    """Return what a drop must fulfil beside being safe. `rules` is the digest by which the journal names all that."""
    checks, size = config.checks, config.inbox.max_artifact_size
    return Checks(
        checks.model_types,
        checks.currency_pairs,
        checks.pair_pattern,
        size,
        config.permits,
        config.quota,
        config.gates,
        rules,
    )


def scanner_of(config: Config) -> Scanner:
    """Return a scanner with the allowlist and the limits of a configuration."""
    section = config.pickle
    return Scanner(
        Allowlist.load(section.frameworks, section.allow),
        memory_limit=section.memory_limit,
        time_limit=section.time_limit,
        load_budget=section.load_budget,
    )


def configure_logs(config: Config) -> None:
    """Set up logging as config.yaml says."""
    section = config.logging
    own = RegistryFiles(config.registry.path).logs if section.file == "auto" else ()
    file = section.file if isinstance(section.file, Path) else None
    configure(format=section.format, level=section.level, file=file, own_files=own)


def open_server(config: Config, current: MetricsServer | None) -> MetricsServer | None:
    """Return the server for `metrics.listen`: `current` if it serves there, else a new one that is not started.

    None where nothing is to be served. Raises ConfigError for an address that cannot be bound, StorageError
    for an error that may pass.
    """
    address = config.metrics.listen
    if address is None:
        return None
    if current is not None and current.address == address and not current.problem:
        return current
    try:
        return MetricsServer(address, CONTENT_TYPE)
    except OSError as error:
        if is_transient(error):
            raise StorageError("listen on", address, error) from error
        problem = config_not_available(address, error.strerror or error)
        raise ConfigError(f"cannot use the configuration {str(config.path)!r}: 1 problem", [problem]) from error


@dataclass(frozen=True, slots=True)
class Reloaded:
    """A configuration, and what was made for it. `scanner` is None where the present one stays."""

    config: Config
    scanner: Scanner | None
    server: MetricsServer | None


def read_again(
    current: Config,
    server: MetricsServer | None,
    *,
    adjust: Callable[[Config], Config],
    make_scanner: Callable[[Config], Scanner],
) -> Reloaded:
    """Read the file of the current configuration again. Raises ModelInboxError, and then nothing has changed."""
    config = adjust(load_config(current.path, env=os.environ, cwd=Path.cwd()))
    scanner = make_scanner(config) if config.pickle != current.pickle else None
    try:
        return Reloaded(config, scanner, open_server(config, server))
    except BaseException:
        if scanner is not None:
            scanner.close()
        raise
