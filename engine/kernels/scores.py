"""What a head says of a row of positions, read where it stands.

A head's raw outputs are [N, V] in the weights' dtype, 128 MiB for a canvas of the 26B. One pass
over them finds each row's log-sum-exp, entropy and most probable token under a soft-cap and a
temperature, block by block, and leaves the blocks' sums behind: a token is then drawn by inverting
the cumulative distribution in the one block that it falls in. Nothing of that shape is written in
float32 unless somebody asks for the table.

`Scores` stand where a table of log-probabilities [N, V] would: they have a length and rows, can be
gathered from, and weigh the classes of an automaton (`constraint/masses.py`).

An output that is not a number counts as impossible. A draw is decided by the row and its own
uniform number alone; those come from the turn's generator (Philox, counter-based, on a GPU).

Letters in shapes: N rows, V vocabulary, S blocks of it, D hidden, C classes.
"""

# what a kernel's body means is Triton's to say, and not every machine has Triton
# pyright: reportArgumentType=false, reportCallIssue=false, reportMissingImports=false
# pyright: reportAttributeAccessIssue=false, reportOperatorIssue=false

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

_NEVER = tl.constexpr(-1e30)  # of what is impossible: a number, so that no difference is none
_BLOCK = 4096
_WARPS = 8


@dataclass(frozen=True, eq=False)
class Scores:
    """Raw outputs [N, V] under a soft-cap (none where it is 0) and a temperature: logits are
    `cap · tanh(raw / cap) / temperature`."""

    raw: Tensor
    cap: float
    temperature: float
    largest: Tensor  # [N, S] the largest logit of each block
    totals: Tensor  # [N, S] the sum of the exponentials of its logits less that
    normaliser: Tensor  # [N] log-sum-exp of the logits
    entropy: Tensor  # [N] in nats
    best: Tensor  # [N] the most probable token

    @classmethod
    def of(cls, raw: Tensor, cap: float, temperature: float) -> Scores:
        """Read raw outputs once."""
        raw = raw.contiguous()
        rows, width = raw.shape
        blocks = triton.cdiv(width, _BLOCK)
        parts = raw.new_empty(3, rows, blocks, dtype=torch.float32)
        winners = raw.new_empty(rows, blocks, dtype=torch.int32)
        largest, totals, moments = parts
        options = {"CAPPED": cap > 0, "BLOCK": _BLOCK, "num_warps": _WARPS}
        scale = (cap or 1.0, temperature)
        _read[(rows, blocks)](raw, largest, totals, moments, winners, width, *scale, **options)
        normaliser, entropy = raw.new_empty(2, rows, dtype=torch.float32)
        best = raw.new_empty(rows, dtype=torch.int64)
        _join[(rows,)](
            *(largest, totals, moments, winners, normaliser, entropy, best, blocks),
            BLOCKS=triton.next_power_of_2(blocks),
        )
        return cls(raw, cap, temperature, largest, totals, normaliser, entropy, best)

    def drawn(self, uniforms: Tensor) -> Tensor:
        """One token of each row, by inverting the cumulative distribution at `uniforms` [N]."""
        rows, width = self.raw.shape
        blocks = self.largest.shape[1]
        tokens = torch.empty_like(self.best)
        _draw[(rows,)](
            *(self.raw, self.largest, self.totals, uniforms.contiguous(), tokens, width, blocks),
            *self._scale,
            BLOCKS=triton.next_power_of_2(blocks),
            **self._options,
        )
        return tokens

    def logits(self, rows: slice) -> Tensor:
        """Those of some rows, [T, V] in float32, up to a number for each."""
        return self[rows].float()

    def sure(self, rows: slice, tokens: Tensor) -> Tensor:
        """How probable a token [T] is in each of some rows."""
        return self[rows].gather(1, tokens[:, None])[:, 0].exp()

    def renewed(self, accepted: Tensor, uniforms: Tensor, fresh: Tensor) -> Tensor:
        """Tokens drawn at `uniforms` where they are `accepted`, `fresh` ones elsewhere; all [N]."""
        return torch.where(accepted, self.drawn(uniforms), fresh)

    @property
    def probabilities(self) -> Tensor:
        """[N, V] in the outputs' dtype, written anew each time."""
        return self._table(self.raw.dtype, logs=False)

    def log_probabilities(self) -> Scores:
        """What stands for them."""
        return self

    def float(self) -> Tensor:
        """The table of log-probabilities [N, V] in float32."""
        return self._table(torch.float32, logs=True)

    def __len__(self) -> int:
        return len(self.raw)

    def __getitem__(self, rows: slice) -> Scores:
        parts = (self.raw, self.largest, self.totals, self.normaliser, self.entropy, self.best)
        raw, *found = (part[rows] for part in parts)
        return Scores(raw, self.cap, self.temperature, *found)

    @property
    def device(self) -> torch.device:
        """Where the outputs are."""
        return self.raw.device

    def argmax(self, _: int = -1) -> Tensor:
        """The most probable token [N] of each row."""
        return self.best

    def gather(self, _: int, tokens: Tensor) -> Tensor:
        """The log-probabilities [N, K] of tokens [N, K]."""
        return self._log_probabilities(self.raw.gather(1, tokens))

    def index_select(self, _: int, tokens: Tensor) -> Tensor:
        """The log-probabilities [N, K] of the same tokens [K] in every row."""
        return self._log_probabilities(self.raw.index_select(1, tokens))

    def of_class(self, token_class: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of a class [N] for each row, of the tokens of which `token_class` [V] says so: the best
        one's log-probability, the log of their sum, and the best one. -inf where it has none."""
        rows, width = self.raw.shape
        blocks = triton.cdiv(width, _BLOCK)
        largest, totals = self.raw.new_empty(2, rows, blocks, dtype=torch.float32)
        winners = self.raw.new_empty(rows, blocks, dtype=torch.int32)
        _of_class[(rows, blocks)](
            *(self.raw, token_class, chosen, largest, totals, winners, width),
            *self._scale,
            **self._options,
        )
        top, block = largest.max(1)
        total = (totals * (largest - top[:, None]).exp()).sum(1).log()
        # logits are numbers, also where no token is possible; without one the total is zero
        best = (top - self.normaliser).masked_fill(total.isneginf(), -torch.inf)
        winner = winners.gather(1, block[:, None])[:, 0].long()
        return best, total + top - self.normaliser, winner

    def _log_probabilities(self, raw: Tensor) -> Tensor:
        """Of raw outputs [N, K]."""
        wide = raw.float()
        if self.cap:
            wide = torch.tanh(wide / self.cap) * self.cap
        return (wide / self.temperature - self.normaliser[:, None]).nan_to_num(nan=-torch.inf)

    def _table(self, dtype: torch.dtype, *, logs: bool) -> Tensor:
        rows, width = self.raw.shape
        found = torch.empty(rows, width, dtype=dtype, device=self.device)
        grid = (rows, triton.cdiv(width, _BLOCK))
        options = {"LOGS": logs, **self._options}
        _write[grid](self.raw, self.normaliser, found, width, *self._scale, **options)
        return found

    @property
    def _scale(self) -> tuple[float, float]:
        return (self.cap or 1.0, self.temperature)

    @property
    def _options(self) -> dict[str, int | bool]:
        return {"CAPPED": self.cap > 0, "BLOCK": _BLOCK, "num_warps": _WARPS}


@triton.jit
def _logits(raw, row, token, width, cap, temperature, CAPPED: tl.constexpr):
    """The logits of a row at some tokens, all of them numbers; what is beyond the vocabulary is
    impossible."""
    one = tl.load(raw + row * width + token, mask=token < width, other=0.0).to(tl.float32)
    possible = (token < width) & (one == one)
    if CAPPED:
        # tanh(z) is 1 - 2 / (exp(2 z) + 1), and one from 10 on
        one = cap - 2 * cap / (tl.exp(tl.clamp(2 * one / cap, -20.0, 20.0)) + 1)
    return tl.clamp(tl.where(possible, one / temperature, _NEVER), _NEVER, -_NEVER)


@triton.jit
def _exponentials(logits, largest):
    """The exponentials of logits less the largest; of the impossible, zeros."""
    return tl.where(logits > _NEVER, tl.exp(logits - largest), 0.0)


@triton.jit
def _read(
    raw,  # [N, V]
    largest,  # [N, S]
    totals,  # [N, S]
    moments,  # [N, S] the exponentials' sum, each times its logit less the largest
    winners,  # [N, S] the token of the largest
    width,
    cap,
    temperature,
    CAPPED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row, block = tl.program_id(0).to(tl.int64), tl.program_id(1)
    place = row * tl.num_programs(1) + block
    token = block * BLOCK + tl.arange(0, BLOCK)
    logits = _logits(raw, row, token, width, cap, temperature, CAPPED)
    top = tl.max(logits)
    weights = _exponentials(logits, top)
    tl.store(largest + place, top)
    tl.store(totals + place, tl.sum(weights))
    tl.store(moments + place, tl.sum(tl.where(weights > 0, weights * (logits - top), 0.0)))
    tl.store(winners + place, block * BLOCK + tl.argmax(logits, 0))


@triton.jit
def _join(
    largest,  # [N, S]
    totals,  # [N, S]
    moments,  # [N, S]
    winners,  # [N, S]
    normaliser,  # [N]
    entropy,  # [N]
    best,  # [N]
    blocks,
    BLOCKS: tl.constexpr,
):
    row = tl.program_id(0)
    block = tl.arange(0, BLOCKS)
    there = block < blocks
    at = row * blocks + block
    tops = tl.load(largest + at, mask=there, other=_NEVER)
    top = tl.max(tops)
    share = _exponentials(tops, top)
    of_block = tl.load(totals + at, mask=there, other=0.0)
    total = tl.sum(share * of_block)
    lower = tl.where(share > 0, tops - top, 0.0)
    moment = tl.sum(share * (tl.load(moments + at, mask=there, other=0.0) + of_block * lower))
    none = total == 0.0  # a row in which nothing is possible is as unsure as can be
    total = tl.where(none, 1.0, total)
    tl.store(normaliser + row, top + tl.log(total))
    tl.store(entropy + row, tl.where(none, float("inf"), tl.log(total) - moment / total))
    first = tl.argmax(tops, 0)
    tl.store(best + row, tl.load(winners + row * blocks + first).to(tl.int64))


@triton.jit
def _draw(
    raw,  # [N, V]
    largest,  # [N, S]
    totals,  # [N, S]
    uniforms,  # [N]
    tokens,  # [N]
    width,
    blocks,
    cap,
    temperature,
    CAPPED: tl.constexpr,
    BLOCKS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    block = tl.arange(0, BLOCKS)
    there = block < blocks
    at = row * blocks + block
    tops = tl.load(largest + at, mask=there, other=_NEVER)
    top = tl.max(tops)
    mass = _exponentials(tops, top) * tl.load(totals + at, mask=there, other=0.0)
    reached = tl.cumsum(mass, 0)
    target = tl.load(uniforms + row) * tl.sum(mass)
    possible = tl.max(tl.where(mass > 0, block, 0))  # rounding may lead behind the last
    chosen = tl.minimum(tl.sum((there & (reached <= target)).to(tl.int32)), possible)
    before = tl.sum(tl.where(block < chosen, mass, 0.0))

    token = chosen * BLOCK + tl.arange(0, BLOCK)
    logits = _logits(raw, row, token, width, cap, temperature, CAPPED)
    weights = _exponentials(logits, top)
    passed = tl.sum((tl.cumsum(weights, 0) <= target - before).to(tl.int32))
    possible = tl.max(tl.where(weights > 0, tl.arange(0, BLOCK), 0))
    found = chosen * BLOCK + tl.minimum(passed, possible)
    tl.store(tokens + row, found.to(tl.int64))


@triton.jit
def _of_class(
    raw,  # [N, V]
    token_class,  # [V]
    chosen,  # [N]
    largest,  # [N, S]
    totals,  # [N, S]
    winners,  # [N, S]
    width,
    cap,
    temperature,
    CAPPED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row, block = tl.program_id(0).to(tl.int64), tl.program_id(1)
    place = row * tl.num_programs(1) + block
    token = block * BLOCK + tl.arange(0, BLOCK)
    own = tl.load(token_class + token, mask=token < width, other=-1) == tl.load(chosen + row)
    logits = _logits(raw, row, token, width, cap, temperature, CAPPED)
    logits = tl.where(own, logits, 2 * _NEVER)  # so that an impossible member is still the best
    top = tl.max(logits)
    tl.store(largest + place, top)
    tl.store(totals + place, tl.sum(_exponentials(logits, top)))
    tl.store(winners + place, block * BLOCK + tl.argmax(logits, 0))


@triton.jit
def _write(
    raw,  # [N, V]
    normaliser,  # [N]
    found,  # [N, V]
    width,
    cap,
    temperature,
    CAPPED: tl.constexpr,
    LOGS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    token = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    logits = _logits(raw, row, token, width, cap, temperature, CAPPED)
    value = logits - tl.load(normaliser + row)
    # no difference of two impossible ones is a probability
    value = tl.where(logits > _NEVER, value, float("-inf"))
    if not LOGS:
        value = tl.exp(value)
    tl.store(found + row * width + token, value.to(found.dtype.element_ty), mask=token < width)
