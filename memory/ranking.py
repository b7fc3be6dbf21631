"""How the facts found for a query are put in order: pure functions of scores and facts.

A word's score of a fact is BM25 (by FTS5). It reaches the fact's neighbours in the same episode, a
little less a step, because in talk the question holds the words and the answer next to it holds the
fact. What reaches a fact for one word adds up as a length does (root of the sum of squares), and
only then are the words added: facts amid all of the query's words come before those amid much of
one. The factors that follow are mild, near one each: they decide between facts that the words
leave close together. `python -m gesso.memory.benchmarks.recall` shows what each is worth.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from .rows import Fact
from .words import Month, words


@dataclass(frozen=True)
class Ranking:
    """The weights. The defaults are the best found without a model; `BM25` has them all off.

    `carry` is the part of a score that reaches the next fact of the episode, and `reach` how many
    facts away it still counts. `named` and `dated` are factors: for a fact whose source the query
    names, and for one of a month that it names. A fact of this moment gains the part `recency`,
    one `half_life` days old half of it; one that was used gains `use` for each doubling of its
    uses, up to four times that.
    """

    carry: float = 0.7
    reach: int = 4
    named: float = 1.3
    dated: float = 1.3
    recency: float = 0.1
    half_life: float = 30.0
    use: float = 0.05


BM25 = Ranking(reach=0, named=1.0, dated=1.0, recency=0.0, use=0.0)


def spread(
    found: Mapping[int, float], episodes: Iterable[Sequence[int]], ranking: Ranking
) -> dict[int, float]:
    """One word's scores by fact, as they reach the neighbours. `episodes` are the ids of the facts
    of each episode, in their order; a fact in none of them keeps its own score alone."""
    squares: defaultdict[int, float] = defaultdict(float)
    for fact, score in found.items():
        squares[fact] += score * score
    for episode in episodes:
        for place, fact in enumerate(episode):
            if fact not in found:
                continue
            first = max(0, place - ranking.reach)
            for other in range(first, min(len(episode), place + ranking.reach + 1)):
                if other != place:
                    reached = found[fact] * ranking.carry ** abs(other - place)
                    squares[episode[other]] += reached * reached
    return {fact: math.sqrt(square) for fact, square in squares.items()}


def factor(
    fact: Fact,
    query_words: frozenset[str],
    query_months: Sequence[Month],
    at: datetime,
    ranking: Ranking,
) -> float:
    """What a fact's score is multiplied by, for its source, its age and its use."""
    age = max(0.0, (at - fact.at).total_seconds() / 86_400)
    result = 1 + ranking.recency * 0.5 ** (age / ranking.half_life)
    result *= 1 + ranking.use * min(4.0, math.log2(1 + fact.uses))
    if not query_words.isdisjoint(words(fact.source)):
        result *= ranking.named
    if any(month.holds(fact.at) for month in query_months):
        result *= ranking.dated
    return result


def reciprocal_ranks(lists: Iterable[Sequence[int]]) -> dict[int, float]:
    """Several orders as one score: the sum of 1 / (60 + rank), ranks from 1 (Cormack, Clarke and
    Büttcher, SIGIR 2009)."""
    scores: defaultdict[int, float] = defaultdict(float)
    for order in lists:
        for rank, fact in enumerate(order, 1):
            scores[fact] += 1 / (60 + rank)
    return dict(scores)
