"""The bundled checkpoint: small, true to the reference, and able to do its job."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from gesso.engine import Engine, Message, Request, ToolDeclaration, json_schema, load_engine
from gesso.engine.checkpoint import SKETCH
from gesso.engine.model import DiffusionGemma
from gesso.engine.training.evaluate import Case, measure

INSTRUCTION = Message("system", "Read the file, then save its record.")
RECEIPT = Message(
    "user",
    "HOLLIS BAKERY\n12 Mill Lane\nNorwich NR2 4PA\n\nDate: 14/03/2026\n\n"
    "2 x Sourdough loaf      8.40\n1 x Cinnamon bun        2.90\n\nTOTAL                  11.30",
)
SAVE = ToolDeclaration(
    "save_record",
    "Save the record.",
    {
        "type": "object",
        "properties": {
            "company": {"type": "string", "description": "Company"},
            "date": {"type": "string", "description": "Date"},
            "total": {"type": "number", "description": "Total"},
        },
        "required": ["company", "date", "total"],
    },
)


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
    model = sketch.model
    assert isinstance(model, DiffusionGemma)
    canvas = torch.randint(sketch.config.vocab_size, (1, sketch.canvas_length))
    with torch.inference_mode():
        past = reference.eval().model.encoder(input_ids=prompt).past_key_values
        expected = reference(decoder_input_ids=canvas, past_key_values=past).logits
        cache = model.new_cache()
        model.encode(prompt, cache)
        assert (model.denoise(canvas, cache) - expected).abs().max() < 1e-3


def test_it_files_a_short_receipt(sketch: Engine) -> None:
    case = Case(
        Request([INSTRUCTION, RECEIPT], [SAVE], "save_record", seed=1, max_tokens=192),
        ("save_record",),
        {"company": "HOLLIS BAKERY", "date": "14/03/2026", "total": 11.3},
        ("company", "date", "total"),
    )
    score = measure(sketch, [case], lambda found, expected: found == expected)
    assert (score.right_tool, score.exact_records) == (1, 1)


def test_it_fills_a_schema(sketch: Engine) -> None:
    request = Request(
        [INSTRUCTION, RECEIPT],
        constraint=json_schema(SAVE.parameters),
        seed=1,
        max_tokens=192,
    )
    assert sketch.generate(request).value.keys() == {"company", "date", "total"}
