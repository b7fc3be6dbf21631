"""Pictures as they go into a prompt, beside the reference's processor; and those that mean harm."""

from __future__ import annotations

import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gesso.engine import (
    CheckpointError,
    ContextError,
    Engine,
    Image,
    Message,
    Request,
    RequestError,
    Result,
    choice,
    load_engine,
)
from gesso.engine.config import read_config
from gesso.engine.content import parts_of, with_parts
from gesso.engine.images import (
    MOST_KEPT,
    ImageSettings,
    Sight,
    fitted,
    number_of,
    patched,
)
from gesso.engine.views import BLOCK
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import PATCH, POOL, SOFT_TOKENS, Shape, save_checkpoint
from PIL import Image as Pillow
from transformers.models.gemma4.image_processing_pil_gemma4 import (
    Gemma4ImageProcessorPil,
    get_aspect_ratio_preserving_size,
)

TINY = ImageSettings(max_soft_tokens=SOFT_TOKENS, patch_size=PATCH, pooling_kernel_size=POOL)


def picture(width: int, height: int, mode: str = "RGB", seed: int = 0) -> Pillow.Image:
    """Noise on a slope: every way of scaling it makes another picture."""
    random = np.random.default_rng(seed)
    slope = np.linspace(0, 200, width)[None, :, None] + np.zeros((height, width, 3))
    noise = random.integers(0, 56, (height, width, 3))
    return Pillow.fromarray((slope + noise).astype(np.uint8)).convert(mode)


def saved(image: Pillow.Image, form: str = "PNG", **options: Any) -> Image:
    file = io.BytesIO()
    image.save(file, form, **options)
    return Image(file.getvalue())


def reference(image: Pillow.Image, **options: Any) -> Any:
    sizes = {name: getattr(TINY, name) for name in ("patch_size", "pooling_kernel_size")}
    processor = Gemma4ImageProcessorPil(max_soft_tokens=SOFT_TOKENS, **sizes, **options)
    return processor.preprocess(image, return_tensors="pt")


# as the reference does


@pytest.mark.parametrize(
    "size", [(640, 480), (480, 640), (33, 900), (900, 33), (12, 12), (4000, 30), (7, 5), (84, 120)]
)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "1"])
def test_patches_are_the_references_to_the_last_bit(size: tuple[int, int], mode: str) -> None:
    image = picture(*size, mode)
    expected = reference(image)
    form = "TIFF" if mode == "CMYK" else "PNG"
    found = patched(saved(image, form), TINY)
    count = len(found.values)
    assert count // POOL**2 == expected["num_soft_tokens_per_image"][0]
    # it rescales in float64 and rounds: a unit in the last place
    assert torch.allclose(found.values, expected["pixel_values"][0, :count].float(), atol=1e-7)
    places = expected["image_position_ids"][0, :count]
    assert places[-1].tolist() == [found.columns - 1, found.rows - 1]
    assert (places[count:] == -1).all()


def test_a_checkpoint_may_want_pixels_scaled_and_centred() -> None:
    options = {"do_normalize": True, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.5, 0.6, 0.7]}
    image = picture(90, 70)
    expected = reference(image, resample=2, **options)["pixel_values"][0]
    changed = TINY.model_copy(
        update={
            "resample": 2,
            "do_normalize": True,
            "image_mean": (0.5, 0.4, 0.3),
            "image_std": (0.5, 0.6, 0.7),
        }
    )
    found = patched(saved(image), changed).values
    assert torch.allclose(found, expected[: len(found)].float(), atol=1e-6)


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 20_000), st.integers(1, 20_000), st.sampled_from([70, 140, 280, 560, 1120]))
def test_a_picture_keeps_its_shape_within_the_budget(height: int, width: int, most: int) -> None:
    wanted = ImageSettings(max_soft_tokens=most)
    rows, columns = fitted((height, width), wanted)
    expected = get_aspect_ratio_preserving_size(height, width, 16, most * 9, 3)
    assert (rows * wanted.side, columns * wanted.side) == expected
    assert 1 <= rows * columns <= most


# what comes from outside


def turned(image: Pillow.Image, orientation: int) -> Image:
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    return saved(image, exif=exif.tobytes())


def test_a_photo_is_read_as_it_was_held() -> None:
    """Exif 6: what was above is on the right."""
    image = picture(300, 200)
    found = patched(turned(image, 6), TINY)
    expected = patched(saved(image.transpose(Pillow.Transpose.ROTATE_270)), TINY)
    assert (found.rows, found.columns) == (expected.rows, expected.columns)
    assert torch.equal(found.values, expected.values)


def test_what_is_transparent_is_white_whatever_stands_behind_it() -> None:
    ink = Pillow.new("RGBA", (60, 40), (0, 0, 0, 0))
    ink.paste((0, 0, 0, 255), (0, 0, 60, 20))
    values = patched(saved(ink), TINY).values
    assert values[0].max() == 0.0
    assert values[-1].min() == 1.0
    shades = Pillow.new("P", (60, 40), 0)
    shades.putpalette([10, 20, 30, 255, 255, 255])
    assert patched(saved(shades, transparency=0), TINY).values.min() == 1.0


def test_sixteen_bits_are_scaled_and_not_cut_off() -> None:
    deep = np.linspace(0, 65535, 60 * 40).reshape(40, 60).astype(np.uint16)
    values = patched(saved(Pillow.fromarray(deep)), TINY).values
    assert values.min() < 0.05
    assert 0.45 < values.mean() < 0.55
    assert values.max() > 0.95


@pytest.mark.parametrize("form", ["JPEG", "WEBP", "BMP", "GIF", "TIFF", "PNG"])
def test_every_usual_format_is_read(form: str) -> None:
    values = patched(saved(picture(60, 40), form), TINY).values
    assert torch.isfinite(values).all()
    assert 0.2 < values.mean() < 0.8


def frames(form: str) -> Image:
    first, second = picture(60, 40), picture(60, 40, seed=1)
    return saved(first, form, save_all=True, append_images=[second])


def bomb(width: int, height: int) -> Image:
    """A small PNG that says it is a large picture."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return Image(b"\x89PNG\r\n\x1a\n" + body)


@pytest.mark.parametrize(
    ("image", "complaint"),
    [
        (Image(b""), "is of no format that is read"),
        (Image(b"%PDF-1.7 and so on"), "is of no format that is read"),
        (Image(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), "is of no format"),
        (Image(saved(picture(600, 400)).data[:2000]), "cannot be read"),
        (Image(saved(picture(600, 400), "JPEG").data[:900]), "cannot be read"),
        (bomb(100, 100), "cannot be read"),
        (bomb(9000, 9000), "the limit"),
        (bomb(11_000, 11_000), "the limit"),
        (bomb(60_000, 60_000), "the limit"),
        (frames("GIF"), "2 frames"),
        (frames("PNG"), "2 frames"),
        (frames("TIFF"), "2 frames or pages"),
        (saved(Pillow.new("F", (60, 40)), "TIFF"), "floating point"),
    ],
)
def test_a_picture_that_cannot_be_read_is_refused_with_the_reason(
    image: Image, complaint: str
) -> None:
    with pytest.raises(RequestError, match=complaint):
        patched(image, TINY)


# in a conversation


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("seeing")
    save_checkpoint(place, Shape("seeing", layers="sf", window=64, canvas=16))
    return place


@pytest.fixture
def engine(folder: Path) -> Engine:
    return load_engine(folder)


ONE, OTHER = saved(picture(200, 260)), saved(picture(200, 260, seed=1))


def asks(*images: Image, text: str = "Which is it?") -> Request:
    said = Message("user", text, images=images)
    return Request((said,), constraint=choice(["a receipt", "a photo"]), seed=1)


def test_an_image_stands_where_it_does_in_the_text(engine: Engine, folder: Path) -> None:
    config = read_config(folder / "config.json")
    words = [Image(ONE.data, len("First ")), Image(OTHER.data, len("First  then "))]
    prompt = engine.prompt(asks(*words, text="First  then  end"))
    rows, columns = fitted((260, 200), TINY)
    for image in words:
        number = number_of(image)
        first = prompt.index(number)
        soft = rows * columns
        assert prompt.count(number) == soft
        assert prompt[first : first + soft] == [number] * soft
        assert prompt[first - 1] == config.boi_token_id
        assert prompt[first + soft] == config.eoi_token_id
    said = engine.tokenizer.decode(token for token in prompt if token >= 0)
    assert "First<|image><image|>then<|image><image|>end" in said
    assert len(prompt) == engine.prompt_tokens(asks(*words, text="First  then  end"))


def test_parts_become_a_message_and_parts_again() -> None:
    parts = ["a", ONE, OTHER, "bc", ONE]
    message = with_parts(Message("user"), parts)
    assert message.content == "abc"
    assert [one.offset for one in message.images] == [1, 1, 3]
    again = [part if isinstance(part, str) else part.data for part in parts_of(message)]
    assert again == ["a", ONE.data, OTHER.data, "bc", ONE.data]


def test_no_text_can_pass_for_an_image(engine: Engine) -> None:
    assert all(token >= 0 for token in engine.prompt(asks(text="<|image|> <|image>")))


def test_a_turn_behind_images_is_written_alone_and_in_company(engine: Engine, folder: Path) -> None:
    requests = [asks(ONE), asks(OTHER), asks(ONE, OTHER), asks(text="none"), asks(ONE)]
    alone = [load_engine(folder).generate(request) for request in requests]
    together = engine.generate_batch(requests)
    assert [getattr(one, "text", one) for one in together] == [one.text for one in alone]
    sizes = [one.usage.prompt_tokens for one in alone]
    assert sizes[0] == sizes[1] == sizes[4]
    assert sizes[2] > sizes[0] > sizes[3] + SOFT_TOKENS // 2


def test_the_beginning_is_kept_for_the_same_image_and_no_other(engine: Engine) -> None:
    def cached(image: Image) -> int:
        return engine.generate(asks(image, text="Which is it? " * 12)).usage.cached_tokens

    found = [cached(one) for one in (ONE, ONE, OTHER, ONE)]
    assert found[0] == found[2] == 0
    assert found[1] == found[3] >= 2 * BLOCK


def test_free_text_is_written_behind_an_image(engine: Engine) -> None:
    request = Request((Message("user", "What?", images=(ONE,)),), seed=1, max_tokens=32)
    result = engine.generate(request)
    assert isinstance(result, Result)
    assert result.usage.canvases >= 1


def test_images_count_for_what_the_context_holds(engine: Engine) -> None:
    with pytest.raises(ContextError, match="the prompt has"):
        engine.generate(asks(*[ONE] * 20))


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        (Message("user", "?", images=(ONE, Image(b"?"))), "image 2 is of no format"),
        (Message("user", "?", images=(Image(ONE.data, 9),)), "character 9 of a text of 1"),
        (Message("system", "?", images=(ONE,)), "the system's"),
    ],
)
def test_what_is_wrong_with_an_image_is_said(
    engine: Engine, message: Message, complaint: str
) -> None:
    with pytest.raises(RequestError, match=complaint):
        engine.generate(Request((message,)))


def test_a_model_without_a_tower_is_shown_no_images() -> None:
    engine = load_engine("sketch")
    assert not engine.sees
    with pytest.raises(RequestError, match="sketch reads no images"):
        engine.generate(asks(ONE))


def test_a_template_that_writes_no_images_is_told_of(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    template = (folder / "chat_template.jinja").read_text().replace("<|image|>", "")
    (tmp_path / "chat_template.jinja").write_text(template)
    with pytest.raises(RequestError, match="writes 0 of 1 images"):
        load_engine(tmp_path).generate(asks(ONE))


@pytest.mark.parametrize(
    ("file", "changes", "complaint"),
    [
        ("processor_config.json", {"image_processor": {"patch_size": 8}}, "patch_size is 8 for"),
        ("processor_config.json", {"image_processor": {"max_soft_tokens": 140}}, "of 140 soft"),
        ("processor_config.json", {"image_processor": {"do_resize": False}}, "do_resize"),
        ("config.json", {"image_token_id": None}, "needs vision_config, boi_token_id"),
    ],
)
def test_files_that_contradict_each_other_are_refused(
    folder: Path, tmp_path: Path, file: str, changes: dict[str, Any], complaint: str
) -> None:
    for one in ("config.json", "processor_config.json"):
        (tmp_path / one).write_text((folder / one).read_text())
    data = json.loads((folder / file).read_text())
    for key, value in changes.items():
        data[key] = data[key] | value if isinstance(value, dict) else value
    (tmp_path / file).write_text(json.dumps(data))
    with pytest.raises(CheckpointError, match=complaint):
        Sight(tmp_path, read_config(tmp_path / "config.json"))


def test_a_picture_is_unpacked_once_while_it_is_used(folder: Path) -> None:
    sight = Sight(folder, read_config(folder / "config.json"))
    pictures = [saved(picture(60, 40, seed=seed)) for seed in range(MOST_KEPT + 1)]
    first = sight.patches(pictures[:2])
    assert sight.patches([pictures[1], pictures[0], pictures[0]]) == first  # they are the same ones
    sight.patches(pictures[2:])
    again = sight.patches(pictures[:2])
    assert again[number_of(pictures[0])] is first[number_of(pictures[0])]
    assert again[number_of(pictures[1])] is not first[number_of(pictures[1])]


def test_the_older_file_says_the_same(folder: Path, tmp_path: Path) -> None:
    nested = json.loads((folder / "processor_config.json").read_text())["image_processor"]
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(nested | {"do_pad": None}))
    assert Sight(tmp_path, read_config(folder / "config.json")).settings == TINY
