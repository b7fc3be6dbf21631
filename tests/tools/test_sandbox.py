"""Commands that run wild, with and without bubblewrap. Every bomb here ends by itself, so that a
test that fails takes no machine with it."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from gesso.tools import Context, Registry, SandboxError, Workspace
from gesso.tools.sandbox import Limits, Outcome, bubblewrap, run

needs_bubblewrap = pytest.mark.skipif(
    shutil.which("bwrap") is None, reason="bubblewrap is not installed"
)

FORK_BOMB = """
import os, time
end = time.monotonic() + 4
while time.monotonic() < end:
    os.fork()
"""

MEMORY_BOMB = """
import time
kept = []
while len(kept) < 2000:
    kept.append(bytearray(1 << 20))
print("survived")
"""

MEMORY_BOMB_OF_MANY = """
import os, time
for _ in range(8):
    if os.fork() == 0:
        kept = bytearray(60 << 20)
        time.sleep(8)
        os._exit(0)
time.sleep(8)
print("survived")
"""


def python(workspace: Workspace, program: str, **limits: Any) -> Outcome:
    return run([sys.executable, "-I", "-c", program], workspace, "none", Limits(**limits))


def sh(workspace: Workspace, line: str, **limits: Any) -> Outcome:
    return run(["/bin/sh", "-c", line], workspace, "none", Limits(**limits))


@pytest.fixture
def workspace(context: Context) -> Workspace:
    return context.workspace


def lives(mark: str) -> bool:
    """Whether any process has `mark` among its arguments."""
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and mark.encode() in (entry / "cmdline").read_bytes():
                return True
        except OSError:
            continue  # ended meanwhile
    return False


def test_a_command_runs_in_the_workspace_without_our_environment(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_KEY", "secret")
    (workspace.root / "a.txt").write_text("hello\n")
    assert sh(workspace, "cat a.txt; echo wrong >&2; exit 3") == Outcome("hello\nwrong", 3)
    environment = sh(workspace, "env").output.split("\n")
    names = {line.split("=")[0] for line in environment}
    assert names <= {"PATH", "HOME", "TMPDIR", "LANG", "PWD", "SHLVL", "_"}
    assert sh(workspace, "cat; echo $TMPDIR > $TMPDIR/x; echo done").output == "done"


def test_the_outcome_is_told() -> None:
    assert Outcome("out", 0).text == "out"
    assert Outcome("", 0).text == "[no output]"
    assert Outcome("", 1).text == "[exit code 1]"
    assert Outcome("out", -11).text == "out\n[exit code -11]"
    assert Outcome("out", None, "it took longer").text == "out\n[stopped: it took longer]"


def test_a_fork_bomb_is_stopped(workspace: Workspace) -> None:
    begun = time.monotonic()
    outcome = python(workspace, f"mark = 'fork-{os.getpid()}'{FORK_BOMB}", processes=30)
    if outcome.stopped is None:  # the kernel's limit was met first: it binds all but root
        assert "BlockingIOError" in outcome.output
    else:
        assert outcome.stopped == "it had more than 30 processes and threads"
    assert time.monotonic() - begun < 4
    assert not lives(f"fork-{os.getpid()}")


def test_a_memory_bomb_is_stopped(workspace: Workspace) -> None:
    outcome = python(workspace, MEMORY_BOMB, memory=200 << 20)
    assert "MemoryError" in outcome.output or outcome.stopped is not None
    assert "survived" not in outcome.output


def test_a_memory_bomb_of_many_processes_is_stopped(workspace: Workspace) -> None:
    begun = time.monotonic()
    outcome = python(workspace, MEMORY_BOMB_OF_MANY, memory=200 << 20)
    assert outcome.stopped == "it took more than 209,715,200 bytes of memory"
    assert time.monotonic() - begun < 6


def test_an_endless_output_is_stopped_and_cut(workspace: Workspace) -> None:
    outcome = sh(workspace, "echo first; yes", output=1000, seconds=20)
    assert outcome.stopped == "it wrote more than 16,000,000 bytes"
    assert outcome.output.startswith("first\ny\ny\n")
    assert len(outcome.output) < 1100


def test_a_long_output_keeps_its_ends_and_says_so(workspace: Workspace) -> None:
    outcome = sh(workspace, "echo first; seq 100000; echo last", output=1000)
    assert outcome.code == 0
    assert outcome.output.startswith("first\n1\n2\n")
    assert outcome.output.endswith("\n99999\n100000\nlast")
    assert "\n[cut: the middle of 588,906 bytes is left out here]\n" in outcome.output


def test_time_is_up_for_grandchildren_too(workspace: Workspace) -> None:
    seconds = f"4{os.getpid()}"
    line = f"sleep {seconds} & (setsid sleep {seconds} &) ; echo begun; sleep {seconds}"
    begun = time.monotonic()
    outcome = sh(workspace, line, seconds=0.5)
    assert outcome == Outcome("begun", None, "it took longer than 0.5 seconds")
    assert time.monotonic() - begun < 5
    assert not lives(seconds)


def test_what_a_command_leaves_behind_ends_with_it(workspace: Workspace) -> None:
    seconds = f"5{os.getpid()}"
    begun = time.monotonic()
    assert sh(workspace, f"(setsid nohup sleep {seconds} &); echo done").output == "done"
    assert time.monotonic() - begun < 5
    assert not lives(seconds)


def test_a_command_that_ignores_signals_is_stopped(workspace: Workspace) -> None:
    outcome = sh(workspace, "trap '' TERM INT HUP; while :; do sleep 0.05; done", seconds=0.4)
    assert outcome.stopped == "it took longer than 0.4 seconds"


def test_processor_time_and_file_size_are_limited(workspace: Workspace) -> None:
    outcome = sh(workspace, "while :; do :; done", cpu_seconds=1, seconds=20)
    assert outcome.code in (-signal.SIGXCPU, -signal.SIGKILL)
    outcome = sh(workspace, "head -c 3000000 /dev/zero > big", file_size=1_000_000)
    assert outcome.code != 0
    assert (workspace.root / "big").stat().st_size <= 1_000_000


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_command_does_not_outlive_us(workspace: Workspace, blow: signal.Signals) -> None:
    seconds = f"6{os.getpid()}"
    program = (
        "import sys; from gesso.tools import Workspace; from gesso.tools.sandbox import run; "
        f"run(['/bin/sh', '-c', 'sleep {seconds}; :'], Workspace(sys.argv[1]), 'none')"
    )
    environment = {"PYTHONPATH": ":".join(sys.path)}
    command = [sys.executable, "-c", program, str(workspace.root)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as caller:
        deadline = time.monotonic() + 30
        sleeping = ["sleep", seconds]
        while not lives("\0".join(sleeping)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert lives("\0".join(sleeping))
        caller.send_signal(blow)
    deadline = time.monotonic() + 5
    while lives("\0".join(sleeping)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not lives("\0".join(sleeping))


def test_a_program_that_is_not_there_is_said(workspace: Workspace) -> None:
    with pytest.raises(SandboxError, match=r"the command cannot be run: .*no-such-program"):
        run(["no-such-program"], workspace, "none")


def test_without_bubblewrap_a_command_is_refused(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gesso.tools.sandbox.PROGRAMS", "/nowhere")
    shell, python = Registry().select(["shell", "python"])
    for tool, argument in ((shell, "command"), (python, "program")):
        with pytest.raises(SandboxError, match="write `sandbox: none` in the agent's file"):
            tool.call({argument: "1"}, context)
        assert not tool.sends


def test_the_tools_run_without_a_sandbox_where_it_is_said(context: Context) -> None:
    shell, python = Registry().select(["shell", "python"], sandbox="none")
    assert shell.call({"command": "echo 1 > a; cat a"}, context) == "1"
    assert python.call({"program": "print(open('a').read() * 2)"}, context) == "1\n1"
    assert python.call({"program": "1 / 0"}, context).endswith("[exit code 1]")
    assert shell.sends
    assert python.sends


def test_the_line_of_bubblewrap(tmp_path: Path) -> None:
    root = tmp_path / "work"
    (root / "agents").mkdir(parents=True)
    (root / "AGENTS.md").write_text("Be brief.")
    (root / ".gesso").mkdir()
    (root / "gesso.toml").touch()
    (root / ".env").write_text("KEY=secret")
    line = bubblewrap(
        ["/bin/sh", "-c", "echo; rm -rf /"],
        program="/usr/bin/bwrap",
        root=root,
        scratch=tmp_path / "scratch",
        hidden=[root / ".env", root / ".gesso"],
        pythons=[Path("/usr"), Path("/opt/python"), root / ".venv"],
    )
    assert line[0] == "/usr/bin/bwrap"
    assert line[line.index("--") + 1 :] == ["/bin/sh", "-c", "echo; rm -rf /"]
    options = line[: line.index("--")]
    for option in ("user", "ipc", "pid", "net", "uts"):
        assert f"--unshare-{option}" in options
    for option in ("--die-with-parent", "--new-session"):
        assert option in options
    text = " ".join(options)
    assert "--cap-drop ALL" in text
    writable = [options[n + 2] for n, option in enumerate(options) if option == "--bind"]
    assert writable == ["/tmp", "/dev/shm", str(root)]
    readable = [options[n + 1] for n, option in enumerate(options) if option == "--ro-bind"]
    own = [f"{root}/agents", f"{root}/AGENTS.md", f"{root}/gesso.toml"]
    assert readable == ["/opt/python", *own, "/dev/null", f"{root}/.venv"]
    for cover in (
        f"--ro-bind {root}/gesso.toml {root}/gesso.toml",
        f"--ro-bind {root}/agents {root}/agents",
        f"--tmpfs {root}/.gesso",
        f"--ro-bind /dev/null {root}/.env",
    ):
        assert text.index(f"--bind {root} {root}") < text.index(cover)
    assert text.endswith(f"--remount-ro /dev --remount-ro / --chdir {root}")
    assert "--share-net" not in options
    assert "--dev-bind" not in options


def test_what_the_agents_are_told_cannot_be_made_where_it_is_missing(tmp_path: Path) -> None:
    line = " ".join(bubblewrap(["true"], program="bwrap", root=tmp_path, scratch=tmp_path))
    assert f"--tmpfs {tmp_path}/agents --tmpfs {tmp_path}/skills" in line
    assert f"--ro-bind /dev/null {tmp_path}/AGENTS.md" in line
    assert f"--ro-bind /dev/null {tmp_path}/gesso.toml" in line
    assert "mcp.json" not in line, "no server is used without one, and two files are refused"
    (tmp_path / "mcp.json").touch()
    line = " ".join(bubblewrap(["true"], program="bwrap", root=tmp_path, scratch=tmp_path))
    assert f"--ro-bind {tmp_path}/mcp.json {tmp_path}/mcp.json" in line


@needs_bubblewrap
@pytest.mark.parametrize(
    "line",
    [
        "echo x > /usr/x",
        "echo x > /x",
        "echo x > /dev/x",
        "echo x > ../x; false",
        "echo x > agents/clerk.md",
        "echo 'model = \"x\"' > gesso.toml",
        "cat ../secret.txt",
        "cat link",
        "cat .env | grep .",
        "cat .gesso/store.db",
        "cat /etc/shadow",
        "cat /proc/*/environ | tr '\\0' '\\n' | grep API_KEY",
        "mount -t tmpfs none /usr",
        "unshare -r true",
        "exec 3<>/dev/tcp/127.0.0.1/80",
        "ls /sys/class/net | grep -v lo",
    ],
)
def test_no_way_leads_out_of_bubblewrap(
    workspace: Workspace, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_KEY", "secret")
    root = workspace.root
    (root / "agents").mkdir()
    (root / ".gesso").mkdir()
    (root / ".gesso" / "store.db").write_text("state")
    (root / ".env").write_text("KEY=secret")
    (root.parent / "secret.txt").write_text("secret")
    (root / "link").symlink_to(root.parent / "secret.txt")
    outcome = run(["/bin/sh", "-c", line], workspace, "bubblewrap", Limits(seconds=20))
    assert outcome.code not in (0, None)
    assert "secret\n" not in outcome.output
    assert os.listdir(root / "agents") == []
    assert not (root.parent / "x").exists()


@needs_bubblewrap
def test_bubblewrap_has_no_network_and_a_writable_workspace(workspace: Workspace) -> None:
    program = (
        "import socket\n"
        "open('a', 'w').write('1'); open('/tmp/b', 'w').write('2')\n"
        "print([name for _, name in socket.if_nameindex()])\n"
        "try:\n    socket.create_connection(('1.1.1.1', 53), 2)\n"
        "except OSError as error:\n    print(type(error).__name__)\n"
    )
    outcome = run([sys.executable, "-I", "-c", program], workspace, "bubblewrap")
    assert (outcome.output, outcome.code) == ("['lo']\nOSError", 0)
    assert (workspace.root / "a").read_text() == "1"


@needs_bubblewrap
def test_bombs_are_stopped_in_bubblewrap_too(workspace: Workspace) -> None:
    def wrapped(program: str, **limits: Any) -> Outcome:
        command = [sys.executable, "-I", "-c", program]
        return run(command, workspace, "bubblewrap", Limits(**limits))

    outcome = wrapped(FORK_BOMB, processes=30)
    assert outcome.stopped is not None or "BlockingIOError" in outcome.output
    assert "survived" not in wrapped(MEMORY_BOMB, memory=200 << 20).output
    assert wrapped("import time; time.sleep(60)", seconds=0.5).stopped is not None
