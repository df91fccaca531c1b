"""`model-inbox allowlist`: explains the lists of allowed names, and compares them with the installed frameworks.

`explain` reads only the lists. `diff` imports the installed frameworks, and `build` fits their models: both are for
maintainers of the lists, in an environment with the frameworks. Never run them in the daemon's environment.
"""

from __future__ import annotations

import difflib
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from ..exit_codes import EXIT_DONE, EXIT_REFUSED
from ..problems import quoted
from .common import App, Command, Group, Refused, pass_app
from .output import print_fields, print_json, print_lines

__all__ = ["allowlist"]

_TOOL = Path(__file__).parents[3] / "tools" / "build_allowlist.py"
"""The tool that builds the lists, in a source tree. Wheels do not contain it."""


@click.group(cls=Group)
def allowlist() -> None:
    """Explain, compare and build the lists of names that pickles may contain."""


@allowlist.command(
    cls=Command,
    examples=[
        "model-inbox allowlist explain sklearn.linear_model._ridge.Ridge",
        "model-inbox allowlist explain fxmodels.lstm.FxLSTM --json",
    ],
    exits={EXIT_DONE: "a pickle may contain the name", EXIT_REFUSED: "it may not"},
)
@click.argument("name", metavar="NAME")
@pass_app
def explain(app: App, *, name: str, as_json: bool) -> int:
    """Show whether a pickle may contain NAME, for which uses, and which code they run.

    NAME is a full name, module.Class, as in the message of a rejection. The lists are those of config.yaml, with the
    names in pickle.allow. Nothing is imported.
    """
    from ..pickles import Allowlist, describe_uses
    from ..pickles import explain as explained

    section = app.config.pickle
    lists = Allowlist.load(section.frameworks, section.allow)
    about = explained(name)
    uses = lists.uses(name) or ""
    own = section.allow.get(name)
    answer: dict[str, Any] = {
        **about,
        "allowed": bool(uses),
        "uses": uses,
        "permits": describe_uses(uses),
        "own": own,
        "close": [] if uses else difflib.get_close_matches(name, list(lists), 3, 0.8),
    }
    if as_json:
        print_json(answer)
    else:
        _print_explained(answer)
    return EXIT_DONE if uses else EXIT_REFUSED


def _print_explained(answer: Mapping[str, Any]) -> None:
    name = answer["name"]
    frameworks = answer["frameworks"]
    if answer["allowed"]:
        print_lines(f"A pickle may contain {quoted(name)}.")
    elif answer["never"]:
        print_lines(f"{quoted(name)} is never allowed: {answer['never']}.")
    elif frameworks:
        print_lines(f"{quoted(name)} is on a list that pickle.frameworks does not select.")
    else:
        print_lines(f"{quoted(name)} is on no list.")
        print_lines(
            f"If you trust its code, add it to pickle.allow in config.yaml with the letters in the model's rejection, "
            f'such as  {name}: "bnr"  for an instance with a state.'
        )
    fields = [
        ("may", answer["permits"] or None),
        ("uses", answer["uses"] or None),
        ("lists", ", ".join(frameworks) or None),
        ("config", f"pickle.allow: {answer['own']}" if answer["own"] else None),
        ("runs", "\n".join(answer["hooks"]) or None),
        ("similar", "\n".join(answer["close"]) or None),
    ]
    print_fields(fields)


@allowlist.command(
    cls=Command,
    examples=["model-inbox allowlist diff scikit-learn", "model-inbox allowlist diff --json"],
    exits={EXIT_DONE: "no code differs", EXIT_REFUSED: "the code of a name differs from the reviewed code"},
)
@click.argument("frameworks", nargs=-1, metavar="[FRAMEWORK]...")
def diff(*, frameworks: tuple[str, ...], as_json: bool) -> int:
    """Compare the lists with the installed frameworks, for example after an upgrade.

    Checks for each name whether the framework has it, and whether loading it runs the same Python code that was
    reviewed. The frameworks are imported, so run this only in an environment that you trust. The lists also have names
    of other versions; these are only counted.
    """
    from ..pickles import FRAMEWORKS, differences

    unknown = [name for name in frameworks if name not in FRAMEWORKS]
    if unknown:
        raise click.BadParameter(f"{quoted(unknown[0])} is not one of {', '.join(FRAMEWORKS)}")
    found = {framework: list(differences(framework)) for framework in frameworks or FRAMEWORKS}
    changed = any(one.what == "changed" for several in found.values() for one in several)
    if as_json:
        print_json(
            {
                framework: {
                    "missing": [one.name for one in several if one.what == "missing"],
                    "changed": [
                        {"name": one.name, "reviewed": list(one.reviewed), "installed": list(one.installed)}
                        for one in several
                        if one.what == "changed"
                    ],
                }
                for framework, several in found.items()
            }
        )
        return EXIT_REFUSED if changed else EXIT_DONE
    for framework, several in found.items():
        other = [one for one in several if one.what == "changed"]
        missing = len(several) - len(other)
        print_lines(f"{framework}: {len(other)} with other code, {missing} not installed here")
        for one in other:
            print_lines(one.name, indent=2)
            for sign, hooks in (("-", one.reviewed), ("+", one.installed)):
                for hook in hooks:
                    print_lines(f"{sign} {hook}", indent=4, hanging=6)
    return EXIT_REFUSED if changed else EXIT_DONE


@allowlist.command(
    cls=Command,
    examples=["model-inbox allowlist build --check scikit-learn", "model-inbox allowlist build --merge"],
    exits={EXIT_DONE: "done", EXIT_REFUSED: "with --check: the lists would change"},
)
@click.argument("frameworks", nargs=-1, metavar="[FRAMEWORK]...")
@click.option("--merge", is_flag=True, help="Keep all names on the lists, to add those of another version.")
@click.option("--check", is_flag=True, help="Write nothing; print what would change.")
def build(*, frameworks: tuple[str, ...], merge: bool, check: bool, as_json: bool) -> int:  # noqa: ARG001  # every command has it
    """Build the lists again from real models. Review the result as a diff.

    Fits, saves and scans models of each framework. Runs tools/build_allowlist.py of the source tree with this Python,
    which needs the frameworks (`make env-frameworks`). It takes some minutes.
    """
    if not _TOOL.is_file():
        raise Refused(
            "cannot build the lists: this installation has no source tree with tools/build_allowlist.py",
            hint="Clone the project, run `make env-frameworks`, then use .venv-frameworks/bin/model-inbox",
        )
    options = [name for name, wanted in (("--merge", merge), ("--check", check)) if wanted]
    # Like -I, but for the folder of the tool, which has other modules of ours.
    command = [sys.executable, "-E", "-s", str(_TOOL), *options, "--", *frameworks]
    status = subprocess.run(command, check=False).returncode  # noqa: S603  # our own file and Python
    return EXIT_REFUSED if status else EXIT_DONE
