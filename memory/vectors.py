"""Facts by what they mean: a vector of each current fact, compared one by one.

The vectors are made from the texts whenever they are needed, by a model that is not ours to know:
`Embedding` is all of it. They are compared in numpy: sqlite-vec compares one by one as well, and
many a Python (this project's own, for one) is built so that it cannot load an extension of SQLite.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import ColumnElement, Connection, func, select

from .tables import facts, vectors
from .upsert import add_new


@dataclass(frozen=True)
class Embedding:
    """A model of meaning. Vectors are kept by its `name`, and only compared with its own; `embed`
    gives a vector for each text, all of one length."""

    name: str
    embed: Callable[[Sequence[str]], Sequence[Sequence[float]]]

    def packed(self, texts: Sequence[str]) -> list[bytes]:
        """The vectors as they are stored: 32-bit floats of length 1, little-endian."""
        made = np.asarray(self.embed(texts), dtype="<f4")
        lengths = np.linalg.norm(made, axis=1, keepdims=True)
        return [vector.tobytes() for vector in made / np.maximum(lengths, 1e-12)]


def without_vector(
    connection: Connection, model: str, current: ColumnElement[bool], most: int
) -> list[tuple[int, str]]:
    """Number and text of facts that have no vector yet."""
    known = select(vectors.c.fact).where(vectors.c.model == model)
    statement = select(facts.c.id, facts.c.text).where(current, facts.c.id.not_in(known))
    return [(row.id, row.text) for row in connection.execute(statement.limit(most))]


def keep_vectors(
    connection: Connection,
    model: str,
    made: Sequence[tuple[int, bytes]],
    current: ColumnElement[bool],
) -> None:
    """Keep what was made, for the facts that are still current: one erased meanwhile has no text
    to be compared by."""
    ids = [number for number, _ in made]
    still = set(connection.scalars(select(facts.c.id).where(facts.c.id.in_(ids), current)))
    rows = [
        {"fact": number, "model": model, "vector": vector}
        for number, vector in made
        if number in still
    ]
    add_new(connection, vectors, rows)


def nearest(
    connection: Connection,
    model: str,
    vector: bytes,
    seen: ColumnElement[bool],
    most: int,
) -> list[int]:
    """The numbers of the facts whose vectors point the most alike, best first."""
    statement = (
        select(facts.c.id, vectors.c.vector)
        .join(vectors, vectors.c.fact == facts.c.id)
        .where(vectors.c.model == model, func.length(vectors.c.vector) == len(vector), seen)
        .order_by(facts.c.id.desc())
    )
    rows = connection.execute(statement).all()
    asked = np.frombuffer(vector, dtype="<f4")  # [width]
    stored = np.frombuffer(b"".join(row.vector for row in rows), dtype="<f4")
    alike = stored.reshape(len(rows), len(asked)) @ asked  # [facts]
    best = np.argsort(-alike, kind="stable")[:most]
    return np.array([row.id for row in rows], dtype=np.int64)[best].tolist()
