"""The denoising step of whole canvases, captured in a CUDA graph and replayed.

A step of the 26B is more than a thousand launches, and a processor takes longer to ask for them
than a GPU to do them in FP8. A graph asks once; what it reads must then stay where it is and keep
its shape. So the canvases, their texts' lengths and what they are conditioned on are copied into
buffers of the step, and the keys and values of their texts are read wherever they are, through a
table of addresses (`kernels/attention.py`): a captured step serves any text of any length, and is
one of a number of canvases and their length alone.

Letters in shapes: B canvases, L their tokens, D hidden.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from .kernels.attention import COLUMNS, attended, table_row
from .model import DiffusionGemma
from .views import Pass

MOST_KEPT = 16
"""Captured steps that are kept at once. They share their memory, for one is replayed at a time."""


class Steps:
    """The steps of one model: the one that was not used for the longest time makes room."""

    def __init__(self, model: DiffusionGemma) -> None:
        self._model = model
        self._kept: OrderedDict[tuple[int, int], Step] = OrderedDict()
        self._pool = torch.cuda.graph_pool_handle() if model.device.type == "cuda" else None

    def __len__(self) -> int:
        return len(self._kept)

    def run(self, passes: Sequence[Pass]) -> list[Tensor]:
        """The normalised last states of passes over canvases of one length, [T, D] of the tokens
        wanted of each."""
        kind = (len(passes), len(passes[0].tokens))
        step = self._kept.pop(kind, None)
        if step is None:
            if len(self._kept) == MOST_KEPT:
                self._kept.popitem(last=False)
            step = Step(self._model, *kind, self._pool)
        self._kept[kind] = step
        return step.run(passes)


class Step:
    """The step of B canvases of L tokens; on a GPU it is captured when it is first run."""

    def __init__(self, model: DiffusionGemma, canvases: int, length: int, pool: Any) -> None:
        """`pool` is the memory that captures share (`torch.cuda.graph_pool_handle`)."""
        self._model = model
        self._pool = pool
        self._graph: torch.cuda.CUDAGraph | None = None
        self._found: Tensor | None = None  # [B, L, D] where a replay leaves the states
        config, device = model.config, model.device
        layers, dtype = config.num_hidden_layers, model.embed_tokens.weight.dtype
        with torch.inference_mode(False):  # buffers that can be written in any mode
            self._canvases = torch.zeros(canvases, length, dtype=torch.long, device=device)
            self._soft = torch.zeros(
                canvases, length, config.hidden_size, dtype=dtype, device=device
            )
            # what each canvas sees in every layer, and how long the texts are
            size = (layers * COLUMNS + 1) * canvases
            self._places = torch.zeros(size, dtype=torch.long, device=device)
        self._tables = self._places[:-canvases].view(layers, canvases, COLUMNS)
        self._starts = self._places[-canvases:]

    def run(self, passes: Sequence[Pass]) -> list[Tensor]:
        """The normalised last states of as many passes, [T, D] of the tokens wanted of each."""
        self._take(passes)
        if self._model.device.type != "cuda":
            found = self._states()
        else:
            if self._graph is None:
                self._capture()
            assert self._graph is not None
            assert self._found is not None
            self._graph.replay()
            found = self._found.clone()  # the next replay writes over it
        return [states[-one.view.wanted :] for states, one in zip(found, passes, strict=True)]

    def _take(self, passes: Sequence[Pass]) -> None:
        """Copy what passes read, or where it is, into the buffers."""
        torch.stack([one.tokens for one in passes], out=self._canvases)
        for row, one in zip(self._soft, passes, strict=True):
            if one.soft is None:
                row.zero_()
            else:
                row.copy_(one.soft)
        places = [
            number
            for layer, one in enumerate(self._model.stack)
            for number in _seen(layer, passes, sliding=one.self_attn.sliding)
        ]
        places += [one.view.start for one in passes]
        copied = torch.tensor(places)
        if self._places.device.type == "cuda":
            copied = copied.pin_memory()  # else the copy waits for the device
        self._places.copy_(copied, non_blocking=True)

    def _states(self) -> Tensor:
        attend = [partial(attended, table=table) for table in self._tables]
        return self._model.canvases(self._canvases, self._starts, self._soft, attend)

    def _capture(self) -> None:
        """Run the step until everything that it needs is compiled and set up, then record it."""
        aside = torch.cuda.Stream(self._model.device)
        aside.wait_stream(torch.cuda.current_stream(self._model.device))
        with torch.cuda.stream(aside):
            for _ in range(2):
                self._states()
        torch.cuda.current_stream(self._model.device).wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        # other threads may use the device meanwhile
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            found = self._states()
        self._graph, self._found = graph, found  # only now: there may have been no memory for it


def _seen(layer: int, passes: Sequence[Pass], *, sliding: bool) -> list[int]:
    """The rows of a layer's table, one behind the other."""
    rows: list[int] = []
    for one in passes:
        view = one.view
        (block,) = view.blocks
        first = (block.sliding if sliding else block.full).first
        part = view.cache.part(layer, first, view.start)
        rows += table_row(part.keys, part.values)
    return rows
