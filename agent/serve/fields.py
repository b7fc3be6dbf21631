"""What is understood of the three APIs: every field of a request, and what becomes of it.

This table is the truth: a request is checked against it, and `FIELDS.md` is printed from it
(`python -m gesso.agent.serve > agent/serve/FIELDS.md`). A field that it does not name is
refused by name, as is one with a value that would have to be obeyed and cannot be. `null` is as if
the field were not there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .refusal import wrong

Api = Literal["chat", "responses", "messages", "count"]
Support = Literal["yes", "neutral", "unused", "no"]

PATHS: dict[Api, str] = {
    "chat": "/v1/chat/completions",
    "responses": "/v1/responses",
    "messages": "/v1/messages",
    "count": "/v1/messages/count_tokens",
}


@dataclass(frozen=True)
class Field:
    """One field. With the support `neutral` it may have one of the `neutral` values, which ask for
    nothing; `unused` is taken and changes nothing, there or here."""

    name: str
    support: Support
    note: str = ""
    neutral: tuple[Any, ...] = ()


def _yes(name: str, note: str = "") -> Field:
    return Field(name, "yes", note)


def _neutral(name: str, *values: Any, note: str = "") -> Field:
    return Field(name, "neutral", note, values)


def _unused(*names: str) -> tuple[Field, ...]:
    return tuple(Field(name, "unused") for name in names)


def _no(*names: str, note: str = "") -> tuple[Field, ...]:
    return tuple(Field(name, "no", note) for name in names)


_STEPS = "the sampler has its own schedule"
_BOUND = "at most the server's own limit, which ends an answer alike"
_TOOLS = "functions; always strict"
_IMAGES = "a user's images as data URLs (`detail`: `auto`), nothing is fetched"
_BASE64 = "images as `base64`, nothing is fetched"
_TIER = _neutral("service_tier", "auto", "default")

FIELDS: dict[Api, tuple[Field, ...]] = {
    "chat": (
        _yes("messages", f"texts, calls and their results; {_IMAGES}; no audio or files"),
        _yes("model"),
        _yes("max_completion_tokens", _BOUND),
        _yes("max_tokens", "as `max_completion_tokens`"),
        _yes("parallel_tool_calls", "`false`: one call at most"),
        _yes("response_format", "`text`, `json_object`, `json_schema` (always strict); no tools"),
        _yes("seed", "the same seed, the same answer, whatever is written beside it"),
        _yes("stream", "a delta a canvas, a call a delta"),
        _yes("stream_options", "`include_usage`"),
        _yes("tool_choice", "`none`, `auto`, `required`, a function; no `allowed_tools`"),
        _yes("tools", _TOOLS),
        _neutral("frequency_penalty", 0),
        _neutral("logit_bias", {}),
        _neutral("logprobs", False),
        _neutral("modalities", ["text"]),
        _neutral("n", 1),
        _neutral("presence_penalty", 0),
        _neutral("reasoning_effort", "none"),
        _TIER,
        _neutral("stop", [], note="an answer ends by itself, or where its schema does"),
        _neutral("store", False),
        _neutral("temperature", 1, note=_STEPS),
        _neutral("top_logprobs", 0),
        _neutral("top_p", 1, note=_STEPS),
        _neutral("verbosity", "medium"),
        *_unused("metadata", "prompt_cache_key", "safety_identifier", "user"),
        *_no("audio", "moderation", "prediction", "web_search_options"),
        *_no("prompt_cache_options", "prompt_cache_retention", note="prefixes are kept anyway"),
        *_no("function_call", "functions", note="`tools` and `tool_choice` took their place"),
    ),
    "responses": (
        _yes("input", f"a text, or messages, calls and their results; {_IMAGES}; no files"),
        _yes("model"),
        _yes("instructions"),
        _yes("max_output_tokens", _BOUND),
        _yes("parallel_tool_calls", "`false`: one call at most"),
        _yes("stream", "a delta a canvas, a call a delta"),
        _yes("text", "`format`: `text`, `json_object`, `json_schema` (always strict); no tools"),
        _yes("tool_choice", "`none`, `auto`, `required`, a function; no `allowed_tools`"),
        _yes("tools", _TOOLS),
        _neutral("background", False),
        _neutral("include", []),
        _neutral("reasoning", {}, {"effort": "none"}),
        _TIER,
        _neutral("store", False, note="nothing is kept, also where it is not given"),
        _neutral("stream_options", {}, {"include_obfuscation": False}),
        _neutral("temperature", 1, note=_STEPS),
        _neutral("top_logprobs", 0),
        _neutral("top_p", 1, note=_STEPS),
        _neutral("truncation", "disabled"),
        *_unused("metadata", "prompt_cache_key", "safety_identifier", "user"),
        *_no("conversation", "previous_response_id", note="nothing is kept: send the whole input"),
        *_no("access_programs", "background_options", "context_management", "image"),
        *_no("max_tool_calls", "moderation", "prompt"),
        *_no("prompt_cache_options", "prompt_cache_retention", note="prefixes are kept anyway"),
    ),
    "messages": (
        _yes("max_tokens", _BOUND),
        _yes("messages", f"texts, `tool_use`, `tool_result`; {_BASE64}; the last is the user's"),
        _yes("model"),
        _yes("output_config", "`format`: `json_schema` (always strict); no `effort`, no tools"),
        _yes("stream", "a delta a canvas, a call a delta"),
        _yes("system"),
        _yes("tool_choice", "`auto`, `any`, `tool`, `none`; `disable_parallel_tool_use`"),
        _yes("tools", "your own; always strict"),
        _neutral("service_tier", "auto", "standard_only"),
        _neutral("speed", "standard"),
        _neutral("stop_sequences", [], note="an answer ends by itself"),
        _neutral("temperature", 1, note=_STEPS),
        _neutral("thinking", {"type": "disabled"}),
        _neutral("top_p", 1, note=_STEPS),
        *_unused("cache_control", "metadata"),
        *_no("container", "context_management", "diagnostics", "inference_geo", "mcp_servers"),
        *_no("top_k", "user_profile_id", "workspace_id"),
    ),
    "count": (
        _yes("messages"),
        _yes("model"),
        _yes("output_config", "`format`"),
        _yes("system"),
        _yes("tool_choice"),
        _yes("tools"),
        _neutral("speed", "standard"),
        _neutral("thinking", {"type": "disabled"}),
        *_unused("cache_control"),
        *_no("context_management", "mcp_servers", "user_profile_id", "workspace_id"),
    ),
}


def understood(api: Api, body: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a request that say what to do. Raises `Refusal` for one that cannot be done."""
    fields = {field.name: field for field in FIELDS[api]}
    found: dict[str, Any] = {}
    for name, value in body.items():
        field = fields.get(name)
        if field is None:
            raise wrong(name, f"{PATHS[api]} has no such field here", code="unknown_parameter")
        if value is None or field.support == "unused":
            continue
        if field.support == "yes":
            found[name] = value
        elif not any(_same(value, neutral) for neutral in field.neutral):
            raise wrong(name, _not_this(field), code="unsupported_parameter")
    return found


def _same(value: Any, neutral: Any) -> bool:
    """Equal as JSON: true is not 1, but 1.0 is."""
    return value == neutral and isinstance(value, bool) == isinstance(neutral, bool)


def _not_this(field: Field) -> str:
    why = f" ({field.note})" if field.note else ""
    if field.support == "no":
        return f"not supported{why}: leave it out"
    allowed = " or ".join(_json(value) for value in field.neutral)
    return f"only {allowed} is supported{why}"


def _json(value: Any) -> str:
    return json.dumps(value)


_TOLD: dict[Support, str] = {"yes": "yes", "neutral": "", "unused": "taken, unused", "no": "no"}


def table() -> str:
    """The whole table in Markdown."""
    lines = [
        "# What `gesso serve` understands",
        "",
        "Printed from the table that requests are checked against: `python -m gesso.agent.serve`."
        " A field that",
        "is not here, or not with this value, is refused by name with status 400; `null` is as if"
        " it were",
        "not there.",
    ]
    for api, fields in FIELDS.items():
        lines += ["", f"## `POST {PATHS[api]}`", "", "| field | supported | |", "|---|---|---|"]
        for field in fields:
            told = _TOLD[field.support]
            if field.support == "neutral":
                told = "only " + " or ".join(f"`{_json(value)}`" for value in field.neutral)
            lines.append(f"| `{field.name}` | {told} | {field.note} |")
    return "\n".join(lines) + "\n"
