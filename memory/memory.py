"""What is remembered beyond one run: facts with their source and age, found by their words.

Recall is SQLite's FTS5 over stemmed words, ranked by BM25. The words of a query are alternatives;
words that say nothing are left out, because on questions they rank by noise.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Row, select, text
from sqlalchemy.dialects.sqlite import insert

from .database import Database
from .rows import Fact
from .tables import facts

# Too common in questions to tell one fact from another.
STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
        a an and are as at be but by did do does for from had has have he her his how i if in is it
        its me my of on or our she so that the their them they this to was we were what when where
        which who whom whose why will with would you your
        """,
    )
)

_RECALL = text(
    "SELECT facts.id, facts.text, facts.source, facts.at FROM facts_index "
    "JOIN facts ON facts.id = facts_index.rowid "
    "WHERE facts_index MATCH :words ORDER BY facts_index.rank, facts.at DESC LIMIT :k"
)


class Memory:
    """Facts in a store (`sqlite:///…`, or the path of a file)."""

    def __init__(self, url: str | Path) -> None:
        self._database = Database(url)

    def __enter__(self) -> Memory:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._database.close()

    def remember(self, text: str, *, source: str, at: datetime) -> Fact:
        """Keep a fact. The same words from the same source are one fact, as old as the first."""
        row = {"text": text, "source": source, "at": at.timestamp()}
        where = (facts.c.text == text, facts.c.source == source)
        with self._database.write() as connection:
            connection.execute(insert(facts).values(**row).on_conflict_do_nothing())
            return _fact(connection.execute(select(facts).where(*where)).one())

    def recall(self, query: str, k: int) -> list[Fact]:
        """The `k` facts that share the most telling words with `query`, best first."""
        words = re.findall(r"\w+", query.lower())
        telling = [word for word in words if word not in STOP_WORDS] or words
        if not telling:
            return []
        match = " OR ".join(f'"{word}"' for word in dict.fromkeys(telling))
        with self._database.read() as connection:
            found = connection.execute(_RECALL, {"words": match, "k": k}).all()
        return [_fact(row) for row in found]


def _fact(row: Row[Any]) -> Fact:
    return Fact(row.id, row.text, row.source, datetime.fromtimestamp(row.at, UTC))
