"""The ledger as a file: a row a generation, for whoever wants to check the figures."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import asdict, fields
from itertools import islice
from pathlib import Path
from typing import Any

from ...memory import LedgerEntry
from ..errors import OutputError

COLUMNS = [field.name for field in fields(LedgerEntry)]
ROWS = 10_000
"""Rows that are in memory at a time."""


def write_ledger(path: Path, entries: Iterable[LedgerEntry]) -> int:
    """Write entries to a CSV or a Parquet file, and return how many there are. The file gets its
    name when it is whole.

    Raises:
        OutputError: it is of no known kind, or cannot be written, or what writes it is missing.
    """
    write = {".csv": _csv, ".parquet": _parquet}.get(path.suffix)
    if write is None:
        raise OutputError(f"{path}: the ledger is written to a .csv or a .parquet file")
    unfinished = path.with_name(f".{path.name}.partial")
    try:
        number = write(unfinished, entries)
        unfinished.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: {error.strerror or error}") from None
    finally:
        unfinished.unlink(missing_ok=True)
    return number


def _csv(path: Path, entries: Iterable[LedgerEntry]) -> int:
    number = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in map(_row, entries):
            writer.writerow(row.values())
            number += 1
    return number


def _parquet(path: Path, entries: Iterable[LedgerEntry]) -> int:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        what = "Parquet needs pyarrow: pip install 'gesso[documents]'"
        raise OutputError(f"{path}: {what}") from None
    kinds = {"str": pyarrow.string(), "int": pyarrow.int64(), "datetime": pyarrow.string()}
    kinds["EnergySource"] = pyarrow.string()
    columns = [
        (one.name, kinds.get(str(one.type), pyarrow.float64())) for one in fields(LedgerEntry)
    ]
    schema = pyarrow.schema(columns)
    number = 0
    with parquet.ParquetWriter(path, schema) as writer:
        for rows in _pages(map(_row, entries)):
            writer.write_table(pyarrow.Table.from_pylist(rows, schema))
            number += len(rows)
    return number


def _row(entry: LedgerEntry) -> dict[str, Any]:
    return asdict(entry) | {"at": entry.at.isoformat()}


def _pages(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while page := list(islice(rows, ROWS)):
        yield page
