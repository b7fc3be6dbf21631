"""Documents in every format that is read: `python -m gesso.agent.benchmarks.corpus DIR`.

Receipts of the held-out generator, which no training has seen, as text, Markdown, HTML, CSV, JSON,
e-mail (every other one with the receipt attached), PDF, docx, xlsx, pptx and scanned PNG. Beside
them `truth.json` has what each says. The same seed gives the same texts.
"""

from __future__ import annotations

import argparse
import csv
import html
import io
import json
import random
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from ...engine.training.documents import draft
from ...engine.training.words import Words

WANTED = ("company", "date", "total", "address")


def write_corpus(folder: Path, count: int, seed: int = 1) -> dict[str, dict[str, str]]:
    """Write `count` documents, as many of each format as of any other; what each one says, by its
    name."""
    rng = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    truth = {}
    for number in range(count):
        page = draft(Words(rng, "heldout"), "receipt")
        suffix = list(_WRITERS)[number % len(_WRITERS)]
        path = folder / f"{number:05}{suffix}"
        path.write_bytes(_WRITERS[suffix](page.text, number))
        said = {entry.names[0]: entry.token or entry.value for entry in page.entries}
        truth[path.name] = {name: said[name] for name in WANTED if name in said}
    (folder.parent / "truth.json").write_text(json.dumps(truth, indent=1), encoding="utf-8")
    return truth


def _text(text: str, _: int) -> bytes:
    return text.encode()


def _html(text: str, _: int) -> bytes:
    lines = "".join(f"<p>{html.escape(line)}</p>\n" for line in text.splitlines())
    return f"<!doctype html><html><body>{lines}</body></html>".encode()


def _csv(text: str, _: int) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer).writerows([line.split("  ") for line in text.splitlines()])
    return buffer.getvalue().encode()


def _json(text: str, _: int) -> bytes:
    return json.dumps({"lines": text.splitlines()}, indent=1, ensure_ascii=False).encode()


def _mail(text: str, number: int) -> bytes:
    message = EmailMessage()
    message["From"] = "billing@example.com"
    message["Subject"] = "Your receipt"
    message.set_content(text if number % 2 else "See the attachment.\n")
    if not number % 2:
        message.add_attachment(text.encode(), maintype="text", subtype="plain", filename="it.txt")
    return message.as_bytes()


def _latin(text: str) -> str:
    return text.encode("latin-1", "replace").decode("latin-1")


def _pdf(text: str, _: int) -> bytes:
    from fpdf import FPDF

    page = FPDF()
    page.add_page()
    page.set_font("Courier", size=9)
    for line in text.splitlines():
        page.cell(0, 4.5, _latin(line), new_x="LMARGIN", new_y="NEXT")
    return bytes(page.output())


def _saved(save: Callable[[Any], Any]) -> bytes:
    buffer = io.BytesIO()
    save(buffer)
    return buffer.getvalue()


def _docx(text: str, _: int) -> bytes:
    from docx import Document

    page = Document()
    for line in text.splitlines():
        page.add_paragraph(line)
    return _saved(page.save)


def _xlsx(text: str, _: int) -> bytes:
    from openpyxl import Workbook

    book = Workbook()
    assert book.active is not None
    for line in text.splitlines():
        book.active.append(line.split("  "))
    return _saved(book.save)


def _pptx(text: str, _: int) -> bytes:
    from pptx import Presentation

    show = Presentation()
    slide = show.slides.add_slide(show.slide_layouts[1])
    slide.placeholders[1].text_frame.text = text  # pyright: ignore[reportAttributeAccessIssue]
    return _saved(show.save)


def _png(text: str, _: int) -> bytes:
    from PIL import Image, ImageDraw, ImageFont

    lines = text.splitlines()
    font = ImageFont.load_default(26)
    picture = Image.new("L", (1100, 60 + 38 * len(lines)), 255)
    for number, line in enumerate(lines):
        ImageDraw.Draw(picture).text((40, 30 + 38 * number), _latin(line), fill=20, font=font)
    return _saved(lambda buffer: picture.save(buffer, "PNG"))


_WRITERS: dict[str, Callable[[str, int], bytes]] = {
    ".txt": _text,
    ".md": _text,
    ".html": _html,
    ".csv": _csv,
    ".json": _json,
    ".eml": _mail,
    ".pdf": _pdf,
    ".docx": _docx,
    ".xlsx": _xlsx,
    ".pptx": _pptx,
    ".png": _png,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Write documents in every format.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    write_corpus(options.folder, options.count, options.seed)


if __name__ == "__main__":
    main()
