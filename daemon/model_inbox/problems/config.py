"""Problems of config.yaml, and of a file with retention rules. The noun `config`. Those of its YAML are in `yaml`."""

from __future__ import annotations

from .value import Problem, quoted

__all__ = [
    "config_invalid_allow",
    "config_invalid_value",
    "config_missing_key",
    "config_no_rules",
    "config_not_a_mapping",
    "config_not_available",
    "config_not_found",
    "config_not_readable",
    "config_not_tried",
    "config_not_trusted",
    "config_unknown_key",
    "config_unusable",
]


def config_not_found(why: object, source: str) -> Problem:
    """The file that was named is not there. `source` is who named it: "--config", "$MODEL_INBOX_CONFIG"."""
    return Problem(
        "config.not_found", f"the file cannot be read: {why}", f"{source} names this file: write it, or name another"
    )


def config_not_readable(why: object) -> Problem:
    """The file is there and cannot be read."""
    return Problem("config.not_readable", f"the file cannot be read: {why}", "Make it a file that this user can read")


def config_not_trusted(why: str) -> Problem:
    """The file in the current folder can be somebody else's. `why` names what says so."""
    return Problem(
        "config.not_trusted",
        f"the config.yaml in the current folder is not used: {why}",
        "If you trust it, name it with --config; otherwise change to a folder of your own",
    )


def config_not_a_mapping() -> Problem:
    """The file holds a list or a single text."""
    return Problem(
        "config.not_a_mapping",
        "the config is not a mapping of settings",
        "Write sections and settings as 'name: value'",
    )


def config_unknown_key(field: str, key: object, section: str, hint: str) -> Problem:
    """A name is no setting. `section` is where it stands, "" at the top; `hint` says which name may be meant."""
    return Problem(
        "config.unknown_key", f"{quoted(key)} is not a setting{f' of {section}' if section else ''}", hint, field
    )


def config_missing_key(field: str, key: str) -> Problem:
    """A setting without a default is not there."""
    return Problem("config.missing_key", f"{field} is missing", f"Add '{key}: ...'", field)


def config_invalid_value(field: str | None, what: str, hint: str) -> Problem:
    """A setting cannot have its value. `what` is the whole message: the rules of the settings have many."""
    return Problem("config.invalid_value", what, hint, field)


def config_invalid_allow(name: object, what: str, hint: str) -> Problem:
    """A line under `pickle.allow` cannot be used. `what` is the whole message."""
    return Problem("config.invalid_allow", what, hint, f"pickle.allow.{name}")


def config_not_available(address: object, why: object) -> Problem:
    """The address of the metrics cannot be had."""
    return Problem("config.not_available", f"cannot listen on {address}: {why}", "Choose a free port", "metrics.listen")


def config_unusable(field: str, what: str, hint: str) -> Problem:
    """A folder or a file that a setting names cannot be used by the daemon. `what` is the whole message."""
    return Problem("config.unusable", f"{field}: {what}", hint, field)


def config_not_tried(owner: str) -> Problem:
    """Only the user of the daemon, `owner`, can try what the daemon may do. A note."""
    return Problem(
        "config.not_tried",
        f"the folders and addresses were not tried: inbox or registry belong to the user {owner}",
        "Run it as that user, or as root",
    )


def config_no_rules() -> Problem:
    """Retention is in force, and has no rules. A warning."""
    return Problem(
        "config.no_rules",
        "retention.mode is enforce, but retention.policies has no rules: every model is kept",
        "Add a policy, like {keep: {last: 10}}, or set retention.mode to off",
        "retention.policies",
    )
