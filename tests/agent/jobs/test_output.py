"""Where records are written to."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from gesso.agent import AgentError
from gesso.agent.jobs.output import check_output, partial, write_records
from gesso.agent.jobs.record import Absent, Record, Span, place_json, place_of

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "total": {"type": ["number", "null"]},
        "count": {"type": "integer"},
        "lines": {"type": "array"},
        "source": {"type": "string"},
    },
}
RECORDS: list[Record[Any]] = [
    Record(
        "a.txt",
        {"name": "Käse", "total": 2, "count": 3, "lines": [{"n": 1}], "source": "shop"},
        {"/name": Span(0, 4, 1), "/total": Absent("none")},
        {"/name": 0.5},
    ),
    Record("b.pdf", error="is no whole PDF"),
    Record("c.txt", {"name": "=1+1", "total": None, "count": 4, "lines": [], "source": "-x"}),
]


def test_lines_are_json_of_everything(tmp_path: Path) -> None:
    name = str(tmp_path / "out.jsonl")
    assert write_records(name, iter(RECORDS), SCHEMA) == name
    rows = [json.loads(line) for line in Path(name).read_text().splitlines()]
    assert [list(row) for row in rows] == [["source", "value", "spans", "confidence", "error"]] * 3
    assert rows[0]["spans"] == {
        "/name": {"start": 0, "end": 4, "page": 1},
        "/total": {"absent": "none"},
    }
    assert (rows[1]["value"], rows[1]["error"]) == (None, "is no whole PDF")
    assert "Käse" in Path(name).read_text()


def test_a_csv_has_a_column_for_each_field_and_no_formula(tmp_path: Path) -> None:
    name = str(tmp_path / "out.csv")
    write_records(name, iter(RECORDS), SCHEMA)
    with open(name, newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:6] == ["name", "total", "count", "lines", "source", "_source"]
    assert [row["name"] for row in rows] == ["Käse", "", "'=1+1"]
    assert [row["_source"] for row in rows] == ["a.txt", "b.pdf", "c.txt"]
    assert json.loads(rows[0]["lines"]) == [{"n": 1}]
    assert rows[2]["source"] == "'-x"
    assert rows[1]["error"] == "is no whole PDF"


@pytest.mark.parametrize("suffix", ["db", "sqlite"])
def test_sqlite_has_a_table_of_records(tmp_path: Path, suffix: str) -> None:
    name = str(tmp_path / f"out.{suffix}")
    write_records(name, iter(RECORDS), SCHEMA)
    with closing(sqlite3.connect(name)) as connection:
        rows = connection.execute("SELECT name, total, count, error FROM records").fetchall()
    assert rows == [
        ("Käse", 2, 3, None),
        (None, None, None, "is no whole PDF"),
        ("=1+1", None, 4, None),
    ]


def test_parquet_has_types(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    name = str(tmp_path / "out.parquet")
    write_records(name, iter(RECORDS), SCHEMA)
    table = parquet.read_table(name)
    kinds = {field.name: str(field.type) for field in table.schema}
    assert kinds["total"] == "double"
    assert kinds["count"] == "int64"
    assert kinds["lines"] == "string"
    assert table.column("total").to_pylist() == [2.0, None, None]
    assert table.column("_source").to_pylist() == ["a.txt", "b.pdf", "c.txt"]


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "sqlite", "parquet"])
def test_the_same_records_are_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    one, other = (str(tmp_path / f"{name}.{suffix}") for name in ("one", "other"))
    for name in (one, other):
        write_records(name, iter(RECORDS), SCHEMA)
    assert Path(one).read_bytes() == Path(other).read_bytes()


def test_a_part_has_another_name_until_there_is_the_whole(tmp_path: Path) -> None:
    name = str(tmp_path / "out.jsonl")
    assert write_records(name, iter(RECORDS[:1]), SCHEMA, whole=False) == partial(name)
    assert not Path(name).exists()
    write_records(name, iter(RECORDS), SCHEMA)
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]


def test_what_breaks_in_the_middle_leaves_what_was_there(tmp_path: Path) -> None:
    name = str(tmp_path / "out.csv")
    write_records(name, iter(RECORDS), SCHEMA)
    before = Path(name).read_bytes()

    def broken() -> Iterator[Record[Any]]:
        yield RECORDS[0]
        raise RuntimeError("on the way")

    with pytest.raises(RuntimeError):
        write_records(name, broken(), SCHEMA)
    assert Path(name).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("out.xlsx", "the suffix says what is written"),
        ("no/such/folder/out.csv", "there is no folder"),
        (".", "the suffix says"),
    ],
)
def test_a_place_that_cannot_be_is_refused_before_the_work(name: str, what: str) -> None:
    with pytest.raises(AgentError, match=what):
        check_output(name)


def test_standard_output_gets_lines(capsys: pytest.CaptureFixture[str]) -> None:
    check_output("-")
    assert write_records("-", iter(RECORDS), SCHEMA) == "-"
    assert len(capsys.readouterr().out.splitlines()) == 3


@pytest.mark.parametrize("place", [Span(1, 2), Span(1, 2, 3), Absent("why")])
def test_a_place_is_read_back(place: Span | Absent) -> None:
    assert place_of(json.loads(json.dumps(place_json(place)))) == place
