"""Problems of a drop as a whole, and of what lies in the inbox without being one. The noun `drop`."""

from __future__ import annotations

from collections.abc import Sequence

from .sidecar import NAME_RULE
from .value import Problem, escaped, quoted

__all__ = [
    "drop_changed",
    "drop_deferred",
    "drop_folder",
    "drop_ignored",
    "drop_incomplete_timeout",
    "drop_invalid_name",
    "drop_linked",
    "drop_metadata_differs",
    "drop_no_sidecar",
    "drop_not_movable",
    "drop_not_permitted",
    "drop_quota",
    "drop_replaced",
    "drop_scaler_late",
    "drop_settling",
    "drop_sidecar_not_regular",
    "drop_sidecar_rejected",
    "drop_storage_unwritable",
    "drop_unexpected",
    "drop_unreadable",
]

_PERMITS_MAX = 10


# --- not complete yet -------------------------------------------------------------------------------------------


def drop_settling(why: str) -> Problem:
    """The drop is complete, but might still be changing."""
    return Problem(
        "drop.settling",
        f"the drop waits until its files are unchanged for the settle time: {why}",
        "A last line `...` in the sidecar, or sha256, spares the wait",
    )


def drop_changed(name: str) -> Problem:
    """A file is not what it was when its drop was judged."""
    return Problem(
        "drop.changed",
        f"{quoted(name)} was written to while it was being taken",
        "Nothing to do: it is taken when its writer has finished",
        file=escaped(name),
    )


def drop_deferred(drop_id: object, cause: object) -> Problem:
    """The daemon has the drop and could not decide about it. Both values come from its status file."""
    return Problem(
        "drop.deferred",
        f"the daemon has taken the drop as {drop_id} and could not decide about it: {cause}",
        "Nothing to do: it is tried again, and never rejected for this",
    )


def drop_incomplete_timeout(after: str) -> Problem:
    """The drop stayed incomplete for too long. `after` is `inbox.incomplete_timeout`, written out."""
    return Problem(
        "drop.incomplete_timeout",
        f"the drop was not complete {after} after its last change",
        "Send what is missing together with the sidecar again",
    )


# --- cannot be read or moved ---------------------------------------------------------------------------------


def drop_unreadable(name: str, why: str, hint: str, by: str = "the service") -> Problem:
    """A file cannot be read. `why` tells its rights or the error, `hint` the command that helps."""
    return Problem("drop.unreadable", f"{quoted(name)} cannot be read by {by}: {why}", hint, file=escaped(name))


def drop_not_movable(name: str, why: str, hint: str) -> Problem:
    """The service can read the drop and cannot move it. `why` is the error of the attempt, `hint` what helps."""
    return Problem("drop.not_movable", why, hint, file=escaped(name))


def drop_storage_unwritable(why: str, hint: str) -> Problem:
    """No drop is taken, because the daemon cannot write where drops pass. `why` is the error, `hint` what helps."""
    return Problem("drop.storage_unwritable", f"the daemon takes no drops now: {why}", hint)


# --- rejected as a whole -------------------------------------------------------------------------------------


def drop_invalid_name(stem: str, sidecar_name: str, reason: str) -> Problem:
    """The name of the sidecar cannot be the name of a drop."""
    return Problem(
        "drop.invalid_name",
        f"cannot use {quoted(stem)} as the name of a drop: {reason}",
        NAME_RULE,
        file=escaped(sidecar_name),
    )


def drop_sidecar_not_regular(name: str, what: str) -> Problem:
    """The sidecar is a link, a folder or something else. `what` says which."""
    return Problem(
        "drop.sidecar_not_regular",
        what,
        "Put the sidecar itself there: copy it, or make a hard link",
        file=escaped(name),
    )


def drop_linked(name: str, *, refused: bool) -> Problem:
    """A file has further names elsewhere (hard links). `refused`: anybody can have made the one in the inbox."""
    return Problem(
        "drop.linked",
        f"{quoted(name)} has another name elsewhere (a hard link), "
        + ("and this system lets any user link a file of another" if refused else "so it was copied"),
        "If you meant it: copy the file and its sidecar into the inbox. The operator sets fs.protected_hardlinks to 1"
        if refused
        else "",
        file=escaped(name),
    )


def drop_replaced(name: str) -> Problem:
    """A newer file of the same name came while the drop was in hand, so that it cannot go back."""
    return Problem(
        "drop.replaced",
        f"a newer {quoted(name)} was put into the inbox while this one was being checked",
        "Nothing to do if the newer one is meant: it is judged on its own",
        file=escaped(name),
    )


def drop_unexpected(cause: str, attempts: int) -> Problem:
    """Each attempt to process the drop failed in a way that nobody foresaw. `cause` is what ended the last one."""
    count = "1 attempt" if attempts == 1 else f"{attempts} attempts"
    return Problem(
        "drop.unexpected",
        f"{count} to process it failed, the last one so: {cause}",
        "This is a fault of model-inbox, or of the memory of the machine: report it with the traceback in the log; "
        "`model-inbox rejected retry` tries the drop again",
    )


# --- a duplicate ----------------------------------------------------------------------------------------------


def drop_metadata_differs(field: str, registered: str | None, dropped: str | None, *, more: int = 0) -> Problem:
    """The same model is registered with other metadata. `field` is a path that is safe to show; None: no value there.

    `more` is how many other values differ and are not told.
    """
    rest = f"; {more} more values differ" if more else ""
    return Problem(
        "drop.metadata_differs",
        f"{field} is registered as {_value(registered)}, and this drop says {_value(dropped)}{rest}",
        "The registered model keeps its metadata: drop it under another model_id to register these, too",
        field=field,
    )


def _value(value: str | None) -> str:
    return quoted(value) if value is not None else "nothing"


# --- strays --------------------------------------------------------------------------------------------------


def drop_no_sidecar(name: str, hint: str) -> Problem:
    """A file belongs to no drop. `hint` tells what is most likely missing."""
    return Problem("drop.no_sidecar", f"{quoted(name)} has no sidecar that names it", hint, file=escaped(name))


def drop_sidecar_rejected(name: str, drop_id: str) -> Problem:
    """A file came when its sidecar had been rejected."""
    return Problem(
        "drop.sidecar_rejected",
        f"{quoted(name)} came after its sidecar was rejected, as drop {drop_id}",
        "Send the corrected sidecar at once, or both again: the file is put to the rejected drop",
        file=escaped(name),
    )


def drop_scaler_late(name: str, model_id: str) -> Problem:
    """A scaler came when its model was registered without one."""
    return Problem(
        "drop.scaler_late",
        f"{quoted(name)} came after its model {quoted(model_id)} had been registered without a scaler",
        "Drop model and scaler together under a new model_id, with `scaler_file` in the sidecar",
        file=escaped(name),
    )


def drop_folder(name: str) -> Problem:
    """A folder lies in the inbox."""
    return Problem(
        "drop.folder",
        f"{quoted(name)} is a folder; a drop is a sidecar and the files beside it",
        "Move its files into the inbox itself, the sidecar last",
        file=escaped(name),
    )


def drop_ignored(name: str, what: str) -> Problem:
    """A name is one that the daemon never looks at. `what` says of which kind: "hidden"."""
    return Problem(
        "drop.ignored",
        f"the name {quoted(name)} is {what}",
        "Rename it when it is complete, like `mv NAME.part NAME`",
        file=escaped(name),
    )


# --- what this user may drop --------------------------------------------------------------------------------------


def drop_not_permitted(who: str, model_id: str, slot: str, permitted: Sequence[str]) -> Problem:
    """No permit covers the drop. `who` is its user, `slot` what it is for, `permitted` what the user may drop."""
    listed = "; or ".join(permitted[:_PERMITS_MAX])
    more = f"; and {len(permitted) - _PERMITS_MAX} more" if len(permitted) > _PERMITS_MAX else ""
    return Problem(
        "drop.not_permitted",
        f"{who} may not drop {quoted(model_id)} for {slot}",
        f"This user may drop: {listed}{more} (permits in config.yaml)"
        if permitted
        else "This user may drop nothing: no entry of `permits` in config.yaml names the user or one of its groups",
    )


def drop_quota(who: str, has: str, name: str, when: str) -> Problem:
    """The drop is over the quota of its user. `name` is the setting, `when` says when it frees."""
    return Problem("drop.quota", f"{who} {has} ({name} in config.yaml)", when)
