"""The full-text index of the current facts: which of them hold a word, and how much that tells.

The score is BM25 on both databases, with FTS5's constants: there FTS5 counts, here the words of the
facts are counted (`migrations/postgresql.py` says what words are).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, text

MOST = 1000
"""The best finds of a word: a bound for large memories, beyond what any small one holds."""

_FTS5 = text(
    "SELECT facts.id, facts.agent, facts.episode, -bm25(facts_index) AS score "
    "FROM facts_index JOIN facts ON facts.id = facts_index.rowid "
    "WHERE facts_index MATCH :word AND (:everyone OR facts.agent IN ('', :agent)) "
    "ORDER BY facts_index.rank LIMIT :most"
)

_CURRENT = "superseded_by IS NULL AND forgotten IS NULL"

_SIZE = text(f"SELECT count(*) AS facts, avg(length) AS mean FROM facts WHERE {_CURRENT}")

# k1 = 1.2, b = 0.75; a word of more than half of the facts tells next to nothing, as in FTS5.
_COUNTED = text(
    f"""
    WITH asked AS MATERIALIZED (
        SELECT phraseto_tsquery('gesso', gesso_parted(:word)) AS query,
            tsvector_to_array(gesso_words(:word)) AS stems
    ), found AS (
        SELECT id, agent, episode, length, (
            SELECT min(cardinality(positions)) FROM unnest(words) WHERE lexeme = ANY (stems)
        ) AS times
        FROM facts, asked WHERE words @@ query AND {_CURRENT}
    ), known AS (
        SELECT greatest(ln((:facts - count(*) + 0.5) / (count(*) + 0.5)), 1e-6) AS weight FROM found
    )
    SELECT id, agent, episode, CAST(
        weight * times * 2.2 / (times + 1.2 * (0.25 + 0.75 * length / :mean)) AS FLOAT
    ) AS score
    FROM found, known WHERE :everyone OR agent IN ('', :agent)
    ORDER BY score DESC, id LIMIT :most
    """
)


class Index:
    """The index as one transaction sees it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._size: dict[str, Any] = {}

    def finds(self, word: str, agent: str | None) -> Sequence[Row[Any]]:
        """The facts with the word that the agent may know, the most telling first: number, agent,
        episode and score."""
        asked = {"word": word, "everyone": agent is None, "agent": agent, "most": MOST}
        if self._connection.dialect.name == "sqlite":
            return self._connection.execute(_FTS5, asked | {"word": f'"{word}"'}).all()
        if not self._size:
            size = self._connection.execute(_SIZE).one()
            self._size = {"facts": float(size.facts), "mean": float(size.mean or 1)}
        return self._connection.execute(_COUNTED, asked | self._size).all()

    def erase(self) -> None:
        """Leave nothing in it of what is no longer there."""
        if self._connection.dialect.name == "sqlite":
            # Deleted entries stay in the index's segments until these are merged.
            self._connection.exec_driver_sql(
                "INSERT INTO facts_index(facts_index) VALUES ('optimize')"
            )
