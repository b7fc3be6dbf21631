"""Several prefixes side by side, each of its own length: what a batch of turns has encoded.

The slot of a token in its row is its position, so a row is what it would be alone. The passes are
the model's two (`model.py`), under masks that keep every row to its own; what stands in a row
behind its length is left over from an earlier pass, and is not seen.

Letters in shapes: B rows, T tokens of the longest row, S slots, L canvas, D hidden, V vocabulary,
G key-value heads, K head width.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from .model import DiffusionGemma, View

CHUNK = 128
"""A long text is read in chunks of so many tokens, counted from the beginning of its row: what the
pass of a chunk computes is then the same to the bit, whether those before it were computed or kept.
"""

Layers = list[tuple[Tensor, Tensor]]
"""Keys and values of each layer, [B, G, S, K]."""


class Slots:
    """Keys and values of all rows; what a pass appends is put where it was aimed at."""

    def __init__(self, rows: int, sliding: Sequence[bool]) -> None:
        self.stored: list[tuple[Tensor, Tensor] | None] = [None] * len(sliding)
        self._count = rows
        self._sliding = sliding
        self._rows = slice(None)
        self._places: Tensor | int = 0
        self._end = 0
        self._near = torch.empty(0)

    def aim(self, rows: slice, places: Tensor | int, end: int, near: Tensor) -> None:
        """The next pass is over `rows`; its tokens take the slots `places` [B, T], or those from
        one slot on. Full layers see the slots before `end`, sliding ones `near` [B, N]."""
        self._rows, self._places, self._end, self._near = rows, places, end, near

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Put keys and values [B, G, T, K] in their slots, and return all that can be seen."""
        seen: list[Tensor] = []
        for held, new in zip(self._room(layer, keys, values), (keys, values), strict=True):
            part = held[self._rows]
            if isinstance(self._places, int):
                part[:, :, self._places : self._places + new.shape[2]] = new
            else:
                rows = torch.arange(len(part), device=new.device)[:, None]
                part.transpose(1, 2)[rows, self._places] = new.transpose(1, 2)
            if self._sliding[layer]:
                rows = torch.arange(len(part), device=new.device)[:, None]
                seen.append(part.transpose(1, 2)[rows, self._near].transpose(1, 2))
            else:
                seen.append(part[:, :, : self._end])
        return seen[0], seen[1]

    def keep(self, rows: Sequence[int], lengths: Sequence[int]) -> None:
        """Let go of all other rows; a row that is not where it was is copied there."""
        self._count = len(rows)
        for layer, pair in enumerate(self.stored):
            if pair is None:
                continue
            for held in pair:
                for place, (row, length) in enumerate(zip(rows, lengths, strict=True)):
                    if row != place:
                        held[place, :, :length] = held[row, :, :length]
            self.stored[layer] = pair[0][: len(rows)], pair[1][: len(rows)]

    def copied(self, row: int, length: int) -> Layers:
        """The first slots of a row, as a batch of one."""
        part = slice(row, row + 1)
        return [
            (keys[part, :, :length].clone(), values[part, :, :length].clone())
            for keys, values in (pair for pair in self.stored if pair is not None)
        ]

    def put(self, row: int, layers: Layers, length: int) -> None:
        """The first slots of a batch of one, as those of a row."""
        self._end = length
        for layer, pair in enumerate(layers):
            for held, given in zip(self._room(layer, *pair), pair, strict=True):
                held[row, :, :length] = given[0, :, :length]

    def _room(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """A layer's storage, with a slot for each token that the pass sees, and a quarter more when
        it has to grow."""
        stored = self.stored[layer]
        if stored is not None and stored[0].shape[2] >= self._end:
            return stored
        size, larger = self._end + self._end // 4, []
        for number, like in enumerate((keys, values)):
            # zeros: what is masked must still be a number
            made = like.new_zeros(self._count, like.shape[1], size, like.shape[3])
            if stored is not None:
                made[:, :, : stored[number].shape[2]] = stored[number]
            larger.append(made)
        self.stored[layer] = larger[0], larger[1]
        return larger[0], larger[1]


class Rows:
    """`lengths` are how many tokens each row has read."""

    def __init__(self, model: DiffusionGemma, count: int) -> None:
        self.lengths = [0] * count
        self._model = model
        kinds = model.config.layer_types
        self._slots = Slots(count, [kind == "sliding_attention" for kind in kinds])
        self._window = model.config.sliding_window

    def read(self, row: int, tokens: Sequence[int]) -> Tensor:
        """Read a long text behind what a row holds, in its chunks; the last one's states [T, D]."""
        start = self.lengths[row]
        stops = range((start // CHUNK + 1) * CHUNK, start + len(tokens), CHUNK)
        states = torch.empty(0)
        for begin, end in pairwise([start, *stops, start + len(tokens)]):
            part = self._tensor([tokens[begin - start : end - start]])
            positions = torch.arange(begin, end, device=self._model.device)[None]
            states = self._causal(slice(row, row + 1), part, positions, begin, end)[0]
        self.lengths[row] += len(tokens)
        return states

    def encode(self, texts: Sequence[Sequence[int]]) -> list[Tensor]:
        """Read a short text behind each row, all in one pass; the states [T, D] of each."""
        sizes = [len(text) for text in texts]
        longest = max(sizes)
        tokens = self._tensor([[*text, *[0] * (longest - len(text))] for text in texts])
        starts = torch.tensor(self.lengths, device=self._model.device)
        positions = starts[:, None] + torch.arange(longest, device=self._model.device)
        end = max(self.lengths) + longest
        states = self._causal(slice(None), tokens, positions, positions, end)
        self.lengths = [length + size for length, size in zip(self.lengths, sizes, strict=True)]
        return [row[:size] for row, size in zip(states, sizes, strict=True)]

    def branches(self, texts: Sequence[Sequence[Sequence[int]]]) -> list[list[Tensor]]:
        """States [T, D] of several ways to go on from each row, all in one pass: each way reads its
        row and itself, none another. The rows stay as they are."""
        device = self._model.device
        sizes = [[len(way) for way in ways] for ways in texts]
        longest = max(sum(row) for row in sizes)
        tokens = torch.zeros(len(texts), longest, dtype=torch.long, device=device)
        owner = torch.full((len(texts), longest), -1, device=device)
        offsets = torch.zeros_like(tokens)
        for row, ways in enumerate(texts):
            at = 0
            for number, way in enumerate(ways):
                part = slice(at, at + len(way))
                tokens[row, part] = torch.tensor(way, device=device)
                owner[row, part] = number
                offsets[row, part] = torch.arange(len(way), device=device)
                at += len(way)
        held = torch.tensor(self.lengths, device=device)[:, None]
        positions = held + offsets  # [B, T]
        first = max(self.lengths)
        own = (owner[:, :, None] == owner[:, None]) & (offsets[:, None] <= offsets[:, :, None])
        known = torch.arange(first, device=device) < held  # [B, S]
        full = torch.cat([known[:, None].expand(-1, longest, -1), own], dim=2)
        before = self._before(held)
        near = (before >= 0)[:, None] & (before[:, None] > positions[:, :, None] - self._window)
        close = own & (offsets[:, None] > offsets[:, :, None] - self._window)
        self._slots.aim(slice(None), first, first + longest, _joined(before, first, longest))
        view = self._view(full[:, None], torch.cat([near, close], dim=2)[:, None])
        states = self._model.run(self._model.embed(tokens), positions, view)
        return [
            list(row[: sum(ways)].split(ways)) if ways else []
            for row, ways in zip(states, sizes, strict=True)
        ]

    def denoise(
        self,
        canvases: Sequence[Tensor],
        prefixes: Sequence[int],
        soft: Sequence[Tensor | None],
    ) -> list[Tensor]:
        """Logits [L, V] of a canvas behind the first `prefixes` tokens of each row; a row with an
        empty one waits. `soft` [L, D] carries the row's previous step (`DiffusionGemma.soften`)."""
        device = self._model.device
        sizes = torch.tensor([len(canvas) for canvas in canvases], device=device)
        longest, first = max(map(len, canvases)), max(self.lengths)
        offsets = torch.arange(longest, device=device)
        prefix = torch.tensor(prefixes, device=device)[:, None]
        tokens = torch.nn.utils.rnn.pad_sequence(list(canvases), batch_first=True)
        conditioning = None
        if any(one is not None for one in soft):
            conditioning = torch.zeros(
                (*tokens.shape, self._model.config.hidden_size),
                dtype=self._model.embed_tokens.weight.dtype,
                device=device,
            )
            for row, one in zip(conditioning, soft, strict=True):
                if one is not None:
                    row[: len(one)] = one
        own = offsets[None] < sizes[:, None]  # [B, L]
        known = torch.arange(first, device=device) < prefix  # [B, S]
        full = torch.cat([known, own], dim=1)
        before = self._before(prefix)
        sliding = torch.cat([before >= 0, own], dim=1)
        self._slots.aim(slice(None), first, first + longest, _joined(before, first, longest))
        view = self._view(full[:, None, None], sliding[:, None, None])
        x = self._model.self_conditioning(self._model.embed(tokens), conditioning)
        states = self._model.run(x, prefix + offsets, view, denoiser=True)
        kept = torch.cat([row[:size] for row, size in zip(states, sizes.tolist(), strict=True)])
        return list(self._model.logits(kept).split(sizes.tolist()))

    def keep(self, rows: Sequence[int]) -> None:
        """Let go of all other rows. One that is to take the place of another stands behind it."""
        self.lengths = [self.lengths[row] for row in rows]
        self._slots.keep(rows, self.lengths)

    def copied(self, row: int, length: int) -> Layers:
        """Keys and values of a row's first tokens."""
        return self._slots.copied(row, length)

    def put(self, row: int, layers: Layers, length: int) -> None:
        """Begin an empty row with keys and values of its first tokens."""
        self._slots.put(row, layers, length)
        self.lengths[row] = length

    def _causal(
        self, rows: slice, tokens: Tensor, positions: Tensor, places: Tensor | int, end: int
    ) -> Tensor:
        """States of tokens [B, T] that take the slots of their positions."""
        slots = torch.arange(end, device=tokens.device)
        full = slots <= positions[:, :, None]  # [B, T, S]
        before = self._before(positions[:, :1])
        near = torch.cat([before, positions], dim=1)
        sliding = (near >= 0)[:, None] & (near[:, None] <= positions[:, :, None])
        sliding &= near[:, None] > positions[:, :, None] - self._window
        self._slots.aim(rows, places, end, near.clamp(min=0))
        view = self._view(full[:, None], sliding[:, None])
        return self._model.run(self._model.embed(tokens), positions, view)

    def _before(self, starts: Tensor) -> Tensor:
        """The slots [B, W - 1] before each row's start that a sliding layer still sees; those below
        zero are none."""
        return starts - torch.arange(self._window - 1, 0, -1, device=starts.device)

    def _view(self, full: Tensor, sliding: Tensor) -> View:
        """Masks [B, 1, T or 1, S] as what is added to the scores, made once for all layers."""
        dtype = self._model.embed_tokens.weight.dtype
        hidden = [
            torch.zeros(mask.shape, dtype=dtype, device=mask.device) for mask in (full, sliding)
        ]
        for added, mask in zip(hidden, (full, sliding), strict=True):
            added.masked_fill_(~mask, float("-inf"))
        return View(self._slots, hidden[0], hidden[1])

    def _tensor(self, tokens: Sequence[Sequence[int]]) -> Tensor:
        return torch.tensor(tokens, dtype=torch.long, device=self._model.device)


def _joined(before: Tensor, first: int, count: int) -> Tensor:
    """The slots before a row's start, and the `count` from `first` on that all rows write to."""
    written = torch.arange(first, first + count, device=before.device)
    return torch.cat([before.clamp(min=0), written.expand(len(before), -1)], dim=1)
