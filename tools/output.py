"""Text for the model, cut to a limit, which the text then says."""

from __future__ import annotations

OUTPUT_LIMIT = 30_000
"""Characters that one call's result may take of the prompt."""


def cut(text: str, limit: int = OUTPUT_LIMIT) -> str:
    """The text, or its first `limit` characters and how many there were."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}\n[cut: {limit:,} of {len(text):,} characters are shown]"
