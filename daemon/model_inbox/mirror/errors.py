"""The errors of the mirror. Owns their codes, and which of them may pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..errors import ModelInboxError
from ..exit_codes import EXIT_CONFIG, EXIT_TRY_AGAIN
from ..problems import escaped, quoted

if TYPE_CHECKING:
    from ..problems.codes import Code

__all__ = ["ClientMissing", "MlflowRefused", "MlflowUnreachable", "client_missing", "unreachable"]


class ClientMissing(ModelInboxError):
    """MLflow's client is not installed."""

    code: ClassVar[Code] = "mlflow.client_missing"
    exit_status = EXIT_CONFIG


class MlflowUnreachable(ModelInboxError):
    """MLflow or its artifact store does not answer, or not as it should. It may do so later."""

    code: ClassVar[Code] = "mlflow.unreachable"
    exit_status = EXIT_TRY_AGAIN


class MlflowRefused(ModelInboxError):
    """MLflow cannot have this model: it refused it, or what is to be sent is not what was registered."""

    code: ClassVar[Code] = "mlflow.refused"


def client_missing(cause: object) -> ClientMissing:
    """Return the error for an environment without MLflow's client."""
    return ClientMissing(
        f"cannot use MLflow: its client is not installed ({escaped(cause)})",
        hint='Install it into the environment of model-inbox: pip install "model-inbox[mlflow]"',
    )


def unreachable(what: str, uri: str, problem: str) -> MlflowUnreachable:
    """Return the error for a call that MLflow did not answer as it should. `what` completes "cannot ... MLflow"."""
    return MlflowUnreachable(
        f"cannot {what} MLflow at {quoted(uri, 200)}: {problem}",
        hint="Check that it runs and that its artifact store can be reached from here; nothing is lost meanwhile",
    )
