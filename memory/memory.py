"""What is remembered beyond one run: facts with their source and age, found by their words.

Nothing is overwritten. A newer fact supersedes an older one, which stays in the list with what
superseded it; a forgotten one stays too, and its text goes only where erasing was asked for.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, delete, select, update

from . import recall as search
from . import transfer, vectors
from .blocks import Blocks
from .database import Database
from .errors import EmbeddingError, FactError
from .index import Index
from .ranking import Ranking
from .rows import Fact, fact_of
from .tables import SHARED, facts
from .tables import vectors as vector_rows
from .upsert import add_once

log = logging.getLogger("gesso")

EMBEDDED_AT_ONCE = 64


class Memory:
    """The facts and blocks in a store: `sqlite:///…`, the path of a file, `postgresql://…`, or one
    that is open.

    With an `embedding`, facts are also found by what they mean; while it does not answer, by their
    words alone.

    Wherever an `agent` may be named, leaving it out means: for `remember`, a fact that every agent
    shares; elsewhere, everyone's facts. An agent sees its own and the shared ones.
    """

    def __init__(
        self,
        url: str | Path | Database,
        *,
        busy_timeout: float = 30.0,
        embedding: vectors.Embedding | None = None,
    ) -> None:
        opened = isinstance(url, Database)
        self._database = url if opened else Database(url, busy_timeout=busy_timeout)
        self._embedding = embedding
        self.blocks = Blocks(self._database)

    def __enter__(self) -> Memory:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._database.close()

    def remember(
        self,
        text: str,
        *,
        source: str,
        at: datetime,
        agent: str | None = None,
        episode: str | None = None,
        supersedes: Iterable[int] = (),
    ) -> Fact:
        """Keep a fact, and let it supersede older ones.

        The same words from the same source, in the same episode, are one fact, as old as the first.
        Raises `FactError` where a fact to supersede is not there, is of another agent, is newer, or
        was superseded by yet another one.
        """
        if not text.strip():
            raise FactError("a fact needs a text")
        row = {"text": text, "source": source, "at": at.timestamp()}
        row |= {"agent": agent or SHARED, "episode": episode or ""}
        where = [facts.c[name] == row[name] for name in ("text", "source", "agent", "episode")]
        with self._database.write(alone=True) as connection:
            add_once(connection, facts, row)
            kept = connection.execute(select(facts).where(*where, search.current())).one()
            for number in supersedes:
                old = _known(connection, number, agent)
                _check_successor(old, kept)
                connection.execute(
                    update(facts).where(facts.c.id == number).values(superseded_by=kept.id)
                )
            return fact_of(kept)

    def recall(
        self,
        query: str,
        k: int,
        *,
        agent: str | None = None,
        at: datetime | None = None,
        ranking: Ranking | None = None,
    ) -> list[Fact]:
        """The `k` current facts that tell most of `query`, best first, as seen at a time (now)."""
        at, ranking = at or datetime.now(UTC), ranking or Ranking()
        meaning = None
        if self._embedding is not None and query.strip():
            try:
                self._embed_new_facts(self._embedding)
                meaning = (self._embedding.name, self._embedding.packed([query])[0])
            except EmbeddingError as error:
                log.warning("recalled by words alone: %s", error)
        with self._database.read() as connection:
            return search.recall(
                connection, query, k, agent=agent, at=at, ranking=ranking, meaning=meaning
            )

    def _embed_new_facts(self, embedding: vectors.Embedding) -> None:
        """Give every current fact a vector; no lock is held while the model works."""
        current = search.current()
        while True:
            with self._database.read() as connection:
                new = vectors.without_vector(connection, embedding.name, current, EMBEDDED_AT_ONCE)
            if not new:
                return
            made = embedding.packed([text for _, text in new])
            pairs = [(number, vector) for (number, _), vector in zip(new, made, strict=True)]
            with self._database.write(alone=True) as connection:
                vectors.keep_vectors(connection, embedding.name, pairs, current)

    def facts(self, *, agent: str | None = None, every: bool = False) -> list[Fact]:
        """The current facts, oldest first; with `every`, the superseded and forgotten ones too."""
        statement = select(facts).where(search.of(agent)).order_by(facts.c.at, facts.c.id)
        if not every:
            statement = statement.where(search.current())
        with self._database.read() as connection:
            return [fact_of(row) for row in connection.execute(statement)]

    def fact(self, number: int, *, agent: str | None = None) -> Fact:
        """Raises `FactError` where there is none."""
        with self._database.read() as connection:
            return fact_of(_known(connection, number, agent))

    def count_use(self, used: Sequence[Fact], *, at: datetime) -> None:
        """Note that these were given to an agent; what is used is recalled a little sooner."""
        with self._database.write() as connection:
            connection.execute(
                update(facts)
                .where(facts.c.id.in_([fact.id for fact in used]))
                .values(uses=facts.c.uses + 1, used=at.timestamp())
            )

    def forget(
        self, number: int, *, at: datetime, agent: str | None = None, erase: bool = False
    ) -> Fact:
        """Recall a fact no more; with `erase`, also take its text out of the store's file.

        What the fact superseded stays superseded. A fact forgotten before keeps that time. The
        messages of the run in which it was said are not touched. Raises `FactError` where there is
        no such fact, `StoreLockedError` where others kept the erased text in the log.
        """
        with self._database.write(alone=True) as connection:
            old = _known(connection, number, agent)
            when = at.timestamp() if old.forgotten is None else old.forgotten
            where = facts.c.id == number
            connection.execute(update(facts).where(where).values(forgotten=when))
            if erase:
                connection.execute(update(facts).where(where).values(text=""))
                connection.execute(delete(vector_rows).where(vector_rows.c.fact == number))
                Index(connection).erase()
            forgotten = fact_of(_known(connection, number, agent))
        if erase:
            self._database.purge()
        return forgotten

    def export(self) -> list[str]:
        """Everything that is remembered, as the lines of a file of JSON lines."""
        with self._database.read() as connection:
            return list(transfer.export_lines(connection))

    def import_(self, lines: Iterable[str]) -> transfer.Imported:
        """Add the lines of an export: all of them, or none where one is wrong (`TransferError`)."""
        with self._database.write(alone=True) as connection:
            return transfer.import_lines(connection, lines)

    def backup(self, path: Path) -> None:
        """Copy the whole store into a new file, safe while agents run."""
        self._database.backup(path)


def _known(connection: Connection, number: int, agent: str | None) -> Row[Any]:
    row = connection.execute(
        select(facts).where(facts.c.id == number, search.of(agent))
    ).one_or_none()
    if row is None:
        whose = f" that {agent} may know" if agent else ""
        raise FactError(f"there is no fact {number}{whose}; `gesso memory list --all` shows them")
    return row


def _check_successor(old: Row[Any], new: Row[Any]) -> None:
    if old.id == new.id:
        raise FactError(f"fact {old.id} cannot supersede itself")
    if old.superseded_by not in (None, new.id):
        raise FactError(
            f"fact {old.id} was superseded by fact {old.superseded_by}; supersede that one"
        )
    if old.at > new.at:
        raise FactError(f"fact {old.id} is newer than the one that should supersede it")
