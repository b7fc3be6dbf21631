"""The embedded engine as a server: OpenAI's chat completions and responses, Anthropic's messages.

A request becomes the engine's own (`chat.py`, `responses.py`, `messages.py`), waits for a place
(`queue.py`), is written beside others, and is told in the shape of the API that it came by. What is
understood of each API is one table (`fields.py`); what is not is refused by name.
"""

from .server import Limits, serving

__all__ = ["Limits", "serving"]
