"""The tools by name, and an agent's selection of them."""

from typing import Any

import pytest
from gesso.tools import Registry, ToolDefinitionError, UnknownToolError, tool

BUILT_IN = [
    "ask_person",
    "schedule",
    "send_message",
    "append_to_block",
    "edit_file",
    "fetch",
    "forget",
    "list_files",
    "python",
    "query",
    "read_file",
    "read_lines",
    "read_skill",
    "recall",
    "remember",
    "replace_in_block",
    "save_record",
    "search_files",
    "shell",
    "write_file",
]


@tool
def shout(text: str) -> str:
    """Shout."""
    return text.upper()


def test_the_registry_selects_in_order_and_names_what_it_knows() -> None:
    registry = Registry([shout])
    assert registry.names == sorted([*BUILT_IN, "shout"])
    assert [t.name for t in registry.select(["shout", "read_file"])] == ["shout", "read_file"]
    with pytest.raises(
        UnknownToolError, match="unknown tool fly; known are append_to_block, ask_person, "
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
