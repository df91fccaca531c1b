"""Every problem code, and the code of every error: what it means, where it comes from, what to do about it.

One table for programs and people, written in a module for each kind of thing. `docs/reference/problems.md` is made from
it, and a test holds that each code has one constructor and that nothing else makes it. Pure data: the texts that users
meet are the constructors', beside this package. Never imported by the daemon: it is for documents and tests.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..codes import About, Code
from . import artifacts, configuration, drops, operations, registries, sidecars

__all__ = ["CODES", "NOUNS"]

CODES: Mapping[Code, About] = {
    **sidecars.ROWS,
    **artifacts.ROWS,
    **drops.ROWS,
    **configuration.ROWS,
    **registries.ROWS,
    **operations.ROWS,
}
"""Every code once."""

NOUNS: Mapping[str, str] = {
    "sidecar": "The text of a sidecar and its fields; metadata that is given to the Python API has the same problems.",
    "artifact": "Model and scaler of a drop: whether they are there and complete, and what the scan found in them.",
    "clock": "The clock of the machine, after it has jumped.",
    "checks": "What the operator accepts, by `checks` in config.yaml.",
    "gates": "What a model must fulfil before it is served, by `gates` in config.yaml.",
    "drop": "A drop as a whole: what it waits for, why it was rejected, what lies in the inbox without being a drop.",
    "explain": "What `model-inbox inbox` cannot find out.",
    "inbox": "The inbox itself. The daemon does not start with one of these.",
    "config": "config.yaml, and files with retention rules. With a problem in it the daemon does not start, or reload.",
    "registry": "The registry: why it refuses something, and what `model-inbox verify` finds wrong with it.",
    "journal": "What `model-inbox verify` finds wrong with the journal and its history.",
    "retention": "What stops a retention plan, and its warnings: these retire nothing and keep what they name.",
    "backup": "What `model-inbox backup` cannot do, and what `backup verify` finds wrong with snapshots.",
    "mlflow": "Errors of `model-inbox mlflow`, and what it sets aside.",
    "status": "What `model-inbox status` finds wrong with the daemon.",
    "metadata": "Errors of the Python API about metadata.",
    "condition": "Conditions on models that cannot be used.",
    "command": "Errors of commands.",
    "scaler": "Errors of `model-inbox replace-scaler`.",
    "reload": "Errors of `model-inbox reload`.",
    "load": "Errors of loading a stored model.",
    "scan": "Errors of the scanner itself. They say nothing about a file.",
    "storage": "Errors of the disk.",
    "log": "Errors of `model-inbox logs`.",
    "error": "All other errors.",
}
