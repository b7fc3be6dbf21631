"""What the classes and sets of an automaton weigh at every position of a canvas.

Two ways to weigh: by the best member, for the most probable word, and by the log of the members'
sum, for everything else. Float32, on the device of the log-probabilities; a token that the model
finds impossible, or that is not a number, weighs `FLOOR`. On a GPU the log-probabilities may be
`Scores`, which nobody has written out: then nothing here waits for the device.

Letters: L canvas, V vocabulary, C classes, S sets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .tables import Runs, Tables

if TYPE_CHECKING:
    from ..kernels.scores import Scores

FLOOR = -1e4
"""The least log-probability of a token."""
NEGLIGIBLE = -80.0
"""Nats under the largest term that a float32 sum does not see; the exponential of anything lower
underflows, and takes ten times as long."""
_LEAST = -46.0  # of a log-sum of probabilities: what is negligible has no part in it
_ROWS = 8  # of a table at a time, so that they stay in the processor's cache

Reduce = Callable[[Tensor, Runs], Tensor]


def maxima(values: Tensor, runs: Runs) -> Tensor:
    """The largest of the values [L, N] in each run: [L, M], -inf for one of nothing."""
    found = values.new_full((len(values), len(runs.starts) - 1), float("-inf"))
    # several times as fast as torch's maximum of segments
    return found.scatter_reduce_(1, runs.owner.expand_as(values), values, "amax")


def log_sums(values: Tensor, runs: Runs) -> Tensor:
    """The log-sum-exp of the finite values [L, N] in each run: [L, M], -inf for one of nothing."""
    largest = maxima(values, runs)
    scaled = (values - largest.index_select(1, runs.owner)).clamp_(min=NEGLIGIBLE).exp_()
    offsets = runs.starts.expand(len(values), -1).contiguous()
    # `unsafe` leaves out a check of the offsets
    sums = torch.segment_reduce(scaled, "sum", offsets=offsets, axis=1, unsafe=True)
    return largest + sums.log_()


def _largest_class(tables: Tables, logp: Scores) -> tuple[Tensor, Tensor, Tensor]:
    """What `Scores.of_class` finds of the class with the most tokens."""
    chosen = torch.full((len(logp),), tables.largest, device=logp.device)
    return logp.of_class(tables.token_class, chosen)


def floored(logp: Tensor) -> Tensor:
    """Log-probabilities of any shape in float32, none below the floor and all of them numbers."""
    return logp.detach().float().nan_to_num(nan=FLOOR, neginf=FLOOR).clamp_(min=FLOOR)


def class_maxima(tables: Tables, logp: Tensor | Scores) -> Tensor:
    """The best member's weight of each class [L, C], of log-probabilities [L, V]."""
    if not isinstance(logp, Tensor):
        found = maxima(logp.index_select(1, tables.others), tables.others_runs)
        found[:, tables.largest] = _largest_class(tables, logp)[0]
        return found.clamp_(min=FLOOR)
    table = logp.detach().float()
    found = maxima(table.index_select(1, tables.others), tables.others_runs)
    found[:, tables.largest] = torch.cat([_largest_maxima(tables, rows) for rows in _split(table)])
    if found.isnan().any():
        return class_maxima(tables, floored(table))
    return found.clamp_(min=FLOOR)


def class_masses(tables: Tables, logp: Tensor | Scores) -> Tensor:
    """The log-mass of each class [L, C], of log-probabilities [L, V]."""
    if not isinstance(logp, Tensor):
        others = logp.index_select(1, tables.others).clamp_(min=FLOOR)
        found = log_sums(others, tables.others_runs)
        found[:, tables.largest] = _largest_class(tables, logp)[1]
        return torch.maximum(found, FLOOR + tables.class_sizes.log())
    table = logp.detach().float()
    others = table.index_select(1, tables.others).clamp_(min=FLOOR)
    found = log_sums(others, tables.others_runs)
    found[:, tables.largest] = torch.cat([_largest_masses(tables, rows) for rows in _split(table)])
    if found.isnan().any():
        return class_masses(tables, floored(table))
    return torch.maximum(found, FLOOR + tables.class_sizes.log())


def set_weights(tables: Tables, classes: Tensor, tail: Tensor, reduce: Reduce) -> Tensor:
    """The weight of each set from those of its classes [L, C], and, last, that of a position after
    the end, which is `tail` [L]: [L, S + 1]."""
    found = reduce(classes.index_select(1, tables.set_classes), tables.set_runs)
    return torch.cat([found, tail[:, None]], 1)


def tail_weights(pad: int, logp: Tensor | Scores, *, score_tail: bool) -> Tensor:
    """What a position after the end weighs [L]: padding's log-probability, or nothing."""
    if not score_tail:
        return torch.zeros(len(logp), device=logp.device)
    padding = torch.full((1,), pad, device=logp.device)
    return floored(logp.index_select(1, padding)[:, 0])


def token_weights(tables: Tables, gains: Tensor, logp: Tensor) -> Tensor:
    """Log-probabilities [L, V], each with what its class gains [L, C + 1]: the last column is for
    tokens that lead nowhere."""
    found = torch.empty(logp.shape, device=logp.device)
    for into, gained, rows in zip(_split(found), _split(gains), _split(logp), strict=True):
        torch.index_select(gained, 1, tables.token_class, out=into)
        into += floored(rows)
    return found


def best_tokens(tables: Tables, classes: Sequence[int], logp: Tensor | Scores) -> Tensor:
    """The most probable token [L] of each position's class."""
    if not isinstance(logp, Tensor):
        return logp.of_class(tables.token_class, torch.tensor(classes, device=logp.device))[2]
    found = []
    for row, own in zip(logp.detach(), map(tables.members.__getitem__, classes), strict=True):
        weights = row.index_select(0, own).nan_to_num(nan=float("-inf"))
        found.append(own[weights.argmax()])
    return torch.stack(found)


def drawn_tokens(tables: Tables, classes: Tensor, logp: Tensor, uniforms: Tensor) -> Tensor:
    """Tokens [N, L] of given classes [N, L], drawn by their probabilities at `uniforms` [N, L]."""
    tokens = torch.empty_like(classes)
    for place, row in enumerate(logp):
        for found in classes[:, place].unique().tolist():
            which = classes[:, place] == found
            members = tables.members[found]
            weights = floored(row.index_select(0, members))
            odds = (weights - weights.max()).clamp_(min=NEGLIGIBLE).exp_()
            odds = odds.cumsum(0, dtype=torch.float64)
            drawn = torch.searchsorted(odds, uniforms[which, place] * odds[-1], right=True)
            tokens[which, place] = members[drawn.clamp(max=len(members) - 1)]
    return tokens


def _split(table: Tensor) -> Sequence[Tensor]:
    return table.split(_ROWS if table.device.type == "cpu" else len(table))


def _largest_maxima(tables: Tables, rows: Tensor) -> Tensor:
    return (rows + tables.largest_bias).amax(1)


def _largest_masses(tables: Tables, rows: Tensor) -> Tensor:
    """A product with the class's share is several times as fast as its log-sum-exp; the rows in
    which it may have lost something to underflow, or that are not log-probabilities, are summed
    again with care."""
    found = (rows.clamp(min=NEGLIGIBLE).exp_() @ tables.largest_share).log_()
    doubtful = ~(found > _LEAST) | ~found.isfinite()
    if doubtful.any():
        again = rows[doubtful]
        largest = (again + tables.largest_bias).amax(1, keepdim=True).clamp_(min=FLOOR)
        shifted = (again - largest).clamp_(NEGLIGIBLE, 0.0).exp_()
        found[doubtful] = largest[:, 0] + (shifted @ tables.largest_share).log_()
    return found
