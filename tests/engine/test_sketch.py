"""The bundled checkpoint: small, true to the reference, and able to do its job."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from gesso.engine import Engine, Message, Request, json_schema, load_engine
from gesso.engine.checkpoint import SKETCH
from gesso.engine.training.documents import example
from gesso.engine.training.evaluate import heldout_cases, measure
from gesso.engine.training.tasks import schema_of


@pytest.fixture(scope="module")
def sketch() -> Engine:
    return load_engine("sketch")


def test_it_is_small_enough_to_ship() -> None:
    assert sum(file.stat().st_size for file in SKETCH.iterdir() if file.is_file()) < 24_000_000


def test_the_reference_loads_it_and_agrees(sketch: Engine) -> None:
    from transformers import DiffusionGemmaForBlockDiffusion

    # the vision tower, which sketch does not have, is made up by the reference and never used
    reference: Any = DiffusionGemmaForBlockDiffusion.from_pretrained(SKETCH, dtype=torch.float32)
    prompt = torch.tensor([sketch.tokenizer.encode("<bos><|turn>user\nTotal: 3.50<turn|>\n")])
    length = sketch.config.canvas_length
    canvas = torch.randint(sketch.config.text_config.vocab_size, (1, length))
    with torch.inference_mode():
        past = reference.eval().model.encoder(input_ids=prompt).past_key_values
        expected = reference(decoder_input_ids=canvas, past_key_values=past).logits
        cache = sketch.model.new_cache()
        sketch.model.encode(prompt, cache)
        assert (sketch.model.denoise(canvas, cache) - expected).abs().max() < 1e-3


def test_it_files_held_out_documents(sketch: Engine) -> None:
    score = measure(sketch, heldout_cases(16), lambda a, b: a == b, constrained=True)
    assert score.valid == 16
    assert score.fields > 0.75  # `make eval` measures it on 200


def test_it_fills_a_schema(sketch: Engine) -> None:
    source = example(random.Random(4), "train")
    request = Request(
        [Message("system", source.instruction), Message("user", source.document)],
        constraint=json_schema(schema_of(source)),
        seed=1,
    )
    assert sketch.generate(request).value.keys() == source.values.keys()
