"""A tool: a typed Python function with the JSON Schema that a model is told of it.

    @tool
    def weather(city: Annotated[str, Field(description="City")]) -> str:
        "What the weather is like."

The docstring's first paragraph describes the tool. A parameter annotated `Context` is filled by
whoever runs the call and is no part of the schema. `@tool(sends=True)` marks what a call does; a
`Kind` among a parameter's annotations tells the permissions how to compare it. A function may be
`async`: a call waits for it.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, get_args, get_type_hints, overload

from jsonschema.protocols import Validator
from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic_core import to_jsonable_python

from ..memory import Store, StoreError
from .errors import ArgumentError, ToolDefinitionError, ToolError, ToolFailedError
from .output import OUTPUT_LIMIT, cut
from .secret import Secrets
from .workspace import Workspace

CALL_LIMIT = OUTPUT_LIMIT + OUTPUT_LIMIT // 10
"""Characters of any tool's result: those that cut themselves may add a word about it."""


@dataclass(frozen=True)
class Context:
    """What a call may know of the run it belongs to.

    `key` names this one call and is the same when a killed call runs again: a tool with side
    effects uses it to do them once. `source` is the document that the run is about. `secrets` are
    those that the agent's file names. `listeners` are the agents that take messages from this one.
    `outside`: the run has read what came from outside, so what it writes may come from there.
    `sees`: its model can be shown pictures.
    """

    workspace: Workspace
    store: Store
    run: str
    agent: str
    key: str
    source: str | None = None
    secrets: Secrets = field(default_factory=Secrets)
    listeners: frozenset[str] = frozenset()
    outside: bool = False
    sees: bool = False

    def cut(self, text: str, limit: int = OUTPUT_LIMIT) -> str:
        """The text without secrets, and then no longer than the limit: no part of one is left."""
        return cut(self.secrets.redactor.blank(text), limit)


@dataclass(frozen=True)
class Shown:
    """A result with pictures, for a run whose model sees: a text, and the files of what is shown
    behind it."""

    text: str
    pictures: Sequence[bytes]


class PersonNeeded(Exception):  # noqa: N818 - no error: the call is finished by the person
    """Raised by a tool whose result is what the person answers to `question`."""

    def __init__(self, question: str) -> None:
        super().__init__(question)
        self.question = question


class Kind(Enum):
    """What an argument's text is, where different texts may mean the same."""

    PATH = "path"
    URL = "url"
    COMMAND = "command"


@dataclass(frozen=True)
class Tool:
    """`parameters` is a JSON Schema of type object; `run` gets arguments that fit it.

    `sends`: a call can carry data out of this machine. `spends`: it costs money or anything else
    that is not had back. `idempotent`: a call that was cut short may be made again. `kinds` are
    those of the arguments that have one. `foreign`: its parameters are a
    server's making.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    run: Callable[[Mapping[str, Any], Context], Any]
    sends: bool = False
    spends: bool = False
    idempotent: bool = False
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    foreign: bool = False

    def call(self, arguments: Mapping[str, Any], context: Context) -> Any:
        """The result as a string or other JSON value, without secrets and cut to a limit; or that
        and pictures.

        Raises `ToolError`, or `StoreError`.
        """
        blank = context.secrets.redactor.blank
        try:
            result = self.run(arguments, context)
            if inspect.iscoroutine(result):
                result = _wait_for(result)
            if isinstance(result, Shown):
                return replace(result, text=cut(blank(result.text), CALL_LIMIT))
            result = blank(to_jsonable_python(result))
        except StoreError:
            raise
        except PersonNeeded as needed:
            raise PersonNeeded(blank(needed.question)) from None
        except ToolError as error:
            if blank(str(error)) == str(error):
                raise
            raise ToolFailedError(blank(str(error))) from None
        except Exception as error:
            complaint = blank(f"{self.name}: {type(error).__name__}: {error}")
            raise ToolFailedError(complaint) from error
        if isinstance(result, str):
            return cut(result, CALL_LIMIT)
        text = json.dumps(result, ensure_ascii=False)
        return result if len(text) <= CALL_LIMIT else cut(text)


@overload
def tool(function: Callable[..., Any], /) -> Tool: ...
@overload
def tool(
    *, sends: bool = False, spends: bool = False, idempotent: bool = False
) -> Callable[[Callable[..., Any]], Tool]: ...
def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    sends: bool = False,
    spends: bool = False,
    idempotent: bool = False,
) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """Make a typed function a tool."""

    def make(function: Callable[..., Any]) -> Tool:
        return replace(_tool(function), sends=sends, spends=spends, idempotent=idempotent)

    return make if function is None else make(function)


def _tool(function: Callable[..., Any]) -> Tool:
    name = function.__name__
    model, context_parameter, kinds = _arguments_model(function)

    def run(arguments: Mapping[str, Any], context: Context) -> Any:
        try:
            valid = model.model_validate(arguments)
        except ValidationError as error:
            raise ArgumentError(f"{name}: {_first_complaint(error)}") from None
        values = {field: getattr(valid, field) for field in model.model_fields}
        if context_parameter is not None:
            values[context_parameter] = context
        return function(**values)

    description = inspect.getdoc(function)
    if not description:
        raise ToolDefinitionError(f"{name}: a tool needs a docstring, the model reads it")
    summary = " ".join(description.split("\n\n")[0].split())
    try:
        schema = model.model_json_schema()
    except PydanticUserError as error:
        raise ToolDefinitionError(f"{name}: {error.message}") from None
    parameters = without_titles(schema)
    parameters.pop("description", None)
    return Tool(name, summary, parameters, run, kinds=kinds)


def check_arguments(name: str, arguments: Mapping[str, Any], validator: Validator) -> None:
    """For a tool that is made from a schema: raises `ArgumentError` where they do not fit it."""
    complaint = next(iter(validator.iter_errors(arguments)), None)
    if complaint is not None:
        where = ".".join(str(part) for part in complaint.absolute_path) or "arguments"
        raise ArgumentError(f"{name}: {where}: {complaint.message}")


def without_titles(schema: Any) -> Any:
    """The schema without pydantic's `title`s, which repeat the names; a property may be called
    `title` all the same."""
    if isinstance(schema, list):
        return [without_titles(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    named = ("properties", "$defs")
    return {
        key: {name: without_titles(inner) for name, inner in value.items()}
        if key in named
        else value
        if key in ("default", "const", "enum", "examples")
        else without_titles(value)
        for key, value in schema.items()
        if key != "title"
    }


def _arguments_model(
    function: Callable[..., Any],
) -> tuple[type[BaseModel], str | None, dict[str, Kind]]:
    """The arguments as a model, the name of the context's parameter, the kinds by argument."""
    name = function.__name__
    try:
        hints = get_type_hints(function, include_extras=True)
    except NameError as error:
        raise ToolDefinitionError(f"{name}: {error}") from None
    fields: dict[str, Any] = {}
    context_parameter = None
    kinds: dict[str, Kind] = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise ToolDefinitionError(f"{name}: *{parameter.name} cannot be told to a model")
        if parameter.name not in hints:
            raise ToolDefinitionError(f"{name}: parameter {parameter.name} has no type")
        if hints[parameter.name] is Context:
            context_parameter = parameter.name
            continue
        for kind in get_args(hints[parameter.name]):
            if isinstance(kind, Kind):
                kinds[parameter.name] = kind
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (hints[parameter.name], default)
    try:
        model = create_model(name, __config__=ConfigDict(extra="forbid"), **fields)
    except (PydanticUserError, NameError) as error:
        raise ToolDefinitionError(f"{name}: {error}") from None
    return model, context_parameter, kinds


def _wait_for(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine to its end on a thread of its own, as the caller's may have a loop."""
    caller = contextvars.copy_context()
    with ThreadPoolExecutor(1, thread_name_prefix="tool") as worker:
        return worker.submit(caller.run, asyncio.run, work).result()


def _first_complaint(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "arguments"
    return f"{where}: {first['msg']}"
