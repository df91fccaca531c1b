"""Every problem code, and the code of every error: what it means, where it comes from, what to do about it.

One table for programs and people. `docs/reference/problems.md` is made from it, and a test holds that each code has one
constructor and that nothing else makes it. A code never changes its meaning. Pure data: the texts that users meet are
the constructors', beside this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["CODES", "NOUNS", "About", "Code"]

Code = Literal[
    "sidecar.missing_field",
    "sidecar.unknown_key",
    "sidecar.wrong_type",
    "sidecar.invalid_value",
    "sidecar.invalid_name",
    "sidecar.path_not_plain_name",
    "sidecar.same_file_twice",
    "sidecar.future_date",
    "sidecar.no_zone",
    "sidecar.not_a_mapping",
    "sidecar.not_owner",
    "sidecar.cut_off",
    "sidecar.more_problems",
    "sidecar.not_yaml",
    "sidecar.not_utf8",
    "sidecar.several_documents",
    "sidecar.too_large",
    "sidecar.too_deep",
    "sidecar.too_many_values",
    "sidecar.anchor",
    "sidecar.tag",
    "sidecar.merge_key",
    "sidecar.key_not_text",
    "sidecar.duplicate_key",
    "sidecar.empty",
    "artifact.missing",
    "artifact.truncated",
    "artifact.open_for_writing",
    "artifact.not_regular",
    "artifact.too_large",
    "artifact.digest_mismatch",
    "artifact.not_a_pickle",
    "artifact.malformed",
    "artifact.trailing_data",
    "artifact.several_pickles",
    "artifact.unsupported",
    "artifact.scan_limits",
    "artifact.embedded_code",
    "artifact.forbidden_import",
    "artifact.never_allowed",
    "artifact.forbidden_use",
    "artifact.forbidden_arguments",
    "artifact.more_problems",
    "checks.model_type",
    "checks.currency_pair",
    "drop.settling",
    "drop.changed",
    "drop.deferred",
    "drop.incomplete_timeout",
    "drop.unreadable",
    "drop.not_movable",
    "drop.invalid_name",
    "drop.sidecar_not_regular",
    "drop.replaced",
    "drop.not_judged",
    "drop.metadata_differs",
    "drop.no_sidecar",
    "drop.scaler_late",
    "drop.folder",
    "drop.ignored",
    "drop.refused",
    "explain.unknown",
    "inbox.not_a_folder",
    "inbox.not_ours",
    "config.invalid",
    "config.not_found",
    "config.not_readable",
    "config.not_a_mapping",
    "config.unknown_key",
    "config.missing_key",
    "config.invalid_value",
    "config.invalid_allow",
    "config.not_available",
    "config.not_yaml",
    "config.not_utf8",
    "config.several_documents",
    "config.too_large",
    "config.too_deep",
    "config.too_many_values",
    "config.anchor",
    "config.tag",
    "config.merge_key",
    "config.key_not_text",
    "config.duplicate_key",
    "registry.model_id_taken",
    "registry.not_found",
    "registry.protected",
    "registry.restore_refused",
    "registry.locked",
    "registry.missing",
    "registry.corrupted",
    "registry.too_new",
    "registry.failed",
    "registry.unreadable",
    "registry.checkpoint_missing",
    "registry.checkpoint_damaged",
    "registry.mark_missing",
    "registry.mark_damaged",
    "registry.mark_differs",
    "registry.entry_differs",
    "registry.entry_incomplete",
    "registry.file_missing",
    "registry.file_not_regular",
    "registry.file_writable",
    "registry.size_mismatch",
    "registry.digest_mismatch",
    "registry.verdict_changed",
    "registry.sidecar_missing",
    "registry.sidecar_damaged",
    "registry.sidecar_differs",
    "registry.storage_missing",
    "registry.leftover_file",
    "registry.staging_leftover",
    "registry.trash_missing",
    "registry.trash_incomplete",
    "registry.trash_damaged",
    "registry.trash_extra",
    "registry.trash_unknown",
    "journal.missing",
    "journal.damaged",
    "journal.cut",
    "journal.gap",
    "journal.base_missing",
    "journal.base_damaged",
    "retention.breaker",
    "retention.unreadable",
    "retention.future",
    "retention.metric",
    "retention.size_unknown",
    "retention.budget",
    "retention.changed",
    "backup.manifest_damaged",
    "backup.file_missing",
    "backup.file_differs",
    "backup.file_unknown",
    "backup.not_copied",
    "backup.refused",
    "backup.damaged",
    "status.not_running",
    "status.unknown",
    "status.not_ready",
    "status.unresponsive",
    "status.inbox_unreachable",
    "status.deaf",
    "status.deferred",
    "status.checkpoint_failed",
    "status.rotation_failed",
    "status.lines_missing",
    "status.registry_failed",
    "status.history_damaged",
    "status.breaker_tripped",
    "status.retention_failed",
    "status.config_refused",
    "status.metrics_failed",
    "status.log_lost",
    "status.disk_nearly_full",
    "metadata.invalid",
    "command.refused",
    "scaler.refused",
    "reload.no_answer",
    "load.refused",
    "scan.failed",
    "storage.failed",
    "log.unreadable",
    "error",
]
"""The codes, for the type checker: it refuses a code that is not in the table. In the order of the table."""


@dataclass(frozen=True, slots=True)
class About:
    """What is to be said of a code.

    `meaning` is what was found, `cause` where it mostly comes from, `remedy` what to do. `field` is what a problem's
    own `field` names; empty for a problem that concerns no field.
    """

    meaning: str
    cause: str
    remedy: str
    field: str = ""


CODES: Mapping[Code, About] = {
    # --- sidecar
    "sidecar.missing_field": About(
        "A required field is not in the sidecar.",
        "The producer does not write it, or the sidecar is still on its way: an unsealed sidecar that lacks only "
        "fields at its end is waited for.",
        "Add the field that `field` names.",
        "the field that is missing",
    ),
    "sidecar.unknown_key": About(
        "A name stands in the sidecar that is no field.",
        "A typing error, or a field of another system.",
        "Rename or remove it; `hint` names the field that may be meant. Free text belongs under `tags` or "
        "`description`.",
        "the unknown name",
    ),
    "sidecar.wrong_type": About(
        "A value is of another kind than its field takes: text instead of a number, a list instead of a mapping.",
        "The producer writes the field in another form. In the Python API: an object of another class.",
        "Write the kind of value that the message asks for.",
        "the field",
    ),
    "sidecar.invalid_value": About(
        "A value is of the right kind and cannot be used: out of range, not finite, too long, twice in a list, a date "
        "that does not exist.",
        "The producer computed or wrote a value that would hurt later: NaN as a metric is the most frequent one.",
        "Correct the value, or leave an optional one out.",
        "the field, with the place in it",
    ),
    "sidecar.invalid_name": About(
        "A model_id, or the name of a file, cannot be used.",
        "It has characters that are not safe in file names, is too long, ends in `_scaler`, or the file's suffix is "
        "not one of a model.",
        "Choose another id, or rename the file and name it so.",
        "`model_id`, `model_file` or `scaler_file`",
    ),
    "sidecar.path_not_plain_name": About(
        "A path stands where the name of a file belongs.",
        "The producer wrote the path on its own machine.",
        "Put the file into the inbox beside the sidecar, and write only its name.",
        "`model_file` or `scaler_file`",
    ),
    "sidecar.same_file_twice": About(
        "One file is named as the model and as its scaler.",
        "A copying error, or a model file whose name is the default name of the scaler.",
        "Name two files, or write `scaler_file: null`.",
        "`scaler_file` or `model_file`",
    ),
    "sidecar.future_date": About(
        "`trained_at` is more than five minutes in the future.",
        "The clock of the training machine is wrong, or the time is local and was written without its zone.",
        "Set that clock, or write the zone.",
        "`trained_at`",
    ),
    "sidecar.no_zone": About(
        "`trained_at` has no zone and counts as UTC. A note: the drop is taken.",
        "The producer writes local time without an offset.",
        "Write the zone: `Z`, or an offset like `+02:00`.",
        "`trained_at`",
    ),
    "sidecar.not_a_mapping": About(
        "The sidecar is a list or a single text.",
        "It holds no line of the form `name: value`, or only the beginning of the first one has come.",
        "Write its fields as `name: value`, one a line.",
    ),
    "sidecar.not_owner": About(
        "A file that the sidecar names belongs to another user than the sidecar.",
        "Two users write one drop, or a sidecar names a file of somebody else. The file stays where it is.",
        "Write sidecar and files as the same user.",
    ),
    "sidecar.cut_off": About(
        "The sidecar may be cut off: more text could make it right. Told beside its other problems by `model-inbox "
        "inbox`.",
        "It is still being written, or its writer died.",
        "Wait, or write it again; end it with a line `...` so that its end can be seen.",
    ),
    "sidecar.more_problems": About(
        "The sidecar has more than 100 problems; the rest is not listed.",
        "The file is not a sidecar at all, or a field is wrong in every item of a long list.",
        "Solve the problems that are listed, then look again.",
    ),
    "sidecar.not_yaml": About(
        "The sidecar is not YAML.",
        "A missing quote or colon, a tab as indentation, or a file that was cut off.",
        "Look at the line that is named and the one before it.",
    ),
    "sidecar.not_utf8": About(
        "The sidecar is not UTF-8.",
        "It was saved in another encoding, like UTF-16 or Latin-1.",
        "Save it as UTF-8.",
    ),
    "sidecar.several_documents": About(
        "Something follows the end of the YAML document.",
        "Two files were joined, or a line `---` or text stands behind the end.",
        "Keep one document in the file.",
    ),
    "sidecar.too_large": About(
        "The sidecar has more bytes than are read.",
        "Data was written into it that belongs elsewhere.",
        "Leave out what no reader needs.",
    ),
    "sidecar.too_deep": About(
        "Lists and mappings are nested too deep.",
        "Data was written into it that belongs elsewhere.",
        "Nest it less.",
    ),
    "sidecar.too_many_values": About(
        "The sidecar has more names and values than are read.",
        "Data was written into it that belongs elsewhere.",
        "Leave out what no reader needs.",
    ),
    "sidecar.anchor": About(
        "The sidecar uses anchors (`&`) or aliases (`*`) of YAML.",
        "A program wrote one object at two places, or a value begins with `&` or `*`.",
        "Write the value out, or put it in quotes.",
    ),
    "sidecar.tag": About(
        "The sidecar uses a tag (`!`) of YAML.",
        "A program wrote an object of its own, as `yaml.dump` does, or a value begins with `!`.",
        "Write the plain value (`yaml.safe_dump`), or put it in quotes.",
    ),
    "sidecar.merge_key": About(
        "The sidecar uses the merge key `<<` of YAML.",
        "The file was written with shared parts.",
        "Write the fields out.",
    ),
    "sidecar.key_not_text": About(
        "A list or a mapping stands where a name belongs.",
        "A name begins with `[` or `{`.",
        "Put quotes around the name.",
    ),
    "sidecar.duplicate_key": About(
        "A name is there twice in one mapping.",
        "A line was copied.",
        "Keep one of the two.",
    ),
    "sidecar.empty": About(
        "The sidecar is empty, or holds only comments.",
        "Its writer has not begun yet, or died.",
        "Write its fields as `name: value`.",
    ),
    # --- artifact
    "artifact.missing": About(
        "A file that the sidecar names is not in the inbox.",
        "It is still on its way, has another name, or was not sent.",
        "Send it, or correct the name in the sidecar.",
        "`model_file` or `scaler_file`",
    ),
    "artifact.truncated": About(
        "A file has no end: it is empty, or ends in the middle of its pickle or its compressed data.",
        "It is still being written, its writer died, or the disk of the writer was full.",
        "Wait for the writer; if it has finished, write the file again.",
    ),
    "artifact.open_for_writing": About(
        "A process has the file open for writing.",
        "The file is being written, or the producer never closed it.",
        "Close the file. It is taken as soon as nobody can write to it.",
    ),
    "artifact.not_regular": About(
        "The file is a symbolic link, a folder, a pipe or something else that is no regular file.",
        "The producer linked the file instead of copying it.",
        "Copy the file, or make a hard link.",
    ),
    "artifact.too_large": About(
        "The file is larger than `inbox.max_artifact_size`.",
        "The model is larger than the operator expects.",
        "Drop a smaller model, or raise the setting.",
    ),
    "artifact.digest_mismatch": About(
        "The file has another SHA-256 than the sidecar says.",
        "Model and sidecar are not of the same run, the file was changed after the sidecar was written, or it was "
        "damaged on its way.",
        "Send the file that the sidecar describes, or correct `sha256` in it.",
        "`sha256.model` or `sha256.scaler`",
    ),
    "artifact.not_a_pickle": About(
        "The file is not a pickle of any kind that is known.",
        "Another format has the suffix of a model (ONNX, JSON, a text).",
        "Write the model with pickle, cloudpickle, joblib or torch.save.",
    ),
    "artifact.malformed": About(
        "The pickle, or the container around it (zip, joblib, compression), is damaged or was made by hand.",
        "Damage on the way, or a file that is made to confuse a scanner.",
        "Write the file again. If it comes from nobody you know, treat it as hostile.",
    ),
    "artifact.trailing_data": About(
        "Bytes follow the end of the pickle, or of the compressed data.",
        "Two files were joined, or something was hidden behind the pickle.",
        "Write one object in one file.",
    ),
    "artifact.several_pickles": About(
        "The file holds several pickles, one after the other.",
        "`pickle.dump` was called several times on one file.",
        "Write one object in one file: a dict or a tuple can hold several.",
    ),
    "artifact.unsupported": About(
        "The pickle is in a format, or uses a feature, that is not read here.",
        "A newer protocol, extension codes, persistent ids outside of torch, an old joblib, or lz4 where it is not "
        "installed.",
        "Do what `hint` says; most often: write it again with current versions.",
    ),
    "artifact.scan_limits": About(
        "The scan came to a limit of memory, time, depth or number of names that we set, or the file crashed it, and "
        "there is no result.",
        "A very large model, or a file that is made to exhaust its reader.",
        "For an honest model raise `pickle.memory_limit` or `pickle.time_limit`; else treat the file as hostile.",
    ),
    "artifact.embedded_code": About(
        "The pickle carries functions or classes by value.",
        "A class of a notebook or a script was packed by cloudpickle or dill; to load it is to run its code.",
        "Put the class into a module that serving code imports, and allow it in `pickle.allow`; or pickle plain "
        "values. See [security.md](../security.md#code-by-value).",
    ),
    "artifact.forbidden_import": About(
        "The pickle names a class or function that no list allows.",
        "A class of your own, a framework that is not in `pickle.frameworks`, or a hostile file.",
        "If you trust its code, add the line that `hint` gives under `pickle.allow`.",
    ),
    "artifact.never_allowed": About(
        "The pickle names something that no list may have: what runs commands, opens files, or is not a plain full "
        "name.",
        "A hostile file, or a class in `__main__`.",
        "Treat the file as hostile; move a class of `__main__` into a module.",
    ),
    "artifact.forbidden_use": About(
        "The pickle does more with an allowed name than its list permits: calls it, sets its attributes, uses it as a "
        "key.",
        "A version of a framework that was not reviewed, a line in `pickle.allow` with too few letters, or a hostile "
        "file.",
        "For a class of your own add the letters that `hint` gives; else treat the file as hostile.",
    ),
    "artifact.forbidden_arguments": About(
        "The pickle calls an allowed function with arguments that its own library never gives it.",
        "A version of a framework that was not reviewed, or a hostile file.",
        "Treat the file as hostile, unless you know who wrote it: then report the version of the framework.",
    ),
    "artifact.more_problems": About(
        "The pickle carries more than 50 names that are not allowed; the rest is counted.",
        "A framework is not in `pickle.frameworks`, or the file is hostile.",
        "Solve the problems that are listed first; one line often solves many.",
    ),
    # --- checks
    "checks.model_type": About(
        "The operator does not accept this model_type.",
        "`checks.model_types` in config.yaml lists patterns, and none matches.",
        "Correct the sidecar, or have the operator add a pattern.",
        "`model_type`",
    ),
    "checks.currency_pair": About(
        "The operator does not accept this currency_pair.",
        "`checks.currency_pairs` in config.yaml lists patterns, and none matches.",
        "Correct the sidecar, or have the operator add a pattern.",
        "`currency_pair`",
    ),
    # --- drop
    "drop.settling": About(
        "The drop is whole, and waits until its files are unchanged for `inbox.settle_seconds`.",
        "Nobody can see whether the producer has finished: the sidecar is not sealed, or the file system has no "
        "leases.",
        "Nothing. A last line `...` in the sidecar, or digests for all files, spares the wait.",
    ),
    "drop.changed": About(
        "A file was written to while the drop was being taken; the drop went back.",
        "The producer was not finished, or wrote the file again.",
        "Nothing: it is taken when its writer has finished.",
    ),
    "drop.deferred": About(
        "The daemon has the drop, could not decide about it, and tries again.",
        "A full disk, an I/O error, a locked registry.",
        "Correct what the message names. A drop is never rejected for it.",
    ),
    "drop.incomplete_timeout": About(
        "The drop was not whole for `inbox.incomplete_timeout` after its last change. It stands beside the problems "
        "that tell what is missing.",
        "The producer died, or never sends the missing part.",
        "Send sidecar and files again.",
    ),
    "drop.unreadable": About(
        "The service cannot read a file of the drop.",
        "The file's group or mode does not let the service read it, or the disk has an error.",
        "Run the command that `hint` gives, or write the file again.",
    ),
    "drop.not_movable": About(
        "The service can read the drop and cannot move it.",
        "An attribute (`chattr +i`), a mount, or a right on the folder.",
        "Remove the attribute, or let the service write to the folder.",
    ),
    "drop.invalid_name": About(
        "The sidecar's name cannot be the name of a drop.",
        "It has characters that are not safe in file names, is too long, or ends in `_scaler`.",
        "Rename sidecar and files.",
    ),
    "drop.sidecar_not_regular": About(
        "The sidecar is a symbolic link, a folder or something else that is no regular file.",
        "The producer linked the file instead of copying it.",
        "Copy the file, or make a hard link.",
    ),
    "drop.replaced": About(
        "A newer file of the same name came while this drop was being checked, so that this one could not go back.",
        "The producer dropped the same name again.",
        "Nothing, if the newer one is meant: it is judged on its own.",
    ),
    "drop.not_judged": About(
        "Judging the drop raised an exception that nobody foresaw.",
        "A fault of model-inbox.",
        "Keep the drop and report it; `model-inbox rejected retry DROP_ID` tries it again.",
    ),
    "drop.metadata_differs": About(
        "The same model with the same bytes is registered with other metadata. The drop is a duplicate and changes "
        "nothing.",
        "The sidecar was changed after the model had been registered, or a new training gave the very same bytes.",
        "Nothing, if the registered metadata is right. Else drop the model under another model_id.",
    ),
    "drop.no_sidecar": About(
        "A file has no sidecar that names it. It is rejected after `inbox.orphan_timeout`.",
        "The sidecar has not come yet, has another stem or suffix, or names another file.",
        "Send the sidecar, or take the file away; `hint` tells what is most likely.",
    ),
    "drop.scaler_late": About(
        "A scaler came after its model had been registered without one.",
        "The sidecar says nothing about a scaler, and the scaler came too late.",
        "Drop both again under a new model_id with `scaler_file` in the sidecar, or give the model this scaler: "
        "`model-inbox replace-scaler`.",
    ),
    "drop.folder": About(
        "A folder lies in the inbox. It stays there.",
        "A drop was copied as a folder.",
        "Move its files into the inbox itself, the sidecar last.",
    ),
    "drop.ignored": About(
        "The name is one that the daemon never looks at: it begins with a dot, or is one that programs use while they "
        "write.",
        "The file is not complete yet, or was never renamed.",
        "Rename the file when it is complete.",
    ),
    "drop.refused": About(
        "`drop` did not write into the inbox; nothing of the drop is there.",
        "The metadata has problems (listed), the name is taken, or the object cannot be pickled.",
        "Do what `hint` and the listed problems say, and drop again.",
    ),
    # --- explain
    "explain.unknown": About(
        "The user who asks cannot read a file of the drop, so that nothing can be said about it.",
        "`model-inbox inbox` was run by a user with fewer rights than the service.",
        "Ask as the owner of the file, as the service's user, or as root.",
    ),
    # --- inbox
    "inbox.not_a_folder": About(
        "A link or a file stands where a folder of model-inbox belongs in the inbox.",
        "Somebody made it, perhaps to lead files elsewhere.",
        "Move it away; the daemon makes the folder.",
    ),
    "inbox.not_ours": About(
        "The inbox, or a reserved folder in it, belongs to another user than the one that the daemon runs as.",
        "The daemon was started as another user, or the folder was made by hand.",
        "Change the owner, or run the daemon as the owner.",
    ),
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
    # --- registry
    "registry.model_id_taken": About(
        "The model_id belongs to a registered model with other bytes.",
        "The id was used before. The same bytes again would be a duplicate, and no problem.",
        "Choose another model_id: with a date or a version in it. A registered model never changes.",
        "`model_id`",
    ),
    "registry.not_found": About(
        "There is no such model, alias, drop or retired model.",
        "A typing error, or it was retired or purged.",
        "Look at `model-inbox list`, `trash list` or `rejected list`.",
    ),
    "registry.protected": About(
        "The model is pinned, or an alias names it, and so it cannot be deleted.",
        "Somebody protected it.",
        "Unpin it, or move the alias, first.",
    ),
    "registry.restore_refused": About(
        "A retired model cannot be restored: files of it in the trash are not those that were registered.",
        "A file was changed, or damaged on the disk, while it was in the trash.",
        "Put the files that the message names from a backup in their place, or purge the model and drop it again.",
    ),
    "registry.locked": About(
        "Another process holds a lock of the registry.",
        "Another writer is at work, or a daemon serves this registry or inbox.",
        "Try again, or end that process; the message names it.",
    ),
    "registry.missing": About(
        "There is no registry at that path.",
        "A wrong path, or no daemon or writer has made it yet.",
        "Check `registry.path`, or start the daemon once.",
    ),
    "registry.corrupted": About(
        "A file of the registry is damaged. Nothing was changed.",
        "Damage on the disk, or an edited file.",
        "`model-inbox verify` lists what is wrong; `model-inbox rebuild` makes the registry again from what is sound.",
    ),
    "registry.too_new": About(
        "A file of the registry has a format of a newer version.",
        "An older model-inbox was installed again, or two versions use one registry.",
        "Use the newer model-inbox.",
    ),
    "registry.failed": About(
        "The registry cannot do what was asked; the message says why.",
        "A read-only handle, a file system without locks, a time before its history, or a registry that cannot be "
        "rebuilt.",
        "Do what `hint` says.",
    ),
    "registry.unreadable": About(
        "A file or folder of the registry cannot be read.",
        "This user has no right to, or the disk has an error.",
        "Run the command as the user who owns the registry; if that does not help, look at the disk.",
    ),
    "registry.checkpoint_missing": About(
        "The registry's JSON file is missing, and its journal is not.",
        "It was removed.",
        "Nothing: the daemon, or the next command that changes the registry, writes it again and keeps this one.",
    ),
    "registry.checkpoint_damaged": About(
        "The registry's JSON file is damaged, or is not the one that was written last.",
        "It was edited, restored from an older copy, or damaged on the disk.",
        "Nothing: the daemon, or the next command that changes the registry, writes it again and keeps this one.",
    ),
    "registry.mark_missing": About(
        "The mark beside the JSON file, which says how far it reaches, is missing.",
        "It was removed, or not copied with the rest.",
        "Nothing: the daemon, or the next command that changes the registry, writes it again and keeps this one.",
    ),
    "registry.mark_damaged": About(
        "The mark beside the JSON file is damaged.",
        "Damage on the disk, or an edited file.",
        "Nothing: the daemon, or the next command that changes the registry, writes it again and keeps this one.",
    ),
    "registry.mark_differs": About(
        "The mark beside the JSON file is of another epoch than the journal.",
        "A rebuild was cut short between the two, or one of them is a copy from another time.",
        "Nothing if it is of an earlier epoch. Else stop the daemon, then `model-inbox rebuild`.",
    ),
    "registry.entry_differs": About(
        "An entry of the JSON file is not what the journal says.",
        "The JSON file was edited together with its mark, or a journal of another registry was put there.",
        "Stop the daemon, then `model-inbox rebuild`.",
    ),
    "registry.entry_incomplete": About(
        "An entry names no file of a model.",
        "It was written by another program.",
        "Drop the model again under a new id; `model-inbox rebuild` removes the entry.",
    ),
    "registry.file_missing": About(
        "A file that an entry names is missing.",
        "It was removed, or its file system is not mounted.",
        "Restore it from a backup, or drop the model again.",
    ),
    "registry.file_not_regular": About(
        "A link, a folder or something else stands where a stored file belongs.",
        "Somebody replaced the file.",
        "Restore it from a backup, or drop the model again.",
    ),
    "registry.file_writable": About(
        "A stored file can be changed by others than its owner.",
        "Its mode was changed.",
        "Run the `chmod` that `hint` gives, and find out who changed it.",
    ),
    "registry.size_mismatch": About(
        "The files of a model have another size together than was registered.",
        "A file was changed or cut.",
        "Restore it from a backup, or drop the model again.",
    ),
    "registry.digest_mismatch": About(
        "A stored file has other bytes than were registered. Serving code refuses to load it.",
        "The file was changed, or damaged on the disk.",
        "Restore it from a backup, or drop the model again.",
    ),
    "registry.verdict_changed": About(
        "A stored file would be refused today, or does more than its entry lists.",
        "The lists, the rules or `pickle.allow` changed since it was registered.",
        "Allow what it needs, or retire it with `model-inbox delete`.",
    ),
    "registry.sidecar_missing": About(
        "The stored sidecar of a model is missing. The registry does not need it; a rebuild from files would.",
        "It was removed.",
        "`model-inbox rebuild` writes it again.",
    ),
    "registry.sidecar_damaged": About(
        "The stored sidecar of a model is no valid sidecar.",
        "It was edited, or damaged on the disk.",
        "`model-inbox rebuild` writes it again, and keeps the old one.",
    ),
    "registry.sidecar_differs": About(
        "The stored sidecar and the entry of a model do not agree.",
        "One of the two was edited.",
        "`model-inbox rebuild` writes the sidecar again from the entry, and keeps the old one.",
    ),
    "registry.storage_missing": About(
        "The folder of the stored models is missing.",
        "Its file system is not mounted, or `registry.storage_dir` is wrong.",
        "Mount it, or correct the setting, before anything else.",
    ),
    "registry.leftover_file": About(
        "A file lies among the stored models that no entry names.",
        "A crash, or somebody put it there.",
        "Nothing: a start of the daemon moves it to the trash.",
    ),
    "registry.staging_leftover": About(
        "A file has been in the staging folder for more than a day.",
        "Its writer died.",
        "Nothing: the next start of the daemon removes it.",
    ),
    "registry.trash_missing": About(
        "The trash does not hold a model that was retired and not purged.",
        "Its folder was removed by hand, or a crash came between the line and the move.",
        "Start the daemon, which completes a move; what was removed by hand cannot be restored.",
    ),
    "registry.trash_incomplete": About(
        "The trash holds a retired model without all its files.",
        "A file was removed by hand, or a crash came during the move.",
        "Start the daemon, which completes a move; what was removed by hand cannot be restored.",
    ),
    "registry.trash_damaged": About(
        "A file of a retired model in the trash has other bytes than were registered. The model cannot be restored.",
        "The file was changed, or damaged on the disk.",
        "Put it from a backup in its place, or purge the model and drop it again.",
    ),
    "registry.trash_extra": About(
        "A file lies in the trash folder of a model and is none of the model's files.",
        "Somebody put it there.",
        "Move it away; `model-inbox rebuild` sets it aside.",
    ),
    "registry.trash_unknown": About(
        "A folder lies in the trash that belongs to no retired model.",
        "A crash between a purge's line and its end, or somebody put it there.",
        "Start the daemon; `model-inbox rebuild` sets aside what stays.",
    ),
    # --- journal
    "journal.missing": About(
        "The journal is missing, and other files of the registry are there.",
        "It was removed, or not copied with the rest.",
        "Stop the daemon, then `model-inbox rebuild`.",
    ),
    "journal.damaged": About(
        "A line or the head of a journal segment is damaged.",
        "Damage on the disk, or an edited file.",
        "Stop the daemon, then `model-inbox rebuild` keeps every line that is whole.",
    ),
    "journal.cut": About(
        "The journal ends before lines that are known to have been committed.",
        "It was cut, or an older copy was put in its place.",
        "Stop the daemon, then `model-inbox rebuild` makes up for what was lost as far as files tell.",
    ),
    "journal.gap": About(
        "Lines between two segments of the journal are in no file.",
        "A segment was removed from `history/`.",
        "Restore it from a backup; else `model-inbox rebuild`.",
    ),
    "journal.base_missing": About(
        "The history begins later than line 1, and the file with the entries before it is missing.",
        "It was removed from `history/`.",
        "Restore it from a backup; else `model-inbox rebuild`.",
    ),
    "journal.base_damaged": About(
        "The file with the entries before the first line of the history is damaged.",
        "Damage on the disk, or an edited file.",
        "Restore it from a backup; else `model-inbox rebuild`.",
    ),
    # --- retention
    "retention.breaker": About(
        "The plan would retire more models than one run may; nothing was retired.",
        "Rules that are stricter than before, a wrong clock, or many models at once.",
        "Look at `model-inbox retention plan`; if it is right: `model-inbox retention apply --override-breaker`.",
        "the limit that was passed",
    ),
    "retention.unreadable": About(
        "Entries cannot be read by the rules, and are kept. A warning.",
        "An entry was written by another program.",
        "Look at them with `model-inbox show ID`.",
    ),
    "retention.future": About(
        "Models are dated in the future, and are kept. A warning.",
        "A clock was wrong, here or where they were trained.",
        "Check the clocks.",
    ),
    "retention.metric": About(
        "Models have no finite number at the metric of a `best` rule, and cannot be held by it. A warning.",
        "A producer does not write the metric, or the rule names it wrongly.",
        "Write it into `validation_metrics`, or name a metric that the models have.",
    ),
    "retention.size_unknown": About(
        "Models have no size and count as nothing in a budget. A warning.",
        "Entries of a registry that another program wrote.",
        "`model-inbox verify` compares the registry with the files.",
    ),
    "retention.budget": About(
        "A group stays over its budget, because other rules or protections hold what is left. A warning.",
        "The rules contradict each other.",
        "Raise the budget, unpin models, or keep fewer by the other rules.",
    ),
    "retention.changed": About(
        "The registry changed between the plan that was shown and its application; nothing was done.",
        "A drop was registered meanwhile.",
        "Run the command again.",
    ),
    # --- backup
    "backup.manifest_damaged": About(
        "The manifest of a snapshot is missing, or is not what was written.",
        "Damage of the medium, or somebody changed the file.",
        "Restore from another snapshot. This one counts for nothing and can be removed by hand.",
    ),
    "backup.file_missing": About(
        "A file of a snapshot is gone.",
        "Somebody removed it, or the snapshot was copied in part.",
        "Restore from another snapshot.",
    ),
    "backup.file_differs": About(
        "A file of a snapshot has other bytes than the backup wrote, or cannot be read.",
        "Damage of the medium, or somebody changed the file. Snapshots after this one may share it.",
        "Restore from another snapshot that `model-inbox backup verify` finds sound.",
    ),
    "backup.file_unknown": About(
        "A file is in a snapshot that the backup did not write.",
        "Somebody put it there, or opened the snapshot's registry to change it.",
        "Move it elsewhere. Open a snapshot only to read it.",
    ),
    "backup.not_copied": About(
        "The registry names a file that it does not have, or has with other bytes, so the snapshot lacks it.",
        "The registry was damaged before the backup.",
        "See `model-inbox verify`. An earlier snapshot may have the file.",
    ),
    "backup.refused": About(
        "A backup cannot be made, listed or restored as asked; nothing was changed.",
        "The folder is not empty, is inside the registry, or has no such snapshot; or models are outside of the "
        "registry's folder.",
        "The message says which, and what to do.",
    ),
    "backup.damaged": About(
        "A snapshot is not what was written, so it cannot be restored.",
        "Damage of the medium, or somebody changed a file of it.",
        "Restore from another snapshot; `model-inbox backup verify` says which are sound.",
    ),
    # --- status
    "status.not_running": About(
        "No daemon serves this registry.",
        "It was stopped, was never started, or died.",
        "Start it; look at its log if it died.",
    ),
    "status.unknown": About(
        "Whether a daemon runs cannot be told by this user.",
        "Neither its lock nor its status file may be read.",
        "Ask as the service's user, as root, or as a member of its groups.",
    ),
    "status.not_ready": About(
        "The daemon is starting or stopping, and takes no drops.",
        "It was just started, or has a large registry to read.",
        "Wait.",
    ),
    "status.unresponsive": About(
        "The daemon runs, but its next status is 15 seconds overdue. A drop is allowed the time of two scans at "
        "`pickle.time_limit` and of a disk that reads 50 MB/s.",
        "It hangs, or cannot write its status because the disk is full.",
        "Look at the log; with `WatchdogSec=` systemd restarts a daemon that hangs.",
    ),
    "status.inbox_unreachable": About(
        "The inbox cannot be used.",
        "The folder was removed, is not mounted, or belongs to another user.",
        "See that the folder is there and belongs to the service's user.",
    ),
    "status.deaf": About(
        "File events do not reach the daemon, which looks by the clock instead.",
        "The folder was renamed or mounted over, or a limit of the kernel was reached.",
        "Nothing, if it passes; else restart the daemon.",
    ),
    "status.deferred": About(
        "Drops are in hand that could not be decided.",
        "A full disk, an I/O error, a locked registry.",
        "Correct what the message names; the drops are tried again.",
    ),
    "status.checkpoint_failed": About(
        "The registry's JSON file is not up to date. Nothing is lost.",
        "A full disk, or a right on the folder.",
        "Correct what is wrong with the disk.",
    ),
    "status.rotation_failed": About(
        "The registry's journal is long enough for its next segment, which cannot be begun. Nothing is lost.",
        "A full disk, or a right on the folder.",
        "Correct what is wrong with the disk.",
    ),
    "status.lines_missing": About(
        "Lines of the registry's history are in no file. The registered models and new drops do not depend on them; "
        "`history` and queries with `as_of` do.",
        "A file in `history/` was removed.",
        "Put it back from a backup; else stop the daemon, then `model-inbox rebuild`.",
    ),
    "status.registry_failed": About(
        "The registry cannot be changed or followed now. Nothing that was acknowledged is lost.",
        "A disk with errors, or a folder that is gone.",
        "Correct what is wrong with the disk; it is tried again.",
    ),
    "status.history_damaged": About(
        "A closed segment of the journal is damaged. No drop and no model depends on it; questions about the past do.",
        "Damage on the disk, or an edited file.",
        "`model-inbox verify` names file and offset. Stop the daemon; `model-inbox rebuild` keeps what is whole.",
    ),
    "status.breaker_tripped": About(
        "Retention was stopped by its breaker; nothing was retired.",
        "See `retention.breaker`.",
        "Look at `model-inbox retention plan`; if it is right: `model-inbox retention apply --override-breaker`.",
    ),
    "status.retention_failed": About(
        "Carrying out a retention plan stopped half-way. Each step is whole.",
        "A full disk, an I/O error, a locked registry.",
        "See the log; the rest is tried again.",
    ),
    "status.config_refused": About(
        "The last reload was refused; an older configuration is in force.",
        "config.yaml has problems.",
        "`model-inbox config check` shows them; correct them, then `model-inbox reload`.",
    ),
    "status.metrics_failed": About(
        "The metrics are not written or served.",
        "The path cannot be written, or the port is taken.",
        "Correct `metrics` in config.yaml, then `model-inbox reload`.",
    ),
    "status.log_lost": About(
        "Log lines are not written where they should be.",
        "Standard error was closed when the daemon started (`2>&-`) and no `logging.file` is set, or that file cannot "
        "be written.",
        "Start the daemon with stderr open, or set `logging.file` to a file that its user may write.",
    ),
    "status.disk_nearly_full": About(
        "Less than 5 % and less than 10 GiB of a disk are left, or less than 5 % of its inodes.",
        "It fills up.",
        "Make room: drops are deferred when it is full.",
    ),
    # --- metadata
    "metadata.invalid": About(
        "The metadata that was given to the Python API, or a tag, has problems. They are listed, with codes of "
        "`sidecar`.",
        "See the listed problems.",
        "Correct them all.",
    ),
    # --- command
    "command.refused": About(
        "A command was not carried out; nothing was changed.",
        "Nobody confirmed it, or it makes no sense now.",
        "Do what `hint` says.",
    ),
    # --- scaler
    "scaler.refused": About(
        "`replace-scaler` does not take the file; its problems are listed.",
        "See the listed problems.",
        "Correct them, and give the file again.",
    ),
    # --- reload
    "reload.no_answer": About(
        "No daemon answered to a reload.",
        "None runs, this user cannot see which process it is, or it is at work on a large drop.",
        "Do what `hint` says; `model-inbox status` tells more.",
    ),
    # --- load
    "load.refused": About(
        "A stored model was not loaded.",
        "Its bytes are not those that were registered, or it asks for more than was seen in it.",
        "`model-inbox verify` tells which files were changed. Treat such a file as hostile.",
    ),
    # --- scan
    "scan.failed": About(
        "The scanner cannot work at all. No file is judged for it.",
        "Its worker process cannot be started, or was stopped.",
        "Look at the message; try again.",
    ),
    # --- storage
    "storage.failed": About(
        "The disk refused an operation; the message has operation, path and error.",
        "A full disk, an I/O error, or a missing right.",
        "Correct what the message names. Exit status 75 means that the same command may succeed later.",
    ),
    # --- log
    "log.unreadable": About(
        "The log cannot be read.",
        "There is none at that path, or this user may not read it.",
        "Give the right file, or ask as a member of the log's group.",
    ),
    # --- error
    "error": About(
        "What was asked for could not be done, for a reason that has no code of its own.",
        "The message says it.",
        "Do what `hint` says.",
    ),
}
"""Every code, by noun."""

NOUNS: Mapping[str, str] = {
    "sidecar": "The text of a sidecar and its fields; metadata that is given to the Python API has the same problems.",
    "artifact": "Model and scaler of a drop: whether they are there and whole, and what the scan found in them.",
    "checks": "What the operator accepts, by `checks` in config.yaml.",
    "drop": "A drop as a whole: what it waits for, why it was rejected, what lies in the inbox without being a drop.",
    "explain": "What `model-inbox inbox` cannot find out.",
    "inbox": "The inbox itself. The daemon does not start with one of these.",
    "config": "config.yaml, and files with retention rules. With a problem in it the daemon does not start, or reload.",
    "registry": "The registry: why it refuses something, and what `model-inbox verify` finds wrong with it.",
    "journal": "What `model-inbox verify` finds wrong with the journal and its history.",
    "retention": "What stops a retention plan, and its warnings: these retire nothing and keep what they name.",
    "backup": "What `model-inbox backup` cannot do, and what `backup verify` finds wrong with snapshots.",
    "status": "What `model-inbox status` finds wrong with the daemon.",
    "metadata": "Errors of the Python API about metadata.",
    "command": "Errors of commands.",
    "scaler": "Errors of `model-inbox replace-scaler`.",
    "reload": "Errors of `model-inbox reload`.",
    "load": "Errors of loading a stored model.",
    "scan": "Errors of the scanner itself. They say nothing about a file.",
    "storage": "Errors of the disk.",
    "log": "Errors of `model-inbox logs`.",
    "error": "All other errors.",
}
"""What the first part of a code stands for, in the order of the table."""
