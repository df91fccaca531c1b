"""The codes of the registry and of its journal."""

from __future__ import annotations

from collections.abc import Mapping

from ..codes import About, Code

__all__ = ["ROWS"]

ROWS: Mapping[Code, About] = {
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
    "registry.promotion_refused": About(
        "An alias cannot be given to the model, or there is no model to roll back to. Nothing was changed.",
        "The model is held, or the model to go back to was purged, is held, or its id belongs to another model now.",
        "The message names what is possible: another model to go back to, or `--override-gates`.",
    ),
    "registry.alias_protected": About(
        "The alias is protected, and the user who runs the command may not move it. Nothing was changed.",
        "`aliases` in the daemon's config.yaml names the users who may.",
        "Let one of them do it, or add the user to `may_move` and run `model-inbox reload`.",
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
        "A wrong path, or no daemon or writer has made it yet. A writer makes one only under a name that ends in "
        "`.json`, in a folder whose parent exists.",
        "Check `registry.path`, or start the daemon once.",
    ),
    "registry.entry_needed": About(
        "A model cannot be loaded: what was given is no entry. Only Python raises this.",
        "A `get_model` that found nothing returned None, or a model_id was given.",
        "Give the entry that `get_model`, `get_model_info` or `list_models` returned.",
    ),
    "registry.corrupted": About(
        "A file of the registry is damaged. Nothing was changed.",
        "Damage on the disk, or an edited file.",
        "`model-inbox verify` lists what is wrong; `model-inbox rebuild` makes the registry again from what is intact.",
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
    "registry.text_not_unicode": About(
        "A free text for the history, such as a reason, is not valid Unicode. Nothing was changed.",
        "The command line was not in UTF-8.",
        "Give the text in UTF-8.",
        "the parameter",
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
    "registry.file_outside": About(
        "An entry names a file outside of the registry's folder and its storage folder, directly or through a link. "
        "The file is not read, moved or removed.",
        "Another program or a person wrote the entry, or the models were moved and a link was left.",
        "Drop or register the file as a new model, and delete the entry; or name its folder in "
        "`registry.storage_dir`. See [formats.md](formats.md#which-files-an-entry-may-name).",
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
    "registry.labels_missing": About(
        "A model has labels (aliases, a pin, tags set by hand or recorded metrics), and its labels file is missing. "
        "The registry does not need it; a rebuild from files would.",
        "It was removed, or a version of model-inbox that wrote no such files set the labels.",
        "Nothing: a start of the daemon, or the next change, writes it.",
    ),
    "registry.labels_damaged": About(
        "The labels file of a model has other bytes than were written.",
        "It was edited, or damaged on the disk.",
        "Nothing: a start of the daemon writes it again, and keeps the damaged one in the trash.",
    ),
    "registry.labels_differ": About(
        "The labels file and the entry of a model do not agree.",
        "A writer ended after its journal line, before the file; or a copy was put in its place.",
        "Nothing: a start of the daemon writes it again from the entry.",
    ),
    "registry.rules_missing": About(
        "Changes in the history name rules that are not kept any more.",
        "Their file in `history/` was removed, or the registry was copied without it.",
        "Copy it from a backup. Nothing but `model-inbox why` reads it: the answers then lack the text of those rules.",
    ),
    "registry.rules_damaged": About(
        "The kept text of rules has other bytes than its name says.",
        "It was edited, or damaged on the disk.",
        "Copy it from a backup. If these rules are still in force, a start of the daemon writes it again.",
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
        "Stop the daemon, then `model-inbox rebuild` keeps every intact line.",
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
}
