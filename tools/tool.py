"""A tool: a typed Python function with the JSON Schema that a model is told of it.

    @tool
    def weather(city: Annotated[str, Field(description="City")]) -> str:
        "What the weather is like."

The docstring's first paragraph describes the tool. A parameter annotated `Context` is filled by
whoever runs the call and is no part of the schema.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic_core import to_jsonable_python

from ..memory import Store, StoreError
from .errors import ArgumentError, ToolDefinitionError, ToolError, ToolFailedError
from .workspace import Workspace


@dataclass(frozen=True)
class Context:
    """What a call may know of the run it belongs to.

    `key` names this one call and is the same when a killed call runs again: a tool with side
    effects uses it to do them once. `source` is the document that the run is about.
    """

    workspace: Workspace
    store: Store
    run: str
    agent: str
    key: str
    source: str | None = None


@dataclass(frozen=True)
class Tool:
    """`parameters` is a JSON Schema of type object; `run` gets arguments that fit it."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    run: Callable[[Mapping[str, Any], Context], Any]

    def call(self, arguments: Mapping[str, Any], context: Context) -> Any:
        """The result as a string or other JSON value. Raises `ToolError`, or `StoreError`."""
        try:
            result = to_jsonable_python(self.run(arguments, context))
        except (ToolError, StoreError):
            raise
        except Exception as error:
            raise ToolFailedError(f"{self.name}: {type(error).__name__}: {error}") from error
        return result


def tool(function: Callable[..., Any]) -> Tool:
    """Make a typed function a tool."""
    name = function.__name__
    model, context_parameter = _arguments_model(function)

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
    return Tool(name, summary, parameters, run)


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


def _arguments_model(function: Callable[..., Any]) -> tuple[type[BaseModel], str | None]:
    name = function.__name__
    try:
        hints = get_type_hints(function, include_extras=True)
    except NameError as error:
        raise ToolDefinitionError(f"{name}: {error}") from None
    fields: dict[str, Any] = {}
    context_parameter = None
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise ToolDefinitionError(f"{name}: *{parameter.name} cannot be told to a model")
        if parameter.name not in hints:
            raise ToolDefinitionError(f"{name}: parameter {parameter.name} has no type")
        if hints[parameter.name] is Context:
            context_parameter = parameter.name
            continue
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (hints[parameter.name], default)
    try:
        model = create_model(name, __config__=ConfigDict(extra="forbid"), **fields)
    except (PydanticUserError, NameError) as error:
        raise ToolDefinitionError(f"{name}: {error}") from None
    return model, context_parameter


def _first_complaint(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "arguments"
    return f"{where}: {first['msg']}"
