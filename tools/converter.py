"""A program of its own: reads documents that need a parser, one after the other.

It is told paths on its standard input and answers with their text on its standard output. What its
parsers print goes nowhere, what they would fetch is refused, and it has no more memory than it was
given; whoever started it ends it when it takes too long.
"""

from __future__ import annotations

import base64
import email
import email.policy
import io
import itertools
import json
import os
import resource
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any, NoReturn

from .documents import CONVERTED, decoded, send
from .errors import DocumentError
from .page import to_markdown

INSTALL = "`pip install 'gesso[documents]'`"
UNPACKED_MOST = 300_000_000
"""Bytes that the parts of a zipped format may have together."""
PARTS_MOST = 10_000
PAGES_MOST = 2_000
ATTACHMENTS_MOST = 20
DEPTH_MOST = 3
"""How deep a message inside a message is read."""
SCALE = 3
"""Dots to a point (a 72nd of an inch), of a page that is a picture."""
PICTURES = ("PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP")
"""Formats of pictures, in Pillow's words; others have it call programs."""
PICTURES_MOST = 100
_HEADERS = ("From", "To", "Cc", "Date", "Subject")
PAGE_BREAK = "\n\n"


def main() -> None:
    """Answer until the input ends."""
    limits = json.loads(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (limits["memory"], limits["memory"]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers = os.fdopen(os.dup(1), "wb")
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    socket.socket = _refuse_network  # pyright: ignore[reportAttributeAccessIssue]
    while size := sys.stdin.buffer.read(4):
        request = json.loads(sys.stdin.buffer.read(struct.unpack(">I", size)[0]))
        send(answers, _answer(request, limits))


def _answer(request: dict[str, Any], limits: dict[str, Any]) -> dict[str, object]:
    path, seconds = Path(request["path"]), limits["seconds"]
    try:
        found = convert(path, request["suffix"], seconds, pictures=request["pictures"])
    except DocumentError as error:
        return {"error": str(error)}
    except ModuleNotFoundError as error:
        return {"error": f"needs {error.name}: {INSTALL}"}
    except MemoryError:
        return {"error": "needs more memory than a document is given"}
    except RecursionError:
        return {"error": "nests too deeply"}
    except Exception as error:  # a parser's own: whatever a broken file makes it raise
        return {"error": f"cannot be read: {_first_line(error)}"}
    size, most = len(found.text), limits["characters"]
    if size > most:
        return {"error": f"has {size:,} characters; the limit is {most:,}"}
    if len(found.pictures) > PICTURES_MOST:
        return {"error": f"has {len(found.pictures)} pictures; the limit is {PICTURES_MOST}"}
    pictures = [(offset, base64.b64encode(data).decode()) for offset, data in found.pictures]
    return {"text": found.text, "pages": found.pages, "pictures": pictures}


@dataclass
class Converted:
    """A document's text, the characters at which its pages begin, and the files of pages that are
    pictures, each with the character that it stands before."""

    text: str
    pages: list[int] = field(default_factory=list)
    pictures: list[tuple[int, bytes]] = field(default_factory=list)


def convert(
    path: Path, suffix: str, seconds: float, depth: int = 0, *, pictures: bool = False
) -> Converted:
    """What a document says; with `pictures`, pages that are pictures are shown and not read."""
    if suffix == ".pdf":
        return _pdf(path, seconds, pictures)
    if suffix == ".eml":
        return Converted(_mail(path.read_bytes(), seconds, depth))
    if suffix in (".html", ".htm"):
        return Converted(to_markdown(decoded(path.read_bytes())))
    if CONVERTED[suffix].startswith("image/"):
        if pictures:
            return Converted("", pictures=[(0, data) for data in _frames(path)])
        return Converted(_recognised(path, seconds), [0])
    return Converted(_office(path, suffix))


def _frames(path: Path) -> list[bytes]:
    """A picture's file as it is, or a file for each of its pages. It is unpacked here, so that one
    that means harm does it to this process."""
    import PIL.Image
    import PIL.ImageOps
    import PIL.ImageSequence

    content = path.read_bytes()
    with PIL.Image.open(io.BytesIO(content), formats=PICTURES) as picture:
        picture.load()
        if getattr(picture, "n_frames", 1) == 1 or picture.format == "MPO":
            return [content]
        pages = itertools.islice(PIL.ImageSequence.Iterator(picture), PICTURES_MOST + 1)
        return [_png(PIL.ImageOps.exif_transpose(page)) for page in pages]


def _png(picture: Any) -> bytes:
    written = io.BytesIO()
    picture = picture.convert("RGB") if picture.mode == "CMYK" else picture  # which PNG has not
    picture.save(written, "PNG")
    return written.getvalue()


def _pdf(path: Path, seconds: float, pictures: bool) -> Converted:
    """Page by page, so that it is known where each begins; pages that are pictures by OCR, or
    drawn."""
    import pdfplumber  # pyright: ignore[reportMissingImports]

    found = Converted("")
    try:
        file = pdfplumber.open(path)
    except Exception as error:
        raise DocumentError(f"is no whole PDF: {_first_line(error)}") from None
    with file:
        if len(file.pages) > PAGES_MOST:
            raise DocumentError(f"has {len(file.pages)} pages; the limit is {PAGES_MOST}")
        for number, page in enumerate(file.pages):
            found.pages.append(len(found.text))
            said = page.extract_text() or ""
            if not said.strip() and page.images:
                drawn = _drawn(path, number)
                if pictures:
                    found.pictures.append((len(found.text), drawn))
                else:
                    said = _recognised_page(drawn, seconds)
            found.text += said.strip("\n") + PAGE_BREAK
            page.close()
    found.text = found.text.rstrip("\n") + "\n"
    # a page without a text behind it, at the end
    found.pictures = [(min(offset, len(found.text)), data) for offset, data in found.pictures]
    return found


def _drawn(path: Path, number: int) -> bytes:
    """A page as a picture."""
    import pypdfium2  # pyright: ignore[reportMissingImports]

    document = pypdfium2.PdfDocument(path)
    try:
        return _png(document[number].render(scale=SCALE).to_pil())
    finally:
        document.close()


def _recognised_page(drawn: bytes, seconds: float) -> str:
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "page.png"
        picture.write_bytes(drawn)
        return _recognised(picture, seconds)


def _recognised(path: Path, seconds: float) -> str:
    """A picture's text, by the OCR command that is installed."""
    command = shutil.which("tesseract")
    if command is None:
        raise DocumentError("is a picture: install `tesseract` to have it read")
    try:
        done = subprocess.run(
            [command, str(path), "-", "--psm", "4"],
            capture_output=True,
            timeout=seconds,
            env={**os.environ, "OMP_THREAD_LIMIT": "1"},
        )
    except subprocess.TimeoutExpired:
        raise DocumentError(f"took tesseract more than {seconds:g} seconds") from None
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().splitlines()
        raise DocumentError(f"tesseract cannot read it: {reason[-1] if reason else '?'}")
    return done.stdout.decode(errors="replace").replace("\f", "")


def _office(path: Path, suffix: str) -> str:
    _look_inside(path)
    from markitdown import MarkItDown, StreamInfo  # pyright: ignore[reportMissingImports]

    with path.open("rb") as file:
        stream = StreamInfo(extension=suffix, mimetype=CONVERTED[suffix])
        return MarkItDown(enable_plugins=False).convert_stream(file, stream_info=stream).markdown


def _look_inside(path: Path) -> None:
    """Refuse a file whose parts are far larger than it is, before anything unpacks them."""
    try:
        with zipfile.ZipFile(path) as parts:
            sizes = [part.file_size for part in parts.infolist()]
    except zipfile.BadZipFile as error:
        raise DocumentError(f"is no whole file of its format: {_first_line(error)}") from None
    if sum(sizes) > UNPACKED_MOST or len(sizes) > PARTS_MOST:
        raise DocumentError(
            f"unpacks to {sum(sizes):,} bytes in {len(sizes):,} parts; the limit is"
            f" {UNPACKED_MOST:,} in {PARTS_MOST:,}"
        )


def _mail(content: bytes, seconds: float, depth: int) -> str:
    """A message: its headers, its body, and behind their names the documents that it carries."""
    message = email.message_from_bytes(content, policy=email.policy.default)
    if not any(message.get(name) for name in _HEADERS):
        raise DocumentError("is no message: it has none of the usual headers")
    parts = ["\n".join(f"{name}: {message[name]}" for name in _HEADERS if message.get(name))]
    body = message.get_body(("plain", "html"))
    if body is not None:
        said = body.get_content()
        parts.append(to_markdown(said) if body.get_content_subtype() == "html" else said)
    attached = list(message.iter_attachments())
    for number, part in enumerate(attached[:ATTACHMENTS_MOST]):
        name = part.get_filename() or f"attachment {number + 1}"
        parts.append(f"Attachment: {name}\n\n{_attachment(part, name, seconds, depth)}")
    if len(attached) > ATTACHMENTS_MOST:
        parts.append(f"[{len(attached) - ATTACHMENTS_MOST} more attachments are left out]")
    return "\n\n".join(part.replace("\r\n", "\n").strip() for part in parts) + "\n"


def _attachment(part: EmailMessage, name: str, seconds: float, depth: int) -> str:
    """What an attachment says, or why it is not known: the message is read all the same."""
    if depth >= DEPTH_MOST:
        return "[left out: it is nested too deeply]"
    content = part.get_content()
    if isinstance(content, EmailMessage):
        return _mail(content.as_bytes(), seconds, depth + 1)
    raw = content.encode() if isinstance(content, str) else content
    suffix = Path(name).suffix.lower()
    try:
        if suffix not in CONVERTED:
            return decoded(raw)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"attachment{suffix}"
            path.write_bytes(raw)
            return convert(path, suffix, seconds, depth + 1).text
    except DocumentError as error:
        return f"[not read: {error}]"


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


def _refuse_network(*_: Any, **__: Any) -> NoReturn:
    raise OSError("a document may not reach the network")


if __name__ == "__main__":
    main()
