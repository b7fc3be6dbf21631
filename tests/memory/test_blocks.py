"""Blocks: always there, bounded, edited by replacing and appending; of one agent or shared."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from gesso.memory import Block, BlockError, Blocks, Memory

NOW = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


@pytest.fixture
def blocks(url: str) -> Iterator[Blocks]:
    with Memory(url) as memory:
        yield memory.blocks


def values(blocks: Blocks, agent: str | None = None) -> dict[str, str]:
    return {block.label: block.value for block in blocks.of(agent)}


def test_every_agent_has_the_first_blocks(blocks: Blocks) -> None:
    assert values(blocks, "clerk") == {"person": "", "task": ""}
    assert all(block.description for block in blocks.of("clerk"))
    assert blocks.stored() == []


def test_the_person_is_shared_and_the_task_is_the_agents_own(blocks: Blocks) -> None:
    blocks.append("person", "Called Ada", at=NOW, agent="clerk")
    blocks.append("task", "Filing receipts", at=NOW, agent="clerk")
    assert values(blocks, "clerk") == {"person": "Called Ada", "task": "Filing receipts"}
    assert values(blocks, "cook") == {"person": "Called Ada", "task": ""}
    assert values(blocks) == {"person": "Called Ada"}


def test_an_agents_own_block_hides_the_shared_one(blocks: Blocks) -> None:
    blocks.put("style", "Short", at=NOW)
    blocks.put("style", "Long", at=NOW, agent="cook")
    assert values(blocks, "clerk")["style"] == "Short"
    assert values(blocks, "cook")["style"] == "Long"
    blocks.append("style", "and warm", at=NOW, agent="cook")
    assert values(blocks)["style"] == "Short"
    assert [block.agent for block in blocks.stored()] == [None, "cook"]


def test_a_line_is_appended_and_a_passage_replaced(blocks: Blocks) -> None:
    blocks.append("person", "Called Ada", at=NOW)
    blocks.append("person", "Lives in Porto", at=NOW)
    edited = blocks.replace("person", "Porto", "Lisbon", at=LATER)
    assert edited.value == "Called Ada\nLives in Lisbon"
    assert edited in blocks.stored()
    assert edited.changed == LATER


def test_a_step_that_runs_twice_edits_once(blocks: Blocks) -> None:
    for _ in range(2):
        blocks.append("person", "Called Ada", at=NOW)
    for _ in range(2):
        blocks.append("person", "Drinks tea", at=NOW)
    blocks.replace("person", "tea", "green tea", at=NOW)
    edited = blocks.replace("person", "tea", "green tea", at=NOW)
    assert edited.value == "Called Ada\nDrinks green tea"


@pytest.mark.parametrize(
    ("old", "complaint"),
    [
        ("Faro", r"'Faro' stands there 0 times, and must once; it says 'tea, not tea'"),
        ("tea", "'tea' stands there 2 times, and must once; quote more"),
        ("", "stands there 0 times"),
    ],
)
def test_what_is_replaced_must_stand_there_once(blocks: Blocks, old: str, complaint: str) -> None:
    blocks.put("person", "tea, not tea", at=NOW)
    with pytest.raises(BlockError, match=complaint):
        blocks.replace("person", old, "coffee", at=NOW)


def test_an_edit_over_the_bound_is_refused_and_changes_nothing(blocks: Blocks) -> None:
    kept = blocks.put("style", "Short", at=NOW, description="How to write", bound=8)
    assert kept == Block("style", "How to write", "Short", 8, NOW)
    message = "block style: 9 characters are more than its bound of 8; shorten what it says"
    with pytest.raises(BlockError, match=message):
        blocks.append("style", "but", at=NOW)
    with pytest.raises(BlockError, match="bound of 8"):
        blocks.replace("style", "Short", "Very short", at=NOW)
    with pytest.raises(BlockError, match="bound of 3"):
        blocks.put("style", "Short", at=NOW, bound=3)
    assert blocks.stored() == [kept]
    assert blocks.put("style", "Shorter", at=NOW).description == "How to write"


def test_an_unknown_block_says_which_there_are(blocks: Blocks) -> None:
    with pytest.raises(BlockError, match="there is no block mood; there are person, task"):
        blocks.append("mood", "fine", at=NOW, agent="clerk")
    with pytest.raises(BlockError, match="'7' is no label"):
        blocks.put("7", "fine", at=NOW)
