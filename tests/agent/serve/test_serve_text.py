"""The text of a stream grows by what no later commit can change."""

from __future__ import annotations

from gesso.agent.serve.application import Text
from gesso.agent.serve.reading import Asked
from gesso.engine import Commit, Engine, Message, Request, Result, ToolDeclaration

PARIS = '<|tool_call>call:find{city:<|"|>Paris<|"|>}<tool_call|>'


def streamed(engine: Engine, written: str, result: Result, request: Request) -> list[str]:
    """The deltas, if every token were a canvas of its own."""
    text = Text(engine, Asked(request, "sketch", True, {}))
    tokens = engine.tokenizer.encode(written)
    deltas = [text.add(Commit(n, [token], "")) for n, token in enumerate(tokens)]
    return [*deltas, text.rest(result)]


def test_a_character_is_told_when_it_is_whole(sketch: Engine) -> None:
    written = "Größe 😀 für"
    deltas = streamed(sketch, written, Result(written), Request([Message("user", "?")]))
    assert "".join(deltas) == written
    assert not any("�" in delta for delta in deltas)
    assert "😀" in deltas


def test_a_call_is_never_told_as_text(sketch: Engine) -> None:
    find = ToolDeclaration("find", "", {"type": "object"})
    request = Request([Message("user", "?")], tools=[find])
    deltas = streamed(sketch, f"I look. {PARIS}", Result("I look. "), request)
    assert "".join(deltas) == "I look. "


def test_what_never_becomes_whole_is_told_at_the_end(sketch: Engine) -> None:
    request = Request([Message("user", "?")])
    text = Text(sketch, Asked(request, "sketch", True, {}))
    first = sketch.tokenizer.encode("😀")[0]
    assert text.add(Commit(1, [first], "")) == ""
    assert text.rest(Result("�")) == "�"
