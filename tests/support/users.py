"""Doing something as another user, for real: in a forked child that gives its rights up first."""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from support.world import must_be_root


def as_user(uid: int, what: Callable[[], Any], groups: Sequence[int] = ()) -> Any:
    """Return what `what` returns (as JSON) when it is called by another user, who is in these groups.

    What it imports must have been imported before: that user cannot read our interpreter's files.
    """

    def become() -> None:
        os.setgroups(list(groups))
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)

    return in_child(become, what)


def in_child(become: Callable[[], None], what: Callable[[], Any]) -> Any:
    """Return what `what` returns (as JSON) when it is called in a child process that did `become` before."""
    must_be_root()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            become()
            answer = {"value": what()}
        except BaseException:
            answer = {"error": traceback.format_exc()}
        with os.fdopen(writer, "w") as pipe:
            json.dump(answer, pipe)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    answer = json.loads(text)
    assert "error" not in answer, answer["error"]
    return answer["value"]


def let_through(folder: Path) -> None:
    """Let everybody pass to a folder of a test or one in it. pytest makes its own for us alone, up to four deep."""
    for place in (folder, *folder.parents[:4]):
        if os.access(place, os.W_OK) and len(place.parts) > 2:
            place.chmod(place.stat().st_mode | 0o055)
