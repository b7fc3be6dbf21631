"""The memory tools, as an agent's calls reach them."""

from dataclasses import replace
from typing import Any

import pytest
from gesso.tools import ArgumentError, Context, Registry


def call(context: Context, name: str, **arguments: Any) -> Any:
    (tool,) = Registry().select([name])
    return tool.call(arguments, context)


def test_what_is_remembered_is_recalled_with_source_and_time(context: Context) -> None:
    kept = call(context, "remember", text="Anna is allergic to walnuts")
    (found,) = call(context, "recall", query="What is Anna allergic to?")
    assert found["fact"] == kept["fact"]
    assert (found["text"], found["source"]) == ("Anna is allergic to walnuts", "inbox/a.txt")
    fact = context.store.memory.fact(kept["fact"])
    assert found["time"] == f"{fact.at:%Y-%m-%d}"
    assert (fact.agent, fact.uses) == ("clerk", 1)


def test_a_fact_without_a_document_comes_from_the_agent(context: Context) -> None:
    call(replace(context, source=None), "remember", text="The filing is done")
    assert context.store.memory.facts()[0].source == "agent clerk"


def test_a_call_that_runs_twice_remembers_once(context: Context) -> None:
    porto = call(context, "remember", text="Anna lives in Porto")["fact"]
    for _ in range(2):
        call(context, "remember", text="Anna lives in Lisbon", supersedes=[porto])
    assert len(context.store.memory.facts(every=True)) == 2
    (found,) = call(context, "recall", query="Anna")
    assert found["text"] == "Anna lives in Lisbon"


def test_other_agents_know_only_what_is_shared(context: Context) -> None:
    call(context, "remember", text="The safe is open", shared=False)
    call(context, "remember", text="The office is open", shared=True)
    cook = replace(context, agent="cook")
    assert [found["text"] for found in call(cook, "recall", query="open")] == ["The office is open"]


@pytest.mark.parametrize("shared", [True, False])
def test_another_agents_fact_cannot_be_touched(context: Context, shared: bool) -> None:
    fact = call(context, "remember", text="The safe is open")["fact"]
    cook = replace(context, agent="cook")
    with pytest.raises(ArgumentError, match="that cook may know"):
        call(cook, "remember", text="It is shut", supersedes=[fact], shared=shared)
    with pytest.raises(ArgumentError, match="that cook may know"):
        call(cook, "forget", fact=fact)
    assert call(context, "forget", fact=fact) == "forgotten"
    assert call(context, "recall", query="safe") == []


def test_blocks_are_edited_and_their_room_is_told(context: Context) -> None:
    assert call(context, "append_to_block", label="person", text="Ada") == (
        "block person: 3 of 2000 characters"
    )
    call(context, "replace_in_block", label="person", old="Ada", new="Ada Byron")
    blocks = context.store.memory.blocks.of("cook")
    assert [block.value for block in blocks if block.label == "person"] == ["Ada Byron"]


def test_what_the_memory_refuses_is_a_bad_argument(context: Context) -> None:
    with pytest.raises(ArgumentError, match="there is no block mood; there are person, task"):
        call(context, "append_to_block", label="mood", text="fine")
    with pytest.raises(ArgumentError, match="more than its bound of 2000; shorten"):
        call(context, "append_to_block", label="task", text="x" * 2001)
    with pytest.raises(ArgumentError, match="stands there 0 times"):
        call(context, "replace_in_block", label="task", old="a", new="b")
    with pytest.raises(ArgumentError, match="needs a text"):
        call(context, "remember", text=" ")
