"""The codes of config.yaml."""

from __future__ import annotations

from collections.abc import Mapping

from ..codes import About, Code

__all__ = ["ROWS"]

ROWS: Mapping[Code, About] = {
    # --- config
    "config.invalid": About(
        "config.yaml, a file with retention rules, or the inbox that it names cannot be used. The problems are listed.",
        "One or more of the problems below.",
        "Correct them all; `model-inbox config check` shows them again.",
    ),
    "config.not_found": About(
        "The configuration file that was named is not there.",
        "A typing error in `--config` or `$MODEL_INBOX_CONFIG`.",
        "Write the file, or name another.",
    ),
    "config.not_readable": About(
        "The configuration file is there and cannot be read.",
        "It is a folder, or this user has no right to read it.",
        "Make it a file that this user can read.",
    ),
    "config.not_trusted": About(
        "The `config.yaml` in the current folder is not used, since somebody else can have written or changed it.",
        "File or folder belongs to another user or can be written by others, or the folder is an inbox. Without a "
        "system-wide configuration the command ends here, since the default folders are in the current folder.",
        "Name the file with `--config` if you trust it; otherwise change to a folder of your own.",
    ),
    "config.not_a_mapping": About(
        "The file holds a list or a single text.",
        "It is not a configuration.",
        "Write sections and settings as `name: value`.",
    ),
    "config.unknown_key": About(
        "A name is no setting.",
        "A typing error, a setting in the wrong section, or one of a newer version.",
        "Rename or remove it; `hint` names the setting that may be meant.",
        "the unknown setting",
    ),
    "config.missing_key": About(
        "A setting that has no default is missing.",
        "A rule of retention without its number or name.",
        "Add the setting.",
        "the missing setting",
    ),
    "config.invalid_value": About(
        "A setting cannot have this value.",
        "A wrong unit, a value out of range, or two settings that contradict each other.",
        "Write a value that the message or `hint` asks for.",
        "the setting",
    ),
    "config.invalid_allow": About(
        "A line under `pickle.allow` cannot be used.",
        "The name is not a full one, the letters are wrong, or the name may never be allowed.",
        "Write it as `module.Class: letters`; `model-inbox allowlist explain NAME` says what is possible.",
        "the line",
    ),
    "config.not_available": About(
        "The address in `metrics.listen` cannot be had, so that a reload is refused.",
        "Another process listens on that port.",
        "Choose a free port.",
        "`metrics.listen`",
    ),
    "config.unusable": About(
        "A folder or a file that a setting names cannot be used by the daemon.",
        "It is missing, belongs to another user, is no folder, or is on a file system that is mounted read-only.",
        "Do what `hint` says, or name another path.",
        "the setting",
    ),
    "config.not_tried": About(
        "`config check` did not try folders and addresses, since they are another user's. A note.",
        "What the daemon may do, only its own user or root can try.",
        "Run it as the service's user, or as root.",
    ),
    "config.no_rules": About(
        "`retention.mode` is enforce, and no rule is set: every model is kept. A warning of `config check`.",
        "The policies are missing or empty.",
        "Add policies, or set the mode to off.",
        "`retention.policies`",
    ),
    "config.not_yaml": About(
        "The config is not YAML.",
        "A missing quote or colon, a tab as indentation, or a file that was cut off.",
        "Look at the line that is named and the one before it.",
    ),
    "config.not_utf8": About(
        "The config is not UTF-8.",
        "It was saved in another encoding, like UTF-16 or Latin-1.",
        "Save it as UTF-8.",
    ),
    "config.several_documents": About(
        "Something follows the end of the YAML document.",
        "Two files were joined, or a line `---` or text stands behind the end.",
        "Keep one document in the file.",
    ),
    "config.too_large": About(
        "The config has more bytes than are read.",
        "Data was written into it that belongs elsewhere.",
        "Leave out what no reader needs.",
    ),
    "config.too_deep": About(
        "Lists and mappings are nested too deep.",
        "Data was written into it that belongs elsewhere.",
        "Nest it less.",
    ),
    "config.too_many_values": About(
        "The config has more names and values than are read.",
        "Data was written into it that belongs elsewhere.",
        "Leave out what no reader needs.",
    ),
    "config.anchor": About(
        "The config uses anchors (`&`) or aliases (`*`) of YAML.",
        "A program wrote one object at two places, or a value begins with `&` or `*`.",
        "Write the value out, or put it in quotes.",
    ),
    "config.tag": About(
        "The config uses a tag (`!`) of YAML.",
        "A program wrote an object of its own, as `yaml.dump` does, or a value begins with `!`.",
        "Write the plain value (`yaml.safe_dump`), or put it in quotes.",
    ),
    "config.merge_key": About(
        "The config uses the merge key `<<` of YAML.",
        "The file was written with shared parts.",
        "Write the fields out.",
    ),
    "config.key_not_text": About(
        "A list or a mapping stands where a name belongs.",
        "A name begins with `[` or `{`.",
        "Put quotes around the name.",
    ),
    "config.duplicate_key": About(
        "A name is there twice in one mapping.",
        "A line was copied.",
        "Keep one of the two.",
    ),
}
