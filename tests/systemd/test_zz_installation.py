"""Installing over what is there, into another place, and taking all away again. Last here: it ends the installation."""

from __future__ import annotations

import os
import re

from installed import SOURCES, STATE, UNIT, Installed


def test_an_installation_tells_what_comes_next(installation: tuple[Installed, str, str]) -> None:
    """The first installation names the configuration and the command that starts it."""
    installed, said, config = installation
    assert "Look at /etc/model-inbox/config.yaml, then: systemctl enable --now model-inbox" in said
    assert re.findall(r"^ +(?:path|storage_dir): (.*)$", config, re.MULTILINE) == [
        f"{STATE}/inbox",
        f"{STATE}/models/prediction_registry.json",
        f"{STATE}/models/prediction",
    ]
    assert installed.model_inbox("config", "check").stdout.strip() == "'/etc/model-inbox/config.yaml' has no problems."


def test_man_pages_and_completion_are_where_they_are_looked_for(installation: tuple[Installed, str, str]) -> None:
    """`man` finds a page for each command, and bash completes a command with the script in the folder that it reads."""
    machine = installation[0].machine
    share = machine.root / "usr/local/share"
    assert (share / "man/man1/model-inbox-drop.1").read_text().startswith('.\\" Written by')
    assert "/opt/model" in (share / "man/man1/model-inbox.1").read_text()
    assert (share / "man/man5/model-inbox.yaml.5").stat().st_mode & 0o777 == 0o644
    script = "/usr/local/share/bash-completion/completions/model-inbox"
    press = "COMP_WORDS=(model-inbox rest); COMP_CWORD=1; _model_inbox_completion model-inbox; echo ${COMPREPLY[*]}"
    assert machine.run("bash", "-c", f"source {script}; {press}", user="carol").stdout == "restore\n"


def test_an_interpreter_that_a_service_cannot_run_is_refused(installation: tuple[Installed, str, str]) -> None:
    """A Python below a closed folder is refused with what to do, before anything is changed."""
    machine = installation[0].machine
    home = machine.root / "run/home"
    home.mkdir(0o700)
    (home / "python").write_text("#!/bin/sh\necho /run/home/own\n")  # says where it lies, as a real one would
    (home / "own").mkdir()
    (home / "python").chmod(0o755)
    done = machine.run("make", "-C", SOURCES, "install", "PYTHON=/run/home/python", check=False)
    assert done.returncode != 0
    assert "which only its owner can enter: a service cannot run it" in done.stderr


def test_a_package_is_made_of_it(installation: tuple[Installed, str, str]) -> None:
    """DESTDIR gets everything and the machine nothing; moved to its place, with another PREFIX, the program runs."""
    installed, machine = installation[0], installation[0].machine
    unit = machine.root / "usr/local/lib/systemd/system" / UNIT
    before = unit.read_text()
    installed.make("install", DESTDIR="/run/stage", PREFIX="/srv/mi", SYSTEMD_VERSION="255")
    assert unit.read_text() == before
    assert not (machine.root / "srv/mi").exists()
    stage = machine.root / "run/stage"
    staged = (stage / "usr/local/lib/systemd/system" / UNIT).read_text()
    assert "ExecStart=/srv/mi/bin/model-inbox --config /etc/model-inbox/config.yaml run" in staged
    assert "/opt/model-inbox" not in staged
    backoff = (stage / "usr/local/lib/systemd/system" / f"{UNIT}.d" / "50-backoff.conf").read_text()
    assert "RestartMaxDelaySec=5min" in backoff
    machine.run("mv", "/run/stage/srv/mi", "/srv/mi")
    assert machine.run("/srv/mi/bin/model-inbox", "--version").stdout == f"model-inbox {installed.version}\n"
    assert machine.run("grep", "-rl", "/run/stage", "/srv/mi", check=False).stdout == ""
    machine.run("mv", "/srv/mi", "/run/stage/srv/mi")
    installed.make("uninstall", DESTDIR="/run/stage", PREFIX="/srv/mi")
    assert machine.run("find", "/run/stage", "-not", "-type", "d").stdout == ""
    assert unit.read_text() == before


def test_an_upgrade_keeps_state_and_edited_settings(service: Installed) -> None:
    """The running daemon works on through an installation; after a restart the new version serves the old models."""
    machine = service.machine
    service.drop("before-upgrade")
    service.registered("before-upgrade")
    pid, old = service.pid, os.readlink(machine.root / "opt/model-inbox/current")
    edited = service.config.read_text().replace("rescan_seconds: 30", "rescan_seconds: 29")
    service.config.write_text(edited)
    project = machine.root / SOURCES.lstrip("/") / "pyproject.toml"
    text = project.read_text()
    project.write_text(text.replace(f'version = "{service.version}"', 'version = "98.7.6"'))
    sample = machine.root / SOURCES.lstrip("/") / "config.yaml"
    sample.write_text(sample.read_text().replace("rescan_seconds: 30", "rescan_seconds: 31"))
    said = service.make("install")
    assert "systemctl restart model-inbox" in said
    assert service.pid == pid
    assert service.config.read_text() == edited
    assert "rescan_seconds: 31" in (machine.root / "etc/model-inbox/config.yaml.new").read_text()
    service.signal("HUP")  # the old release still works, worker and all
    (worker,) = machine.run("pgrep", "-P", str(pid), check=False).stdout.split() or ("",)
    if worker:
        machine.run("kill", "-KILL", worker)
    service.drop("during-upgrade")
    service.registered("during-upgrade")
    service.systemctl("restart")
    assert service.events("daemon.started")[-1]["VERSION"] == "98.7.6"
    listed = service.model_inbox("list", "--json").stdout
    assert '"before-upgrade"' in listed
    releases = os.listdir(machine.root / "opt/model-inbox/releases")
    assert len(releases) == 2
    assert old.removeprefix("releases/") in releases


def test_what_is_removed_and_what_stays(service: Installed) -> None:
    """Uninstalled, the service is stopped and gone; all state, the groups and an edited config.yaml are there."""
    machine = service.machine
    service.drop("kept")
    service.registered("kept")
    service.config.write_text(service.config.read_text() + "# edited\n")
    before = {path: path.stat().st_size for path in (service.models / "prediction").glob("*.pkl")}
    said = service.make("uninstall")
    assert f"Kept: {STATE}" in said
    assert "Kept: /etc/model-inbox/config.yaml, which was edited" in said
    assert machine.run("systemctl", "is-active", UNIT, check=False).stdout.strip() == "inactive"
    assert service.show("LoadState") == "not-found"
    assert {path: path.stat().st_size for path in (service.models / "prediction").glob("*.pkl")} == before
    assert (service.models / "prediction/kept.pkl").exists()
    machine.run("getent", "group", "model-producers")
    left = machine.run(
        "find",
        "/opt",
        "/usr/local",
        "/usr/lib",
        "/etc",
        "-xdev",
        "-name",
        "*model-inbox*",
        "-not",
        "-path",
        "/etc/logrotate.d/*",
    ).stdout.split()
    assert left == ["/etc/model-inbox"]
