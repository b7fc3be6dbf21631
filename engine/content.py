"""What a message says, part by part: texts and the images between them, in their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .errors import RequestError
from .request import Image, Message

Part = str | Image


def parts_of(message: Message) -> list[Part]:
    """The message's texts, none of them empty, and its images.

    Raises:
        RequestError: an image stands beyond the text, or in a message that is not a user's.
    """
    content, images = message.content, sorted(message.images, key=lambda one: one.offset)
    if images and message.role != "user":
        raise RequestError(f"images stand in a user's messages: this one is the {message.role}'s")
    parts: list[Part] = []
    first = 0
    for image in images:
        if not 0 <= image.offset <= len(content):
            raise RequestError(
                f"an image stands at character {image.offset} of a text of {len(content)}"
            )
        parts += [content[first : image.offset], image]
        first = image.offset
    parts.append(content[first:])
    return [part for part in parts if part]


def with_parts(message: Message, parts: Sequence[Part]) -> Message:
    """The message with other texts and images, as they follow each other."""
    text, images = "", list[Image]()
    for part in parts:
        if isinstance(part, Image):
            images.append(replace(part, offset=len(text)))
        else:
            text += part
    return replace(message, content=text, images=tuple(images))
