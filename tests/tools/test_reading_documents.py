"""Documents of every format, and those that mean harm."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest
from gesso.tools import Document, DocumentError, DocumentReader, Limits, find_documents

docx = pytest.importorskip("docx")
fpdf = pytest.importorskip("fpdf")
openpyxl = pytest.importorskip("openpyxl")
pptx = pytest.importorskip("pptx")

LIMITS = Limits(size=2_000_000, characters=500_000, seconds=20)


@pytest.fixture(scope="module")
def reader() -> Iterator[DocumentReader]:
    with DocumentReader(LIMITS) as reader:
        yield reader


def pdf(path: Path, *pages: str) -> Path:
    made = fpdf.FPDF()
    made.set_font("Helvetica", size=12)
    for page in pages:
        made.add_page()
        made.multi_cell(0, 6, page)
    path.write_bytes(bytes(made.output()))
    return path


def word(path: Path, *lines: str) -> Path:
    made = docx.Document()
    for line in lines:
        made.add_paragraph(line)
    made.save(str(path))
    return path


def refused(reader: DocumentReader, path: Path, what: str) -> None:
    """It is refused with that reason, and the next document is read all the same."""
    with pytest.raises(DocumentError) as caught:
        reader.read(path)
    assert what in str(caught.value)
    assert "\n" not in str(caught.value)
    good = pdf(path.parent / "good.pdf", "Total 12.50")
    assert "Total 12.50" in reader.read(good).text


def test_text_is_read_as_it_is(reader: DocumentReader, tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_bytes("# Käse\r\n\r\n12 €".encode())
    assert reader.read(path) == Document(str(path), "# Käse\n\n12 €", (), "text/markdown")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_the_encoding_is_found(reader: DocumentReader, tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("Käse – 12 €".encode(encoding))
    assert reader.read(path).text == "Käse – 12 €"


def test_a_pdf_knows_where_its_pages_begin(reader: DocumentReader, tmp_path: Path) -> None:
    found = reader.read(pdf(tmp_path / "a.pdf", "Invoice 7\nVendor Ada", "Total 12.50"))
    assert found.media_type == "application/pdf"
    assert found.text.startswith("Invoice 7\nVendor Ada")
    assert [found.text[page:].split()[0] for page in found.pages] == ["Invoice", "Total"]


def test_office_formats_are_read(reader: DocumentReader, tmp_path: Path) -> None:
    assert "Vendor: Ada" in reader.read(word(tmp_path / "a.docx", "Vendor: Ada")).text
    book = openpyxl.Workbook()
    assert book.active is not None
    book.active.append(["Vendor", "Total"])
    book.active.append(["Ada", 12.5])
    book.save(tmp_path / "a.xlsx")
    assert "| Ada | 12.5 |" in reader.read(tmp_path / "a.xlsx").text
    show = pptx.Presentation()
    slide = show.slides.add_slide(show.slide_layouts[5])
    assert slide.shapes.title is not None
    slide.shapes.title.text = "Total 12.50"
    show.save(str(tmp_path / "a.pptx"))
    assert "Total 12.50" in reader.read(tmp_path / "a.pptx").text


def test_a_page_is_read_without_its_scripts(reader: DocumentReader, tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    path.write_text("<html><script>steal()</script><h1>Bill</h1><p>Total 12.50</p></html>")
    text = reader.read(path).text
    assert "Total 12.50" in text
    assert "steal" not in text


def test_a_message_is_read_with_what_it_carries(reader: DocumentReader, tmp_path: Path) -> None:
    message = EmailMessage()
    message["From"], message["Subject"] = "Ada <ada@example.com>", "Your bill"
    message.set_content("See the file.\n")
    attached = pdf(tmp_path / "bill.pdf", "Total 12.50").read_bytes()
    message.add_attachment(attached, maintype="application", subtype="pdf", filename="bill.pdf")
    message.add_attachment(
        b"\x00\x01\x02" * 50, maintype="application", subtype="x", filename="x.bin"
    )
    inner = EmailMessage()
    inner["From"], inner["Subject"] = "Bob", "An older one"
    inner.set_content("Order 9\n")
    message.add_attachment(inner)
    path = tmp_path / "a.eml"
    path.write_bytes(message.as_bytes())
    text = reader.read(path).text
    for part in ("Subject: Your bill", "See the file.", "Attachment: bill.pdf", "Total 12.50"):
        assert part in text
    assert "[not read: is neither text" in text
    assert "Order 9" in text


@pytest.mark.skipif(shutil.which("tesseract") is None, reason="tesseract is not installed")
def test_a_picture_is_read_by_ocr(reader: DocumentReader, tmp_path: Path) -> None:
    import pypdfium2

    pdf(tmp_path / "a.pdf", "TOTAL 12.50")
    page = pypdfium2.PdfDocument(tmp_path / "a.pdf")[0].render(scale=3).to_pil()
    page.save(tmp_path / "a.png")
    assert "TOTAL 12.50" in reader.read(tmp_path / "a.png").text
    scanned = fpdf.FPDF()
    scanned.add_page()
    scanned.image(str(tmp_path / "a.png"), w=180)
    (tmp_path / "scan.pdf").write_bytes(bytes(scanned.output()))
    found = reader.read(tmp_path / "scan.pdf")
    assert "TOTAL 12.50" in found.text
    assert found.pages == (0,)


def test_a_name_that_lies_is_not_believed(reader: DocumentReader, tmp_path: Path) -> None:
    real = pdf(tmp_path / "a.txt", "Total 12.50")
    assert "Total 12.50" in reader.read(real).text
    text = tmp_path / "b.pdf"
    text.write_text("Total 3.00")
    assert reader.read(text).text == "Total 3.00"


def test_a_truncated_pdf_is_refused(reader: DocumentReader, tmp_path: Path) -> None:
    whole = pdf(tmp_path / "a.pdf", "Total " * 500).read_bytes()
    (tmp_path / "cut.pdf").write_bytes(whole[: len(whole) // 3])
    refused(reader, tmp_path / "cut.pdf", "is no whole PDF")


def test_a_zip_bomb_is_refused(reader: DocumentReader, tmp_path: Path) -> None:
    path = word(tmp_path / "a.docx", "x")
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as parts:
        for number in range(4):
            with parts.open(f"word/media/{number}.xml", "w", force_zip64=True) as part:
                for _ in range(100):
                    part.write(bytes(1_000_000))
    assert path.stat().st_size < LIMITS.size
    refused(reader, path, "unpacks to 400,")


def test_an_entity_bomb_is_refused(reader: DocumentReader, tmp_path: Path) -> None:
    levels = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 12}">' for n in range(1, 12))
    bomb = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e0 "ha">{levels}]><w:document>&e11;'
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(word(tmp_path / "a.docx", "x")) as good,
        zipfile.ZipFile(buffer, "w") as bad,
    ):
        for part in good.namelist():
            bad.writestr(part, bomb if part == "word/document.xml" else good.read(part))
    (tmp_path / "bomb.docx").write_bytes(buffer.getvalue())
    refused(reader, tmp_path / "bomb.docx", "cannot be read")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "is empty"),
        (b" \n\t", "has no text"),
        (bytes(range(256)) * 20, "is neither text nor of a format"),
        (b"\xff\xfe\x00", "is not the utf-16"),
    ],
)
def test_what_is_no_text_is_refused(
    reader: DocumentReader, tmp_path: Path, content: bytes, what: str
) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    refused(reader, path, what)


def test_a_gigabyte_is_refused_before_it_is_read(reader: DocumentReader, tmp_path: Path) -> None:
    path = tmp_path / "large.txt"
    with path.open("wb") as file:
        file.truncate(1_000_000_000)
    refused(reader, path, "has 1,000,000,000 bytes; the limit is 2 MB")


def test_too_much_text_is_refused(reader: DocumentReader, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("word " * 200_000)
    refused(reader, path, "1,000,000 characters")


def test_only_regular_files_are_read(reader: DocumentReader, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "folder.txt").mkdir()
    (tmp_path / "gone.txt").symlink_to(tmp_path / "nowhere")
    refused(reader, tmp_path / "pipe.txt", "is no regular file")
    refused(reader, tmp_path / "folder.txt", "is no regular file")
    refused(reader, tmp_path / "gone.txt", "No such file")


def test_a_document_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    slow = pdf(tmp_path / "slow.pdf", *(["word " * 3000] * 60))
    quick = pdf(tmp_path / "quick.pdf", "Total 12.50")
    with DocumentReader(Limits(seconds=60)) as reader:
        reader.read(quick)  # the process has started
        reader.limits = Limits(seconds=1.0)
        with pytest.raises(DocumentError, match="took more than 1 seconds"):
            reader.read(slow)
        reader.limits = Limits(seconds=60)
        assert "Total 12.50" in reader.read(quick).text


def test_a_reader_that_has_no_memory_says_so(tmp_path: Path) -> None:
    path = pdf(tmp_path / "a.pdf", "Total 12.50")
    with (
        DocumentReader(Limits(memory=60_000_000)) as reader,
        pytest.raises(DocumentError, match=r"memory|died|map"),
    ):
        reader.read(path)


def test_what_cannot_be_opened_is_one_failure(tmp_path: Path) -> None:
    script = (
        "import os, sys\n"
        "from gesso.tools import DocumentError, DocumentReader, find_documents\n"
        "os.setuid(65534)\n"
        "for path in find_documents([sys.argv[1]]):\n"
        "    try:\n"
        "        with DocumentReader() as reader: reader.read(path)\n"
        "        print('read', os.path.basename(path))\n"
        "    except DocumentError as error: print(error, os.path.basename(path))\n"
    )
    if os.getuid():
        pytest.skip("only root can become someone else")
    (tmp_path / "a.txt").write_text("ok")
    (tmp_path / "b.txt").write_text("secret")
    (tmp_path / "b.txt").chmod(0o600)
    (tmp_path / "closed").mkdir(mode=0o700)
    for folder in (tmp_path, *list(tmp_path.parents)[:3]):
        folder.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        "read a.txt",
        "Permission denied b.txt",
        "Permission denied closed",
    ]


def test_documents_are_found_once_and_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("in/b.txt", "in/a.txt", "in/deep/c.txt", "in/.hidden", "other.md", "z.txt"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(name)
    Path("in/deep/loop").symlink_to("..")
    Path("list").write_text("z.txt\n\nin/a.txt\n")
    assert list(find_documents(["in"]))[:3] == ["in/a.txt", "in/b.txt", "in/deep/c.txt"]
    assert list(find_documents(["in/*.txt", "@list", "in/b.txt", "-"])) == [
        "in/a.txt",
        "in/b.txt",
        "z.txt",
        "-",
    ]
    found = ["in/a.txt", "in/b.txt", "in/deep/c.txt", "z.txt"]
    assert list(find_documents(["**/*.txt"])) == found
    for missing in ("none.txt", "no*.txt", "@nolist"):
        with pytest.raises(DocumentError):
            list(find_documents([missing]))
