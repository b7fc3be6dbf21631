"""Blocks in the prompt: always there, as they are at that turn."""

from datetime import UTC, datetime
from pathlib import Path

from gesso.agent import Runtime
from scripted import calls, engine, requests, says

NOW = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)


def keeper(project: Path, tools: str) -> None:
    (project / "agents" / "clerk.md").write_text(f"---\nname: clerk\ntools: {tools}\n---\nGo.")


def test_a_block_is_in_every_prompt_and_follows_its_edits(project: Path) -> None:
    keeper(project, "[append_to_block]")
    scripted = engine(
        calls(("append_to_block", {"label": "person", "text": "Drinks tea"})), says("Noted.")
    )
    with Runtime(project, engine=scripted, listen=False) as runtime:
        runtime.load()
        runtime.store.memory.blocks.put("person", "Called Ada", at=NOW)
        run = runtime.run("clerk", "I drink tea")
        assert run.state == "done"
        stored = runtime.store.messages(run.id)
    first, second = (request.messages[0].content for request in requests(scripted))
    assert first == (
        "Go.\n\n"
        "[person: 10 of 2000 characters] Who the person is, and what they like and want.\n"
        "Called Ada\n\n"
        "[task: 0 of 2000 characters] What you are doing, and what is still open."
    )
    assert "Called Ada\nDrinks tea" in second
    assert stored[0].content == "Go.", "the conversation keeps the instructions alone"


def test_empty_blocks_that_an_agent_cannot_fill_are_left_out(project: Path) -> None:
    keeper(project, "[read_file]")
    scripted = engine(says("Hello."))
    with Runtime(project, engine=scripted, listen=False) as runtime:
        runtime.load()
        runtime.run("clerk", "hello")
    assert requests(scripted)[0].messages[0].content == "Go."


def test_a_run_remembers_and_a_later_one_recalls(project: Path) -> None:
    keeper(project, "[remember, recall]")
    scripted = engine(
        calls(("remember", {"text": "Anna is allergic to walnuts"})),
        calls(("recall", {"query": "What is Anna allergic to?"})),
        says("Walnuts."),
    )
    with Runtime(project, engine=scripted, listen=False) as runtime:
        runtime.load()
        run = runtime.run("clerk", "hello")
        messages = runtime.store.messages(run.id)
    assert "Anna is allergic to walnuts" in messages[5].content
    assert '"source": "agent clerk"' in messages[5].content


def test_facts_that_the_message_recalls_stand_in_the_prompt(
    project: Path,
) -> None:
    (project / "agents" / "clerk.md").write_text("---\nname: clerk\nrecall: 1\n---\nGo.")
    scripted = engine(says("On Friday."))
    with Runtime(project, engine=scripted, listen=False) as runtime:
        runtime.load()
        for text in ("The rent is due on Friday", "The boiler was mended"):
            runtime.store.memory.remember(text, source="chat", at=NOW)
        runtime.run("clerk", "When is the rent due?")
    system = requests(scripted)[0].messages[0].content
    assert system.endswith("\n- The rent is due on Friday (chat, 2026-11-23)")
