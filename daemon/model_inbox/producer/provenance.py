"""Where a model comes from, as far as the process that drops it can tell.

Owns which facts are collected: the versions of Python and of frameworks, the commit, host and user, and the number of
the job. No value is taken from the environment but those of the table below. Never fails: what cannot be found out is
left out.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from ..model.metadata import PROVENANCE_MAX, PROVENANCE_VALUE_CHARACTERS_MAX

__all__ = ["ENVIRONMENT", "FRAMEWORKS", "collected", "merged"]

FRAMEWORKS = {
    "numpy": "numpy",
    "pandas": "pandas",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "lightgbm": "lightgbm",
    "xgboost": "xgboost",
    "catboost": "catboost",
    "statsmodels": "statsmodels",
    "torch": "torch",
    "joblib": "joblib",
    "arch": "arch",
    "polars": "polars",
}
"""The frameworks whose versions are collected: the name of the module, and that of the distribution."""

ENVIRONMENT = {
    "SLURM_JOBID": "slurm_job_id",
    "SLURM_JOB_ID": "slurm_job_id",
    "SLURM_JOB_NAME": "slurm_job_name",
    "SLURM_ARRAY_JOB_ID": "slurm_array_job_id",
    "SLURM_ARRAY_TASK_ID": "slurm_array_task_id",
    "PBS_JOBID": "pbs_job_id",
    "LSB_JOBID": "lsf_job_id",
    "INVOCATION_ID": "systemd_invocation_id",
    "POD_NAME": "kubernetes_pod",
    "POD_NAMESPACE": "kubernetes_namespace",
    "POD_UID": "kubernetes_pod_uid",
    "JOB_COMPLETION_INDEX": "kubernetes_job_index",
    "AIRFLOW_CTX_DAG_ID": "airflow_dag_id",
    "AIRFLOW_CTX_TASK_ID": "airflow_task_id",
    "AIRFLOW_CTX_DAG_RUN_ID": "airflow_run_id",
    "AIRFLOW_CTX_TRY_NUMBER": "airflow_try_number",
    "PREFECT__FLOW_RUN_ID": "prefect_flow_run_id",
    "PREFECT_FLOW_RUN_ID": "prefect_flow_run_id",
    "PREFECT__FLOW_RUN_NAME": "prefect_flow_run_name",
    "PREFECT__TASK_RUN_ID": "prefect_task_run_id",
    "DAGSTER_RUN_ID": "dagster_run_id",
    "DAGSTER_RUN_JOB_NAME": "dagster_job_name",
    "GITHUB_RUN_ID": "github_run_id",
    "GITHUB_RUN_ATTEMPT": "github_run_attempt",
    "GITHUB_REPOSITORY": "github_repository",
    "GITHUB_WORKFLOW": "github_workflow",
    "CI_JOB_ID": "gitlab_job_id",
    "CI_PIPELINE_ID": "gitlab_pipeline_id",
    "CI_PROJECT_PATH": "gitlab_project",
    "BUILD_TAG": "jenkins_build_tag",
    "BUILD_NUMBER": "build_number",
    "DRONE_BUILD_NUMBER": "drone_build",
    "BUILDKITE_BUILD_ID": "buildkite_build_id",
    "BUILDKITE_JOB_ID": "buildkite_job_id",
    "CIRCLE_WORKFLOW_ID": "circleci_workflow_id",
    "CIRCLE_BUILD_NUM": "circleci_build",
    "BUILD_BUILDID": "azure_build_id",
    "BITBUCKET_BUILD_NUMBER": "bitbucket_build",
    "TRAVIS_JOB_ID": "travis_job_id",
    "CODEBUILD_BUILD_ID": "codebuild_build_id",
    "AWS_BATCH_JOB_ID": "aws_batch_job_id",
    "TRAINING_JOB_NAME": "sagemaker_job_name",
}
"""The variables of the environment that are collected, with their names in the provenance; of two, the last counts."""
# What a build knows of its commit where the sources are no working tree.
_COMMITS = ("GITHUB_SHA", "CI_COMMIT_SHA", "GIT_COMMIT", "BUILDKITE_COMMIT", "CIRCLE_SHA1", "BUILD_SOURCEVERSION")
_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_GIT_SECONDS = 5.0
_UNIT = re.compile(r"/([^/\n]+\.(?:service|scope))\s*$", re.MULTILINE)


def collected(environment: Mapping[str, str], folder: Path, *, only_loaded: bool) -> dict[str, str]:
    """Return what is known of the model that this process drops, as names with text.

    `folder` is looked at for a git working tree. With `only_loaded` a framework counts if this process has imported it,
    otherwise if it is installed.
    """
    facts = {"python": platform.python_version()}
    facts |= _loaded_versions() if only_loaded else _installed_versions()
    facts |= _git(folder, environment)
    facts["host"] = platform.node()
    facts["user"] = _user()
    facts |= _jobs(environment, facts["host"])
    clean = {name: _clean(value) for name, value in facts.items()}
    return {name: value for name, value in clean.items() if value}


def merged(collected_facts: Mapping[str, str], said: Mapping[str, str]) -> dict[str, str]:
    """Return what was collected and what the producer said, which counts more. Fits within the limits if `said` does.

    One place is left for what was filled in.
    """
    room = max(PROVENANCE_MAX - 1 - len(said), 0)
    kept = [(name, value) for name, value in collected_facts.items() if name not in said][:room]
    return {**dict(kept), **said}


def _clean(value: str) -> str:
    """Return a value without what the metadata may not have: control characters, spaces at its ends, more than fits."""
    text = "".join(character for character in value if character.isprintable()).strip()
    return text[:PROVENANCE_VALUE_CHARACTERS_MAX].strip()


def _loaded_versions() -> Iterator[tuple[str, str]]:
    for module, distribution in FRAMEWORKS.items():
        version = getattr(sys.modules.get(module), "__version__", None)
        if isinstance(version, str):
            yield distribution, version


def _installed_versions() -> Iterator[tuple[str, str]]:
    from importlib.metadata import PackageNotFoundError, version

    for distribution in FRAMEWORKS.values():
        # A broken installation may have no version at all.
        with suppress(PackageNotFoundError, TypeError, OSError):
            yield distribution, version(distribution)


def _user() -> str:
    """Return the name of the user of this process, or the number of one without a name; "" where there is neither."""
    try:
        import pwd
    except ImportError:
        # Windows.
        return os.environ.get("USERNAME", "")
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _git(folder: Path, environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the commit of the working tree, and whether files that git knows differ from it.

    Files that git does not know do not count: the model itself is one. No program that the working tree names is run.
    """
    import subprocess

    command = ["git", "-c", "core.fsmonitor=false", "--no-optional-locks", "-C", str(folder)]
    command += ["status", "--porcelain=v2", "--branch", "--untracked-files=no", "--ignore-submodules=all"]
    with suppress(OSError, subprocess.SubprocessError):
        said = subprocess.run(  # noqa: S603  # fixed words
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_GIT_SECONDS,
            check=True,
            text=True,
            errors="replace",
            env={**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"},
        ).stdout.splitlines()
        commit = next((line.split()[2] for line in said if line.startswith("# branch.oid ")), "")
        if re.fullmatch(r"[0-9a-f]{40,64}", commit):
            yield "git_commit", commit
            yield "git_dirty", "true" if any(not line.startswith("#") for line in said) else "false"
            return
    commit = next((environment[name] for name in _COMMITS if environment.get(name)), "")
    if commit:
        yield "git_commit", commit


def _jobs(environment: Mapping[str, str], host: str) -> Iterator[tuple[str, str]]:
    if environment.get("INVOCATION_ID"):
        with suppress(OSError):
            unit = _UNIT.search(Path("/proc/self/cgroup").read_text("utf-8", "replace"))
            if unit is not None:
                yield "systemd_unit", unit[1]
    if environment.get("KUBERNETES_SERVICE_HOST"):
        # A pod's host name is its name, unless the pod says otherwise.
        yield "kubernetes_pod", host
        with suppress(OSError):
            yield "kubernetes_namespace", _NAMESPACE.read_text("utf-8", "replace")
    for variable, name in ENVIRONMENT.items():
        if environment.get(variable):
            yield name, environment[variable]
