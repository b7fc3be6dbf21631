"""Documents of every usual format, as text: where they are, and what they say.

Text is read here. Everything that needs a parser is read by a process of its own (`converter.py`),
which has a limit of memory and of time and is ended when it reaches one, for documents come from
outside: one that means harm is one that cannot be read, and nothing else.
"""

from __future__ import annotations

import base64
import codecs
import glob
import json
import os
import select
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from .errors import DocumentError

STANDARD_INPUT = "-"
CONVERTED = {
    ".pdf": "application/pdf",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ".html": "text/html",
    ".htm": "text/html",
    ".eml": "message/rfc822",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".bmp": "image/bmp",
}
"""What is not text as it stands, by suffix."""

_TEXTS = {".md": "text/markdown", ".csv": "text/csv", ".json": "application/json"}
_MAGIC = {b"%PDF-": ".pdf", b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg"}
_ZIPPED = (".docx", ".xlsx", ".pptx")
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_HEAD = 1024


@dataclass(frozen=True)
class Limits:
    """Of one document: `size` in bytes, `characters` of its text, `seconds` that it takes to read,
    and the `memory` of the process that reads it, in bytes."""

    size: int = 50_000_000
    characters: int = 20_000_000
    seconds: float = 60.0
    memory: int = 3_000_000_000


@dataclass(frozen=True)
class Picture:
    """A page that is a picture: the bytes of a file, and before which character of the document's
    text it stands."""

    data: bytes = field(repr=False)
    offset: int = 0


@dataclass(frozen=True)
class Document:
    """A document's text; its lines end in a newline only. `pages` are the characters at which its
    pages begin, where it has any, and `pictures` those of them that nobody has read yet."""

    source: str
    text: str
    pages: tuple[int, ...] = ()
    media_type: str = "text/plain"
    pictures: tuple[Picture, ...] = ()


def find_documents(arguments: Sequence[str | Path]) -> Iterator[str]:
    """The documents that are meant: files, all files of a folder, patterns (`**` for any folders),
    `-` for standard input, and `@FILE` for those that a file names line by line. Each comes once, a
    folder's and a pattern's in the order of their names, without what is hidden.

    Raises:
        DocumentError: a name is of nothing that is there.
    """
    seen: set[str] = set()
    for argument in arguments:
        for found in _meant(str(argument)):
            if found not in seen:
                seen.add(found)
                yield found


def _meant(argument: str) -> Iterator[str]:
    if argument == STANDARD_INPUT:
        yield argument
    elif argument.startswith("@"):
        try:
            lines = Path(argument[1:]).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DocumentError(f"{argument[1:]}: no list of paths ({error})") from None
        for line in lines:
            if line.strip():
                yield from _meant(line.strip())
    elif os.path.isdir(argument):
        yield from _inside(argument)
    elif os.path.lexists(argument):
        yield argument
    elif glob.has_magic(argument):
        found = sorted(glob.glob(argument, recursive=True))
        if not found:
            raise DocumentError(f"{argument}: nothing is called so")
        for path in found:
            # A link to a folder may lead round in a circle.
            linked = any(folder.is_symlink() for folder in Path(path).parents)
            if not os.path.isdir(path) and not ("**" in argument and linked):
                yield path
    else:
        raise DocumentError(f"{argument}: there is no such file or folder")


def _inside(folder: str) -> Iterator[str]:
    """The files of a folder and of those in it. A folder that cannot be looked into is named as if
    it were a document, for it is one failed row and not nothing."""
    failed: list[str] = []
    for here, folders, files in os.walk(
        folder, onerror=lambda error: failed.append(error.filename)
    ):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from failed
        failed.clear()
        yield from (os.path.join(here, name) for name in sorted(files) if name[0] != ".")
    yield from failed


class DocumentReader:
    """Reads documents one after the other. Pages that are pictures are read by OCR, or with
    `pictures` are handed on as they are, for a model that sees. A context manager: the process that
    it may have started ends with it. Not for several threads at once."""

    def __init__(self, limits: Limits | None = None, *, pictures: bool = False) -> None:
        self.limits = limits or Limits()
        self._pictures = pictures
        self._converter: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> DocumentReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process, if there is one."""
        if self._converter is not None:
            self._converter.kill()
            self._converter.wait()
            for pipe in (self._converter.stdin, self._converter.stdout):
                assert pipe is not None
                pipe.close()
            self._converter = None

    def read(self, path: str | Path) -> Document:
        """
        Raises:
            DocumentError: it cannot be read; the reason, without the path.
        """
        source = str(path)
        try:
            descriptor = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, ValueError) as error:
            raise DocumentError(getattr(error, "strerror", None) or str(error)) from None
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise DocumentError("is no regular file")
        with os.fdopen(descriptor, "rb") as file:
            self._fits(status.st_size)
            try:
                suffix = _kind(source, file)
                if suffix not in CONVERTED:
                    media = _TEXTS.get(suffix, "text/plain")
                    return self._document(Document(source, decoded(file.read()), (), media))
            except OSError as error:
                raise DocumentError(error.strerror or str(error)) from None
        return self._converted(source, suffix)

    def _fits(self, size: int) -> None:
        if size > self.limits.size:
            megabytes = self.limits.size // 1_000_000
            raise DocumentError(f"has {size:,} bytes; the limit is {megabytes} MB")
        if not size:
            raise DocumentError("is empty")

    def _document(self, found: Document) -> Document:
        if len(found.text) > self.limits.characters:
            size, limit = len(found.text), self.limits.characters
            raise DocumentError(f"has {size:,} characters of text; the limit is {limit:,}")
        if not found.text.strip() and not found.pictures:
            raise DocumentError("has no text")
        return found

    def _converted(self, source: str, suffix: str) -> Document:
        converter = self._started()
        assert converter.stdin is not None
        assert converter.stdout is not None
        end = time.monotonic() + self.limits.seconds
        try:
            asked = {"path": os.path.abspath(source), "suffix": suffix, "pictures": self._pictures}
            send(converter.stdin, asked)
            answer = _received(converter.stdout, end)
        except TimeoutError:
            self.close()
            seconds = self.limits.seconds
            raise DocumentError(f"took more than {seconds:g} seconds to read") from None
        except (OSError, EOFError):
            code = converter.wait()
            self.close()
            how = f"signal {-code}" if code < 0 else f"code {code}"
            raise DocumentError(f"the process that read it died ({how})") from None
        if "error" in answer:
            raise DocumentError(answer["error"])
        pictures = tuple(
            Picture(base64.b64decode(data), offset) for offset, data in answer["pictures"]
        )
        text, pages = answer["text"], tuple(answer["pages"])
        return self._document(Document(source, text, pages, CONVERTED[suffix], pictures))

    def _started(self) -> subprocess.Popen[bytes]:
        if self._converter is None or self._converter.poll() is not None:
            self.close()
            command = [sys.executable, "-m", f"{__package__}.converter"]
            self._converter = subprocess.Popen(
                [*command, json.dumps(asdict(self.limits))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # the Ctrl-C that ends a job is not for it
            )
        return self._converter


def decoded(content: bytes) -> str:
    """Bytes as text: by their mark, as UTF-8, or as what Windows writes in western Europe.

    Raises:
        DocumentError: they are no text.
    """
    marks = {
        codecs.BOM_UTF8: "utf-8-sig",
        codecs.BOM_UTF16_LE: "utf-16",
        codecs.BOM_UTF16_BE: "utf-16",
    }
    encoding = next((name for mark, name in marks.items() if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        if encoding != "utf-8":
            raise DocumentError(f"is not the {encoding} that it says it is") from None
        text = content.decode("cp1252", errors="replace")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    strange = sum(text.count(sign) for sign in map(chr, range(32)) if sign not in "\t\n\f\x1b")
    strange += text.count("\ufffd")
    if strange > len(text) * 0.01:
        raise DocumentError("is neither text nor of a format that is known")
    return text.replace("\x00", "")


def _kind(source: str, file: IO[bytes]) -> str:
    """The suffix that tells how a file is to be read: by what it begins with where that is plain,
    else by its name."""
    suffix = Path(source).suffix.lower()
    head = file.read(_HEAD)
    file.seek(0)
    for magic, kind in _MAGIC.items():
        if head.startswith(magic):
            return kind
    if suffix == ".pdf" or (suffix in _ZIPPED and not head.startswith(b"PK")):
        return ".txt" if b"\x00" not in head else suffix
    return suffix


def send(pipe: IO[bytes], message: dict[str, object]) -> None:
    """Write a message: its size in four bytes, and JSON."""
    content = json.dumps(message).encode()
    pipe.write(struct.pack(">I", len(content)) + content)
    pipe.flush()


def _received(pipe: IO[bytes], end: float) -> dict[str, Any]:
    """The next message. Raises `TimeoutError` when it has not come by `end`."""
    (size,) = struct.unpack(">I", _exactly(pipe, 4, end))
    return json.loads(_exactly(pipe, size, end))


def _exactly(pipe: IO[bytes], count: int, end: float) -> bytes:
    content = bytearray()
    while len(content) < count:
        ready, _, _ = select.select([pipe], [], [], max(0.0, end - time.monotonic()))
        if not ready:
            raise TimeoutError
        part = os.read(pipe.fileno(), min(count - len(content), 1 << 20))
        if not part:
            raise EOFError
        content += part
    return bytes(content)
