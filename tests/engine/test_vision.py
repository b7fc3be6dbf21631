"""The vision tower, and texts with images in them, beside the reference's, on random weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from gesso.engine import CheckpointError
from gesso.engine.checkpoint import load_weights
from gesso.engine.config import read_config
from gesso.engine.model import DiffusionGemma
from gesso.engine.prefixes import Prefixes, Slots
from gesso.engine.views import BLOCK
from gesso.engine.vision import Patches
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import PATCH, POOL, Shape, save_checkpoint
from safetensors.torch import load_file, save_file
from torch import Tensor

TOLERANCE = 1e-4
TEXT = 500  # tokens that are no markers
SHAPES = [
    Shape("both kinds of layers", standardized=False),
    Shape("standardized, full layers only", layers="ff", window=64),
    Shape("clipped", layers="sf", clipped=True, window=200),
    Shape("causal", both_ways=False),
]
Pair = tuple[Any, DiffusionGemma, Path]


@pytest.fixture(params=SHAPES, ids=lambda shape: shape.name)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    """The reference, ours, and their folder."""
    reference = save_checkpoint(tmp_path, request.param)
    ours = load_weights(tmp_path, read_config(tmp_path / "config.json"), torch.float32)
    with torch.inference_mode():
        yield reference, ours, tmp_path


def close(ours: Tensor, reference: Tensor) -> bool:
    return ours.shape == reference.shape and bool((ours - reference).abs().max() < TOLERANCE)


def image(rows: int, columns: int) -> Patches:
    """An image of noise, of so many squares of patches."""
    count = rows * columns * POOL**2
    return Patches(torch.rand(count, 3 * PATCH**2), rows * POOL, columns * POOL)


def padded(images: Sequence[Patches]) -> dict[str, Tensor]:
    """Images as the reference's processor hands them over: of one size, filled up."""
    most = max(len(one.values) for one in images)
    values = torch.zeros(len(images), most, 3 * PATCH**2)
    places = torch.full((len(images), most, 2), -1)
    for number, one in enumerate(images):
        count = len(one.values)
        values[number, :count] = one.values
        columns, rows = torch.arange(one.columns), torch.arange(one.rows)
        grid = torch.meshgrid(columns, rows, indexing="xy")
        places[number, :count] = torch.stack(grid, dim=-1).reshape(-1, 2)
    return {"pixel_values": values, "image_position_ids": places}


def text_of(
    parts: Sequence[int | Patches], marks: tuple[int, int]
) -> tuple[list[int], dict[int, Patches]]:
    """A text of so many random tokens, an image, …; and its images."""
    images, text = dict[int, Patches](), list[int]()
    for number, part in enumerate(parts, 1):
        if isinstance(part, int):
            text += torch.randint(TEXT, (part,)).tolist()
            continue
        soft = len(part.values) // POOL**2
        text += [marks[0], *[-number] * soft, marks[1]]
        images[-number] = part
    return text, images


def test_soft_tokens_agree_for_images_of_any_shape(pair: Pair) -> None:
    reference, ours, _ = pair
    images = [image(3, 3), image(1, 7), image(9, 2), image(1, 1)]
    expected = reference.model.encoder.get_image_features(**padded(images)).pooler_output
    assert ours.vision is not None
    assert close(torch.cat([ours.vision(one) for one in images]), expected)


def test_what_is_written_behind_images_agrees(pair: Pair) -> None:
    """Several images, with ends of blocks inside them, text before and behind: the states that the
    reference's `generate` has of the prompt, and the logits of a canvas behind it."""
    reference, ours, folder = pair
    config = read_config(folder / "config.json")
    marks = (config.boi_token_id, config.image_token_id, config.eoi_token_id)
    begin, mark, end = (mark for mark in marks if mark is not None)
    images = [image(5, 6), image(2, 3), image(6, 8)]
    text, told = text_of([50, images[0], 3, images[1], images[2], 10], (begin, end))
    is_image = torch.tensor([[token < 0 for token in text]])

    # called alone, the encoder makes no use of the masks that it prepares for images
    encoded = list[Any]()
    model = reference.model.encoder.language_model
    hook = model.register_forward_hook(lambda *called: encoded.append(called[-1]))
    reference.generate(
        torch.tensor([text]).masked_fill(is_image, mark),
        mm_token_type_ids=is_image.long(),
        max_new_tokens=config.canvas_length,
        max_denoising_steps=1,
        **padded(images),
    )
    hook.remove()
    read = ours.new_cache()
    read.images = told
    (states,) = ours.run([ours.reading(text, read)])
    read.length = len(text)
    assert close(states[None], encoded[0].last_hidden_state)

    canvas = torch.randint(TEXT, (1, config.canvas_length))
    past = encoded[0].past_key_values
    assert past.get_seq_length() == len(text)
    expected = reference(decoder_input_ids=canvas, past_key_values=past).logits
    assert close(ours.denoise(canvas, read), expected)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.lists(st.sampled_from(["a", "b", 1, 3, 40, BLOCK]), max_size=6), min_size=1, max_size=6
    ),
    st.integers(0, 6),
)
def test_behind_any_kept_beginning_a_text_with_images_is_read_as_in_one_go(
    drawn: list[list[str | int]], most: int
) -> None:
    """Texts of pieces and of two images, alone and side by side: to the last bit."""
    model, images = tiny()
    lengths = {key: len(one.values) // POOL**2 for key, one in images.items()}
    names = {"a": -1, "b": -2}

    def text_of(parts: list[str | int]) -> list[int]:
        text = list[int]()
        for part in parts:
            if isinstance(part, int):
                text += range(10, 10 + part)
            else:
                text += [1, *[names[part]] * lengths[names[part]], 2]
        return [*text, 7]

    with torch.inference_mode():
        prefixes = Prefixes(model, Slots(most, most))
        texts = [text_of(parts) for parts in drawn]
        for group in (texts[:1], texts):
            for text, begun in zip(group, prefixes.begin(group, images), strict=True):
                cache = begun.cache
                assert cache.length % BLOCK == 0
                assert begun.cached <= cache.length
                model.run([model.reading(text[cache.length :], cache)])
                cache.length = len(text)
                prefixes.keep(text, cache)
                whole = model.new_cache()
                whole.images = images
                model.run([model.reading(text, whole)])
                whole.length = len(text)
                for layer in range(model.config.num_hidden_layers):
                    keys, values = cache.prefix(layer)
                    expected = whole.part(layer, len(text) - keys.shape[2], len(text))
                    assert torch.equal(keys, expected.keys)
                    assert torch.equal(values, expected.values)


@torch.inference_mode()
def test_the_same_image_is_read_once_and_another_is_not_taken_for_it() -> None:
    model, images = tiny()
    prefixes = Prefixes(model, Slots(20, 20))
    before, behind = [*range(10, 40)], [2, *range(10, 150)]
    text = [*before, *[-1] * (len(images[-1].values) // POOL**2), *behind]
    other = [-3 if token == -1 else token for token in text]
    images = {**images, -3: image(6, 9)}

    def cached(text: list[int]) -> int:
        (begun,) = prefixes.begin([text], images)
        kept = begun.cache.length
        model.run([model.reading(text[kept:], begun.cache)])
        begun.cache.length = len(text)
        prefixes.keep(text, begun.cache)
        return kept

    # the image is from 30 to 84: what ends at 64 ends inside it
    assert [cached(text), cached(text), cached(text[:100]), cached(other)] == [0, 192, 0, 0]


@cache
def tiny() -> tuple[DiffusionGemma, dict[int, Patches]]:
    with TemporaryDirectory() as place:
        save_checkpoint(Path(place), Shape("tiny", layers="sf"))
        config = read_config(Path(place) / "config.json")
        return load_weights(Path(place), config, torch.float32), {-1: image(6, 9), -2: image(2, 5)}


def test_text_only_files_have_no_tower_and_take_no_memory(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, Shape("tiny", layers="sf"))
    file = tmp_path / "model.safetensors"
    kept = {name: one for name, one in load_file(file).items() if "vision" not in name}
    save_file(kept, file)
    ours = load_weights(tmp_path, read_config(tmp_path / "config.json"), torch.float32)
    assert ours.vision is None
    assert not [name for name in ours.state_dict() if "vision" in name]


def test_a_tower_with_a_tensor_missing_is_refused_by_its_name(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, Shape("tiny", layers="sf"))
    file = tmp_path / "model.safetensors"
    tensors = load_file(file)
    name = "model.encoder.vision_tower.encoder.layers.1.mlp.up_proj.linear.weight"
    del tensors[name]
    save_file(tensors, file)
    with pytest.raises(CheckpointError, match=name):
        load_weights(tmp_path, read_config(tmp_path / "config.json"), torch.float32)


@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_quantising_leaves_the_tower_as_it_is(tmp_path: Path, kind: Any) -> None:
    save_checkpoint(tmp_path, Shape("tiny", layers="sf", clipped=True))
    config = read_config(tmp_path / "config.json")
    plain = load_weights(tmp_path, config, torch.float32).vision
    small = load_weights(tmp_path, config, torch.float32, quantize=kind).vision
    assert plain is not None
    assert small is not None
    assert plain.state_dict().keys() == small.state_dict().keys()
    for name, tensor in small.state_dict().items():
        assert torch.equal(tensor, plain.state_dict()[name]), name
