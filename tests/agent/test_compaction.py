"""Conversations that outgrow the context: summarised for the model, whole in the store."""

from collections.abc import Callable
from pathlib import Path

from gesso.agent import Runtime
from gesso.agent.compaction import conversation, needed, summary_request
from gesso.engine import Request, Result, Usage
from gesso.memory import StoredMessage
from hypothesis import given
from hypothesis import strategies as st
from scripted import calls, engine, requests, says

FULL = Usage(prompt_tokens=3000, output_tokens=100)


def test_old_turns_are_told_by_a_summary_and_stay_in_the_store(
    project: Path, write_agent: Callable[..., Path]
) -> None:
    write_agent("name: clerk\ntools: [list_files]")
    turns = {
        0: calls(("list_files", {"folder": "."})),
        1: calls(("list_files", {"folder": "inbox"}), usage=FULL),
        2: says("Done."),
    }
    written: list[int] = []

    def turn(request: Request) -> Result:
        if request.messages[0].content.startswith("Summarise"):
            return says("The project has an inbox.")
        written.append(len(written))
        return turns[written[-1]]

    with Runtime(project, engine=engine(*[turn] * 4), listen=False) as runtime:
        runtime.load()
        scripted = runtime.engine("")
        run = runtime.run("clerk", "What is there?")
        stored = runtime.store.messages(run.id)
        keys = [entry.key for entry in list(runtime.store.ledger.entries(run=run.id))]
    assert run.state == "done"
    roles = ["system", "user", *["assistant", "tool"] * 2, "summary", "assistant"]
    assert [message.role for message in stored] == roles
    assert f"{run.id}/2/summary" in keys
    last = requests(scripted)[-1].messages
    assert [message.role for message in last] == ["system", "user", "assistant", "tool"]
    assert last[0].content.endswith("[what happened so far] The project has an inbox.")
    assert last[2].tool_calls[0].arguments == {"folder": "inbox"}


def test_a_part_that_goes_on_with_a_full_context_is_preceded_by_a_summary(
    project: Path, write_agent: Callable[..., Path]
) -> None:
    write_agent("name: clerk\ntools: [list_files, ask_person]")
    read: list[Request] = []

    def turn(request: Request) -> Result:
        read.append(request)
        if request.messages[0].content.startswith("Summarise"):
            return says("The project has an inbox.")
        turns = [
            calls(("list_files", {"folder": "."})),
            calls(("ask_person", {"question": "Well?"}), usage=FULL),
            says("Done."),
        ]
        return turns[len([r for r in read if not r.messages[0].content.startswith("Summ")]) - 1]

    with Runtime(project, engine=engine(*[turn] * 4)) as runtime:
        run = runtime.run("clerk", "What is there?")
        assert run.state == "waiting"
        runtime.store.inbox.decide(1, "approved", note="yes", at=run.queued)
        runtime.deliver()
        assert runtime.wait(run.id).state == "done"
    assert "[what happened so far]" in read[-1].messages[0].content


def test_a_summary_that_spends_the_budget_stops_the_run(
    project: Path, write_agent: Callable[..., Path]
) -> None:
    write_agent("name: clerk\ntools: [list_files]\nbudget: {tokens: 3250}")
    turns = {
        0: calls(("list_files", {"folder": "."})),
        1: calls(("list_files", {"folder": "inbox"}), usage=FULL),
    }
    written: list[int] = []

    def turn(request: Request) -> Result:
        if request.messages[0].content.startswith("Summarise"):
            return says("The project has an inbox.")
        written.append(len(written))
        return turns[written[-1]]

    with Runtime(project, engine=engine(*[turn] * 4)) as runtime:
        run = runtime.run("clerk", "What is there?")
    assert (run.state, run.reason) == ("stopped", "the budget of 3250 tokens is spent")


def test_a_short_conversation_is_left_alone() -> None:
    stored = [StoredMessage(n, role, "") for n, role in enumerate(["system", "user", "assistant"])]
    assert needed(stored, 100, 4096) is None
    assert needed(stored, 4000, 4096) is None, "there is nothing before the last turn"


ROLES = st.lists(st.sampled_from(["turn", "summary"]), max_size=12)


@given(ROLES)
def test_what_the_model_reads_begins_with_the_request_and_ends_with_the_last_turn(
    steps: list[str],
) -> None:
    stored = [StoredMessage(0, "system", "Be brief."), StoredMessage(1, "user", "Go.")]
    for step in steps:
        kept = needed(stored, 10**6, 4096)
        if step == "turn":
            stored.append(StoredMessage(len(stored), "assistant", f"turn {len(stored)}"))
            stored.append(StoredMessage(len(stored), "tool", f"result {len(stored)}", name="t"))
        elif kept is not None:
            assert summary_request(stored, kept, 4096, 1).messages[1].content
            stored.append(StoredMessage(len(stored), "summary", "short", name=str(kept)))
    read = conversation(stored)
    assert [message.content for message in read[1:2]] == ["Go."]
    turns = [message for message in stored if message.role in ("assistant", "tool")]
    if turns:
        assert [message.content for message in read[-2:]] == [m.content for m in turns[-2:]]
    assert "summary" not in {message.role for message in read}
