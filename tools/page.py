"""An HTML page as Markdown: by markitdown where it is installed, else the text with its headings,
lists and links.

Also a program of its own, which reads the page from its standard input: parsers take quadratic time
over pages that mean harm, and a process can be stopped.
"""

from __future__ import annotations

import io
import re
import sys
from html.parser import HTMLParser

UNSEEN = {"script", "style", "noscript", "template", "svg"}
BLOCKS = {
    *("p", "div", "section", "article", "header", "footer", "main", "nav", "aside", "form"),
    *("ul", "ol", "dl", "dt", "dd", "table", "tr", "blockquote", "pre", "figure", "br", "hr"),
    *("li", "h1", "h2", "h3", "h4", "h5", "h6", "title"),
}


def to_markdown(html: str) -> str:
    try:
        from markitdown import MarkItDown, StreamInfo  # pyright: ignore[reportMissingImports]
    except ImportError:
        return plain_text(html)
    stream = StreamInfo(mimetype="text/html", charset="utf-8")
    return MarkItDown().convert_stream(io.BytesIO(html.encode()), stream_info=stream).markdown


def plain_text(html: str) -> str:
    """What a reader sees of the page; `#` before headings, `-` before items, links as Markdown."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    lines = (re.sub(r"\s+", " ", line).strip() for line in "".join(reader.text).split("\v"))
    return "\n".join(line for line in lines if line)


class _Reader(HTMLParser):
    """Gathers pieces of text; `\\v` ends a line, as no page has it."""

    def __init__(self) -> None:
        super().__init__()
        self.text: list[str] = []
        self.unseen: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in UNSEEN:
            self.unseen.append(tag)
        if self.unseen:
            return
        if tag in BLOCKS:
            self.text.append("\v")
        if tag == "li":
            self.text.append("- ")
        elif re.fullmatch("h[1-6]", tag):
            self.text.append("#" * int(tag[1]) + " ")
        elif tag == "a":
            self.links.append(dict(attrs).get("href") or "")
            self.text.append("[")

    def handle_endtag(self, tag: str) -> None:
        if tag in self.unseen:
            while self.unseen.pop() != tag:
                continue
        elif not self.unseen and tag == "a" and self.links:
            self.text.append(f"]({self.links.pop()})")
        elif not self.unseen and tag in BLOCKS:
            self.text.append("\v")

    def handle_data(self, data: str) -> None:
        if not self.unseen:
            self.text.append(data.replace("\v", " "))


if __name__ == "__main__":
    page = sys.stdin.buffer.read().decode("utf-8")
    sys.stdout.buffer.write(to_markdown(page).encode("utf-8", errors="replace"))
