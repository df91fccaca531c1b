"""One example for each code of `docs/reference/problems.md`, made by the program itself.

Where a rule can be run on a few lines of text or in an empty folder, it is run; elsewhere the constructor is called.
Nothing here depends on the machine, the user or the time: paths below the folder that is used are shown as below
/var/lib/model-inbox. `python docs/problem_examples.py` prints them as JSON.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from model_inbox import ModelMetadata, ModelRegistry, drop
from model_inbox.backup.manifest import Manifest
from model_inbox.base.accounts import Account
from model_inbox.base.flocks import FileLock, Holding
from model_inbox.base.leases import Lease
from model_inbox.base.remedies import remedy_for
from model_inbox.cli import root
from model_inbox.cli.retention import ChangedMeanwhile
from model_inbox.config.gates import GateSection
from model_inbox.config.load import load_config, parse_config, parse_retention
from model_inbox.errors import (
    ConfigError,
    ModelInboxError,
    RegistryCorrupted,
    RegistryTooNew,
    ScanError,
    StorageError,
)
from model_inbox.gates import Gates
from model_inbox.inbox.acceptance import verdict
from model_inbox.inbox.readiness import Limits, Look, Rejection, Sighting, judge_stray
from model_inbox.mirror.errors import client_missing, unreachable
from model_inbox.mirror.writer import must_be_mirrored
from model_inbox.model.conditions.condition import parse_condition
from model_inbox.model.file_names import SUFFIXES_IN_WORDS
from model_inbox.model.metadata import PAIR_PATTERN
from model_inbox.model.sidecar import parse_sidecar
from model_inbox.pickles import Allowlist
from model_inbox.pickles.report import problem_of, report_of
from model_inbox.problems import Problem, artifact, backup, clock, config, explain, inbox, journal, registry, sidecar
from model_inbox.problems import drop as drops
from model_inbox.problems.checks import checks_near_pair
from model_inbox.problems.codes import Code
from model_inbox.registry.clock import ClockDoubt, Jump, in_words
from model_inbox.registry.clock_watch import Looked
from model_inbox.registry.entry import as_fields
from model_inbox.registry.protection import Protection
from model_inbox.registry.registration import id_taken
from model_inbox.retention.foresight import foreseen
from model_inbox.retention.plan import plan
from model_inbox.telemetry.health import assess

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
JUMP = Jump(NOW, NOW + timedelta(days=400))
STATE = Path("/var/lib/model-inbox")
MODELS = STATE / "models" / "prediction"
REGISTRY = STATE / "models" / "prediction_registry.json"
JOURNAL = STATE / "models" / "prediction_registry.journal.jsonl"
HISTORY = STATE / "models" / "history"

SIDECAR = """\
model_type: lightgbm
currency_pair: USD/EUR
trained_at: 2026-11-24T11:30:00Z
version: 1.10
validation_metrics: {rmse: 0.0041}
min_samples: 500
calibration_ok: true
features_used: [sma_5, rsi_14]
horizons: [1, 7, 30]
"""

Example = Problem | ModelInboxError
"""What is shown: both have a code, a message and a hint."""


def pick(code: Code, found: Iterator[Problem] | tuple[Problem, ...] | list[Problem]) -> Problem:
    """Return the first of these problems that has the code."""
    return next(problem for problem in found if problem.code == code)


def raised(doing: Callable[[], object]) -> ModelInboxError:
    """Return the error that it raises."""
    try:
        doing()
    except ModelInboxError as error:
        return error
    raise AssertionError("nothing was raised")


# --- sidecars and configurations: read -----------------------------------------------------------------------


def of_sidecar(code: Code, text: str | bytes) -> Problem:
    """Return the problem, or the note, with that code of a sidecar."""
    read = parse_sidecar(text.encode() if isinstance(text, str) else text, stem="usd_eur", now=NOW)
    return pick(code, (*read.problems, *read.notes))


def changed(old: str, new: str) -> str:
    """Return the sample sidecar with one thing changed."""
    assert old in SIDECAR
    return SIDECAR.replace(old, new)


def of_config(code: Code, text: str | bytes) -> Problem:
    """Return the problem with that code of a config.yaml."""
    try:
        parse_config(text.encode() if isinstance(text, str) else text, file=Path("config.yaml"))
    except ConfigError as error:
        return pick(code, error.problems)
    raise AssertionError(f"no problem: {text!r}")


# What is no good as YAML is so in both.
BAD_YAML: Mapping[str, str | bytes] = {
    "not_yaml": "model_type: [lightgbm\nversion: 1\n",
    "not_utf8": b"model_type: \xff\n",
    "several_documents": "model_type: lightgbm\n---\nversion: 1\n",
    "too_large": "x: " + "y" * (2 << 20),
    "too_deep": "x: " + "[" * 100,
    "too_many_values": "x: [" + "1," * 300_000 + "]",
    "anchor": "model_type: &a lightgbm\n",
    "tag": "model_type: !!python/object:fxmodels.Model\n",
    "merge_key": "<<: {a: 1}\n",
    "key_not_text": "[a, b]: 1\n",
    "duplicate_key": "version: 1\nversion: 2\n",
}


def yaml_examples() -> Iterator[tuple[str, Problem]]:
    """The problems of YAML, of both nouns."""
    for fault, text in BAD_YAML.items():
        yield f"sidecar.{fault}", of_sidecar(f"sidecar.{fault}", text)  # type: ignore[arg-type]  # a test holds the codes
        yield f"config.{fault}", of_config(f"config.{fault}", text)  # type: ignore[arg-type]  # the same


def sidecar_examples() -> dict[str, Problem]:
    """The problems of a sidecar's fields."""
    many = "".join(f"field_{number}: 1\n" for number in range(120))
    later = changed("11:30:00Z", "13:30:00Z")
    return {
        "sidecar.missing_field": of_sidecar("sidecar.missing_field", changed("horizons: [1, 7, 30]\n", "")),
        "sidecar.unknown_key": of_sidecar("sidecar.unknown_key", changed("model_type", "model_typ")),
        "sidecar.wrong_type": of_sidecar("sidecar.wrong_type", changed("500", "many")),
        "sidecar.invalid_value": of_sidecar("sidecar.invalid_value", changed("0.0041", ".nan")),
        "sidecar.invalid_name": of_sidecar("sidecar.invalid_name", SIDECAR + "model_file: usd_eur.onnx\n"),
        "sidecar.path_not_plain_name": of_sidecar(
            "sidecar.path_not_plain_name", SIDECAR + "model_file: /home/ann/usd_eur.pkl\n"
        ),
        "sidecar.same_file_twice": of_sidecar("sidecar.same_file_twice", SIDECAR + "scaler_file: usd_eur.pkl\n"),
        "sidecar.future_date": of_sidecar("sidecar.future_date", later),
        "clock.behind": clock.clock_behind("trained_at", of_sidecar("sidecar.future_date", later).message),
        "sidecar.no_zone": of_sidecar("sidecar.no_zone", changed("11:30:00Z", "11:30:00")),
        "sidecar.not_a_mapping": of_sidecar("sidecar.not_a_mapping", "- model_type\n- lightgbm\n"),
        "sidecar.empty": of_sidecar("sidecar.empty", "# to be written\n"),
        "sidecar.more_problems": of_sidecar("sidecar.more_problems", SIDECAR + many),
        "sidecar.not_owner": sidecar.sidecar_not_owner("usd_eur.pkl"),
        "sidecar.ambiguous": sidecar.sidecar_ambiguous(["usd_eur.yaml", "usd_eur.yml"]),
        "sidecar.cut_off": sidecar.sidecar_cut_off("usd_eur.yaml", 4),
    }


def config_examples() -> dict[str, Example]:
    """The problems of config.yaml."""
    missing, folder = Path("/etc/model-inbox/confg.yaml"), Path("/")
    return {
        "config.invalid": raised(lambda: parse_config(b"inbx: {}\n", file=Path("config.yaml"))),
        "config.not_found": problem_in(lambda: load_config(missing, env={}, cwd=Path("/"))),
        "config.not_readable": problem_in(lambda: load_config(folder, env={}, cwd=Path("/"))),
        "config.not_trusted": config.config_not_trusted("the folder belongs to alice"),
        "config.not_a_mapping": of_config("config.not_a_mapping", "- inbox\n"),
        "config.unknown_key": of_config("config.unknown_key", "inbox: {setle_seconds: 5}\n"),
        "config.missing_key": of_config("config.missing_key", "retention: {policies: [{keep: {best: {n: 3}}}]}\n"),
        "config.invalid_value": of_config("config.invalid_value", "inbox: {settle_seconds: soon}\n"),
        "config.invalid_allow": of_config("config.invalid_allow", "pickle: {allow: {'os.system': rc}}\n"),
        "config.not_available": config.config_not_available("127.0.0.1:9477", os.strerror(errno.EADDRINUSE)),
        "config.unusable": config.config_unusable(
            "inbox.path",
            "the folder '/srv/inbox' cannot be used: No such file or directory",
            "Make it, or name another path",
        ),
        "config.not_tried": config.config_not_tried("model-inbox"),
        "config.no_rules": config.config_no_rules(),
    }


def problem_in(doing: Callable[[], object]) -> Problem:
    """Return the only problem of the ConfigError that it raises."""
    error = raised(doing)
    assert isinstance(error, ConfigError) and len(error.problems) == 1
    return error.problems[0]


# --- files and pickles ---------------------------------------------------------------------------------------


def of_scan(code: Code, uses: Mapping[str, str], *, carries_code: bool = False, **more: object) -> Problem:
    """Return the problem with that code of a pickle that carries these names."""
    recording = {"uses": uses, "carries_code": carries_code, "findings": [], "kind": "plain", "versions": {}, **more}
    return pick(code, report_of(recording, Allowlist.load()).problems)


def artifact_examples() -> dict[str, Problem]:
    """The problems of models and scalers."""
    return {
        "artifact.missing": artifact.artifact_missing("model", "usd_eur.pkl"),
        "artifact.truncated": problem_of("truncated", "", ""),
        "artifact.open_for_writing": artifact.artifact_open_for_writing("usd_eur.pkl"),
        "artifact.not_regular": problem_of("not-regular", "", ""),
        "artifact.ambiguous": artifact.artifact_ambiguous("model", ["usd_eur.joblib", "usd_eur.pt"]),
        "artifact.others": artifact.artifact_others("model", "usd_eur.pkl", ["usd_eur.joblib"]),
        "artifact.unknown_suffix": artifact.artifact_unknown_suffix("usd_eur.onnx", SUFFIXES_IN_WORDS),
        "artifact.too_large": artifact.artifact_too_large("usd_eur.pkl", "31 GiB", "20 GiB"),
        "artifact.digest_mismatch": artifact.artifact_digest_mismatch("model", "usd_eur.pkl", "a1" * 32, "b2" * 32),
        "artifact.not_a_pickle": problem_of("not-a-pickle", "", ""),
        "artifact.malformed": problem_of("bad-joblib-array", "", "its shape is negative"),
        "artifact.trailing_data": problem_of("trailing-data", "", ""),
        "artifact.several_pickles": problem_of("several-pickles", "", ""),
        "artifact.unsupported": problem_of("no-lz4", "", ""),
        "artifact.scan_limits": problem_of("needs-memory", "", ""),
        "artifact.load_cost": of_scan(
            "artifact.load_cost",
            {"numpy.ndarray": "r"},
            cost={"bytes": 5 << 30, "most_bytes": "numpy.ndarray", "content_bytes": 3 << 20},
        ),
        "artifact.embedded_code": of_scan(
            "artifact.embedded_code", {"cloudpickle.cloudpickle._make_function": "cr"}, carries_code=True
        ),
        "artifact.forbidden_import": of_scan("artifact.forbidden_import", {"fxmodels.lstm.FxLSTM": "bnr"}),
        "artifact.never_allowed": of_scan("artifact.never_allowed", {"os.system": "cr"}),
        "artifact.forbidden_use": problem_of("hashed", "fxmodels.lstm.FxLSTM", ""),
        "artifact.forbidden_arguments": problem_of("keyword-arguments", "numpy.dtype", ""),
        "artifact.not_a_tree": problem_of(
            "not-a-tree",
            "lightgbm.basic.Booster",
            "tree 0, node 5: the left child is 99999999, and there are 30 nodes",
        ),
        "artifact.more_problems": of_scan(
            "artifact.more_problems", {f"fxmodels.layers.Layer{number}": "bnr" for number in range(60)}
        ),
    }


def checks_examples() -> dict[str, Problem]:
    """The operator's own checks."""
    metadata = parse_sidecar(SIDECAR.encode(), stem="usd_eur", now=NOW).metadata
    assert metadata is not None
    odd = replace(metadata, currency_pair="../../etc")
    found = verdict(odd, {}, model_types=["lstm", "xgb*"], currency_pairs=["*/JPY"], pair_pattern=PAIR_PATTERN)
    return {problem.code: problem for problem in (*found, checks_near_pair("usd/eur", "USD/EUR", 12))}


def gates_examples() -> dict[str, Problem]:
    """A model beside the champion, at a gate that rejects and at one that holds."""
    entry = {"model_id": "usd_eur_new", "validation_metrics": {"1d": {"rmse": 9.9}}, "sequence": 8}
    champion = {"model_id": "usd_eur_old", "validation_metrics": {"1d": {"rmse": 0.01}}, "sequence": 7}
    found = {}
    for on_fail in ("reject", "hold"):
        gate = GateSection.model_validate(
            {
                "name": "accuracy",
                "against": "champion",
                "max_regression": {"1d.rmse": "5%"},
                "order": "min",
                "on_fail": on_fail,
            }
        )
        examined = Gates((gate,)).examine(entry, lambda _: champion)
        found |= {problem.code: problem for problem in (*examined.problems, *examined.notes)}
    return found


# --- drops ---------------------------------------------------------------------------------------------------


class LyingStill:
    """Facts about files that nobody has touched for a day."""

    def unchanged_seconds(self, _name: str) -> float:
        return 86_400.0

    def age_seconds(self, _name: str) -> float:
        return 86_400.0

    def looks(self, names: Sequence[str]) -> dict[str, Look]:
        return {name: Look(Lease.FREE, complete=True) for name in names}

    def rejection_of(self, stray: Sighting) -> Rejection | None:
        assert stray.kind == "file"
        return None

    def held(self, _drop: object) -> None:
        return None


def stray(name: str, kind: Any = "file") -> Problem:
    """Return what is said of a name that belongs to no drop."""
    sighting = Sighting(name, kind, 1, 100, 0, 0, 1000)
    return judge_stray(sighting, {name}, LyingStill(), Limits(2.0, 900.0, 86_400.0, 20 << 30)).problems[0]


def drop_examples(folder: Path) -> dict[str, Example]:
    """The problems of drops as a whole."""
    wrong = parse_sidecar(b"", stem="usd eur", now=NOW).stem_problem
    assert wrong is not None
    return {
        "drop.settling": drops.drop_settling("the sidecar does not end with `...` and gives no sha256"),
        "drop.changed": drops.drop_changed("usd_eur.pkl"),
        "drop.deferred": drops.drop_deferred(
            "20261124T120000.000001-usd_eur", StorageError("stage", MODELS / ".staging/x", no(errno.ENOSPC)).message
        ),
        "drop.incomplete_timeout": drops.drop_incomplete_timeout("15m"),
        "drop.unreadable": drops.drop_unreadable("usd_eur.pkl", "owned by ann, mode 0600", "chmod g+r 'usd_eur.pkl'"),
        "drop.not_movable": drops.drop_not_movable(
            "usd_eur.yaml",
            StorageError("take", STATE / "inbox/usd_eur.yaml", no(errno.EPERM)).message,
            remedy_for(StorageError("write", STATE / "inbox/usd_eur.yaml", no(errno.EPERM)), "model-inbox"),
        ),
        "drop.storage_unwritable": drops.drop_storage_unwritable(
            StorageError("write in", STATE / "models", no(errno.EROFS)).message,
            remedy_for(StorageError("write", STATE / "models", no(errno.EROFS)), "model-inbox"),
        ),
        "drop.invalid_name": wrong,
        "drop.sidecar_not_regular": drops.drop_sidecar_not_regular("usd_eur.yaml", "'usd_eur.yaml' is a symbolic link"),
        "drop.linked": drops.drop_linked("usd_eur.pkl", refused=True),
        "drop.replaced": drops.drop_replaced("usd_eur.pkl"),
        "drop.unexpected": drops.drop_unexpected("IndexError: 'tuple index out of range' (validation.py:180)", 2),
        "drop.not_permitted": drops.drop_not_permitted(
            "bob (uid 1002)",
            "eur_usd_7",
            "currency_pair 'EUR/USD', model_type 'lightgbm'",
            ["currency_pair 'GBP/*', model_id 'gbp_*'"],
        ),
        "drop.quota": drops.drop_quota(
            "bob (uid 1002)",
            "has 100 registrations in the last 24 hours, and 100 a day are allowed",
            "quota[0].models_per_day",
            "The next one can be registered after 2026-11-24T18:30:00.000Z: drop it again then",
        ),
        "drop.metadata_differs": drops.drop_metadata_differs(
            "trained_at", "2026-11-24T11:30:00Z", "2026-11-24T12:30:00Z"
        ),
        "drop.no_sidecar": stray("usd_eur.pkl"),
        "drop.sidecar_rejected": drops.drop_sidecar_rejected("usd_eur.pkl", "20261124T120000000000Z-0001-usd_eur"),
        "drop.scaler_late": drops.drop_scaler_late("usd_eur_scaler.pkl", "usd_eur"),
        "drop.folder": stray("usd_eur", "folder"),
        "drop.ignored": drops.drop_ignored("usd_eur.pkl.part", "one that programs use while they write"),
        "drop.refused": raised(lambda: drop({}, metadata("usd_eur"), inbox=folder / "inbx")),
        "explain.unknown": explain.explain_unknown("usd_eur.pkl", "ann", 0o600),
        "inbox.not_a_folder": inbox.inbox_not_a_folder(STATE / "inbox/rejected"),
        "inbox.not_ours": inbox.inbox_not_ours(STATE / "inbox", 1000, 998),
        "inbox.not_sticky": inbox.inbox_not_sticky(STATE / "inbox", 0o2770),
        "inbox.open_to_others": inbox.inbox_open_to_others(STATE / "inbox/receipts", 0o777),
    }


def no(number: int) -> OSError:
    """Return what the system says with an error number."""
    return OSError(number, os.strerror(number))


def metadata(model_id: str, **changes: Any) -> ModelMetadata:
    """Return the metadata of the sample sidecar."""
    read = parse_sidecar(SIDECAR.encode(), stem=model_id, now=NOW).metadata
    assert read is not None
    return replace(read, **changes)


# --- the registry --------------------------------------------------------------------------------------------


def registry_examples(folder: Path) -> dict[str, Example]:
    """What the registry refuses, and what `verify` finds."""
    path = folder / "models" / "prediction_registry.json"
    path.parent.mkdir()
    found: dict[str, Example] = {"registry.missing": raised(lambda: ModelRegistry(path, read_only=True))}
    with ModelRegistry(path, path.with_name("prediction")) as writer:
        writer.register_model(metadata("usd_eur"), {})
        writer.pin("usd_eur")
        found["registry.entry_needed"] = raised(lambda: writer.load_model("usd_eur"))  # type: ignore[arg-type]  # the mistake
        found["registry.not_found"] = raised(lambda: writer.pin("usd_eurr"))
        found["registry.protected"] = raised(lambda: writer.delete_model("usd_eur"))
        writer.promote("usd_eur")
        found["registry.promotion_refused"] = raised(lambda: writer.rollback("USD/EUR"))
        protection = Protection({"champion": ("alice", "@risk")}, 12, NOW, "daemon")
        found["registry.alias_protected"] = raised(lambda: protection.check("champion", Account(1003, "bob")))
        writer.remove_alias("champion", "usd_eur")
        writer.register_model(metadata("gbp_usd"), {})
        writer.delete_model("gbp_usd")
        (rotten,) = (path.parent / ".trash").glob("gbp_usd.*/gbp_usd.pkl")
        rotten.chmod(0o640)
        rotten.write_bytes(b"other bytes")
        found["registry.restore_refused"] = raised(lambda: writer.restore("gbp_usd"))
        found["metadata.invalid"] = raised(lambda: writer.register_model(metadata("eur_usd", min_samples=-1), {}))
        found["error"] = raised(lambda: writer.replace_scaler("usd_eur", None))
        with ModelRegistry(path, path.with_name("prediction"), read_only=True) as reader:
            found["registry.failed"] = raised(lambda: reader.pin("usd_eur"))
        entry = writer.get_model_info("usd_eur")
        assert entry is not None
        stored = Path(entry["model_path"])
        stored.chmod(0o640)
        stored.write_bytes(b"other bytes")
        found["load.refused"] = raised(lambda: writer.load_model_objects(entry))
        elsewhere = {**entry, "model_path": "/srv/old/usd_eur.pkl"}
        found["load.outside"] = raised(lambda: writer.load_model_objects(elsewhere))
    pickled = MODELS / "usd_eur.pkl"
    found |= {
        "condition.invalid": raised(lambda: parse_condition("trained>yesterday", NOW)),
        "registry.model_id_taken": id_taken("usd_eur", "2026-11-23T06:00:00Z"),
        "registry.locked": locked(path.with_suffix(".lock")),
        "registry.corrupted": RegistryCorrupted(JOURNAL, 4096, "a line whose checksum does not match its bytes"),
        "registry.too_new": RegistryTooNew.of_file(
            JOURNAL, "the journal has the format 'model-inbox-journal/2', this version reads model-inbox-journal/1"
        ),
        "registry.text_not_unicode": registry.registry_text_not_unicode("reason", "too old \udcff"),
        "registry.unreadable": registry.registry_unreadable(JOURNAL, os.strerror(errno.EACCES)),
        "registry.checkpoint_missing": registry.registry_checkpoint_missing(REGISTRY),
        "registry.checkpoint_damaged": registry.registry_checkpoint_damaged(
            REGISTRY, "the JSON file's bytes are not those of the checkpoint that was written last"
        ),
        "registry.mark_missing": registry.registry_mark_missing(REGISTRY.with_suffix(".mark")),
        "registry.mark_differs": registry.registry_mark_differs(REGISTRY.with_suffix(".mark"), "3f0a", "91c2"),
        "registry.mark_damaged": registry.registry_mark_damaged(
            REGISTRY.with_suffix(".mark"),
            RegistryCorrupted(REGISTRY.with_suffix(".mark"), None, "it is no mark").message,
        ),
        "registry.entry_differs": registry.registry_entry_differs(
            REGISTRY, "usd_eur", "is not what the journal says: 'version'"
        ),
        "registry.entry_incomplete": registry.registry_entry_incomplete(REGISTRY, "usd_eur"),
        "registry.file_missing": registry.registry_file_missing(pickled),
        "registry.file_outside": registry.registry_file_outside("/srv/old/usd_eur.pkl", STATE / "models", MODELS),
        "registry.file_not_regular": registry.registry_file_not_regular(pickled),
        "registry.file_writable": registry.registry_file_writable(pickled, "usd_eur"),
        "registry.size_mismatch": registry.registry_size_mismatch(pickled, "usd_eur", 81_920, 81_412),
        "registry.digest_mismatch": registry.registry_digest_mismatch(pickled, "b2" * 32, "a1" * 32),
        "registry.verdict_changed": registry.registry_verdict_changed(
            pickled,
            "'usd_eur' would be refused now (numpy was updated): "
            + of_scan("artifact.forbidden_import", {"fxmodels.lstm.FxLSTM": "bnr"}).message,
            "`model-inbox delete 'usd_eur'` retires it; to keep it, allow what it needs in `pickle.allow`",
        ),
        "registry.sidecar_missing": registry.registry_sidecar_missing(pickled.with_suffix(".yaml"), "usd_eur"),
        "registry.sidecar_damaged": registry.registry_sidecar_damaged(
            pickled.with_suffix(".yaml"), "usd_eur", of_sidecar("sidecar.empty", "").message
        ),
        "registry.sidecar_differs": registry.registry_sidecar_differs(
            pickled.with_suffix(".yaml"), "usd_eur", "horizons, version"
        ),
        "registry.labels_missing": registry.registry_labels_missing(MODELS / "usd_eur.labels.json", "usd_eur"),
        "registry.labels_damaged": registry.registry_labels_damaged(
            MODELS / "usd_eur.labels.json", "usd_eur", "its bytes are not those of a labels file"
        ),
        "registry.labels_differ": registry.registry_labels_differ(
            MODELS / "usd_eur.labels.json", "usd_eur", "aliases, pinned"
        ),
        "registry.rules_missing": registry.registry_rules_missing(MODELS.parent / f"history/{'5d' * 32}.rules.json"),
        "registry.rules_damaged": registry.registry_rules_damaged(MODELS.parent / f"history/{'5d' * 32}.rules.json"),
        "registry.storage_missing": registry.registry_storage_missing(MODELS),
        "registry.leftover_file": registry.registry_leftover_file(MODELS / "gbp_usd.pkl"),
        "registry.staging_leftover": registry.registry_staging_leftover(MODELS / ".staging/usd_eur.pkl"),
        "registry.trash_missing": registry.registry_trash_missing(MODELS / ".trash/usd_eur.17", "usd_eur", 17),
        "registry.trash_incomplete": registry.registry_trash_incomplete(MODELS / ".trash/usd_eur.17", "usd_eur", 17),
        "registry.trash_damaged": registry.registry_trash_damaged(
            MODELS / ".trash/usd_eur.17/usd_eur.pkl", "usd_eur", "b2" * 32, "a1" * 32
        ),
        "registry.trash_extra": registry.registry_trash_extra(MODELS / ".trash/usd_eur.17/notes.txt", "usd_eur"),
        "registry.trash_unknown": registry.registry_trash_unknown(MODELS / ".trash/usd_eur.17"),
        "journal.missing": journal.journal_missing(JOURNAL),
        "journal.damaged": journal.journal_damaged(JOURNAL, 4096, "a line whose checksum does not match its bytes"),
        "journal.cut": journal.journal_cut(JOURNAL, 120, 123),
        "journal.gap": journal.journal_gap(JOURNAL, 41, 80),
        "journal.base_missing": journal.journal_base_missing(HISTORY, 1, 40),
        "journal.base_damaged": journal.journal_base_damaged(
            HISTORY / "00000000000000000040.base.json",
            RegistryCorrupted(HISTORY / "00000000000000000040.base.json", None, "its checksum does not match").message,
        ),
        "storage.failed": StorageError("move", STATE / "inbox/usd_eur.pkl", no(errno.ENOSPC)),
        "scan.failed": ScanError(f"cannot start the worker that scans pickles: {no(errno.ENOMEM)}"),
    }
    return found


def locked(path: Path) -> ModelInboxError:
    """Return the error of a lock that another process holds."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write("process 4711, model-inbox run")
        file.flush()
        return raised(lambda: FileLock(path, "writer").acquire(0.5))


# --- retention, status, commands -----------------------------------------------------------------------------


def retention_examples() -> dict[str, Problem]:
    """The warnings of a plan, and its breaker."""

    def entry(number: int, **changes: Any) -> dict[str, Any]:
        return {
            "model_id": f"usd_eur_{number}",
            "model_type": "lightgbm",
            "currency_pair": "USD/EUR",
            "trained_at": f"2026-10-{number + 1:02d}T06:00:00Z",
            "validation_metrics": {"rmse": 0.004},
            "size_bytes": 5 << 20,
            "sequence": number,
            **changes,
        }

    entries = [
        *(entry(number) for number in range(20)),
        entry(20, trained_at="soon"),
        entry(21, trained_at="2027-01-01T00:00:00Z"),
        entry(22, size_bytes=None),
        entry(23, validation_metrics={}),
    ]
    rules = (
        b"mode: enforce\nbreaker: {max_deletes: 5}\npolicies:\n"
        b"- {budget: 10MB, keep: {last: 4, best: {metric: rmse, n: 2, order: min}}}\n"
    )
    made = plan(entries, parse_retention(rules, file=Path("retention.yaml")), now=NOW)
    assert made.breaker is not None
    alone = parse_retention(b"{mode: enforce, policies: [{keep: {last: 4}}]}", file=Path("retention.yaml"))
    backfill = as_fields(entry(24, trained_at="2020-01-01T00:00:00Z"))
    (soon,) = foreseen([backfill], [*map(as_fields, entries[:4]), backfill], alone, NOW).values()
    return {problem.code: problem for problem in (*made.warnings, made.breaker, soon)}


def status_examples() -> dict[str, Problem]:
    """What `model-inbox status` finds."""
    told = {
        "pid": 4711,
        "state": "running",
        "ready": True,
        "at": NOW.isoformat(),
        "next_at": NOW.isoformat(),
        "inbox": {"reachable": False, "problem": StorageError("list", STATE / "inbox", no(errno.ENOENT)).message},
        "deaf": True,
        "deaf_because": "the folder was renamed or removed",
        "deferred": 2,
        "deferred_drops": [{"cause": StorageError("sync", MODELS, no(errno.EIO)).message}],
        "failing": [{"task": "looking at the inbox", "cause": "KeyError: 'usd_eur' (folder.py:210)"}],
        "storage": [
            {
                "problem": StorageError("write in", STATE / "models", no(errno.EROFS)).message,
                "hint": remedy_for(StorageError("write", STATE / "models", no(errno.EROFS)), "model-inbox"),
                "stops": ["refuse", "take"],
            }
        ],
        "status_files": [
            {
                "path": str(STATE / "models" / "prediction_registry.status.json"),
                "problem": "cannot write it: Read-only file system",
            }
        ],
        "unmovable": {
            "count": 1,
            "first": {
                "message": StorageError("take", STATE / "inbox/usd_eur.yaml", no(errno.EPERM)).message,
                "hint": remedy_for(StorageError("write", STATE / "inbox/usd_eur.yaml", no(errno.EPERM)), "model-inbox"),
            },
        },
        "registry": {
            "problem": StorageError("append to the journal", JOURNAL, no(errno.EIO)).message,
            "history_problem": RegistryCorrupted(
                HISTORY / f"{0:020d}.jsonl", 4711, "a line without its checksum"
            ).message,
            "checkpoint_failed": True,
            "rotation_failed": True,
            "missing_lines": "1-5",
        },
        "retention": {
            "breaker_tripped": True,
            "breaker": retention_examples()["retention.breaker"].message,
            "failed": True,
            "problem": StorageError("move", MODELS / "usd_eur.pkl", no(errno.EIO)).message,
        },
        "clock": {
            "problem": StorageError("read the journal segment", HISTORY / f"{0:020d}.jsonl", no(errno.EIO)).message,
            "words": in_words(JUMP),
            "before": JUMP.before.isoformat(),
            "after": JUMP.after.isoformat(),
            "held_until": (JUMP.after + timedelta(hours=1)).isoformat(),
            "behind": False,
        },
        "config": {"refused": True},
        "log": {"problem": "stderr was closed when the daemon started, and logging.file is not set"},
        "metrics": {"problem": config.config_not_available("127.0.0.1:9477", os.strerror(errno.EADDRINUSE)).message},
    }
    held = Holding(held=True, pid=4711)
    disk = {"folder": "inbox", "path": STATE / "inbox", "free_bytes": 20 << 20, "size_bytes": 50 << 30}
    found = [
        *assess(told, held, NOW + timedelta(minutes=5), disks=[disk]),
        *assess(told, Holding(held=False, pid=None), NOW, disks=[]),
        *assess(None, Holding(held=None, pid=None), NOW, disks=[]),
        *assess({**told, "state": "stopping"}, held, NOW, disks=[]),
    ]
    return {problem.code: problem for problem in found}


def backup_examples() -> dict[str, Example]:
    """What is wrong with snapshots."""
    snapshot = Path("/srv/backup/models/20261124T120000.000000Z")
    model = str(snapshot / "models/prediction/usd_eur.pkl")
    damaged = raised(lambda: Manifest.decode(b"{}", snapshot / "manifest.json"))
    return {
        "backup.manifest_damaged": backup.backup_manifest_damaged(snapshot.name, damaged.message),
        "backup.file_missing": backup.backup_file_missing(model),
        "backup.file_differs": backup.backup_file_differs(model, "its SHA-256 is 3a7b…, and was 9b1f…"),
        "backup.file_unknown": backup.backup_file_unknown("notes.txt"),
        "backup.not_copied": backup.backup_not_copied("prediction/usd_eur.pkl"),
        "backup.damaged": damaged,
    }


def mlflow_examples() -> dict[str, Example]:
    return {
        "mlflow.client_missing": client_missing("No module named 'mlflow'"),
        "mlflow.unreachable": unreachable(
            "read the model versions in", "http://mlflow:5000", "ConnectionError: [Errno 111] Connection refused"
        ),
        "mlflow.refused": raised(lambda: must_be_mirrored({"model_id": "old model"})),
    }


def command_examples(folder: Path) -> dict[str, Example]:
    """What commands refuse, run in a folder with one registered model."""
    (folder / "config.yaml").write_text("inbox: {path: inbox}\nregistry: {path: models/prediction_registry.json}\n")
    (folder / "notes.pkl").write_text("not a pickle\n")
    jumped = Looked(JUMP.after, ClockDoubt(JUMP, 7, 3000.0, 0.0))
    return {
        "command.refused": said(folder, "trash", "purge", "--all"),
        "reload.no_answer": said(folder, "reload"),
        "retention.changed": ChangedMeanwhile(),
        "clock.held": raised(lambda: jumped.must_be_believed("purge the trash")),
        "scaler.refused": said(folder, "replace-scaler", "usd_eur", str(folder / "notes.pkl")),
        "backup.refused": said(folder, "backup", "restore", str(folder / "none"), "--to", str(folder / "new")),
        "log.unreadable": said(folder, "logs", "--file", str(folder / "log.jsonl")),
    }


def said(folder: Path, *words: str) -> ModelInboxError:
    """Return the error that a command prints with --json."""
    done = CliRunner().invoke(root, ["--config", str(folder / "config.yaml"), *words, "--json"])
    error = json.loads(done.stdout)["error"]
    told = ModelInboxError(error["message"], hint=error["hint"])
    told.code = error["code"]
    return told


# --- all -----------------------------------------------------------------------------------------------------


def examples() -> dict[str, tuple[str, str]]:
    """Return message and hint of one example for each code."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        made: dict[str, Example] = {
            **sidecar_examples(),
            **dict(yaml_examples()),
            **config_examples(),
            **artifact_examples(),
            **checks_examples(),
            **gates_examples(),
            **drop_examples(folder),
            **registry_examples(folder),
            **retention_examples(),
            **status_examples(),
            **backup_examples(),
            **mlflow_examples(),
            **command_examples(folder),
        }
    for code, example in made.items():
        assert example.code == code, f"the example of {code} has the code {example.code}"
    return {
        code: (example.message.replace(str(folder), str(STATE)), example.hint.replace(str(folder), str(STATE)))
        for code, example in made.items()
    }


if __name__ == "__main__":
    print(json.dumps(examples()))
