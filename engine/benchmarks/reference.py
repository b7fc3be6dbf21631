"""`transformers`' `generate` on a checkpoint of ours: the same prompt, and no constraint."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import torch

from ..checkpoint import locate
from ..engine import Engine
from ..request import Request


@dataclass(frozen=True)
class Free:
    """What was written before the turn's end, and what it took."""

    text: str
    steps: int
    canvases: int


class Reference:
    """`transformers` with the checkpoint of an engine of ours."""

    def __init__(self, engine: Engine) -> None:
        from transformers import DiffusionGemmaForBlockDiffusion
        from transformers.utils import logging

        logging.disable_progress_bar()
        logging.set_verbosity_error()  # sketch has no vision tower, and needs none
        self._engine = engine
        self._model: Any = DiffusionGemmaForBlockDiffusion.from_pretrained(
            locate(engine.name), dtype=torch.float32
        ).eval()
        # without images it looks for this token all the same
        self._model.config.image_token_id = -1
        self._steps = 0
        self._model.model.decoder.register_forward_pre_hook(self._count)

    def _count(self, *_: object) -> None:
        self._steps += 1

    def write(self, request: Request, most_tokens: int) -> Free:
        """One turn, freely."""
        engine, self._steps = self._engine, 0
        prompt = engine.tokenizer.encode(engine.template.render(request))
        torch.manual_seed(request.seed or 0)
        found = self._model.generate(torch.tensor([prompt]), max_new_tokens=most_tokens).sequences
        tokens = found[0, len(prompt) :].tolist()
        ends = engine.tokenizer.vocabulary.ends
        own = takewhile(lambda token: token not in ends, tokens)
        canvases = -(-len(tokens) // engine.canvas_length)
        return Free(engine.tokenizer.decode(own), self._steps, canvases)
