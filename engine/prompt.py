"""Messages, tools and a schema rendered to the text that the model reads.

The text is made by the checkpoint's own template, in a sandbox: `chat_template.jinja`, or what
`tokenizer_config.json` has for `chat_template` in older folders. The variables are those that
`transformers` passes to it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from .constraint import CallForm, ThoughtForm
from .constraint.callform import MARKER
from .content import parts_of, with_parts
from .errors import CheckpointError, RequestError
from .request import Message, Request, ToolCall, ToolDeclaration

_SCHEMA_REQUEST = "Answer with JSON for this schema: "
_PROBE = (
    Message("user", "?"),
    Message(
        "assistant",
        tool_calls=(ToolCall("first", {"b": "x", "A": [1, True, None]}), ToolCall("second", {})),
    ),
)
_MARK = r"<\|[^<>\s]+>|<[a-z_]+\|>"  # what `SPELLS_CONTROL` keeps out of texts and strings
_PROBE_CALLS = re.compile(
    rf"(?P<opening>{_MARK})call:first\{{A:\[1,true,null\],b:(?P<quote>{_MARK})x(?P=quote)\}}"
    rf"(?P<closing>{_MARK})(?P=opening)call:second\{{\}}(?P=closing)"
)


class ChatTemplate:
    """A checkpoint's chat template."""

    def __init__(self, file: Path, *, bos_token: str, controls: Sequence[str] = ()) -> None:
        """`controls` are the spellings of the checkpoint's control tokens: where a message has one
        in it, it is written with a space in its middle, so that no text can begin a turn, end one,
        or pass for a call. Where the file is missing, the settings beside it are asked.

        Raises:
            CheckpointError: there is no template, or it is not a valid one.
        """
        self._file, text = _template(file)
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.globals["raise_exception"] = _refuse
        environment.filters["tojson"] = _to_json
        try:
            self._template = environment.from_string(text)
        except TemplateError as error:
            raise CheckpointError(f"{self._file}: not a valid chat template ({error})") from None
        self._bos_token = bos_token
        longest_first = sorted(controls, key=len, reverse=True)
        self._controls = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    def render(self, request: Request) -> str:
        """The prompt's text, ending where the model's answer begins; an image in it is the token
        that the template writes for one.

        A JSON Schema constraint is told to the model in the system turn, for templates have no
        place of their own for it.

        Raises:
            RequestError: the template refuses these messages or tools.
        """
        messages = [self._inert(message) for message in request.messages]
        schema = request.constraint.describe() if request.constraint else None
        if schema is not None:
            messages = with_system_line(messages, _SCHEMA_REQUEST + schema)
        try:
            return self._render(
                [_message(one) for one in messages], request.tools, thinking=request.thinking
            )
        except TemplateError as error:
            raise RequestError(f"the chat template refuses this conversation: {error}") from None

    def _inert(self, message: Message) -> Message:
        """The message with no control token in its content."""

        def broken(found: re.Match[str]) -> str:
            return f"{found[0][0]} {found[0][1:]}"

        parts = [
            self._controls.sub(broken, part) if isinstance(part, str) else part
            for part in parts_of(message)
        ]
        return with_parts(message, parts)

    @cached_property
    def calls(self) -> CallForm:
        """How the template writes tool calls, read off a turn of two.

        Raises:
            CheckpointError: not in a form that is known here.
        """
        try:
            text = self._render([_message(message) for message in _PROBE], ())
        except TemplateError:
            text = ""
        if found := _PROBE_CALLS.search(text):
            return CallForm(found["opening"], found["closing"], found["quote"])
        raise CheckpointError(
            f"{self._file}: this template does not write tool calls as"
            " <|…>call:NAME{key:value}<…|>, the form of Gemma's: use this checkpoint without tools"
        )

    @cached_property
    def thought(self) -> ThoughtForm | None:
        """How a thought stands at the beginning of a turn: what the template puts there for a model
        that is not to think is an empty one. `None` where it knows no thinking."""
        asked = [_message(_PROBE[0])]
        try:
            thinking = self._render(asked, (), thinking=True)
            silent = self._render(asked, ())
            bare = self._render(asked, (), answer=False)
        except TemplateError:
            return None
        start = silent.removeprefix(bare)
        markers = list(MARKER.finditer(start))
        if len(markers) < 2 or silent == thinking or not re.fullmatch(_MARK, markers[-1][0]):
            return None
        opening, closing = markers[-2], markers[-1]
        begins = start[: opening.start()]
        if not thinking.endswith(begins) or thinking.endswith(start):
            return None
        return ThoughtForm(start[opening.start() : closing.start()], start[closing.start() :])

    def _render(
        self,
        messages: Sequence[dict[str, Any]],
        tools: Sequence[ToolDeclaration],
        *,
        thinking: bool = False,
        answer: bool = True,
    ) -> str:
        return self._template.render(
            messages=messages,
            tools=[_declaration(tool) for tool in tools] or None,
            bos_token=self._bos_token,
            add_generation_prompt=answer,
            enable_thinking=thinking,
        )


def _template(file: Path) -> tuple[Path, str]:
    """A template's text and where it stands; several in the settings are a list of names and
    templates, of which `default` is the one for chats."""
    if file.exists():
        return file, file.read_text(encoding="utf-8")
    settings = file.with_name("tokenizer_config.json")
    try:
        found = json.loads(settings.read_text(encoding="utf-8")).get("chat_template")
    except FileNotFoundError:
        found = None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{settings}: not valid JSON ({error})") from None
    if isinstance(found, list):
        found = {one["name"]: one["template"] for one in found}.get("default")
    if not isinstance(found, str):
        raise CheckpointError(
            f"{file.parent}: there is no {file.name} in this folder, and no chat_template in"
            f" {settings.name}"
        )
    return settings, found


def _message(message: Message) -> dict[str, Any]:
    rendered: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.images:
        rendered["content"] = [
            {"type": "text", "text": part} if isinstance(part, str) else {"type": "image"}
            for part in parts_of(message)
        ]
    if message.name:
        rendered["name"] = message.name
    if message.tool_calls:
        rendered["tool_calls"] = [
            {"type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    return rendered


def _declaration(tool: ToolDeclaration) -> dict[str, Any]:
    return {
        "type": "function",
        "function": {
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.parameters,
        },
    }


def with_system_line(messages: Sequence[Message], line: str) -> list[Message]:
    """The messages with a line added to the system turn, which is made where there is none."""
    if messages and messages[0].role == "system":
        content = f"{messages[0].content.rstrip()}\n{line}"
        return [replace(messages[0], content=content), *messages[1:]]
    return [Message("system", line), *messages]


def _to_json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _refuse(message: str) -> None:
    raise TemplateError(message)
