"""Functions made tools: what the model is told, and what a call does."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, Literal

import gesso.tools
import pytest
from gesso.tools import ArgumentError, Context, Kind, ToolDefinitionError, ToolFailedError, tool
from pydantic import BaseModel, Field


class Address(BaseModel):
    street: str
    title: str = "Dr"


@tool
def post(
    to: Annotated[Address, Field(description="Where to")],
    kind: Literal["letter", "parcel"] = "letter",
    weight: Annotated[int, Field(gt=0)] = 1,
) -> dict[str, Any]:
    """Post something
    to somebody.

    This part is for people.
    """
    return {"to": to, "kind": kind, "weight": weight}


def test_the_schema_is_the_signature() -> None:
    assert post.name == "post"
    assert post.description == "Post something to somebody."
    assert post.parameters == {
        "$defs": {
            "Address": {
                "type": "object",
                "properties": {
                    "street": {"type": "string"},
                    "title": {"type": "string", "default": "Dr"},
                },
                "required": ["street"],
            }
        },
        "type": "object",
        "properties": {
            "to": {"$ref": "#/$defs/Address", "description": "Where to"},
            "kind": {"enum": ["letter", "parcel"], "type": "string", "default": "letter"},
            "weight": {"type": "integer", "exclusiveMinimum": 0, "default": 1},
        },
        "required": ["to"],
        "additionalProperties": False,
    }


def test_a_call_gets_typed_arguments_and_gives_json(context: Context) -> None:
    result = post.call({"to": {"street": "Mill Lane 4"}, "weight": 2}, context)
    to = {"street": "Mill Lane 4", "title": "Dr"}
    assert result == {"to": to, "kind": "letter", "weight": 2}


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({}, "post: to: Field required"),
        ({"to": {"street": 4}}, "post: to.street: Input should be a valid string"),
        ({"to": {"street": "x"}, "kind": "cake"}, "post: kind: Input should be 'letter' or"),
        ({"to": {"street": "x"}, "weight": 0}, "post: weight: Input should be greater than 0"),
        ({"to": {"street": "x"}, "colour": "red"}, "post: colour: Extra inputs are not permitted"),
    ],
)
def test_arguments_that_do_not_fit(context: Context, arguments: dict[str, Any], line: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        post.call(arguments, context)
    assert str(caught.value).startswith(line)


def test_the_context_is_filled_and_not_told(context: Context) -> None:
    @tool
    def whoami(context: Context) -> str:
        """Tell the agent's name."""
        return context.agent

    assert whoami.parameters["properties"] == {}
    assert whoami.call({}, context) == "clerk"
    with pytest.raises(ArgumentError):
        whoami.call({"context": {}}, context)


def test_a_bug_in_a_tool_is_named(context: Context) -> None:
    @tool
    def broken() -> str:
        """Break."""
        return {}["x"]

    with pytest.raises(ToolFailedError, match="broken: KeyError: 'x'"):
        broken.call({}, context)


def no_docstring(a: int) -> None: ...


def no_type(a) -> None:  # pyright: ignore[reportMissingParameterType]
    """Do it."""


def star(*a: int) -> None:
    """Do it."""


def no_schema(a: Callable[[], int]) -> None:
    """Do it."""


@pytest.mark.parametrize(
    ("function", "line"),
    [
        (no_docstring, "no_docstring: a tool needs a docstring"),
        (no_type, "no_type: parameter a has no type"),
        (star, r"star: \*a cannot be told to a model"),
        (no_schema, "no_schema: "),
    ],
)
def test_what_cannot_be_a_tool(function: Callable[..., Any], line: str) -> None:
    with pytest.raises(ToolDefinitionError, match=line):
        tool(function)


def test_a_tool_is_marked_with_what_it_does() -> None:
    assert (post.sends, post.spends, post.idempotent, post.kinds) == (False, False, False, {})

    @tool(sends=True, idempotent=True)
    def put(path: Annotated[str, Kind.PATH, Field(description="Where")], text: str) -> None:
        """Put it there."""

    assert (put.sends, put.spends, put.idempotent) == (True, False, True)
    assert put.kinds == {"path": Kind.PATH}
    assert put.parameters["properties"]["path"] == {"type": "string", "description": "Where"}


def test_an_async_tool_is_awaited(context: Context) -> None:
    @tool
    async def later(word: str) -> str:
        """Say it later."""
        await asyncio.sleep(0)
        if not word:
            raise ValueError("no word")
        return word

    async def caller() -> str:
        return later.call({"word": "within a loop"}, context)

    assert later.call({"word": "without one"}, context) == "without one"
    assert asyncio.run(caller()) == "within a loop"
    with pytest.raises(ToolFailedError, match="later: ValueError: no word"):
        later.call({"word": ""}, context)


def test_the_room_exports_these_names() -> None:
    assert set(gesso.tools.__all__) == {
        "ArgumentError",
        "Call",
        "Context",
        "Decision",
        "Document",
        "DocumentError",
        "DocumentReader",
        "FetchError",
        "Fetcher",
        "Host",
        "Kind",
        "Limits",
        "OWN_FILE",
        "Picture",
        "QueryError",
        "Redactor",
        "Registry",
        "Rule",
        "RuleError",
        "Rules",
        "SKILLS",
        "SKILL_FILE",
        "STANDARD_INPUT",
        "Sandbox",
        "SandboxError",
        "SecretError",
        "SecretName",
        "Secrets",
        "ServerError",
        "Servers",
        "Shown",
        "Tool",
        "ToolDefinitionError",
        "ToolError",
        "ToolFailedError",
        "UnknownToolError",
        "Workspace",
        "WorkspaceError",
        "called",
        "changes_of",
        "decide",
        "find_documents",
        "read_secrets",
        "tool",
    }
