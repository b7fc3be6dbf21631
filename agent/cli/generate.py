"""`gesso generate`: one turn of a model, without an agent."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import Json

if TYPE_CHECKING:
    from ...engine import ToolDeclaration

Model = Annotated[str, typer.Option(metavar="M", help="sketch, a folder, a hub id, or URL#NAME.")]
Prompt = Annotated[str | None, typer.Option(help="What to tell the model.")]
PromptFile = Annotated[Path | None, typer.Option(metavar="F", help="The same, from a file.")]
Images = Annotated[
    list[Path] | None,
    typer.Option("--image", metavar="FILE", help="A picture before the prompt; may be repeated."),
]
Schema = Annotated[
    Path | None, typer.Option(metavar="S.json", help="A JSON Schema for the answer.")
]
Tools = Annotated[
    Path | None, typer.Option(metavar="T.json", help="A list of tools, to be called or not.")
]
Seed = Annotated[int | None, typer.Option(metavar="N", help="The same seed, the same answer.")]
MaxTokens = Annotated[int | None, typer.Option(metavar="N", help="The answer's longest length.")]
Quantize = Annotated[str | None, typer.Option(metavar="Q", help="Weights in int8 or int4.")]
Adapter = Annotated[
    str | None, typer.Option(metavar="DIR", help="A LoRA adapter that is merged into the model.")
]
Think = Annotated[bool, typer.Option("--think", help="Let the model think before it answers.")]


def generate(
    model: Model = "sketch",
    prompt: Prompt = None,
    prompt_file: PromptFile = None,
    image: Images = None,
    schema: Schema = None,
    tools: Tools = None,
    seed: Seed = None,
    max_tokens: MaxTokens = None,
    quantize: Quantize = None,
    adapter: Adapter = None,
    think: Think = False,
    as_json: Json = False,
) -> None:
    """Generate one answer: text, a value under a schema, or tool calls."""
    if (prompt is None) == (prompt_file is None):
        raise typer.BadParameter("give either --prompt or --prompt-file")
    if schema is not None and tools is not None:
        raise typer.BadParameter("give either --schema or --tools: a turn has one constraint")
    text = prompt if prompt_file is None else _read(prompt_file)
    files = [_read_bytes(path) for path in image or ()]
    tools_value = [] if tools is None else _read_json(tools)

    from ...engine import Image, Message, Request, json_schema
    from ..models import engine_of
    from ..settings import read_settings
    from ..state import STATE
    from .output import print_json

    request = Request(
        messages=[Message("user", text or "", images=[Image(data) for data in files])],
        tools=_declarations(tools_value, tools),
        constraint=None if schema is None else json_schema(_read_json(schema)),
        thinking=think,
        seed=seed,
        max_tokens=max_tokens,
    )
    engine = engine_of(
        model, read_settings(Path(), quantize=quantize, adapter=adapter), Path(STATE)
    )
    result = engine.generate(request)
    calls = [{"name": c.name, "arguments": dict(c.arguments)} for c in result.tool_calls]
    if as_json:
        print_json(
            {
                **({"thought": result.thought} if think else {}),
                "text": result.text,
                "value": result.value,
                "tool_calls": calls,
                "usage": asdict(result.usage),
            }
        )
        return
    if result.text:
        print(result.text)
    for call in calls:
        print(json.dumps(call, ensure_ascii=False))


def _declarations(value: Any, path: Path | None) -> list[ToolDeclaration]:
    """Tools as `{"name", "description", "parameters"}`, bare or in OpenAI's wrapping."""
    from ...engine import ToolDeclaration

    declared = []
    for number, item in enumerate(value if isinstance(value, list) else [value]):
        function = item.get("function", item) if isinstance(item, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise typer.BadParameter(f"{path}: tool {number} has no name")
        parameters = function.get("parameters", {"type": "object", "properties": {}})
        declared.append(
            ToolDeclaration(function["name"], function.get("description", ""), parameters)
        )
    return declared


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{path}: {error}") from None


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror or error}") from None


def _read_json(path: Path) -> Any:
    try:
        return json.loads(_read(path))
    except json.JSONDecodeError as error:
        raise typer.BadParameter(f"{path}:{error.lineno}: {error.msg}") from None
