"""The tools on the workspace's files, and the paths that they refuse."""

import os
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from gesso.tools import ArgumentError, Context, Registry, Workspace, WorkspaceError


def call(context: Context, name: str, **arguments: Any) -> str:
    (chosen,) = Registry().select([name])
    return chosen.call(arguments, context)


@pytest.fixture
def root(context: Context) -> Path:
    root = context.workspace.root
    (root / "inbox").mkdir()
    (root / "inbox" / "a.txt").write_text("Älpha\n", encoding="utf-8")
    (root / "inbox" / "bytes.bin").write_bytes(b"\xff\xfe\x00")
    (root / ".gesso").mkdir()
    (root / ".gesso" / "store.db").write_text("state")
    (root.parent / "secret.txt").write_text("secret")
    (root / "out").symlink_to(root.parent)
    (root / "secret").symlink_to(root.parent / "secret.txt")
    (root / "alias.txt").symlink_to(root / "inbox" / "a.txt")
    (root / "folder").symlink_to(root / "inbox")
    (root / "loop").symlink_to(root / "loop")
    (root / "zero").symlink_to("/dev/zero")
    os.mkfifo(root / "pipe")
    (root / "state").symlink_to(root / ".gesso" / "store.db")
    return root


@pytest.mark.parametrize(
    "path", ["inbox/a.txt", "./inbox/./a.txt", "alias.txt", "inbox//a.txt", "folder/a.txt"]
)
def test_a_file_of_the_workspace_is_read(context: Context, root: Path, path: str) -> None:
    assert call(context, "read_file", path=path) == "Älpha\n"


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("../secret.txt", "../secret.txt: outside the workspace"),
        ("inbox/../../secret.txt", "outside the workspace"),
        ("inbox/../inbox/a.txt", "outside the workspace: write it without .."),
        ("/etc/passwd", "/etc/passwd: outside the workspace"),
        ("out/secret.txt", "outside the workspace"),
        ("secret", "secret: outside the workspace"),
        ("pipe", "pipe: is no regular file"),
        ("zero", "zero: outside the workspace"),
        ("loop", "loop: "),
        (".gesso/store.db", "hidden files are outside the workspace"),
        ("state", "hidden files are outside the workspace"),
        ("inbox", "inbox: is a folder, not a file"),
        ("inbox/none.txt", "inbox/none.txt: No such file or directory"),
        ("inbox/bytes.bin", "is not a text file in UTF-8"),
        ("a\0b", "a path cannot hold a NUL character"),
        ("x" * 300, "x: File name too long"),
    ],
)
def test_a_path_that_leads_out_is_refused(
    context: Context, root: Path, path: str, line: str
) -> None:
    with pytest.raises(WorkspaceError) as caught:
        call(context, "read_file", path=path)
    assert line in str(caught.value)
    with pytest.raises(WorkspaceError):
        call(context, "read_lines", path=path, first=1, last=1)


def test_an_absolute_path_is_refused_even_inside(context: Context, root: Path) -> None:
    with pytest.raises(WorkspaceError, match="write a path relative to it"):
        call(context, "read_file", path=str(root / "inbox" / "a.txt"))


def test_a_folder_is_listed_without_its_hidden_files(context: Context, root: Path) -> None:
    listed = call(context, "list_files", folder=".").split("\n")
    links = ["alias.txt", "folder", "loop", "out", "secret", "state", "zero"]
    assert listed == sorted(["inbox/", "pipe", *links])
    assert call(context, "list_files", folder="inbox").startswith("inbox/a.txt\n")
    assert call(context, "list_files", folder="folder").startswith("inbox/a.txt\n")
    for folder in ("out", "..", "inbox/a.txt", "none", "/", ".gesso"):
        with pytest.raises(WorkspaceError):
            call(context, "list_files", folder=folder)


def test_a_workspace_that_is_a_link_is_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.txt").write_text("A")
    os.symlink(tmp_path / "real", tmp_path / "link")
    assert Workspace(tmp_path / "link").read("a.txt").text == "A"


def test_a_long_file_is_cut_and_says_so(context: Context, root: Path) -> None:
    (root / "long.txt").write_text("ä" * 200_000)
    shown = call(context, "read_file", path="long.txt")
    assert shown.startswith("ä" * 30_000 + "\n[cut: ")
    assert shown.endswith("[cut: 30,000 characters of a file of 400,000 bytes are shown]")
    (root / "middle.txt").write_text("a" * 30_001)
    shown = call(context, "read_file", path="middle.txt")
    assert shown.endswith("[cut: 30,000 of 30,001 characters are shown]")


def test_lines_are_read_with_their_numbers(context: Context, root: Path) -> None:
    (root / "ten.txt").write_text("".join(f"line {n}\n" for n in range(1, 11)))
    assert call(context, "read_lines", path="ten.txt", first=9, last=99) == "9: line 9\n10: line 10"
    assert call(context, "read_lines", path="ten.txt", first=11, last=12) == (
        "[ten.txt has 10 lines]"
    )


def test_a_file_is_written_whole_in_folders_that_are_made(context: Context, root: Path) -> None:
    assert call(context, "write_file", path="a/b/c.txt", text="é\r\n") == (
        "a/b/c.txt: 3 characters written"
    )
    assert (root / "a/b/c.txt").read_bytes() == "é\r\n".encode()
    (root / "a/b/c.txt").chmod(0o640)
    call(context, "write_file", path="a/b/c.txt", text="x")
    assert (root / "a/b/c.txt").read_text() == "x"
    assert (root / "a/b/c.txt").stat().st_mode & 0o777 == 0o640
    assert os.listdir(root / "a/b") == ["c.txt"]


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("../new.txt", "outside the workspace"),
        ("/tmp/new.txt", "outside the workspace"),
        ("a/../../new.txt", "outside the workspace"),
        (".gesso/store.db", "hidden files are outside the workspace"),
        ("inbox/.hidden", "hidden files are outside the workspace"),
        ("agents/clerk.md", "the agents' own files are not theirs to write"),
        ("./agents/new.md", "the agents' own files are not theirs to write"),
        ("agents", "the agents' own files are not theirs to write"),
        ("gesso.toml", "the project's settings are not theirs to write"),
        ("skills/mail/SKILL.md", "the agents' own files are not theirs to write"),
        ("AGENTS.md", "the agents' own files are not theirs to write"),
        ("out/new.txt", "out/new.txt: "),
        ("folder/new.txt", "folder/new.txt: "),
        ("secret", "is a link or no regular file"),
        ("alias.txt", "is a link or no regular file"),
        ("pipe", "is a link or no regular file"),
        ("inbox", "is a folder, not a file"),
        (".", "is a folder, not a file"),
        ("inbox/a.txt/b", "inbox/a.txt/b: Not a directory"),
    ],
)
def test_writing_leads_nowhere_else(context: Context, root: Path, path: str, line: str) -> None:
    (root / "agents").mkdir()
    with pytest.raises(WorkspaceError) as caught:
        call(context, "write_file", path=path, text="new")
    assert line in str(caught.value)
    assert (root.parent / "secret.txt").read_text() == "secret"
    assert (root / "inbox/a.txt").read_text() == "Älpha\n"
    assert "new.txt" not in os.listdir(root.parent)
    assert os.listdir(root / "agents") == []


def test_a_folder_swapped_for_a_link_leads_nowhere(
    context: Context, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attack between the look at a path and its opening."""
    (root / "box").mkdir()
    (root / "box" / "secret.txt").write_text("harmless")
    judge = Workspace.resolve

    def judge_then_swap(workspace: Workspace, path: str) -> Path:
        target = judge(workspace, path)
        (root / "box").rename(root / "old")
        (root / "box").symlink_to(root.parent)
        return target

    monkeypatch.setattr(Workspace, "resolve", judge_then_swap)
    with pytest.raises(WorkspaceError, match=r"box/secret\.txt: "):
        call(context, "read_file", path="box/secret.txt")


def test_one_passage_is_edited(context: Context, root: Path) -> None:
    (root / "a.md").write_bytes(b"one\r\ntwo\r\ntwo and a half\r\n")
    assert call(context, "edit_file", path="a.md", old="two and", new="2 and") == (
        "a.md: line 3 edited"
    )
    assert (root / "a.md").read_bytes() == b"one\r\ntwo\r\n2 and a half\r\n"


@pytest.mark.parametrize(
    ("old", "line"),
    [
        ("three", "does not stand in a.md"),
        ("", "does not stand in a.md"),
        ("two", "stands in a.md more than once"),
        ("anana", "stands in a.md more than once"),
    ],
)
def test_an_edit_must_match_once(context: Context, root: Path, old: str, line: str) -> None:
    (root / "a.md").write_text("two two bananana")
    with pytest.raises(ArgumentError, match=line):
        call(context, "edit_file", path="a.md", old=old, new="x")
    assert (root / "a.md").read_text() == "two two bananana"


def test_a_file_too_large_to_edit_is_left(context: Context, root: Path) -> None:
    (root / "big").write_bytes(b"x" * 4_000_001)
    with pytest.raises(WorkspaceError, match="has 4,000,001 bytes, more than the 4,000,000"):
        call(context, "edit_file", path="big", old="xx", new="y")


def test_files_are_searched_by_text_and_by_pattern(context: Context, root: Path) -> None:
    (root / "inbox" / "deep").mkdir()
    (root / "inbox" / "deep" / "b.txt").write_text("first\n  total: 12.50 (a.b)\n")
    found = call(context, "search_files", text="(a.b)")
    assert found == "inbox/deep/b.txt:2: total: 12.50 (a.b)"
    found = call(context, "search_files", text=r"^\s*total: \d+|lpha$", pattern=True)
    assert found.split("\n") == ["inbox/a.txt:1: Älpha", "inbox/deep/b.txt:2: total: 12.50 (a.b)"]
    assert call(context, "search_files", text="first", folder="inbox/deep").startswith("inbox/deep")
    assert call(context, "search_files", text="secret") == "[nothing found]"  # links, hidden files
    with pytest.raises(ArgumentError, match="search_files: text: missing"):
        call(context, "search_files", text="(", pattern=True)


def test_a_search_is_bounded(context: Context, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "many.txt").write_text("hit\n" * 200)
    found = call(context, "search_files", text="hit").split("\n")
    assert (len(found), found[-1]) == (101, "[cut: the first 100 lines are shown]")
    (root / "long.txt").write_text("wide " * 100_000)
    assert len(call(context, "search_files", text="wide")) < 400
    monkeypatch.setattr("gesso.tools.files.SEARCH_SECONDS", 0.3)
    (root / "evil.txt").write_text("a" * 40 + "!\n")
    found = call(context, "search_files", text="^(a|aa)+$", pattern=True)
    assert found == "[stopped after 0.3 seconds: look for something simpler]"
    monkeypatch.setattr("gesso.tools.files.SEARCHED_BYTES", 100_000)
    assert "[stopped after 100,000 bytes" in call(context, "search_files", text="hit")


def test_a_document_is_read_as_its_text(context: Context, root: Path) -> None:
    book = openpyxl.Workbook()
    book.create_sheet("list", 0).append(["Milk", 2.5])
    book.save(root / "inbox" / "list.xlsx")
    (root / "inbox" / "page.html").write_text("<p>Milk</p>")
    (root / "inbox" / "broken.pdf").write_bytes(b"%PDF-1.7 and nothing more")
    assert "| Milk | 2.5 |" in call(context, "read_file", path="inbox/list.xlsx")
    assert call(context, "read_file", path="inbox/page.html") == "<p>Milk</p>"
    with pytest.raises(WorkspaceError, match=r"inbox/broken.pdf: is no whole PDF"):
        call(context, "read_file", path="inbox/broken.pdf")
