"""The bundled model's tokenizer: Gemma's control tokens, bytes, characters, and a few whole words.

A small model copies best letter by letter, so there are no merges. Whole words that the turns'
scaffolding repeats (field names, labels), and the runs of punctuation that declarations are made
of, are single tokens, because a prompt of letters only would be three times as long. The words are
those that save training turns the most letters; a word is a token only where it stands alone, so a
copied value is spelled alike wherever it stands.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from pathlib import Path

from ..prompt import ChatTemplate
from .tasks import rendered, turn

CONTROLS = [
    *("<pad>", "<eos>", "<bos>", "<unk>", "<|turn>", "<turn|>", "<|tool>", "<tool|>"),
    *("<|tool_call>", "<tool_call|>", "<|tool_response>", "<tool_response|>", '<|"|>'),
    *("<|think|>", "<|channel>", "<channel|>"),
]
_CHARACTERS = (
    "▁\n\t"
    + "".join(map(chr, range(33, 127)))
    + "".join(map(chr, range(161, 173)))
    + "".join(map(chr, range(174, 256)))
    + "–—‘’“”•…€™ŁłŚśŻżŹźĆćĄąĘęŃńŐőŰűŞşĞğıČčŠšŽžŘřĚěŮů"
)
_RUNS = [
    *("declaration:", "{description:", ",parameters:{properties:{", "},required:[", ",type:"),
    *(":{type:", "{enum:", ",enum:", "}}", "call:", "response:", "{value:"),
]
_SCAFFOLD = ["parameters", "properties", "required", "description", "array", "boolean"]
_WORD = re.compile(r"(?<!\w)[A-Za-z][A-Za-z_]{2,}(?!\w)")


def common_words(template: ChatTemplate, *, count: int = 560) -> list[str]:
    """The words whose tokens save training turns the most letters; sorted."""
    rng = random.Random(20261123)
    saved: Counter[str] = Counter(dict.fromkeys(_SCAFFOLD, 10**9))
    for _ in range(6000):
        for word in _WORD.findall(rendered(turn(rng, "train"), template)[0]):
            saved[word] += len(word) - 1
    ranked = sorted(saved.items(), key=lambda item: (-item[1], item[0]))
    return sorted(word for word, _ in ranked[:count])


def write_tokenizer(file: Path, words: list[str]) -> int:
    """Write `tokenizer.json`; returns the number of tokens."""
    pieces = [*CONTROLS, *(f"<0x{byte:02X}>" for byte in range(256)), *_CHARACTERS]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    added = [_added(index, text, special=True) for index, text in enumerate(CONTROLS)]
    added += [
        _added(len(pieces) + index, text, special=False)
        for index, text in enumerate([*_RUNS, *words])
    ]
    space = {"pattern": {"String": " "}, "content": "▁"}
    data = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": {"type": "Replace", **space},
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
            ],
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": "<unk>",
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": vocabulary,
            "merges": [],
        },
    }
    file.write_text(json.dumps(data, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return len(pieces) + len(_RUNS) + len(words)


def _added(index: int, text: str, *, special: bool) -> dict[str, object]:
    flags = {"lstrip": False, "rstrip": False, "normalized": False, "special": special}
    return {"id": index, "content": text, "single_word": text.isidentifier(), **flags}
