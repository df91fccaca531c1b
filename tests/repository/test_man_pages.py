"""The man pages say what the program does: a page for each command, with all its options, and all settings."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from model_inbox.cli import COMMANDS, root
from model_inbox.config.settings import Config
from support.places import ROOT


@pytest.fixture(name="share", scope="module")
def _share(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with all that `make install` puts below /usr/local/share."""
    share = tmp_path_factory.mktemp("share")
    subprocess.run([sys.executable, "-I", ROOT / "docs" / "man_pages.py", share, "/srv/doc"], check=True)
    return share


def plain(page: Path) -> str:
    """Return the text of a page without the marks of troff."""
    return re.sub(r"\\f[BR]|\\&", "", page.read_text(encoding="ascii")).replace("\\-", "-").replace("\\(aq", "'")


def test_there_is_a_page_for_each_command_and_one_for_the_settings(share: Path) -> None:
    """No command is without a page, and no page is of something else; the program's own page names them all."""
    names = {str(path.relative_to(share)) for path in share.rglob("*.[15]")}
    commands = {f"man/man1/model-inbox-{name}.1" for name in COMMANDS}
    assert names == {*commands, "man/man1/model-inbox.1", "man/man5/model-inbox.yaml.5"}
    text = plain(share / "man/man1/model-inbox.1")
    assert all(f".TP\n{name}\n" in text for name in COMMANDS)
    assert ".TP\n/srv/doc/\n" in text


def test_a_page_has_all_options_of_its_command(share: Path) -> None:
    """Also those of the commands of a group, and each with the help that `--help` shows."""
    for name in COMMANDS:
        command = root.get_command(click.Context(root), name)
        assert command is not None
        text = plain(share / f"man/man1/model-inbox-{name}.1")
        for one in [command, *(command.commands.values() if isinstance(command, click.Group) else ())]:
            for option in one.params:
                if isinstance(option, click.Option) and not option.hidden:
                    assert re.search(rf"\n{', '.join(sorted(option.opts, key=len))}[ \n]", text), (
                        one.name,
                        option.opts,
                    )


def test_the_page_of_the_settings_has_every_key(share: Path) -> None:
    """Each section of config.yaml has its heading, and each of its keys its default."""
    text = plain(share / "man/man5/model-inbox.yaml.5")
    assert {word.lower() for word in re.findall(r"^\.SH (.*)$", text, re.MULTILINE)} >= set(Config.model_fields)
    assert "\ninbox.rescan_seconds (default: 30)\n" in text
    assert "\ninbox.private (default: false)\n" in text


def test_no_text_is_a_request_of_troff(share: Path) -> None:
    """Only the requests that pages are made of begin a line with a dot or an apostrophe."""
    known = re.compile(r'\.(TH|SH|SS|TP|PP|RS|RE|nf|fi|nh|ad|\\")( |$)')
    for path in share.rglob("*.[15]"):
        for line in path.read_text(encoding="ascii").splitlines():
            assert known.match(line) if line.startswith((".", "'")) else True, f"{path.name}: {line}"


@pytest.mark.parametrize(
    ("place", "word"),
    [
        ("bash-completion/completions/model-inbox", "bash_complete"),
        ("zsh/site-functions/_model-inbox", "#compdef model-inbox"),
        ("fish/vendor_completions.d/model-inbox.fish", "fish_complete"),
    ],
)
def test_each_shell_finds_its_script(share: Path, place: str, word: str) -> None:
    """It lies where the shell looks below a share folder."""
    assert word in (share / place).read_text()


def test_zsh_completes_at_every_tab(share: Path) -> None:
    """The file calls its function however it was loaded: click's own does nothing at the second Tab of a session."""
    script = (share / "zsh/site-functions/_model-inbox").read_text()
    assert script.startswith("#compdef model-inbox\n")
    assert script.endswith('}\n\n_model_inbox_completion "$@"\n')
    assert "zsh_eval_context" not in script
