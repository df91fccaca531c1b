"""The places of registry and inbox, which commands read without pydantic: the same as in the whole configuration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from model_inbox.config.load import parse_config, places_of
from model_inbox.config.places import INBOX_KEYS, REGISTRY_KEYS, SECTIONS, find_places
from model_inbox.config.settings import Config, InboxSection, RegistrySection
from model_inbox.errors import ConfigError
from support.places import ROOT

FILE = Path("/srv/models/config.yaml")


def test_the_names_are_those_of_the_settings() -> None:
    """The sections and keys that are known here are those of the configuration."""
    assert set(Config.model_fields) == SECTIONS
    assert set(RegistrySection.model_fields) == REGISTRY_KEYS
    assert set(InboxSection.model_fields) == INBOX_KEYS


def test_without_a_file_the_places_are_the_defaults(tmp_path: Path) -> None:
    """No configuration file is no reason to import pydantic."""
    places = find_places(None, tmp_path)
    assert places is not None
    assert places == (
        tmp_path / "models/prediction_registry.json",
        tmp_path / "models/prediction",
        tmp_path / "inbox",
        10.0,
        None,
    )


def test_the_shipped_configuration_is_read_at_once() -> None:
    """The sample that everybody starts from needs no pydantic."""
    sample = ROOT / "config.yaml"
    data = sample.read_bytes()
    assert find_places((sample, data), ROOT) == places_of(parse_config(data, file=sample))


@pytest.mark.parametrize(
    "text",
    [
        "registy: {path: a}\n",
        "registry: {pth: a}\n",
        "inbox: {pth: a}\n",
        "registry: {path: ''}\n",
        "registry: {path: ~/models}\n",
        "registry: {path: null}\n",
        "registry: {path: 3}\n",
        "registry: {path: [a]}\n",
        "registry: {lock_timeout: 0}\n",
        "registry: {lock_timeout: soon}\n",
        "registry: [path]\n",
        "registry: models\n",
        "inbox: {path: models/prediction/inbox}\n",
        "registry: {path: inbox/registry.json}\n",
        "registry: {path: a, path: b}\n",
        "registry: &a {path: a}\n",
        "registry: {path: !!str a}\n",
        "registry: {path: a\n",
        "registry:\n\tpath: a\n",
        "- registry\n",
        "registry\n",
        "{}\n---\n{}\n",
        '"registry": {"path": "a\\u0007"}\n',
    ],
)
def test_what_is_not_certain_is_left_to_the_whole_configuration(text: str) -> None:
    """Nothing is guessed where a place is wrong, or may have been meant by a wrong name: a reason is given."""
    assert find_places((FILE, text.encode()), FILE.parent) is None
    with pytest.raises(ConfigError):
        parse_config(text.encode(), file=FILE)


PATHS = st.sampled_from(
    ["a.json", "/srv/b", "models/c", "inbox", "inbox/d", "models", ".", "..", "~/e", "", "é", "x\ty"]
)
ODD = st.sampled_from([None, 0, 1, 1.5, True, "10s", "0s", "1h30m", "never", "2", -1, [], ["a"], {}, {"path": "a"}])
NAMES = st.sampled_from(
    [*sorted(SECTIONS), *sorted(REGISTRY_KEYS), *sorted(INBOX_KEYS), "level", "mode", "listen", "pth", "Registry"]
)
SETTINGS = st.one_of(
    st.dictionaries(st.just("path") | st.just("storage_dir"), PATHS | ODD, max_size=2),
    st.dictionaries(NAMES, PATHS | ODD, max_size=3),
    ODD,
)
CONFIGS = st.dictionaries(st.sampled_from([*sorted(SECTIONS), "registy"]), SETTINGS, max_size=4)


@given(CONFIGS)
@example({"registry": {"path": "r.json", "lock_timeout": "2m"}, "inbox": None, "logging": {"level": "loud"}})
@example({"registry": {"path": "/srv/r.json", "storage_dir": "/srv/m"}, "inbox": {"path": "/srv/i"}})
def test_the_places_are_those_of_the_whole_configuration(values: dict[str, Any]) -> None:
    """A configuration that is accepted has the same places here. One that is refused has none, unless every problem is
    in a setting that is no place: then the places are those of the configuration without these settings.

    The text is JSON, which is YAML.
    """
    data = json.dumps(values).encode()
    places = find_places((FILE, data), FILE.parent)
    try:
        whole = places_of(parse_config(data, file=FILE))
    except ConfigError:
        if places is None:
            return
        kept = {"registry": {"path", "storage_dir", "lock_timeout"}, "inbox": {"path"}}
        sections = {name: values.get(name) or {} for name in kept}
        assert values.keys() <= SECTIONS
        assert sections["registry"].keys() <= REGISTRY_KEYS
        assert sections["inbox"].keys() <= INBOX_KEYS
        reduced = {
            name: {key: value for key, value in section.items() if key in kept[name]}
            for name, section in sections.items()
        }
        whole = places_of(parse_config(json.dumps(reduced).encode(), file=FILE))
    assert places == whole
