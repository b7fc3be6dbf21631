"""`gesso cost`: what a project's work costs here, what it would in the cloud, and when the machine
has paid for itself."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict, replace
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer
from typer.core import TyperGroup

from ..errors import CostError, OutputError
from .options import Folder, Json, Project

SHOW = "show"


class _Shown(TyperGroup):
    """`gesso cost DIR` is `gesso cost show DIR`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] != "--help"):
            args = [SHOW, *args]
        return super().parse_args(ctx, args)


cost = typer.Typer(
    name="cost",
    cls=_Shown,
    help="What the work costs here and in the cloud. gesso cost DIR is gesso cost show DIR.",
)

By = Annotated[str, typer.Option(help="What is told apart: day, agent, job or model.")]
Since = Annotated[
    str | None, typer.Option(metavar="DATE", help="From this day, or this time; the first one.")
]
Until = Annotated[
    str | None, typer.Option(metavar="DATE", help="Until this day begins, or this time; now.")
]
Zone = Annotated[
    str | None, typer.Option(metavar="ZONE", help="Whose days: Europe/Berlin; the machine's own.")
]
Agent = Annotated[str | None, typer.Option(metavar="NAME", help="Only this agent's work.")]
Job = Annotated[str | None, typer.Option(metavar="ID", help="Only this job's work.")]
Model = Annotated[str | None, typer.Option(metavar="M", help="Only this model's work.")]
Peers = Annotated[
    list[str] | None,
    typer.Option(
        "--vs",
        metavar="PEER",
        help="A cloud model to set it against: PROVIDER/MODEL[,tier=batch][,factor=1.2]; repeat.",
    ),
]
Hardware = Annotated[str | None, typer.Option(metavar="NAME", help="What if it were this machine.")]
Electricity = Annotated[
    float | None, typer.Option(metavar="PRICE", min=0, help="What if a kilowatt hour cost this.")
]
Tokens = Annotated[
    float | None,
    typer.Option(metavar="N", min=1, help="What if so many tokens were generated each day."),
]
Plot = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Draw the cost over time: .png, .svg, or - for here."),
]
Html = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write the report as one page to be mailed.")
]
Output = Annotated[
    Path, typer.Option("-o", "--output", metavar="FILE", help="A .csv or .parquet file.")
]


@cost.command(SHOW)
def show(
    folder: Folder = Path(),
    by: By = "day",
    since: Since = None,
    until: Until = None,
    zone: Zone = None,
    agent: Agent = None,
    job: Job = None,
    model: Model = None,
    vs: Peers = None,
    hardware: Hardware = None,
    electricity: Electricity = None,
    tokens_per_day: Tokens = None,
    plot: Plot = None,
    html: Html = None,
    as_json: Json = False,
) -> None:
    """What the work took, what it cost, and what the same tokens would have cost in the cloud.

    With --hardware, --electricity or --tokens-per-day it is a month of what if, at the prices of
    now.
    """
    from ...memory import Store
    from ..cost.chart import draw
    from ..cost.page import page_of
    from ..cost.report import BYS, Question, basis_of, month_of, report_of
    from ..cost.words import report_json
    from ..settings import read_settings
    from ..state import STATE
    from .output import print_json
    from .project import opened_store
    from .report import print_month, print_report

    if by not in BYS:
        raise typer.BadParameter(f"--by is one of {', '.join(BYS)}")
    settings = read_settings(folder, hardware=hardware, electricity=electricity)
    clock = None if zone is None else _zone(zone)
    asked = Question(by, _time(since, clock), _time(until, clock), clock, agent, job, model)
    basis, now = basis_of(settings, vs or ()), datetime.now(UTC)
    with ExitStack() as stack:
        if tokens_per_day is not None and not (folder / STATE).exists():
            store = Store(Path(stack.enter_context(TemporaryDirectory())) / "store.db")
            stack.enter_context(store)  # what if nothing was generated yet
        else:
            store = stack.enter_context(opened_store(folder))
        report = report_of(store, asked, basis, now=now)
        days = report
        if plot is not None and by != "day":
            days = report_of(store, replace(asked, by="day"), basis, now=now)
        month = None
        if tokens_per_day is not None:
            month = month_of(store, asked, basis, tokens_a_day=tokens_per_day, now=now)
    if html is not None:
        try:
            html.write_text(page_of(report, month), encoding="utf-8")
        except OSError as error:
            raise OutputError(f"{html}: {error.strerror or error}") from None
    if as_json:
        if plot not in (None, "-"):
            draw(days, plot)
        print_json(report_json(report) | {"month": month and report_json(month)})
        return
    if report.rows or month is None:
        print_report(report)
    if month is not None:
        print_month(month)
    if plot is not None:
        draw(days, plot)


@cost.command()
def update(as_json: Json = False) -> None:
    """Fetch the newest list of cloud prices; until then the one that is installed is used."""
    from ..cost.prices import update as fetch
    from .output import print_json

    prices = fetch()
    if as_json:
        print_json({"prices": str(prices), "date": prices.date})
    else:
        print(prices)


@cost.command()
def export(
    output: Output,
    project: Project = Path(),
    since: Since = None,
    until: Until = None,
    zone: Zone = None,
) -> None:
    """Write the ledger, a row a generation, for a calculation of your own."""
    from ..cost.export import write_ledger
    from .project import opened_store

    clock = None if zone is None else _zone(zone)
    with opened_store(project) as store:
        entries = store.ledger.entries(since=_time(since, clock), until=_time(until, clock))
        number = write_ledger(output, entries)
    typer.echo(f"{output}: {number:,} generations", err=True)


@cost.command()
def hardware(as_json: Json = False) -> None:
    """The machines whose price and power are known, with where that is from."""
    from ..cost.hardware import profiles
    from .output import print_json, print_table

    found = list(profiles().values())
    if as_json:
        print_json([asdict(one) for one in found])
        return
    print_table(
        "In gesso.toml: hardware = NAME; hardware_price, hardware_months, idle_watts, load_watts",
        ("name", "US dollars", "months", "idle W", "load W"),
        [(one.name, one.price, one.months, one.idle_watts, one.load_watts) for one in found],
    )
    for one in found:
        guessed = ", ".join(name.replace("_", " ") for name in one.estimates)
        print(f"{one.name}: {one.title}, {one.date}: {one.source}; estimated: {guessed}")


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        raise CostError(f"zone: {name}: there is none of that name; Europe/Berlin is one") from None


def _time(text: str | None, zone: tzinfo | None) -> datetime | None:
    """A day's beginning on a zone's clocks, or a time of it."""
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise CostError(f"{text}: a time is 2026-11-01 or 2026-11-01T08:30") from None
    if at.tzinfo is None:
        at = at.replace(tzinfo=zone) if zone is not None else at.astimezone()
    return at.astimezone(UTC)
