"""Pages that are pictures: shown to a model that sees, and read by OCR for one that does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gesso.agent import extract
from gesso.agent.jobs.chunk import SEEN
from gesso.agent.jobs.extract import plan_of
from gesso.agent.jobs.record import Absent
from gesso.agent.jobs.schema import read_schema
from gesso.engine import Engine, Request, Result, load_engine
from gesso.tools import DocumentError, DocumentReader
from oracle import SOFT_TOKENS, Shape, save_checkpoint
from PIL import Image, ImageDraw

fpdf = pytest.importorskip("fpdf")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("seeing")
    save_checkpoint(place, Shape("seeing", layers="sf", window=64, canvas=32))
    return place


@pytest.fixture(scope="module")
def engine(folder: Path) -> Engine:
    return load_engine(folder)


@pytest.fixture
def asked(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """What the model is asked, which is asked all the same."""
    requests = list[Request]()
    write: Callable[..., Any] = engine.generate_batch

    def listen(batch: list[Request]) -> list[Result]:
        requests.extend(batch)
        return write(batch)

    monkeypatch.setattr(engine, "generate_batch", listen)
    return requests


def page(text: str) -> Image.Image:
    drawn = Image.new("RGB", (300, 200), "white")
    ImageDraw.Draw(drawn).text((20, 20), text, fill="black", font_size=24)
    return drawn


def scanned(path: Path, *pages: Image.Image | str) -> Path:
    made = fpdf.FPDF()
    made.set_font("Helvetica", size=12)
    for one in pages:
        made.add_page()
        if isinstance(one, str):
            made.multi_cell(0, 6, one)
        else:
            made.image(one, 10, 10, 150)
    path.write_bytes(bytes(made.output()))
    return path


def only(engine: Engine, path: Path, schema: Any = None) -> Any:
    (record,) = extract(schema or SCHEMA, [path], engine=engine)
    assert record.error is None
    return record


SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"paid": {"type": "boolean"}, "kind": {"enum": ["receipt", "letter"]}},
    "required": ["paid", "kind"],
    "additionalProperties": False,
}


def test_a_picture_goes_to_the_model_as_it_is(
    engine: Engine, asked: list[Request], tmp_path: Path
) -> None:
    path = tmp_path / "a.png"
    page("Total 12.50").save(path)
    record = only(engine, path)
    assert record.spans["/kind"] == Absent(SEEN)
    (request,) = asked
    (image,) = request.messages[-1].images
    assert image.data == path.read_bytes()
    assert engine.prompt_tokens(request) > SOFT_TOKENS // 2


@pytest.mark.parametrize("suffix", ["jpg", "webp", "gif", "bmp"])
def test_every_usual_picture_is_one(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    page("Total 12.50").save(path)
    with DocumentReader(pictures=True) as reader:
        (picture,) = reader.read(path).pictures
    assert picture.data == path.read_bytes()


def test_a_scan_in_the_printers_colours_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.tiff"
    first, second = (page(text).convert("CMYK") for text in ("one", "two"))
    first.save(path, save_all=True, append_images=[second])
    with DocumentReader(pictures=True) as reader:
        assert len(reader.read(path).pictures) == 2


def test_the_pages_of_a_scan_follow_each_other(
    engine: Engine, asked: list[Request], tmp_path: Path
) -> None:
    path = tmp_path / "a.tiff"
    first, second = page("one"), page("two")
    first.save(path, save_all=True, append_images=[second])
    only(engine, path)
    images = asked[0].messages[-1].images
    assert [image.offset for image in images] == [0, 0]
    assert images[0].data != images[1].data


def test_a_scanned_page_stands_between_those_that_are_text(
    engine: Engine, asked: list[Request], tmp_path: Path
) -> None:
    path = scanned(tmp_path / "a.pdf", "This is a letter", page("Total 12.50"), "Signed, Ada")
    record = only(engine, path)
    said = asked[0].messages[-1]
    (image,) = said.images
    assert "letter" in said.content[: image.offset]
    assert "Ada" in said.content[image.offset :]
    if record.value["kind"] == "receipt":
        assert record.spans["/kind"] == Absent(SEEN)
    whole = scanned(tmp_path / "b.pdf", page("Total 12.50"))
    only(engine, whole)


def test_the_same_picture_is_paid_for_once_and_another_is_not_taken_for_it(
    engine: Engine, asked: list[Request], tmp_path: Path
) -> None:
    for name, text in (("a.png", "one"), ("b.png", "one"), ("c.png", "two")):
        page(text).save(tmp_path / name)
    paths = [tmp_path / f"{name}.png" for name in "abc"]
    project = tmp_path / "project"
    project.mkdir()
    records = list(extract(SCHEMA, paths, engine=engine, project=project))
    assert [record.error for record in records] == [None] * 3
    assert len(asked) == 2
    list(extract(SCHEMA, paths, engine=engine, project=project))
    assert len(asked) == 2


def test_a_picture_that_cannot_be_read_is_one_failed_row(engine: Engine, tmp_path: Path) -> None:
    good, bad = tmp_path / "a.png", tmp_path / "b.png"
    page("one").save(good)
    bad.write_bytes(good.read_bytes()[:200])
    records = list(extract(SCHEMA, [good, bad], engine=engine))
    assert records[0].error is None
    assert "cannot be read" in (records[1].error or "")


def test_the_plan_says_who_reads_pictures(engine: Engine) -> None:
    schema = read_schema(SCHEMA)
    assert plan_of(schema, engine, "seeing").pictures
    assert not plan_of(schema, load_engine("sketch"), "sketch").pictures


def test_for_a_model_that_does_not_see_ocr_reads_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it is not installed, that is what is missing."""
    monkeypatch.setenv("PATH", str(tmp_path))
    path = tmp_path / "a.png"
    page("Total 12.50").save(path)
    with DocumentReader() as reader, pytest.raises(DocumentError, match="install `tesseract`"):
        reader.read(path)
    with DocumentReader(pictures=True) as reader:
        assert reader.read(path).pictures[0].data == path.read_bytes()


def test_the_commands_take_pictures(
    folder: Path, tmp_path: Path, command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page("Total 12.50").save("a.png")
    page("Total 9").save("b.png")
    Path("schema.json").write_text(json.dumps(SCHEMA))
    asked = ["generate", "--model", str(folder), "--schema", "schema.json", "--prompt", "Which?"]
    sizes = []
    for more in (["--image", "a.png"], ["--image", "a.png", "--image", "b.png"]):
        code, out, err = command(*asked, *more, "--json", "--seed", "1")
        assert (code, err) == (0, "")
        sizes.append(json.loads(out)["usage"]["prompt_tokens"])
    assert sizes[1] > sizes[0] + SOFT_TOKENS // 2
    code, out, err = command(*asked, "--image", "schema.json")
    assert (code, out) == (2, "")
    assert "image 1 is of no format that is read" in err
    assert "sketch reads no images" in command("generate", "--prompt", "?", "--image", "a.png")[2]
    code, _, err = command(
        "extract", "schema.json", "a.png", "--model", str(folder), "-o", "o.jsonl"
    )
    assert code == 0
    assert "pages that are pictures were shown to the model" in err
    assert json.loads(Path("o.jsonl").read_text())["spans"]["/kind"] == {"absent": SEEN}
