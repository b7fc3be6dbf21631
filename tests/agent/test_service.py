"""A project as a service: files that the service managers read as they were meant."""

import plistlib
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from gesso.agent.errors import ServiceError
from gesso.agent.service import install, manager_here, service_of, uninstall

AWKWARD = [
    "plain",
    "two words",
    "100%",
    "%h and %n",
    "$HOME",
    "${HOME}",
    'a "quoted" word',
    "it's",
    "back\\slash \\x41",
    "semi ; colon",
    "#hash",
    "-dash",
    "Größe",
]


def words(line: str) -> list[str]:
    """A command line, taken apart by the rules of systemd.syntax(7) and systemd.service(5)."""
    found, word, quote, begun = [], "", "", False
    signs = iter(line)
    for sign in signs:
        if sign == "\\":
            escaped = next(signs)
            assert escaped in "\\\"'", f"\\{escaped} is another escape"
            word, begun = word + escaped, True
        elif quote:
            quote, word = ("", word) if sign == quote else (quote, word + sign)
        elif sign in "\"'" and not begun:
            quote, begun = sign, True
        elif sign in " \t":
            if begun:
                found.append(word)
            word, begun = "", False
        else:
            word, begun = word + sign, True
    assert not quote
    if begun:
        found.append(word)
    return [plain(one) for one in found]


def plain(text: str) -> str:
    """A text with systemd's specifiers, of which only the escaped percent sign is expected."""
    parts = text.split("%%")
    assert not any("%" in part for part in parts), "a specifier"
    return "%".join(parts)


def program_in(folder: Path, name: str) -> Path:
    """A program on a path as awkward as systemd takes."""
    return folder / "venv {}".format(re.sub(r"[\"'\\]", "", name)) / "python"


def assignment(unit: str, name: str) -> str:
    (line,) = [line for line in unit.splitlines() if line.startswith(f"{name}=")]
    return line.partition("=")[2]


@pytest.mark.parametrize("name", AWKWARD)
def test_systemd_reads_the_paths_as_they_are(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / name
    python = program_in(tmp_path, name)
    monkeypatch.setattr(sys, "executable", str(python))
    unit = service_of(project, "systemd").content
    program, *arguments = words(assignment(unit, "ExecStart"))
    # behind the colon no variable is expanded
    assert program == f":{python}"
    assert arguments == ["-m", "gesso.agent", "up", str(project)]
    assert plain(assignment(unit, "WorkingDirectory")) == str(project)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize("name", AWKWARD)
def test_systemd_itself_finds_nothing_to_complain_of(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / name
    python = program_in(tmp_path, name)
    for folder in (project, python.parent):
        folder.mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(python))
    service = service_of(project, "systemd", name="tested")
    install(service)
    command = ["systemd-analyze", "--user", "verify", str(service.path)]
    missing = subprocess.run(command, capture_output=True, text=True, check=False)
    assert f"Command {python} is not executable" in missing.stderr
    python.symlink_to("/bin/true")
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_a_path_that_no_unit_can_hold_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("new\nline", "ends in\\"):
        with pytest.raises(ServiceError, match="cannot be"):
            service_of(tmp_path / name, "systemd")
    monkeypatch.setattr(sys, "executable", "/opt/ada's/python")
    with pytest.raises(ServiceError, match="no program with a quote or backslash"):
        service_of(tmp_path, "systemd")


@pytest.mark.parametrize("name", AWKWARD)
def test_launchd_reads_the_paths_as_they_are(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    project = tmp_path / f"{name} <&>"
    service = service_of(project, "launchd")
    read = plistlib.loads(service.content.encode())
    assert read["Label"] == f"gesso.{service.name}"
    assert read["ProgramArguments"] == [sys.executable, "-m", "gesso.agent", "up", str(project)]
    assert read["WorkingDirectory"] == str(project)
    assert read["KeepAlive"] == {"SuccessfulExit": False}
    assert service.path == tmp_path / "Library" / "LaunchAgents" / f"gesso.{service.name}.plist"


def test_an_installed_service_is_replaced_and_another_projects_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for manager in ("systemd", "launchd"):
        first = service_of(tmp_path / "a" / "work", manager)
        second = service_of(tmp_path / "b" / "work", manager)
        assert first.path == second.path
        with pytest.raises(ServiceError, match="is not installed"):
            uninstall(first)
        install(first)
        install(first)
        for change in (install, uninstall):
            with pytest.raises(ServiceError, match="of another project: give this one a --name"):
                change(second)
        install(service_of(tmp_path / "b" / "work", manager, name="other"))
        uninstall(first)
        assert not first.path.exists()


def test_the_command_writes_shows_and_removes(
    command: Any, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(project / "home"))
    service = service_of(project, manager_here(), name="desk")
    code, out, err = command("service", "show", str(project), "--name", "desk")
    assert (code, out, err) == (0, service.content, "")
    assert not service.path.exists()
    code, out, _ = command("service", "install", str(project), "--name", "desk")
    assert code == 0
    assert service.path.read_text() == service.content
    assert service.start in out
    code, out, _ = command("service", "uninstall", str(project), "--name", "desk")
    assert code == 0
    assert not service.path.exists()
    assert service.stop in out
    code, out, _ = command("service", "show", str(project), "--for", "launchd")
    assert (code, out[:5]) == (0, "<?xml")
    for arguments in (["install", str(project), "--name", "a b"], ["show", str(project / "inbox")]):
        code, out, err = command("service", *arguments)
        assert (code, out, err.count("\n")) == (2, "", 1)
