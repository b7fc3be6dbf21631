"""Where a job's records are written to: JSON lines, CSV, Parquet or a table of SQLite, by the name
of the file.

Records come from an iterator and are written as they come. The file gets its name when it is whole;
until then, and where it is only a part of the job, it is `NAME.partial`. A table has a column for
each field of the schema (what nests is JSON in its cell), then `source`, `error`, and `spans` and
`confidence` as JSON. A cell of a CSV file that a spreadsheet would take for a formula begins with
an apostrophe.
"""

from __future__ import annotations

import csv
import json
import os
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

from ..errors import OutputError
from .record import Record

STANDARD_OUTPUT = "-"
TABLE = "records"
"""The table's name in SQLite; a row a document."""

OWN = ("source", "error", "spans", "confidence")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_ROWS = 1000

Rows = Iterable[Record[Any]]


def check_output(name: str) -> None:
    """Raises `OutputError` where records cannot be written to a file of this name."""
    if name == STANDARD_OUTPUT:
        return
    path = Path(name)
    if path.suffix not in _WRITERS:
        known = ", ".join(_WRITERS)
        raise OutputError(f"{name}: the suffix says what is written: {known}, or - for lines")
    if path.suffix == ".parquet":
        _pyarrow()
    if path.is_dir():
        raise OutputError(f"{name}: is a folder")
    if not path.parent.is_dir():
        raise OutputError(f"{name}: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise OutputError(f"{name}: {path.parent} cannot be written to")


def partial(name: str) -> str:
    """What a file is called that has not all of the records."""
    return f"{name}.partial"


def write_records(
    name: str, records: Rows, schema: Mapping[str, Any], *, whole: bool = True
) -> str:
    """Write all records, at once or not at all, and return the name of the file; what is not the
    `whole` of them gets another name.

    Raises:
        OutputError: the file cannot be written.
    """
    if name == STANDARD_OUTPUT:
        for record in records:
            sys.stdout.write(_line(record))
        sys.stdout.flush()
        return name
    target = Path(name if whole else partial(name))
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        _WRITERS[Path(name).suffix](unfinished, records, schema)
        with unfinished.open("rb+") as file:
            os.fsync(file.fileno())
        unfinished.replace(target)
        if whole:
            Path(partial(name)).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{target}: {error.strerror or error}") from None
    finally:
        unfinished.unlink(missing_ok=True)
    return str(target)


def _line(record: Record[Any]) -> str:
    return json.dumps(record.row(), ensure_ascii=False) + "\n"


def _lines(path: Path, records: Rows, _: Mapping[str, Any]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for record in records:
            file.write(_line(record))


def _csv(path: Path, records: Rows, schema: Mapping[str, Any]) -> None:
    fields = _fields(schema)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_columns(fields))
        for record in records:
            writer.writerow([_safe(cell) for cell in _cells(record, fields)])


def _safe(cell: Any) -> Any:
    """Text that no spreadsheet takes for a formula. A number is none, whatever its sign."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


def _sqlite(path: Path, records: Rows, schema: Mapping[str, Any]) -> None:
    path.unlink(missing_ok=True)
    fields = _fields(schema)
    names = [_quoted(column) for column in _columns(fields)]
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = OFF")  # a file that is whole or is not there
        connection.execute(f"CREATE TABLE {TABLE} ({', '.join(names)})")
        insert = f"INSERT INTO {TABLE} VALUES ({', '.join('?' * len(names))})"
        for page in _pages(records):
            connection.executemany(insert, [_cells(record, fields) for record in page])
        connection.commit()


def _parquet(path: Path, records: Rows, schema: Mapping[str, Any]) -> None:
    arrow, parquet = _pyarrow()
    fields = _fields(schema)
    kinds = {"number": arrow.float64(), "integer": arrow.int64(), "boolean": arrow.bool_()}
    shape = arrow.schema(
        [
            *((name, kinds.get(_kind(inner), arrow.string())) for name, inner in fields.items()),
            *((_own(name, fields), arrow.string()) for name in OWN),
        ]
    )
    with parquet.ParquetWriter(path, shape, compression="zstd") as writer:
        for page in _pages(records):
            columns = zip(*(_cells(record, fields) for record in page), strict=True)
            arrays = [
                arrow.array(_typed(column, kind), kind)
                for column, kind in zip(columns, shape.types, strict=True)
            ]
            writer.write_table(arrow.Table.from_arrays(arrays, schema=shape))


def _typed(column: Sequence[Any], kind: Any) -> list[Any]:
    """A column's cells as its type has them: a whole number may be written as a decimal."""
    if str(kind) == "string":
        return [
            cell if cell is None or isinstance(cell, str) else json.dumps(cell) for cell in column
        ]
    return [int(cell) if str(kind) == "int64" and cell is not None else cell for cell in column]


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise OutputError("Parquet needs pyarrow: `pip install 'gesso[documents]'`") from None
    return pyarrow, pyarrow.parquet


def _fields(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    return schema["properties"]


def _kind(schema: Any) -> str:
    """The type of a field that has one, null aside."""
    kind = schema.get("type") if isinstance(schema, Mapping) else None
    kinds = [one for one in ([kind] if isinstance(kind, str) else kind or []) if one != "null"]
    return kinds[0] if len(kinds) == 1 else ""


def _columns(fields: Mapping[str, Any]) -> list[str]:
    return [*fields, *(_own(name, fields) for name in OWN)]


def _own(name: str, fields: Mapping[str, Any]) -> str:
    """The name of a column of ours, beside those of the schema."""
    while name in fields:
        name = f"_{name}"
    return name


def _cells(record: Record[Any], fields: Mapping[str, Any]) -> list[Any]:
    row = record.row()
    value = row["value"] or {}
    cells = [value.get(name) for name in fields]
    return [
        *(_json(cell) if isinstance(cell, list | Mapping) else cell for cell in cells),
        row["source"],
        row["error"],
        _json(row["spans"]),
        _json(row["confidence"]),
    ]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _pages(records: Rows) -> Iterator[list[Record[Any]]]:
    left = iter(records)
    while page := list(islice(left, _ROWS)):
        yield page


_WRITERS: dict[str, Callable[[Path, Rows, Mapping[str, Any]], None]] = {
    ".jsonl": _lines,
    ".csv": _csv,
    ".parquet": _parquet,
    ".db": _sqlite,
    ".sqlite": _sqlite,
}
