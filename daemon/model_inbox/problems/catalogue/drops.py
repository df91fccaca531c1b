"""The codes of drops and of the inbox."""

from __future__ import annotations

from collections.abc import Mapping

from ..codes import About, Code

__all__ = ["ROWS"]

ROWS: Mapping[Code, About] = {
    # --- drop
    "drop.settling": About(
        "The drop is complete, and waits until its files are unchanged for `inbox.settle_seconds`.",
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
        "The drop was not complete for `inbox.incomplete_timeout` after its last change. It stands beside the problems "
        "that tell what is missing.",
        "The producer died, or never sends the missing part.",
        "Send sidecar and files again.",
    ),
    "drop.unreadable": About(
        "The service cannot read a file of the drop.",
        "The file's group or mode does not let the service read it, or the disk has an error.",
        "Run the command that `hint` gives, or write the file again.",
    ),
    "drop.storage_unwritable": About(
        "The drop waits in the inbox, because the daemon cannot write in a place that drops pass.",
        "A read-only or full disk, a quota, a right, an attribute or a mount.",
        "Nothing to do for the producer. The operator does what `hint` says; the drop is taken when that ends.",
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
    "drop.linked": About(
        "A file of the drop has another name elsewhere (a hard link). It is registered as a copy, and this stands in "
        "the log; or it is rejected, because the kernel lets any user link files of others (fs.protected_hardlinks is "
        "0), and no sidecar says by a digest that its owner meant this file.",
        "The producer linked the file instead of copying it. Or another user linked it, to have it registered.",
        "Copy the files, or use `model-inbox drop`. The operator sets fs.protected_hardlinks to 1. If you did not drop "
        "the file, ask who did: somebody could link it.",
    ),
    "drop.replaced": About(
        "A newer file of the same name came while this drop was being checked, so that this one could not go back.",
        "The producer dropped the same name again.",
        "Nothing, if the newer one is meant: it is judged on its own.",
    ),
    "drop.unexpected": About(
        "Two attempts to process the drop failed: each raised an exception that nobody foresaw, or the daemon ended in "
        "it (killed by a signal, or out of memory). While it waits in the inbox: one attempt failed, and it is tried "
        "again.",
        "A fault of model-inbox, or too little memory. The log has the traceback (`drop.failed_unexpectedly`), the "
        "journal of systemd the signal.",
        "Report it, with the traceback. `model-inbox rejected retry DROP_ID` tries the drop again, after an upgrade or "
        "with more memory.",
    ),
    "drop.metadata_differs": About(
        "The same model with the same bytes is registered with other metadata. The drop is a duplicate and changes "
        "nothing.",
        "The sidecar was changed after the model had been registered, or a new training gave the very same bytes.",
        "Nothing, if the registered metadata is right. Else drop the model under another model_id.",
    ),
    "drop.not_permitted": About(
        "No entry of `permits` in config.yaml lets this user drop this model. It is refused before its files are read.",
        "The slot or the model_id is another team's, or the user is not in the group that may drop it.",
        "Drop what the hint names, or ask the operator for a permit.",
    ),
    "drop.quota": About(
        "The drop is over the `quota` of its user: registrations of the last 24 hours, or bytes of registered models.",
        "A job that drops too often, or models that no rule retires.",
        "Drop it again when the hint says that it frees, or ask the operator for more.",
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
    "drop.sidecar_rejected": About(
        "A model or a scaler came after its sidecar was rejected. After ten settle times (or one, if the name of the "
        "sidecar was at fault) it is moved to the rejected drop, whose answer stays.",
        "The sidecar was sent first, and answered before the model was there.",
        "Read the receipt of the drop; then send the corrected sidecar and the model, or `model-inbox rejected retry`.",
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
        "Look at it and move it away; the daemon makes the folder.",
    ),
    "inbox.not_ours": About(
        "The inbox, or a reserved folder in it, belongs to another user than the one that the daemon runs as.",
        "The daemon was started as another user, or a producer made the folder before the first start.",
        "Of the inbox: change its owner, or run the daemon as the owner. A reserved folder: look at it and move it "
        "away; the daemon makes it. Never change the owner of what another user made.",
    ),
    "inbox.open_to_others": About(
        "Other users can write in a reserved folder of the inbox.",
        "A producer made the folder before the first start, or its mode was changed.",
        "Look at it and move it away; the daemon makes the folder.",
    ),
    "inbox.not_sticky": About(
        "Several users can write in the inbox, and each can rename, replace and remove the drops of the others. With "
        "`inbox.private` the daemon does not start; otherwise it logs a warning.",
        "The folder was made by hand, or its mode was changed; the installation makes it with mode 3770.",
        "Set the sticky bit, as `hint` says.",
    ),
}
