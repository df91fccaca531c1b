"""`model-inbox verify`: compares the registry with its journal, its files and their digests."""

from __future__ import annotations

import sys

import click

from ..base.units import counted
from ..exit_codes import EXIT_DONE, EXIT_REFUSED
from .common import App, Command, pass_app
from .output import print_json, print_lines, print_problems
from .progress import progress_bar

__all__ = ["verify"]


@click.command(
    cls=Command,
    examples=["model-inbox verify", "model-inbox verify --no-digests --json"],
    exits={
        EXIT_DONE: "no problems",
        EXIT_REFUSED: "problems were found",
        75: "a file could not be read for a reason that may pass, or the scanner does not work",
    },
)
@click.option("--digests/--no-digests", default=True, help="Read every stored file to compare its digest (default).")
@pass_app
def verify(app: App, *, digests: bool, as_json: bool) -> int:
    """Compare the registry with the files on the disk.

    Checks its journal, its history, the stored files and their digests. Models that were accepted with another Python
    or another allowlist are scanned again. Changes nothing, and may run while the daemon runs. `model-inbox rebuild`
    builds a damaged registry again.
    """
    section = app.config.registry
    app.act_as_owner()
    app.must_exist()
    from ..pickles import Allowlist, Scanner
    from ..registry.repair.verify import verify as audit
    from ..replica.pull import record_of

    rescanned: dict[str, list[str]] = {}
    pickle = app.config.pickle
    allowlist = Allowlist.load(pickle.frameworks, pickle.allow)
    with (
        Scanner(
            allowlist,
            memory_limit=pickle.memory_limit,
            time_limit=pickle.time_limit,
            load_budget=pickle.load_budget,
        ) as scanner,
        progress_bar("verify", shown=not as_json and sys.stderr.isatty()) as progress,
    ):
        problems = audit(
            section.path,
            section.storage_dir,
            digests=digests,
            progress=progress,
            scanner=scanner,
            rescanned=lambda model_id, changed: rescanned.update({model_id: list(changed)}),
            belongs_here=record_of(section.path.parent).covers,
        )
    if as_json:
        listed = [problem.as_dict() for problem in problems]
        print_json({"ok": not problems, "problems": listed, **({"rescanned": rescanned} if rescanned else {})})
        return EXIT_REFUSED if problems else EXIT_DONE
    for why in sorted({why for changed in rescanned.values() for why in changed}):
        models = [model_id for model_id, changed in rescanned.items() if why in changed]
        them = models[0] if len(models) == 1 else f"{len(models)} models"
        print_lines(f"Scanned {them} again: {why}.")
    if problems:
        print_lines(f"{counted(len(problems), 'problem')}:")
        print_problems(problems)
    else:
        print_lines("No problems found." if digests else "No problems found; the digests were not compared.")
    return EXIT_REFUSED if problems else EXIT_DONE
