"""The built-in tools, and the paths that they refuse."""

import os
from pathlib import Path
from typing import Any

import pytest
from gesso.tools import (
    ArgumentError,
    Context,
    Registry,
    Tool,
    ToolDefinitionError,
    UnknownToolError,
    WorkspaceError,
    tool,
)

SCHEMA = {
    "type": "object",
    "properties": {"company": {"type": "string"}, "total": {"type": "number"}},
    "required": ["company", "total"],
    "additionalProperties": False,
}


def built_in(name: str) -> Tool:
    (chosen,) = Registry().select([name], record=SCHEMA)
    return chosen


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
    (root / "loop").symlink_to(root / "loop")
    (root / "state").symlink_to(root / ".gesso" / "store.db")
    return root


@pytest.mark.parametrize(
    "path", ["inbox/a.txt", "./inbox/../inbox/a.txt", "alias.txt", "inbox//a.txt"]
)
def test_a_file_of_the_workspace_is_read(context: Context, root: Path, path: str) -> None:
    assert built_in("read_file").call({"path": path}, context) == "Älpha\n"
    assert built_in("read_file").call({"path": str(root / path)}, context) == "Älpha\n"


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("../secret.txt", "../secret.txt: outside the workspace"),
        ("inbox/../../secret.txt", "outside the workspace"),
        ("/etc/passwd", "/etc/passwd: outside the workspace"),
        ("out/secret.txt", "outside the workspace"),
        ("secret", "secret: outside the workspace"),
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
        built_in("read_file").call({"path": path}, context)
    assert line in str(caught.value)


def test_a_folder_is_listed_without_its_hidden_files(context: Context, root: Path) -> None:
    listed = built_in("list_files").call({"folder": "."}, context).split("\n")
    assert listed == sorted(["alias.txt", "inbox/", "loop", "out/", "secret", "state"])
    assert built_in("list_files").call({"folder": "inbox"}, context).startswith("inbox/a.txt\n")
    for folder in ("out", "..", "inbox/a.txt", "none"):
        with pytest.raises(WorkspaceError):
            built_in("list_files").call({"folder": folder}, context)


def test_a_workspace_that_is_a_link_is_where_it_leads(tmp_path: Path) -> None:
    from gesso.tools import Workspace

    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.txt").write_text("A")
    os.symlink(tmp_path / "real", tmp_path / "link")
    assert Workspace(tmp_path / "link").read("a.txt") == "A"


def test_a_record_is_kept_once_with_its_document(context: Context) -> None:
    save = built_in("save_record")
    assert save.parameters == SCHEMA
    for _ in range(2):
        assert save.call({"company": "Brandt", "total": 3}, context) == "saved"
    (record,) = context.store.records()
    assert record.data == {"company": "Brandt", "total": 3}
    assert (record.source, record.run, record.agent) == ("inbox/a.txt", "r1", "clerk")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"company": "Brandt"}, "save_record: arguments: 'total' is a required property"),
        ({"company": "B", "total": "3"}, "save_record: total: '3' is not of type 'number'"),
    ],
)
def test_a_record_that_does_not_fit_is_refused(
    context: Context, arguments: dict[str, Any], line: str
) -> None:
    with pytest.raises(ArgumentError) as caught:
        built_in("save_record").call(arguments, context)
    assert str(caught.value) == line
    assert context.store.records() == []


@tool
def shout(text: str) -> str:
    """Shout."""
    return text.upper()


def test_the_registry_selects_in_order_and_names_what_it_knows() -> None:
    registry = Registry([shout])
    memory = ["append_to_block", "forget", "recall", "remember", "replace_in_block"]
    assert registry.names == sorted(
        [*memory, "list_files", "read_file", "save_record", "shout"],
    )
    assert [t.name for t in registry.select(["shout", "read_file"])] == ["shout", "read_file"]
    with pytest.raises(
        UnknownToolError, match="unknown tool fly; known are append_to_block, forget, "
    ):
        registry.select(["fly"])
    with pytest.raises(ToolDefinitionError, match="save_record needs a record schema"):
        registry.select(["save_record"])
    with pytest.raises(ToolDefinitionError, match="two tools are called shout"):
        Registry([shout, shout])
    with pytest.raises(ToolDefinitionError, match="two tools are called read_file"):
        Registry([tool(_read_file())])


def _read_file() -> Any:
    def read_file() -> None:
        """Not the built-in one."""

    return read_file
