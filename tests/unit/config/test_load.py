"""config.yaml: every setting has its default and its limits, and a mistake is told where it stands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from model_inbox.base.strict_yaml import Pairs, read_yaml
from model_inbox.config.changes import RESTART_KEYS, describe_changes
from model_inbox.config.load import config_schema, load_config, parse_config, parse_daemon_places, parse_retention
from model_inbox.config.retention import RetentionSection
from model_inbox.config.settings import Config
from model_inbox.errors import ConfigError
from support.places import ROOT

SAMPLE = ROOT / "config.yaml"
FILE = Path("/srv/fx/config.yaml")
NOWHERE = Path("/nonexistent/config.yaml")


def parse(text: str) -> Config:
    return parse_config(text.encode(), file=FILE)


def refused(text: str | bytes) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parse_config(text.encode() if isinstance(text, str) else text, file=FILE)
    return caught.value


def found(text: str) -> list[tuple[str, str | None, int | None, int | None]]:
    """Return code, field, line and column of each problem."""
    return [(p.code.removeprefix("config."), p.field, p.line, p.column) for p in refused(text).problems]


# --- defaults and the sample -------------------------------------------------------------------------------


def test_without_any_file_the_defaults_hold_relative_to_the_current_folder(tmp_path: Path) -> None:
    """The defaults that other programs count on, and retention off."""
    config = load_config(None, env={}, cwd=tmp_path, system_config=NOWHERE)
    assert config.path is None
    assert config.model_dump(exclude={"retention"}) == {
        "inbox": {
            "path": tmp_path / "inbox",
            "watcher": "auto",
            "settle_seconds": None,
            "rescan_seconds": 30.0,
            "incomplete_timeout": 900.0,
            "orphan_timeout": 86_400.0,
            "max_artifact_size": 20 * 1024**3,
            "max_sidecar_size": 1 << 20,
            "rejected_keep": 2_592_000.0,
            "receipts_keep": 2_592_000.0,
            "private": False,
        },
        "registry": {
            "path": tmp_path / "models/prediction_registry.json",
            "storage_dir": tmp_path / "models/prediction",
            "lock_timeout": 10.0,
            "checkpoint_seconds": 5.0,
            "history_keep": 63_072_000.0,
            "held_keep": 2_592_000.0,
        },
        "pickle": {
            "frameworks": None,
            "allow": {},
            "memory_limit": 2 * 1024**3,
            "time_limit": 120.0,
            "load_budget": None,
        },
        "checks": {
            "model_types": None,
            "currency_pairs": None,
            "pair_pattern": r"(?!.*\.\.)[\w.-]+(?:/[\w.-]+)*",
        },
        "permits": None,
        "quota": (),
        "gates": (),
        "promotion": (),
        "aliases": {},
        "logging": {"level": "info", "format": "auto", "file": "auto"},
        "metrics": {"textfile": None, "listen": None},
        "mlflow": {
            "tracking_uri": None,
            "experiment": "model-inbox",
            "name": "{pair}.{type}{.variant}",
            "retired": "tag",
            "state": None,
        },
        "web": {"listen": "127.0.0.1:9478", "group": None},
    }
    assert config.retention == RetentionSection()
    assert config.retention.mode == "off"


def test_the_sample_says_the_defaults_and_sets_up_retention() -> None:
    """A user who starts from the sample has the defaults, and keeps the last ten of a month."""
    sample, defaults = load_config(SAMPLE, env={}, cwd=ROOT), parse_config(b"", file=SAMPLE)
    assert sample.path == SAMPLE
    assert sample.model_dump(exclude={"retention"}) == defaults.model_dump(exclude={"retention"})
    retention = sample.retention
    assert retention.mode == "enforce"
    assert str(retention.trash_grace) == "7d"
    (policy,) = retention.policies
    assert (policy.keep.last, str(policy.keep.within), policy.min_keep) == (10, "30d", 2)
    assert str(policy.keep.registered_within) == "7d"
    assert policy.keep.holders is not None
    assert (policy.keep.holders.alias, policy.keep.holders.last) == ("champion", 3)
    assert retention.model_dump(exclude={"mode", "policies"}) == RetentionSection().model_dump(
        exclude={"mode", "policies"}
    )


def model_keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from model_keys(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def text_keys(node: Pairs, sections: frozenset[str], prefix: str = "") -> Iterator[str]:
    for key, value in node.pairs:
        name = f"{prefix}{key.text}"
        if isinstance(value, Pairs) and name in sections:
            yield from text_keys(value, sections, f"{name}.")
        else:
            yield name


def test_the_sample_has_every_key_with_a_comment_above_it() -> None:
    """The sample is the manual: every setting of the models stands in it, in order, and is explained."""
    data = SAMPLE.read_bytes()
    root = read_yaml(data, called="config", bytes_max=10**6, depth_max=9, nodes_max=10**4).root
    assert isinstance(root, Pairs)
    sections = frozenset(Config.model_fields) - {"aliases"} | {"retention.breaker"}
    assert list(text_keys(root, sections)) == list(model_keys(Config))
    lines = data.decode().splitlines()
    for key, section in root.pairs:
        for name, _ in section.pairs if isinstance(section, Pairs) else [(key, section)]:
            assert lines[name.line - 2].lstrip().startswith("#"), f"{key.text}.{name.text}"
    assert max(map(len, lines)) <= 115


def test_an_empty_file_and_empty_sections_are_the_defaults() -> None:
    """A file of which everything is commented out is a good one; its paths count from its folder."""
    for text in ("", "# nothing\n", "inbox:\nlogging: ~\n", "---\n", "{}", "permits:\nquota: ~\n"):
        config = parse(text)
        assert config.inbox.path == Path("/srv/fx/inbox")
        assert config.registry.storage_dir == Path("/srv/fx/models/prediction")
        assert config.model_dump() == parse("inbox: {path: inbox}").model_dump()


# --- where it is looked for --------------------------------------------------------------------------------


def test_the_file_is_looked_for_in_four_places(tmp_path: Path) -> None:
    """--config, then the environment, then the current folder, then the system's; the first one wins."""

    def write(name: str, seconds: int) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"inbox: {{rescan_seconds: {seconds}}}\n")
        return path

    option, variable = write("a/option.yaml", 1), write("b/variable.yaml", 2)
    here, system = write("c/config.yaml", 3), write("d/system.yaml", 4)
    env, cwd = {"MODEL_INBOX_CONFIG": str(variable)}, here.parent

    def seconds(path: Path | None, env: dict[str, str]) -> tuple[float, Path | None]:
        config = load_config(path, env=env, cwd=cwd, system_config=system)
        assert config.path is not None
        assert config.inbox.path == config.path.parent / "inbox"
        return config.inbox.rescan_seconds, config.path

    assert seconds(option, env) == (1, option)
    assert seconds(None, env) == (2, variable)
    assert seconds(None, {"MODEL_INBOX_CONFIG": ""}) == (3, here)
    here.unlink()
    assert seconds(None, {}) == (4, system)
    assert seconds(Path("../a/option.yaml"), {})[0] == 1  # a relative name counts from the current folder


@pytest.mark.parametrize(
    ("option", "env", "hint"),
    [
        (Path("no.yaml"), {}, "--config names this file"),
        (None, {"MODEL_INBOX_CONFIG": "no.yaml"}, "$MODEL_INBOX_CONFIG names this file"),
    ],
)
def test_a_file_that_is_named_must_exist(tmp_path: Path, option: Path | None, env: dict[str, str], hint: str) -> None:
    """A file that is named is the one that is read: no other is taken instead."""
    (tmp_path / "config.yaml").write_text("")
    with pytest.raises(ConfigError) as caught:
        load_config(option, env=env, cwd=tmp_path)
    (problem,) = caught.value.problems
    assert (problem.code, problem.file) == ("config.not_found", "no.yaml")
    assert hint in problem.hint
    assert caught.value.exit_status == 78


def test_a_file_that_cannot_be_read_is_not_passed_over(tmp_path: Path) -> None:
    """A folder called config.yaml is a mistake to be told, no reason to take the defaults."""
    (tmp_path / "config.yaml").mkdir()
    with pytest.raises(ConfigError, match=r"cannot use the configuration '.*/config\.yaml': 1 problem") as caught:
        load_config(None, env={}, cwd=tmp_path)
    assert [p.code for p in caught.value.problems] == ["config.not_readable"]


# --- what is refused ---------------------------------------------------------------------------------------


def test_all_problems_are_told_at_once_with_their_places() -> None:
    """Mistakes of the text and of the settings, in every section, in the order of the text."""
    text = (
        "inbox:\n"
        "  pth: /x\n"
        "  watcher: pollling\n"
        "  settle_seconds: 0\n"
        "  rescan_seconds: [1]\n"
        "  incomplete_timeout: 15m\n"
        "  incomplete_timeout: 16m\n"
        "inbx: {}\n"
        "registry: 5\n"
        "checks: {model_types: [], currency_pairs: ['', 5]}\n"
        "logging: {level: loud, format: ~, file: ~/x.log}\n"
        "pickle:\n"
        "  allow: [a]\n"
        "  frameworks: lightgbm\n"
        "  memory_limit: 2G\n"
        "retention:\n"
        "  mode: enforced\n"
        "  policies:\n"
        "    - keep: {lst: 5}\n"
        "    - match: {currency_pair: '*'}\n"
    )
    assert found(text) == [
        ("unknown_key", "inbox.pth", 2, 3),
        ("invalid_value", "inbox.watcher", 3, 12),
        ("invalid_value", "inbox.settle_seconds", 4, 19),
        ("invalid_value", "inbox.rescan_seconds", 5, 19),
        ("duplicate_key", None, 7, 3),
        ("unknown_key", "inbx", 8, 1),
        ("invalid_value", "registry", 9, 11),
        ("invalid_value", "checks.model_types", 10, 23),
        ("invalid_value", "checks.currency_pairs[0]", 10, 44),
        ("invalid_value", "checks.currency_pairs[1]", 10, 48),
        ("invalid_value", "logging.level", 11, 18),
        ("invalid_value", "logging.format", 11, 32),
        ("invalid_value", "logging.file", 11, 41),
        ("invalid_value", "pickle.allow", 13, 10),
        ("invalid_value", "pickle.frameworks", 14, 15),
        ("invalid_value", "pickle.memory_limit", 15, 17),
        ("invalid_value", "retention.mode", 17, 9),
        ("unknown_key", "retention.policies[0].keep.lst", 19, 14),
        ("missing_key", "retention.policies[1].keep", 20, 7),
    ]
    error = refused(text)
    assert str(error).startswith("cannot use the configuration '/srv/fx/config.yaml': 19 problems\n  - config.")
    assert {problem.file for problem in error.problems} == {"config.yaml"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("inbox: {pth: x}", "'pth' is not a setting of inbox (line 1, column 9) — Did you mean path?"),
        ("inbx: {}", "'inbx' is not a setting (line 1, column 1) — Did you mean inbox?"),
        ("hooks: {}", "The settings are inbox, registry, pickle, checks, permits, quota, gates, promotion, aliases,"),
        ("metrics: {listen: 9477}", "metrics.listen is '9477': not an address with a port"),
        ("metrics: {listen: '127.0.0.1:0'}", "not an address with a port"),
        ("metrics: {listen: 'localhost:9477'}", "the address must be a number"),
        ("metrics: {listen: '0.0.0.0:9477'}", "it must be a loopback address"),
        ("metrics: {listen: '[::]:9477'}", "it must be a loopback address"),
        ("metrics: {textfile: /var/x.txt}", "its name must end in .prom"),
        ("web: {listen: 9478}", "Write it like '127.0.0.1:9478' or '[::1]:9478'"),
        ("web: {listen: '0.0.0.0:9478'}", "use a reverse proxy with authentication"),
        ("web: {listen: '10.1.2.3:9478'}", "use a reverse proxy with authentication"),
        ("web: {listen: '[::]:9478'}", "use a reverse proxy with authentication"),
        ("web: {listen: 'localhost:9478'}", "the address must be a number"),
        ("web: {listen: null}", "not an address with a port"),
        ("web: {listen: 'unix:'}", "not a path"),
        ("web: {listen: 'unix:~/page.sock'}", "'~' is not expanded here"),
        (f"web: {{listen: 'unix:/{'x' * 107}'}}", "107 bytes at most"),
        ("web: {group: risk}", "a group needs a socket"),
        ("web: {listen: 'unix:/run/p.sock', group: ''}", "not a group"),
        ("web: {listen: 'unix:/run/p.sock', group: 'a b'}", "not a group"),
        ("retention: {breaker: {max_deletion: 1}}", "(line 1, column 23) — Did you mean max_deletes?"),
        ("retention: {policies: [{keep: {best: {metrc: a, metric: b, order: max}}}]}", "Did you mean metric?"),
        ("logging: {qqq: 1}", "The settings are level, format, file"),
        ("inbox: {watcher: polling!}", "allowed words (line 1, column 18) — Did you mean polling?"),
        ("logging: {level: loud}", "Write one of debug, info, warning, error, critical"),
        ("inbox: {rescan_seconds: soon}", "rescan_seconds is 'soon': not a duration (line 1, column 25) — Write it"),
        ("inbox: {rescan_seconds: -1s}", "not a duration"),
        ("inbox: {rescan_seconds: -1}", "not negative"),
        ("inbox: {rescan_seconds: 0s}", "it must be longer than 0 seconds"),
        ("inbox: {max_artifact_size: 0}", "it must be more than 0 bytes"),
        ("inbox: {max_sidecar_size: 17MiB}", "it must be from 1KiB to 16MiB"),
        ("inbox: {max_sidecar_size: 100B}", "it must be from 1KiB to 16MiB"),
        ("inbox: {max_artifact_size: null}", "inbox.max_artifact_size is nothing (null): not a size"),
        ("inbox: {path: ''}", "inbox.path is '': not a path"),
        ("inbox: {path: 5}", "not a path"),
        ('inbox: {path: "a\\0b"}', "characters that cannot be printed"),
        ("inbox: {path: ~}", "inbox.path is nothing (null): not a path"),
        ("logging: {file: ~x}", "'~' is not expanded here"),
        ("inbox: [1]", "inbox: it must be a mapping"),
        ("pickle: {frameworks: lightgbm}", "it must be a list"),
        ("checks: {model_types: [1]}", "it must be text (line 1, column 24) — Put it in quotes"),
        ("checks: {model_types: ['']}", "not a pattern"),
        ("permits: []", "an empty list would permit nothing"),
        ("permits: [{ids: 'a*'}]", "it names nobody"),
        ("permits: [{users: [alice], match: {pair: x}}]", "The settings are currency_pair, model_type, variant"),
        ("permits: {users: [alice]}", "it must be a list"),
        ("permits: [{users: ['']}]", "not a pattern"),
        ("quota: [{models_per_day: 1}]", "quota[0].users"),
        ("quota: [{users: [alice]}]", "it limits nothing"),
        ("quota: [{users: [alice], models_per_day: -1}]", "greater than or equal to 0"),
        ("quota: [{users: [alice], bytes: much}]", "quota[0].bytes"),
        ("checks: {model_types: []}", "an empty list would accept nothing"),
        ("registry: {storage_dir: inbox/models}", "registry.storage_dir must not be in inbox.path"),
        ("registry: {path: inbox/x.json}", "registry.path must not be in inbox.path"),
        ("inbox: {path: models/prediction/in}", "inbox.path must not be in registry.storage_dir"),
        ("retention: {trash_grace: 1m}", "retention.trash_grace: '1m' has years or months"),
        ("retention: {policies: [{keep: {last: 1}, match: {version: a}}]}", "policies[0].match.version:"),
        ("retention: {breaker: {max_fraction: 2}}", "is not a fraction"),
        ("retention: {breaker: {max_deletes: x}}", "retention.breaker.max_deletes is 'x': it must be a valid integer"),
        ("retention: {policies: {a: 1}}", "retention.policies: it must be a list"),
        ("[]", "config.not_a_mapping: the config is not a mapping of settings (line 1, column 1)"),
        ("text", "config.not_a_mapping"),
        ("inbox: {", "config.not_yaml"),
        ("inbox: &x {}", "config.anchor"),
        ("a: 1\n---\nb: 2", "config.several_documents"),
        ("x: " + "[" * 20, "config.too_deep"),
        ("#" * (1024 * 1024 + 1), "config.too_large"),
    ],
)  # fmt: skip
def test_each_mistake_is_told_in_words(text: str, said: str) -> None:
    """The message names the setting and what was found; the hint says what to write."""
    assert said in str(refused(text))


def test_a_file_that_is_not_utf_8_says_so() -> None:
    """Bytes of another encoding are a problem of the text, with its place."""
    (problem,) = refused(b"inbox: {}\n# \xe4\n").problems
    assert (problem.code, problem.line, problem.column) == ("config.not_utf8", 2, 3)


def test_frameworks_are_those_that_we_have_lists_for() -> None:
    """A framework without a list would allow nothing, so its name is a mistake."""
    assert parse("pickle: {frameworks: [lightgbm, numpy]}").pickle.frameworks == ("lightgbm", "numpy")
    (problem,) = refused("pickle: {frameworks: [numpy, lightgmb]}").problems
    assert (problem.code, problem.line, problem.column) == ("config.invalid_value", 1, 30)
    assert problem.message == "'lightgmb' is not a known framework"
    assert problem.hint == "Did you mean lightgbm?"


def test_classes_of_your_own_are_checked_against_what_is_never_allowed() -> None:
    """`pickle.allow` cannot open the door to evaluators; the problem stands at the name."""
    assert parse("pickle: {allow: {fxmodels.lstm.FxLSTM: bnr}}").pickle.allow == {"fxmodels.lstm.FxLSTM": "bnr"}
    error = refused("pickle:\n  allow:\n    fxmodels.lstm.FxLSTM: bnr\n    builtins.eval: r\n")
    assert {problem.line for problem in error.problems} == {4}


@settings(deadline=None)
@given(st.binary(max_size=200) | st.text("inboxrety:{}[]-*&!'\"#\n 05dm.~", max_size=120).map(str.encode))
def test_any_bytes_are_settings_or_one_kind_of_error(data: bytes) -> None:
    """Nothing but ConfigError is raised, its problems are not none, and its text can be shown."""
    try:
        parse_config(data, file=FILE)
    except ConfigError as error:
        assert error.problems
        assert all(line.isprintable() for line in str(error).splitlines())


# --- values ------------------------------------------------------------------------------------------------


def test_values_are_read_as_people_write_them() -> None:
    """Durations and sizes with units, words in any case, patterns and paths."""
    config = parse(
        "inbox: {path: /data/in, watcher: Polling, settle_seconds: 500ms, max_artifact_size: 500MB}\n"
        "registry: {path: reg.json, lock_timeout: 1m}\n"
        "checks: {model_types: ['lightgbm*'], currency_pairs: [USD/*, EUR/CHF]}\n"
        "logging: {level: DEBUG, file: log/x.jsonl}\n"
    )
    assert config.inbox.path == Path("/data/in")
    assert (config.inbox.watcher, config.inbox.settle_seconds) == ("polling", 0.5)
    assert config.inbox.max_artifact_size == 500_000_000
    assert (config.registry.path, config.registry.lock_timeout) == (Path("/srv/fx/reg.json"), 60.0)
    assert config.checks.currency_pairs == ("USD/*", "EUR/CHF")
    assert (config.logging.level, config.logging.file) == ("debug", Path("/srv/fx/log/x.jsonl"))


def test_settings_cannot_be_changed_after_reading() -> None:
    """What is in force is what was read."""
    config = parse("")
    with pytest.raises(ValidationError):
        config.inbox.rescan_seconds = 1  # type: ignore[misc]  # it is frozen


def test_a_retention_file_is_the_section_alone() -> None:
    """`--policy FILE` holds what stands under `retention:`, with problems of the same kind."""
    section = parse_retention(b"mode: enforce\npolicies: [{keep: {last: 3}}]\n", file=Path("p.yaml"))
    assert (section.mode, section.policies[0].keep.last) == ("enforce", 3)
    assert parse_retention(b"", file=Path("p.yaml")) == RetentionSection()
    with pytest.raises(ConfigError) as caught:
        parse_retention(b"polices: []\n", file=Path("p.yaml"))
    assert [(p.hint, p.line, p.file) for p in caught.value.problems] == [("Did you mean policies?", 1, "p.yaml")]


# --- schema and changes ------------------------------------------------------------------------------------


def test_the_schema_describes_every_setting_with_its_default() -> None:
    """Editors show a description for each key; the defaults are those of the sample, as written there."""
    schema = config_schema()
    assert json.loads(json.dumps(schema)) == schema
    assert schema["additionalProperties"] is False
    sections = ["inbox", "registry", "pickle", "checks", "retention", "logging", "metrics", "mlflow", "web"]
    assert sorted(schema["properties"]) == sorted([*sections, "permits", "quota", "gates", "promotion", "aliases"])
    for name in ("permits", "quota", "gates", "promotion", "aliases"):
        assert schema["properties"][name]["description"].endswith(".")
    for name in sections:
        model = Config.model_fields[name]
        assert isinstance(model.annotation, type)
        section: dict[str, Any] = schema["$defs"][model.annotation.__name__]
        assert section["description"]
        assert section["additionalProperties"] is False
        if name != "retention":
            assert all(key["description"].endswith(".") for key in section["properties"].values())
    inbox = schema["$defs"]["InboxSection"]["properties"]
    assert inbox["incomplete_timeout"]["default"] == "15m"
    assert inbox["max_artifact_size"]["default"] == "20GiB"
    assert inbox["path"]["default"] == "inbox"
    assert inbox["watcher"]["enum"] == ["auto", "inotify", "polling"]


def test_changes_are_told_apart_by_whether_they_need_a_restart() -> None:
    """A reload applies what it can, and says of the rest that it needs a restart."""
    old = parse("")
    new = parse(
        "inbox: {path: in2, watcher: polling, rescan_seconds: 5}\nregistry: {path: r.json, storage_dir: s}\n"
        "pickle: {time_limit: 60s}\nretention: {breaker: {max_deletes: 5}}\nlogging: {level: debug}\n"
    )
    at_once, restart = describe_changes(old, new)
    assert at_once == (
        "inbox.rescan_seconds",
        "pickle.time_limit",
        "retention.breaker.max_deletes",
        "logging.level",
    )
    assert set(restart) == RESTART_KEYS
    assert describe_changes(old, parse("")) == ((), ())


def test_the_users_own_classes_are_one_setting() -> None:
    """A class that was added to `pickle.allow` is a change of `pickle.allow`."""
    new = Config.model_construct(**dict(parse("")))
    pickle = new.pickle.model_copy(update={"allow": {"a.B": "r"}})
    assert describe_changes(parse(""), new.model_copy(update={"pickle": pickle})) == (("pickle.allow",), ())


def test_every_key_that_needs_a_restart_is_a_key() -> None:
    """The list of them names settings that exist, and the sample says it of each."""
    assert set(model_keys(Config)) >= RESTART_KEYS
    text = SAMPLE.read_text().lower()
    assert text.count("needs a restart") == len(RESTART_KEYS)


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("registry: {path: r.json}\ninbox: {pth: x}\n", ("r.json", "inbox")),
        ("inbox: {path: /srv/in, rescan_seconds: never}\n", ("models/prediction_registry.json", "/srv/in")),
        ("nothing: 1\n", ("models/prediction_registry.json", "inbox")),
        ("inbox: {path: in}\n", ("models/prediction_registry.json", "in")),
    ],
)
def test_the_places_of_a_file_with_problems_are_found(tmp_path: Path, text: str, places: tuple[str, str]) -> None:
    """Who looks for the daemon needs two paths, and gets them from a file whose other settings are wrong."""
    (tmp_path / "config.yaml").write_text(text)
    file = tmp_path / "config.yaml"
    found = parse_daemon_places((file, file.read_bytes()), tmp_path)
    assert found == tuple(tmp_path / place for place in places)


@pytest.mark.parametrize("text", ["inbox: {path: 3}\n", "inbox: [", "- a\n", "inbox: {path: models/prediction/x}\n"])
def test_places_that_cannot_be_made_out_are_problems(tmp_path: Path, text: str) -> None:
    """Where the paths themselves are wrong, all problems of the file are told."""
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        parse_daemon_places((tmp_path / "config.yaml", text.encode()), tmp_path)
    assert caught.value.problems
    with pytest.raises(ConfigError, match="cannot use the configuration"):
        load_config(Path("gone.yaml"), env={}, cwd=tmp_path)


# --- promotion and aliases -------------------------------------------------------------------------------------


def test_a_rule_of_promotion() -> None:
    """The alias is champion and any slot matches, unless said otherwise; a margin is a number or a part."""
    config = parse("promotion: [{when: {metric: 1d.rmse, order: min, by: 5%}}]\n")
    (rule,) = config.promotion
    assert (rule.alias, rule.mode, rule.match.variant, str(rule.when.by)) == ("champion", "enforce", None, "5%")
    assert str(parse("promotion: [{when: {metric: size_bytes, order: max}}]").promotion[0].when.by) == "0"
    assert parse("promotion: ~\naliases: ~\n").promotion == ()
    assert parse("promotion: [{match: {variant: ''}, when: {metric: a, order: max}}]").promotion[0].match.variant == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("promotion: [{when: {metric: tags.x, order: min}}]", "'tags.x' is text"),
        ("promotion: [{when: {metric: rmse, order: up}}]", "min"),
        ("promotion: [{when: {metric: rmse, order: min, by: -1}}]", "'5%'"),
        ("promotion: [{alias: a/b, when: {metric: rmse, order: min}}]", "'a/b' is not a name"),
        ("promotion: [{alias: champion}]", "promotion[0].when is missing"),
        ("aliases: {champion: {may_move: []}}", "an empty list would let nobody"),
        ("aliases: {champion: {may_move: ['@']}}", "not a user"),
        ("aliases: {a/b: {}}", "'a/b' is not a name"),
        ("aliases: {champion: {may: [alice]}}", "may_move"),
    ],
)
def test_what_is_no_rule_of_promotion_and_no_protection(text: str, said: str) -> None:
    """Each mistake says what is right."""
    assert said in str(refused(text))


def test_a_protected_alias() -> None:
    """Users by name or number, and groups; null is everybody."""
    config = parse("aliases: {champion: {may_move: [alice, '1000', '@risk']}, next: {}}\n")
    assert {name: section.may_move for name, section in config.aliases.items()} == {
        "champion": ("alice", "1000", "@risk"),
        "next": None,
    }
