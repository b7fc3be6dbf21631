"""What a tool of a server answered, as text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mcp.types import CallToolResult, ContentBlock


def text_of(result: CallToolResult) -> str:
    """The texts; what is none is said to be there. The structured result too, unless it is said
    already: it should be, and not all servers do."""
    parts = [_part(block) for block in result.content]
    structured = result.structured_content
    if structured is not None and not _said(structured, result.content, parts):
        parts.append(json.dumps(structured, ensure_ascii=False))
    return "\n".join(parts) or "[nothing]"


def _part(block: ContentBlock) -> str:
    match block.type:
        case "text":
            return block.text
        case "image" | "audio":
            return f"[{block.type}, {block.mime_type}, not shown]"
        case "resource_link":
            return f"[resource {block.uri}: {block.name}]"
    text = getattr(block.resource, "text", None)
    return f"[resource {block.resource.uri}, not shown]" if text is None else text


def _said(structured: Any, content: Sequence[ContentBlock], parts: Sequence[str]) -> bool:
    """Whether the content is the structured result. The SDK's servers put a result that is no
    object under `result`, and write a list as a block for each item."""
    values = [_value(part) for part in parts]
    if structured in values:
        return True
    if not isinstance(structured, dict) or structured.keys() != {"result"}:
        return False
    result = structured["result"]
    blocks = [block.model_dump(mode="json", by_alias=True) for block in content]
    return result in (parts, values, blocks) or result in parts or result in values


def _value(part: str) -> Any:
    try:
        return json.loads(part)
    except (ValueError, RecursionError):
        return part
