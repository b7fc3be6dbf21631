"""The search for facts: which words are looked for in the index, and what is done with the finds.

Only facts that are current (neither superseded nor forgotten) are in the index.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, or_, select, true

from .index import Index
from .ranking import Ranking, factor, reciprocal_ranks, spread
from .rows import Fact, fact_of
from .tables import SHARED, facts
from .vectors import nearest
from .words import STOP_WORDS, months, telling_words

SHORTLIST = 400
"""The facts that go on to the factors: a bound for large memories, beyond what any small one
holds."""


def current() -> ColumnElement[bool]:
    return and_(facts.c.superseded_by.is_(None), facts.c.forgotten.is_(None))


def of(agent: str | None) -> ColumnElement[bool]:
    """The facts that an agent may know: its own and the shared ones. `None` is everyone's."""
    return true() if agent is None else or_(facts.c.agent == agent, facts.c.agent == SHARED)


def recall(
    connection: Connection,
    query: str,
    k: int,
    *,
    agent: str | None,
    at: datetime,
    ranking: Ranking,
    meaning: tuple[str, bytes] | None,
) -> list[Fact]:
    """The `k` best facts for a query, best first; the newer of two that are alike.

    `meaning` is the query's vector and the model's name: then what is near it is found too, and the
    two lists are fused.
    """
    looked_for = telling_words(query)
    scores = _scores(connection, looked_for, agent, ranking)
    query_words, query_months = frozenset(looked_for) - STOP_WORDS, months(query)
    ranked = [
        (-scores[fact.id] * factor(fact, query_words, query_months, at, ranking), -fact.id, fact)
        for fact in _facts(connection, _largest(scores, max(k, SHORTLIST)))
    ]
    found = [fact for _, _, fact in sorted(ranked)]
    if meaning is not None:
        near = nearest(connection, *meaning, and_(current(), of(agent)), SHORTLIST)
        fused = reciprocal_ranks([[fact.id for fact in found], near])
        return _facts(connection, _largest(fused, k))
    return found[:k]


def _scores(
    connection: Connection, looked_for: Sequence[str], agent: str | None, ranking: Ranking
) -> Mapping[int, float]:
    """The sum of the words' scores of each fact, spread over the neighbours."""
    index = Index(connection)
    finds = {word: index.finds(word, agent) for word in looked_for}
    episodes: Mapping[tuple[str, str], Sequence[int]] = {}
    if ranking.reach:
        keys = {(row.agent, row.episode) for rows in finds.values() for row in rows if row.episode}
        episodes = _episodes(connection, keys)
    scores: defaultdict[int, float] = defaultdict(float)
    for rows in finds.values():
        touched = {(row.agent, row.episode) for row in rows} & episodes.keys()
        found = {row.id: row.score for row in rows}
        for fact, score in spread(found, (episodes[key] for key in touched), ranking).items():
            scores[fact] += score
    return scores


def _episodes(
    connection: Connection, keys: set[tuple[str, str]]
) -> Mapping[tuple[str, str], Sequence[int]]:
    """The current facts of each episode, in order."""
    statement = (
        select(facts.c.agent, facts.c.episode, facts.c.id)
        .where(facts.c.episode.in_(bindparam("episodes", expanding=True)), current())
        .order_by(facts.c.at, facts.c.id)
    )
    result: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    named = sorted({episode for _, episode in keys})
    for row in connection.execute(statement, {"episodes": named}):
        if (row.agent, row.episode) in keys:
            result[row.agent, row.episode].append(row.id)
    return result


def _largest(scores: Mapping[int, float], most: int) -> list[int]:
    return heapq.nsmallest(most, scores, key=lambda fact: (-scores[fact], -fact))


def _facts(connection: Connection, ids: Sequence[int]) -> list[Fact]:
    statement = select(facts).where(facts.c.id.in_(ids))
    rows: dict[int, Row[Any]] = {row.id: row for row in connection.execute(statement)}
    return [fact_of(rows[number]) for number in ids]
