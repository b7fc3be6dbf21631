"""The synthetic documents that the bundled model is trained on."""

from __future__ import annotations

import random

from gesso.engine.training.documents import example, is_held_out
from gesso.engine.training.words import _SYLLABLES


def test_documents_repeat_with_their_seed_and_hold_their_values() -> None:
    for seed in range(200):
        for split in ("train", "heldout"):
            drawn = example(random.Random(seed), split)
            assert drawn == example(random.Random(seed), split)
            for field in drawn.fields:
                text = drawn.texts[field.name]
                assert text in drawn.document
                if field.type == "string":
                    assert drawn.values[field.name] == text
                else:
                    assert drawn.values[field.name] == float(text)


def test_held_out_templates_are_a_fifth() -> None:
    held = [
        is_held_out(family, order, layout)
        for family in range(8)
        for order in range(6)
        for layout in range(9)
    ]
    assert 0.18 < sum(held) / len(held) < 0.22


def test_held_out_names_are_made_of_syllables_that_training_never_sees() -> None:
    assert not set(_SYLLABLES["train"]) & set(_SYLLABLES["heldout"])
