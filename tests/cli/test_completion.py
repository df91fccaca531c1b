"""What a shell completes: commands, ids, pairs, types, aliases, retired models and rejected drops."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import BashComplete

from model_inbox.cli import COMMANDS, root
from support.home import Home

PROGRAM = str(Path(sys.executable).with_name("model-inbox"))


def completed(*words: str) -> list[str]:
    """Return what is offered for the last of the words behind `model-inbox`."""
    shell = BashComplete(root, {}, "model-inbox", "_MODEL_INBOX_COMPLETE")
    return [item.value for item in shell.get_completions(list(words[:-1]), words[-1])]


def test_bash_completes_by_the_script_of_click(home: Home) -> None:
    """With the script that `make install` puts in place, `show n<TAB>` offers the id that begins so, and is silent."""
    del home
    script = subprocess.run([PROGRAM], env={**os.environ, "_MODEL_INBOX_COMPLETE": "bash_source"}, capture_output=True)
    press = "COMP_WORDS=(model-inbox show n); COMP_CWORD=2; _model_inbox_completion model-inbox; echo ${COMPREPLY[*]}"
    bash = subprocess.run(
        ["bash", "-c", f"{script.stdout.decode()}\n{press}"],
        env={**os.environ, "PATH": f"{Path(PROGRAM).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert (bash.stdout, bash.stderr) == ("new\n", "")


def test_commands_are_completed_without_being_imported(home: Home) -> None:
    """All commands are offered in the order of the help, and what is offered for `a` is `alias` and `allowlist`."""
    del home
    assert completed("") == list(COMMANDS)
    assert completed("a") == ["alias", "allowlist"]


def test_models_are_completed_newest_first(home: Home) -> None:
    """Registered last is first, in every argument and option that takes an id."""
    with home.open() as registry:
        registry.delete_model("old")
    assert completed("show", "") == ["other", "new"]
    assert completed("show", "n") == ["new"]
    assert completed("diff", "new", "o") == ["other"]
    assert completed("logs", "--model", "") == ["other", "new"]


def test_slots_and_aliases_are_completed(home: Home) -> None:
    """Each pair, type, variant and alias once."""
    home.register("thirty", days=3, variant="30d")
    with home.open() as registry:
        registry.set_alias("champion", "new")
        registry.set_alias("challenger", "new")
        registry.set_alias("champion", "other")
    assert completed("list", "--pair", "") == ["USD/EUR", "USD/CHF"]
    assert completed("get", "--pair", "USD/C") == ["USD/CHF"]
    assert completed("list", "--type", "") == ["lightgbm"]
    assert completed("list", "--variant", "") == ["30d"]
    assert sorted(completed("get", "--alias", "")) == ["challenger", "champion"]
    assert completed("alias", "set", "cham") == ["champion"]


def test_retired_models_and_rejected_drops_are_completed(home: Home) -> None:
    """`restore` and `trash purge` take what is in the trash, `rejected show` what is in the folder of the rejected."""
    with home.open() as registry:
        registry.delete_model("old")
    (home.folder / "inbox" / "rejected" / "20260101T000000.000001Z-wrong").mkdir(parents=True)
    assert completed("restore", "") == ["old"]
    assert completed("trash", "purge", "") == ["old"]
    assert completed("rejected", "show", "2026") == ["20260101T000000.000001Z-wrong"]


def test_nothing_that_a_shell_reads_is_completed(empty: Home) -> None:
    """A pair from a producer may hold any sign; with one that a shell reads it is not put on a command line."""
    pairs = ["$(touch hacked)", "a;b", "a b", "`x`", "-rf", "USD/EUR", "a\nb", 'a"b', "*", "EUR/Złoty"]
    empty.registry_path.parent.mkdir()
    entries = {f"m{number}": {"currency_pair": pair} for number, pair in enumerate(pairs)}
    empty.registry_path.write_text(json.dumps(entries, indent=2, ensure_ascii=False))
    assert completed("list", "--pair", "") == ["EUR/Złoty", "USD/EUR"]


@pytest.mark.parametrize("text", [None, b"", b"\x00" * 100, b'{\n  "half', b"[]"], ids=str)
def test_where_nothing_can_be_read_nothing_is_completed(
    empty: Home, text: bytes | None, capfd: pytest.CaptureFixture[str]
) -> None:
    """Without a registry, with a damaged one and with a wrong configuration it is silent."""
    if text is not None:
        empty.registry_path.parent.mkdir()
        empty.registry_path.write_bytes(text)
    words = ("show",), ("list", "--pair"), ("get", "--alias"), ("restore",), ("rejected", "show")
    assert [completed(*some, "") for some in words] == [[], [], [], [], []]
    (empty.folder / "config.yaml").write_text("wrong: [")
    assert completed("show", "") == []
    assert capfd.readouterr() == ("", "")


def test_what_names_a_model_or_a_slot_is_completed_everywhere() -> None:
    """No argument or option with a metavar of the vocabulary is without its completion, in any command."""
    missing = []
    waiting: list[tuple[str, click.Command]] = [("", root)]
    while waiting:
        words, command = waiting.pop()
        context = click.Context(command)
        for parameter in command.params:
            word = (parameter.metavar or "").strip("[].")
            if word in ("ID", "PAIR", "TYPE", "VARIANT") and not parameter._custom_shell_complete:
                missing.append(f"{words} {word}")
        for name in command.list_commands(context) if isinstance(command, click.Group) else ():
            inner = command.get_command(context, name)
            assert inner is not None
            waiting.append((f"{words} {name}".strip(), inner))
    assert missing == []
