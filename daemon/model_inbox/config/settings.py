"""The settings of config.yaml: every key with its type, its default and its description.

Owns the meaning of each value and which values are allowed. Never reads a file. The settings of `retention:` are in
`config.retention`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from difflib import get_close_matches
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from ..base.margins import Order
from ..base.units import parse_size
from ..model.metadata import PAIR_PATTERN
from ..model.sidecar_fields import SIDECAR_BYTES_MAX
from ..problems import Problem
from .gates import GateSection, unique_names
from .names import MarginSetting, Name, NumberName
from .retention import RetentionSection
from .sections import MatchSection, Pattern, Section, setting
from .values import (
    INBOX_DEFAULT,
    LOCK_TIMEOUT_DEFAULT,
    REGISTRY_DEFAULT,
    STORAGE_DEFAULT,
    parse_path,
    parse_positive_duration,
    why_not_apart,
)

__all__ = [
    "LISTS",
    "AbsolutePath",
    "AliasSection",
    "ChecksSection",
    "Config",
    "Duration",
    "InboxSection",
    "LoggingSection",
    "MetricsSection",
    "MlflowSection",
    "Patterns",
    "PermitSection",
    "PickleSection",
    "PromotionSection",
    "QuotaSection",
    "RegistrySection",
    "Size",
    "WebSection",
]

UNIX_PREFIX = "unix:"
# sockaddr_un has 108, with a zero at the end.
SOCKET_PATH_BYTES_MAX = 107


def _size(value: object) -> int:
    size = parse_size(value)  # type: ignore[arg-type]  # it refuses what is not text or a number
    if size <= 0:
        raise ValueError("it must be more than 0 bytes")
    return size


def _path(value: object, info: ValidationInfo) -> Path:
    """Return the path; a relative one is resolved from the folder in the validation's context, if there is one."""
    return parse_path(value, (info.context or {}).get("folder"))


def _log_file(value: object, info: ValidationInfo) -> Path | str:
    return "auto" if value == "auto" else _path(value, info)


def _word(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _expression(value: str) -> str:
    try:
        re.compile(value)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return value


def _printed(value: str) -> str:
    if not value.strip() or not value.isprintable():
        raise ValueError("it must be text of characters that can be printed")
    return value


def _patterns(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value:
        raise ValueError("an empty list would accept nothing; write null to accept anything")
    return value


def _mover(value: str) -> str:
    if not value.removeprefix("@") or not value.isprintable() or " " in value:
        raise ValueError("not a user; write a name or a number, or the name of a group with an @ before it: '@risk'")
    return value


def _movers(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value:
        raise ValueError("an empty list would let nobody move the alias; write null to let everybody")
    return value


def _permits(value: tuple[PermitSection, ...]) -> tuple[PermitSection, ...]:
    if not value:
        raise ValueError("an empty list would permit nothing; remove permits to permit everything")
    return value


def _sidecar_size(value: int) -> int:
    if not 1024 <= value <= SIDECAR_BYTES_MAX:
        raise ValueError(f"it must be from 1KiB to {SIDECAR_BYTES_MAX >> 20}MiB")
    return value


def _textfile(value: Path) -> Path:
    if value.suffix != ".prom":
        raise ValueError("its name must end in .prom; node_exporter reads no other files")
    return value


def _loopback(value: object, port_usual: int, from_elsewhere: str) -> str:
    """Return `address:port` in canonical form. Raises ValueError unless it is a loopback address and a port.

    `from_elsewhere` says what to do instead to reach it from other machines.
    """
    like = f"write it like '127.0.0.1:{port_usual}' or '[::1]:{port_usual}'"
    host, colon, port = value.strip().rpartition(":") if isinstance(value, str) else ("", "", "")
    if not colon or not port.isdecimal() or not port.isascii() or not 1 <= int(port) <= 65535:
        raise ValueError(f"not an address with a port; {like}")
    try:
        address = ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        raise ValueError(f"the address must be a number; {like}") from None
    if not address.is_loopback:
        raise ValueError(f"it must be a loopback address; to reach {from_elsewhere}")
    return f"[{address}]:{int(port)}" if address.version == 6 else f"{address}:{int(port)}"


def _metrics_address(value: object) -> str:
    return _loopback(
        value,
        9477,
        "the metrics from other machines, use a reverse proxy with authentication, or node_exporter with "
        "metrics.textfile",
    )


def _web_address(value: object, info: ValidationInfo) -> str:
    """Return `address:port`, or `unix:` and an absolute path. Raises ValueError for an address that is not loopback."""
    text = value.strip() if isinstance(value, str) else value
    if not isinstance(text, str) or not text.startswith(UNIX_PREFIX):
        return _loopback(
            text,
            9478,
            "the pages from other machines, use a reverse proxy with authentication before a loopback address or a "
            "socket (unix:PATH), or an ssh tunnel",
        )
    path = _path(text.removeprefix(UNIX_PREFIX), info)
    if len(os.fsencode(path)) > SOCKET_PATH_BYTES_MAX:
        raise ValueError(f"the path of a socket can have {SOCKET_PATH_BYTES_MAX} bytes at most")
    return f"{UNIX_PREFIX}{path}"


def _group(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable() or not value or " " in value:
        raise ValueError("not a group; write its name or number")
    return value


Duration = Annotated[
    float,
    BeforeValidator(parse_positive_duration),
    WithJsonSchema({"type": ["string", "number"], "examples": ["90s", "15m", "1h", "7d"]}),
]
Size = Annotated[
    int,
    BeforeValidator(_size),
    WithJsonSchema({"type": ["string", "integer"], "examples": ["20GiB", "500MB"]}),
]
AbsolutePath = Annotated[Path, BeforeValidator(_path), WithJsonSchema({"type": "string"})]
LogFile = Annotated[Path | Literal["auto"], BeforeValidator(_log_file), WithJsonSchema({"type": "string"})]
Patterns = Annotated[
    tuple[Pattern, ...],
    AfterValidator(_patterns),
    Field(json_schema_extra={"minItems": 1}),
]


class _Section(Section):
    """A section whose defaults are written as in config.yaml, and parsed like the settings."""

    model_config = ConfigDict(validate_default=True)


class InboxSection(_Section):
    """The inbox, and how long the daemon waits for incomplete drops."""

    path: AbsolutePath = setting(INBOX_DEFAULT, "The folder that producers write to.")
    watcher: Annotated[Literal["auto", "inotify", "polling"], BeforeValidator(_word)] = setting(
        "auto", "How changes are detected; auto polls network file systems and uses inotify elsewhere."
    )
    settle_seconds: Duration | None = setting(
        None,
        "How long an unsealed drop must stay unchanged; null is 2 seconds, or 10 where the folder is polled.",
    )
    rescan_seconds: Duration = setting(30, "How often the folder is listed even if no change was detected.")
    incomplete_timeout: Duration = setting(
        "15m", "When a drop that stays incomplete is rejected, counted from its last change."
    )
    orphan_timeout: Duration = setting(
        "24h", "When a file that belongs to no drop is rejected, counted from its last change."
    )
    max_artifact_size: Size = setting("20GiB", "The largest size of a model or scaler that is accepted.")
    max_sidecar_size: Annotated[Size, AfterValidator(_sidecar_size)] = setting(
        "1MiB", "The largest size of a sidecar that is accepted, up to 16MiB. Producers read it in the status."
    )
    rejected_keep: Duration = setting("30d", "How long rejected drops are kept.")
    receipts_keep: Duration = setting("30d", "How long receipts are kept.")
    private: bool = setting(
        False,  # noqa: FBT003  # as every default
        "Whether only the owner of a drop and the service can read it, its receipt, and its files if it is rejected. "
        "`make install` sets it to true.",
    )


class RegistrySection(_Section):
    """The registry and the folder of stored models."""

    path: AbsolutePath = setting(REGISTRY_DEFAULT, "The registry's file; its journal is beside it.")
    storage_dir: AbsolutePath = setting(STORAGE_DEFAULT, "The folder of the stored models.")
    lock_timeout: Duration = setting(LOCK_TIMEOUT_DEFAULT, "How long a writer waits for another writer.")
    checkpoint_seconds: Duration = setting(
        5, "The shortest time between two writes of the registry's file while models arrive."
    )
    history_keep: Duration = setting("730d", "How long the history of the registry is kept.")
    held_keep: Duration = setting("30d", "How long a model that is held is kept before it is retired to the trash.")


class PickleSection(_Section):
    """What a dropped pickle may contain, and the limits of the scan."""

    frameworks: tuple[str, ...] | None = setting(
        None,
        "The frameworks whose classes are allowed, like [lightgbm, scikit-learn]; null is all shipped lists.",
    )
    allow: dict[str, str] = setting(
        {}, "Your own classes by their full names, each with its allowed uses: 'fxmodels.lstm.FxLSTM: bnr'."
    )
    memory_limit: Size = setting("2GiB", "The most memory that the scan of one file may use.")
    time_limit: Duration = setting("120s", "The most time that the scan of one file may take.")
    load_budget: Size | None = setting(
        None,
        "The most memory that a load of one file may need by the scan's estimate; null is 256 MiB, or 8 times the "
        "uncompressed size if that is more.",
    )

    @field_validator("frameworks")
    @classmethod
    def _frameworks_are_known(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value is None:
            return None
        from ..pickles import check_frameworks

        if problems := check_frameworks(value):
            raise _several(problems)
        return value

    @field_validator("allow")
    @classmethod
    def _names_may_be_allowed(cls, value: dict[str, str]) -> dict[str, str]:
        if value:
            from ..pickles import check_extra

            if problems := check_extra(value):
                raise _several(problems)
        return value


class ChecksSection(_Section):
    """Further conditions for accepting a model."""

    model_types: Patterns | None = setting(
        None, "The model types that are accepted, as patterns like 'lightgbm*'; null is any."
    )
    currency_pairs: Patterns | None = setting(
        None, "The currency pairs that are accepted, as patterns like 'USD/*'; null is any."
    )
    pair_pattern: Annotated[str, AfterValidator(_expression)] | None = setting(
        PAIR_PATTERN,
        "The form that every currency pair must have, as a regular expression; null is any. The default "
        "takes letters and digits of every script.",
    )


class PermitSection(_Section):
    """Who may drop which models. At least one of users and groups names somebody."""

    users: tuple[Pattern, ...] = setting((), "The users, as names, numbers or patterns of them.")
    groups: tuple[Pattern, ...] = setting((), "The groups of users, as names, numbers or patterns of them.")
    match: MatchSection = Field(default_factory=MatchSection, description="The slots.")
    ids: Pattern | None = setting(None, "The model ids, as a pattern like 'alice-*'; null is any.")

    @model_validator(mode="after")
    def _names_somebody(self) -> Self:
        if not self.users and not self.groups:
            raise ValueError("it names nobody; add users or groups ('*' is everybody)")
        return self


class QuotaSection(_Section):
    """How much each of these users may have."""

    users: Patterns = Field(description="The users, as names, numbers or patterns of them. Each has the quota alone.")
    models_per_day: Annotated[int, Field(ge=0)] | None = setting(
        None, "How many drops of a user may be registered in 24 hours; null is no limit."
    )
    bytes: Size | None = setting(None, "How large a user's registered models may be together; null is no limit.")

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if self.models_per_day is None and self.bytes is None:
            raise ValueError("it limits nothing; add models_per_day or bytes")
        return self


class AliasSection(_Section):
    """An alias that not everybody may move."""

    may_move: Annotated[tuple[Annotated[str, AfterValidator(_mover)], ...], AfterValidator(_movers)] | None = setting(
        None,
        "The users who may move it by hand, as names or numbers, and groups of users as '@name'; null is everybody. It "
        "stops mistakes, and nobody who can write to the registry's folder.",
    )


class WhenSection(_Section):
    """When a new model is better than the one that has the alias."""

    metric: NumberName = Field(description="The number that is compared, like 1d.rmse.")
    order: Order = Field(description="Whether the smaller or the greater number is better.")
    by: MarginSetting = setting(
        "0", "By how much it must be better: a number, or like '5%' a part of the other one. 0 is by anything."
    )


class PromotionSection(_Section):
    """A rule that gives an alias to a new model of each slot that matches."""

    alias: Name = setting("champion", "The alias.")
    match: MatchSection = Field(default_factory=MatchSection, description="The slots.")
    when: WhenSection = Field(description="When a model gets the alias.")
    mode: Literal["enforce", "dry-run"] = setting(
        "enforce", "enforce: the alias moves; dry-run: it is only logged which model would get it."
    )


class LoggingSection(_Section):
    """What is logged, in which format, and where."""

    level: Annotated[Literal["debug", "info", "warning", "error", "critical"], BeforeValidator(_word)] = setting(
        "info", "The lowest level that is logged."
    )
    format: Annotated[Literal["auto", "console", "json", "journal"], BeforeValidator(_word)] = setting(
        "auto", "auto is console (sentences for people) on a terminal, journal under systemd, json elsewhere."
    )
    file: LogFile | None = setting(
        "auto",
        "A file to which the log is also written, as JSON lines; null is none. auto is a file beside the registry "
        "(10 MiB, and four older ones), and none under systemd.",
    )


class MetricsSection(_Section):
    """Where the metrics for Prometheus are published."""

    textfile: Annotated[AbsolutePath, AfterValidator(_textfile)] | None = setting(
        None, "A .prom file for the textfile collector of node_exporter; null is none."
    )
    listen: Annotated[str, BeforeValidator(_metrics_address), WithJsonSchema({"type": "string"})] | None = setting(
        None, "A loopback address with a port that serves /metrics, like 127.0.0.1:9477; null is none."
    )


class WebSection(_Section):
    """Where `model-inbox web` serves the pages. The daemon itself serves none."""

    listen: Annotated[str, BeforeValidator(_web_address), WithJsonSchema({"type": "string"})] = setting(
        "127.0.0.1:9478",
        "A loopback address with a port, which every user of this machine can open; or a socket for one group: "
        "unix:PATH.",
    )
    group: Annotated[str, BeforeValidator(_group), WithJsonSchema({"type": "string"})] | None = setting(
        None, "The group whose members can open the socket unix:PATH; null is the group of the process."
    )

    @model_validator(mode="after")
    def _group_has_a_socket(self) -> Self:
        if self.group is not None and not self.listen.startswith(UNIX_PREFIX):
            raise ValueError("a group needs a socket: every user of this machine can open a loopback address")
        return self


class MlflowSection(_Section):
    """The mirror of the registry in MLflow."""

    tracking_uri: Annotated[str, AfterValidator(_printed)] | None = setting(
        None, "The MLflow to write to, like http://mlflow:5000; null is that of $MLFLOW_TRACKING_URI."
    )
    experiment: Annotated[str, AfterValidator(_printed)] = setting(
        "model-inbox", "The experiment that the runs belong to; it is made if it is missing."
    )
    name: Annotated[str, AfterValidator(_printed)] = setting(
        "{pair}.{type}{.variant}",
        "The name of a slot's registered model. {.variant} is a dot and the variant, or nothing where it is empty.",
    )
    retired: Annotated[Literal["tag", "delete"], BeforeValidator(_word)] = setting(
        "tag",
        "What becomes of a version whose model was retired: it gets a tag that says so, or is deleted with its run, so "
        "that `mlflow gc` frees its bytes.",
    )
    state: AbsolutePath | None = setting(
        None, "The folder of the mirror's position; null is `mlflow-state` beside the registry's folder."
    )


LISTS = frozenset({"permits", "quota", "gates", "promotion"})
"""The settings at the top of the file that are lists, and no sections. One that is null has its default."""


class Config(_Section):
    """All settings. Times are in seconds, sizes in bytes; paths are absolute if `load_config` read them."""

    inbox: InboxSection = Field(default_factory=InboxSection)
    registry: RegistrySection = Field(default_factory=RegistrySection)
    pickle: PickleSection = Field(default_factory=PickleSection)
    checks: ChecksSection = Field(default_factory=ChecksSection)
    permits: Annotated[tuple[PermitSection, ...], AfterValidator(_permits)] | None = setting(
        None, "Who may drop what. A drop that no entry covers is refused; null is no limit."
    )
    quota: tuple[QuotaSection, ...] = setting(
        (), "How much users may drop. The first entry that names a user counts; a user without one has no limit."
    )
    gates: Annotated[tuple[GateSection, ...], AfterValidator(unique_names)] = setting(
        (), "What models must fulfil before they are served."
    )
    promotion: tuple[PromotionSection, ...] = setting(
        (),
        "Which new models get an alias without being asked for. Of the rules for an alias, the first that matches a "
        "slot counts.",
    )
    aliases: dict[Name, AliasSection] = setting({}, "Who may move which aliases. All others are free.")
    retention: RetentionSection = Field(default_factory=RetentionSection)
    logging: LoggingSection = Field(default_factory=LoggingSection)
    metrics: MetricsSection = Field(default_factory=MetricsSection)
    mlflow: MlflowSection = Field(default_factory=MlflowSection)
    web: WebSection = Field(default_factory=WebSection)

    _file: Path | None = PrivateAttr(default=None)

    @property
    def path(self) -> Path | None:
        """The file that was read; None if there was none, so that all settings are defaults."""
        return self._file

    @model_validator(mode="after")
    def _folders_are_apart(self) -> Self:
        if why := why_not_apart(self.inbox.path, self.registry.storage_dir, self.registry.path):
            raise ValueError(why)
        return self


def _several(problems: Sequence[Problem]) -> PydanticCustomError:
    """Return one error for pydantic that contains problems of our own; each `field` is relative to the setting."""
    return PydanticCustomError("problems", "there are problems", {"problems": tuple(problems)})


def did_you_mean(name: str, known: Sequence[str], otherwise: str) -> str:
    """Return a hint with the known name most like `name`, or with all known names after `otherwise`."""
    near = get_close_matches(name[:64], known, 1, 0.6)
    return f"Did you mean {near[0]}?" if near else f"{otherwise} {', '.join(known)}"
