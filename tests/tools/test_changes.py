"""What a call would change in a file, as the person is shown it."""

from pathlib import Path

import pytest
from gesso.tools import Redactor, Workspace, changes_of
from gesso.tools.changes import COMPARED_BYTES, LINES


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "a.txt").write_text("one\ntwo\none\n")
    return Workspace(tmp_path)


def changes(workspace: Workspace, name: str, **arguments: str) -> str | None:
    return changes_of(name, arguments, workspace, Redactor({"KEY": "hidden words"}))


def test_an_edit_is_shown_as_a_diff(workspace: Workspace) -> None:
    found = changes(workspace, "edit_file", path="a.txt", old="two", new="hidden words")
    assert found is not None
    assert found.splitlines()[3:] == [" one", "-two", "+[secret KEY]", " one"]


def test_a_file_that_is_not_there_yet_is_new(workspace: Workspace) -> None:
    found = changes(workspace, "write_file", path="b.txt", text="new")
    assert found == "--- no file yet\n+++ b.txt\n@@ -0,0 +1 @@\n+new"


@pytest.mark.parametrize(
    ("name", "arguments", "what"),
    [
        ("write_file", {"path": "a.txt", "text": "one\ntwo\none\n"}, "[a.txt says this already]"),
        ("edit_file", {"path": "a.txt", "old": "one", "new": ""}, "[no diff: edit_file: old: "),
        ("edit_file", {"path": "none", "old": "one", "new": ""}, "[no diff: none"),
        ("write_file", {"path": "../b", "text": ""}, "[no diff: ../b"),
        ("write_file", {"path": "b", "text": "x" * (COMPARED_BYTES + 1)}, "[no diff: 200,001"),
    ],
)
def test_what_keeps_a_diff_from_being_told_is_told(
    workspace: Workspace, name: str, arguments: dict[str, str], what: str
) -> None:
    found = changes(workspace, name, **arguments)
    assert found is not None
    assert found.startswith(what)


def test_a_long_diff_is_cut_and_other_calls_have_none(workspace: Workspace) -> None:
    text = "\n".join(str(number) for number in range(2000))
    found = changes(workspace, "write_file", path="b.txt", text=text)
    assert found is not None
    assert len(found.splitlines()) == LINES + 1
    assert found.endswith("lines are shown]")
    assert changes(workspace, "read_file", path="a.txt") is None
