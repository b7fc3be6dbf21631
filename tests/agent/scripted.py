"""An engine that says what it was told to: turn by turn, whatever the prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from gesso.engine import AnyEngine, Engine, EngineError, Request, Result, ToolCall, Usage

USAGE = Usage(
    prompt_tokens=100,
    cached_tokens=40,
    output_tokens=20,
    canvases=1,
    denoising_steps=9,
    prefill_seconds=0.25,
    denoising_seconds=0.5,
)


def calls(*named: tuple[str, dict[str, Any]], usage: Usage = USAGE) -> Result:
    made = [ToolCall(name, arguments) for name, arguments in named]
    return Result("", tool_calls=made, usage=usage, finish_reason="tool_calls")


def says(text: str, usage: Usage = USAGE) -> Result:
    return Result(text, usage=usage)


class ScriptedEngine:
    """The turn is chosen by how many assistant messages there are, so that a new process picks
    up where the last one was. A turn may be a function of the request, and may raise."""

    name = "scripted"
    device = "cpu"
    context_length = 4096
    sees = False

    def __init__(self, turns: Sequence[Result | Callable[[Request], Result]]) -> None:
        self.turns = turns
        self.requests: list[Request] = []

    def generate(self, request: Request, watch: Any = None) -> Result:
        self.requests.append(request)
        turn = self.turns[sum(message.role == "assistant" for message in request.messages)]
        return turn if isinstance(turn, Result) else turn(request)


class Reader(ScriptedEngine):
    """Reads the file that it is told of, and saves its first line as the company."""

    def __init__(self) -> None:
        super().__init__([])

    def generate(self, request: Request, watch: Any = None) -> Result:
        if request.messages[0].role == "user":
            raise EngineError("this engine only reads files")
        if request.messages[-1].role == "user":
            path = request.messages[-1].content.removeprefix("New file: ")
            return calls(("read_file", {"path": path}))
        if request.messages[-1].name == "read_file":
            company = request.messages[-1].content.splitlines()[0]
            record = {"company": company, "date": "2026-03-14", "total": 1.5}
            wanted = request.tools[1].parameters["required"]
            return calls(("save_record", {key: record[key] for key in wanted}))
        return says("Saved.")


def engine(*turns: Result | Callable[[Request], Result]) -> Engine:
    return cast(Engine, ScriptedEngine(turns))


def requests(scripted: AnyEngine) -> list[Request]:
    return cast(ScriptedEngine, scripted).requests
