"""What generations draw, and what those of a quarter of an hour took together.

The sums are kept by the database itself, row by row, so that no crash comes between; and the ledger
is only added to.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

EDGES = (32_000, 100_000, 128_000, 199_999, 200_000, 256_000, 272_000, 512_000, 524_288)
NAMES = ("start", "agent", "job", "model", "device", "prompt_bucket")
SUMS = {
    "generations": "1",
    "prompt_tokens": "{row}prompt_tokens",
    "cached_tokens": "{row}cached_tokens",
    "output_tokens": "{row}output_tokens",
    "canvases": "{row}canvases",
    "denoising_steps": "{row}denoising_steps",
    "seconds": "{row}prefill_seconds + {row}denoising_seconds",
    "measured_joules": "CASE {row}energy WHEN 'measured' THEN {row}joules ELSE 0 END",
    "estimated_joules": "CASE {row}energy WHEN 'estimated' THEN {row}joules ELSE 0 END",
    "unknown_generations": "{row}energy = 'unknown'",
    "unknown_seconds": "CASE {row}energy WHEN 'unknown' "
    "THEN {row}prefill_seconds + {row}denoising_seconds ELSE 0 END",
}
FLOATS = ("seconds", "measured_joules", "estimated_joules", "unknown_seconds")


def upgrade() -> None:
    op.add_column("ledger", sa.Column("joules", sa.Float))
    op.add_column(
        "ledger", sa.Column("energy", sa.String, nullable=False, server_default="unknown")
    )
    op.create_index("ledger_by_time", "ledger", ["at", "key"])
    for verb in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER ledger_no_{verb.lower()} BEFORE {verb} ON ledger "
            "BEGIN SELECT RAISE(ABORT, 'the ledger is only added to'); END"
        )
    texts = [sa.Column(name, sa.String, primary_key=True) for name in NAMES[1:5]]
    kinds = [(name, sa.Float if name in FLOATS else sa.Integer) for name in SUMS]
    op.create_table(
        "spends",
        sa.Column("start", sa.Integer, primary_key=True),
        *texts,
        sa.Column("prompt_bucket", sa.Integer, primary_key=True),
        *(sa.Column(name, kind, nullable=False) for name, kind in kinds),
        sqlite_with_rowid=False,
    )
    columns = ", ".join((*NAMES, *SUMS))
    sums = ", ".join(f"SUM({text.format(row='')})" for text in SUMS.values())
    grouped = ", ".join(str(number) for number in range(1, len(NAMES) + 1))
    op.execute(
        f"INSERT INTO spends ({columns}) SELECT {_names('ledger.')}, {sums} FROM ledger "
        f"GROUP BY {grouped}"
    )
    added = ", ".join(text.format(row="NEW.") for text in SUMS.values())
    more = ", ".join(f"{name} = {name} + excluded.{name}" for name in SUMS)
    op.execute(
        f"CREATE TRIGGER ledger_spends AFTER INSERT ON ledger BEGIN "
        f"INSERT INTO spends ({columns}) VALUES ({_names('NEW.')}, {added}) "
        f"ON CONFLICT ({', '.join(NAMES)}) DO UPDATE SET {more}; END"
    )


def _names(row: str) -> str:
    cases = " ".join(f"WHEN {row}prompt_tokens > {edge} THEN {edge}" for edge in reversed(EDGES))
    return (
        f"CAST({row}at AS INTEGER) / 900 * 900, {row}agent, "
        f"COALESCE((SELECT jobs.run FROM jobs WHERE jobs.run = {row}run), ''), "
        f"{row}model, {row}device, CASE {cases} ELSE 0 END"
    )
