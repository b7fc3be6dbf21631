"""What work costs: by the published arithmetic, and by another way to every figure."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from genai_prices import types
from genai_prices.data_snapshot import get_snapshot
from gesso.agent.cost.breakeven import Rates, break_even
from gesso.agent.cost.export import write_ledger
from gesso.agent.cost.hardware import Terms, profiles, terms_of
from gesso.agent.cost.peers import bill_of
from gesso.agent.cost.prices import PriceList, price_list, read_peer
from gesso.agent.cost.report import Basis, Question, Report, basis_of, month_of, report_of
from gesso.agent.cost.words import verdicts
from gesso.agent.errors import CostError
from gesso.agent.settings import Settings, read_settings
from gesso.agent.state import store_of
from gesso.memory import PROMPT_EDGES, LedgerEntry, Run, Store, spends_of
from hypothesis import given, settings
from hypothesis import strategies as st
from recomputed import recomputed

START = datetime(2026, 10, 30, tzinfo=UTC)
NOW = START + timedelta(days=12)
ENTRY = LedgerEntry("k", "r1", "clerk", "sketch", "cpu", START, 1000, 400, 200, 1, 9, 0.25, 0.5)
SPARK = Settings(hardware="dgx-spark", electricity=0.3)

# Models whose prices depend on the size of a prompt, on the date, on the time of the day, or on
# none of these.
PEERS = (
    "google/gemini-2.5-pro",
    "openai/gpt-5.5",
    "anthropic/claude-sonnet-5-5",
    "deepseek/deepseek-chat",
)


def filled(path: str | Path, entries: Sequence[LedgerEntry]) -> Store:
    store = Store(path)
    for name in ("r1", "r2"):
        store.add_run(Run(name, "clerk", "manual", "go", "done", "sketch", START))
    for number, entry in enumerate(entries):
        store.ledger.add(replace(entry, key=str(number)))
    return store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with filled(tmp_path / "store.db", []) as store:
        yield store


def report(store: Store, basis: Basis | None = None, **asked: Any) -> Report:
    basis = basis or basis_of(SPARK)
    return report_of(store, Question(**asked), basis, now=NOW)


# the published arithmetic


def test_a_dgx_spark_is_about_130_dollars_a_month(store: Store) -> None:
    month = month_of(store, Question(), basis_of(SPARK), tokens_a_day=1, now=NOW)
    assert month.total.local.machine == pytest.approx(4700 / 36)
    assert round(4700 / 36) == 131


@pytest.mark.parametrize(
    ("peer", "dollars_a_million"),
    [
        ("google/gemma-4-26b-a4b-it-maas", Decimal("0.6")),
        ("openai/gpt-6-luna", Decimal("0.5")),
        ("anthropic/claude-sonnet-5-5", Decimal(10)),
    ],
)
def test_a_thousand_tokens_a_second_for_a_month(
    store: Store, peer: str, dollars_a_million: Decimal
) -> None:
    """730.5 hours at 1,000 tokens a second are 2,629.8 million tokens."""
    basis = basis_of(SPARK, [peer])
    month = month_of(store, Question(), basis, tokens_a_day=86_400_000, now=NOW)
    (bill,) = month.total.bills
    (line,) = bill.lines
    assert (line.kind, line.price.dollars) == ("output", dollars_a_million)
    assert line.quantity == Decimal("2629800000")
    assert bill.dollars == Decimal("2629.8") * dollars_a_million
    assert month.total.local.electricity == pytest.approx(0.170 * 730.5 * 0.3)
    assert any("all tokens are taken to be answers" in note for note in month.notes)


def test_months_to_pay_back_and_tokens_that_would() -> None:
    terms = Terms("m", price=3650.0, idle_watts=0.0, load_watts=100.0, electricity=0.0)
    even = break_even(Rates(tokens=30.4375e6, cloud=100, electricity=0, busy_hours=73.05), terms)
    assert even is not None
    assert even.saving_a_month == 100
    assert even.months == pytest.approx(36.5)
    assert even.tokens_a_day[12] == pytest.approx(1e6 * 36.5 / 12)
    assert even.capacity == pytest.approx(1e7)


def test_the_tokens_that_pay_back_do_pay_back() -> None:
    """Put back in, they save the price in exactly that time."""
    terms = Terms("m", price=2000.0, idle_watts=40.0, load_watts=300.0, electricity=0.25)
    rates = Rates(tokens=5e7, cloud=90, electricity=8, busy_hours=110)
    even = break_even(rates, terms)
    assert even is not None
    for months, tokens in even.tokens_a_day.items():
        assert tokens is not None
        more = tokens * 30.4375 / rates.tokens
        then = break_even(Rates(rates.tokens * more, 90 * more, 8 * more, 110 * more), terms)
        assert then is not None
        assert then.months == pytest.approx(months)


def test_a_machine_whose_electricity_costs_more_than_the_bill_never_pays_back() -> None:
    terms = Terms("m", price=2000.0, idle_watts=40.0, electricity=0.25)
    even = break_even(Rates(tokens=1e6, cloud=1, electricity=8, busy_hours=10), terms)
    assert even is not None
    assert even.months is None
    assert set(even.tokens_a_day.values()) == {None}


# another way to every figure

entries = st.builds(
    LedgerEntry,
    key=st.just(""),
    run=st.sampled_from(["r1", "r2"]),
    agent=st.sampled_from(["clerk", "reader"]),
    model=st.sampled_from(["sketch", "large"]),
    device=st.just("cpu"),
    at=st.integers(0, 11 * 86_400).map(lambda seconds: START + timedelta(seconds=seconds)),
    prompt_tokens=st.one_of(
        st.integers(100, 9_000), st.sampled_from([n + d for n in PROMPT_EDGES for d in (0, 1)])
    ),
    cached_tokens=st.integers(0, 100),
    output_tokens=st.integers(0, 4_000),
    canvases=st.integers(0, 9),
    denoising_steps=st.integers(0, 90),
    prefill_seconds=st.floats(0.01, 60),
    denoising_seconds=st.floats(0, 600),
    joules=st.floats(0, 1e5),
    energy=st.sampled_from(["measured", "estimated", "unknown"]),
).map(lambda entry: replace(entry, joules=None) if entry.energy == "unknown" else entry)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(entries, min_size=1, max_size=30),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"]),
    st.sampled_from([("USD", 1.0), ("EUR", 0.87), ("JPY", 154.2)]),
    st.floats(0, 1),
    st.booleans(),
)
def test_every_figure_comes_out_of_the_export_too(
    tmp_path_factory: pytest.TempPathFactory,
    ledger: list[LedgerEntry],
    zone: str,
    currency: tuple[str, float],
    electricity: float,
    idle: bool,
) -> None:
    """The prices of one of the peers change on 1 November and of one every day."""
    folder = tmp_path_factory.mktemp("cost")
    given = Settings(
        hardware_price=4000.0,
        hardware_months=40.0,
        idle_watts=30.0,
        load_watts=200.0,
        electricity=electricity,
        currency=currency[0],
        currency_rate=currency[1],
        idle_counted=idle,
        cloud=PEERS,
    )
    with filled(folder / "store.db", ledger) as store:
        found = report(store, basis_of(given), zone=ZoneInfo(zone))
        write_ledger(folder / "ledger.csv", store.ledger.entries())
    by_hand = recomputed(
        str(folder / "ledger.csv"),
        {
            "zone": zone,
            "peers": PEERS,
            "rate": currency[1],
            "price": 4000.0,
            "months": 40.0,
            "idle_watts": 30.0,
            "load_watts": 200.0,
            "electricity": electricity,
            "idle_counted": idle,
            "hours": found.hours,
        },
    )
    assert {row.name for row in found.rows} == set(by_hand)
    for row in found.rows:
        other = by_hand[row.name]
        assert row.work.tokens == other["tokens"]
        assert row.local.electricity == pytest.approx(other["electricity"], rel=1e-9, abs=1e-9)
        assert row.local.total == pytest.approx(other["here"], rel=1e-9, abs=1e-9)
        for peer, bill in zip(PEERS, row.bills, strict=True):
            dollars = float(bill.dollars) * currency[1]
            assert dollars == pytest.approx(other["there"][peer], rel=1e-9, abs=1e-9)
    total = found.total
    for number in range(len(PEERS)):
        parts = sum((row.bills[number].dollars for row in found.rows), Decimal())
        assert total.bills[number].dollars == parts
        lines = total.bills[number].lines
        assert sum((line.dollars for line in lines), Decimal()) == total.bills[number].dollars
    by_agent = 0.0
    with filled(folder / "again.db", ledger) as store:
        for row in report(store, basis_of(given), by="agent").rows:
            assert row.local.total is not None
            by_agent += row.local.total
    assert total.local.total is not None
    assert by_agent == pytest.approx(total.local.total)


def test_prices_that_change_in_the_middle_are_each_their_own_time_s() -> None:
    peer = read_peer("deepseek/deepseek-chat")
    prices = price_list()
    changes = prices.changes(peer, START, NOW)
    assert changes, "its price depends on the time of the day"
    entries = {prices.entry(peer, at) for at in (START, *changes)}
    assert len(entries) > 1


def test_sums_are_kept_by_every_edge_that_the_list_knows() -> None:
    known = set()
    for provider in get_snapshot().providers:
        for model in provider.models:
            prices = model.prices if isinstance(model.prices, list) else []
            one = [] if isinstance(model.prices, list) else [model.prices]
            for each in (*one, *(price.prices for price in prices)):
                for value in vars(each).values():
                    if isinstance(value, types.TieredPrices):
                        known |= {tier.start for tier in value.tiers}
    assert sorted(known) == list(PROMPT_EDGES)


def test_a_factor_makes_more_tokens_there(store: Store) -> None:
    store.ledger.add(replace(ENTRY, prompt_tokens=180_000, cached_tokens=0))
    plain, more = (
        report(store, basis_of(SPARK, [f"google/gemini-2.5-pro{text}"])).total.bills[0]
        for text in ("", ",factor=1.25")
    )
    assert [line.quantity for line in plain.lines] == [180_000, 200]
    assert [line.quantity for line in more.lines] == [225_000, 250]
    assert plain.lines[0].price.above == 0
    assert more.lines[0].price.above == 200_000, "the prompt is over the edge there"


def test_a_batch_is_charged_apart(store: Store) -> None:
    store.ledger.add(ENTRY)
    names = [
        name
        for provider in get_snapshot().providers
        for model in provider.models
        for variant in model.price_variants or ()
        for name in [f"{provider.id}/{model.id}"]
        if "batch" in variant.when.values()
    ]
    assert names, "the list knows batch prices"
    whole, batch = (
        report(store, basis_of(SPARK, [f"{names[0]}{tier}"])).total.bills[0].dollars
        for tier in ("", ",tier=batch")
    )
    assert 0 < batch < whole


# what is not known


def test_nothing_unknown_is_zero(store: Store) -> None:
    store.ledger.add(ENTRY)
    found = report(store, basis_of(Settings()))
    local = found.total.local
    assert (local.joules, local.energy) == (None, "unknown")
    assert (local.electricity, local.idle, local.machine, local.total) == (None,) * 4
    assert found.break_evens == [None] * 3
    assert all("is unknown" in sentence for sentence in verdicts(found))
    assert any("set hardware" in note for note in found.notes)
    assert any("The energy is unknown" in note for note in found.notes)


@pytest.mark.parametrize(
    ("energies", "known"),
    [
        (["measured"], "measured"),
        (["unknown"], "estimated"),
        (["estimated"], "estimated"),
        (["measured", "unknown"], "partly estimated"),
    ],
)
def test_an_estimate_says_so(store: Store, energies: Sequence[Any], known: str) -> None:
    for number, energy in enumerate(energies):
        joules = None if energy == "unknown" else 10.0
        store.ledger.add(replace(ENTRY, key=str(number), energy=energy, joules=joules))
    found = report(store)
    assert found.total.local.energy == known
    assert any("estimated, by the watts" in note for note in found.notes) == (known != "measured")


def test_it_says_plainly_when_the_cloud_is_cheaper(store: Store) -> None:
    store.ledger.add(ENTRY)
    found = verdicts(report(store))
    assert all("the cloud is cheaper by" in sentence for sentence in found)
    assert "it never pays back at this rate" in found[0]
    for number in range(3000):
        store.ledger.add(replace(ENTRY, key=f"more {number}", output_tokens=5000))
    assert "this machine is cheaper by" in verdicts(report(store))[2]


def test_an_empty_ledger_is_no_error(store: Store) -> None:
    found = report(store)
    assert found.rows == []
    assert found.total.work.tokens == 0


# what is asked


def test_only_what_was_asked_for(store: Store) -> None:
    for number in range(4):
        at = START + timedelta(days=number)
        agent = "clerk" if number % 2 else "reader"
        store.ledger.add(replace(ENTRY, key=str(number), at=at, agent=agent))
    days = [row.name for row in report(store, zone=UTC, agent="clerk").rows]
    assert days == ["2026-10-31", "2026-11-02"]
    since = START + timedelta(days=1)
    assert len(report(store, zone=UTC, since=since).rows) == 3
    assert len(report(store, zone=UTC, since=since, until=since + timedelta(hours=1)).rows) == 1
    assert [row.name for row in report(store, by="agent").rows] == ["clerk", "reader"]
    assert [row.name for row in report(store, by="model").rows] == ["sketch on cpu"]
    assert [row.name for row in report(store, by="job").rows] == ["no job"]
    with pytest.raises(CostError, match="ends before it begins"):
        report(store, since=NOW, until=START)


def test_a_day_is_one_of_the_zone(store: Store) -> None:
    """Summer time ends in Berlin on 25 October 2026: that day has 25 hours."""
    first = datetime(2026, 10, 24, 22, tzinfo=UTC)
    for hour in range(26):
        store.ledger.add(replace(ENTRY, key=str(hour), at=first + timedelta(hours=hour)))
    rows = report(store, zone=ZoneInfo("Europe/Berlin")).rows
    assert [(row.name, row.work.generations) for row in rows] == [
        ("2026-10-25", 25),
        ("2026-10-26", 1),
    ]


@pytest.mark.parametrize(
    ("peer", "what"),
    [
        ("gpt-5.5", "is PROVIDER/MODEL"),
        ("openai/gpt-99", "not in genai-prices"),
        ("openai/gpt-5.5,tier=slow", "no tier slow"),
        ("openai/gpt-5.5,factor=0", "a number above 0"),
        ("openai/gpt-5.5,speed=2", "neither tier=NAME nor factor=NUMBER"),
    ],
)
def test_a_wrong_peer_is_told(store: Store, peer: str, what: str) -> None:
    with pytest.raises(CostError, match=what):
        report(store, basis_of(SPARK, [peer]))


def test_a_wrong_machine_or_currency_is_told() -> None:
    with pytest.raises(CostError, match="hardware: cray is unknown; known are dgx-spark"):
        terms_of(Settings(hardware="cray"))
    with pytest.raises(CostError, match="EUR is without a rate"):
        terms_of(Settings(currency="EUR"))


def test_every_profile_says_where_its_figures_are_from() -> None:
    assert {"dgx-spark", "rtx-4090", "rtx-5090", "rtx-pro-6000", "h100", "h200"} <= set(profiles())
    for profile in profiles().values():
        assert profile.source
        assert profile.load_watts > profile.idle_watts > 0
        assert set(profile.estimates) <= {"price", "months", "idle_watts", "load_watts"}


def test_a_price_by_the_request_counts_requests() -> None:
    spend = spends_of([ENTRY])[0]
    (known,) = [
        f"{provider.id}/{model.id}"
        for provider in get_snapshot().providers
        for model in provider.models
        if not isinstance(model.prices, list)
        and model.prices.requests_kcount
        and model.prices.input_mtok
        and model.prices.output_mtok
    ][:1]
    bill = bill_of([spend, spend], read_peer(known), PriceList(get_snapshot(), ""))
    assert [line.quantity for line in bill.lines if line.kind == "requests"] == [2]


# the command


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / ".gesso").mkdir()
    entries = [replace(ENTRY, at=START + timedelta(days=day)) for day in range(3)]
    filled(store_of(tmp_path, read_settings(tmp_path)), entries).close()
    (tmp_path / "gesso.toml").write_text('hardware = "dgx-spark"\nelectricity = 0.3\n')
    return tmp_path


Command = Callable[..., tuple[int, str, str]]


def test_the_command_prints_all_of_it(command: Command, project: Path) -> None:
    code, out, _ = command("cost", str(project), "--zone", "UTC", "--tokens-per-day", "1000000")
    assert code == 0
    for words in ("2026-10-31", "Claude", "cloud is cheaper", "What if: 1,000,000", "genai-prices"):
        assert words in out
    code, out, _ = command("cost", str(project), "--by", "agent", "--vs", PEERS[1], "--json")
    shown = json.loads(out)
    assert [row["name"] for row in shown["rows"]] == ["clerk"]
    (bill,) = shown["total"]["bills"]
    assert bill["peer"]["model"] == "gpt-5.5"
    assert bill["lines"][0]["price"]["dollars"] == 5.0
    assert shown["terms"]["price"] == 4700


def test_a_report_is_one_page(command: Command, project: Path) -> None:
    file = project / "report.html"
    code, _, _ = command("cost", str(project), "--html", str(file), "--tokens-per-day", "5e6")
    text = file.read_text()
    assert code == 0
    assert text.count("<svg") == 1
    assert "What if: 5,000,000 tokens a day" in text
    assert "the cloud is cheaper" in text
    assert "<script" not in text
    assert not re.search(r"(src|href)=.https?:|url\((?!#)|@import", text)


@pytest.mark.parametrize("name", ["chart.png", "chart.svg", "-"])
def test_a_chart_is_drawn(command: Command, project: Path, name: str) -> None:
    target = name if name == "-" else str(project / name)
    code, out, _ = command("cost", str(project), "--plot", target)
    assert code == 0
    if name == "-":
        assert "Cost so far, USD" in out
    else:
        assert (project / name).stat().st_size > 5000


def test_the_ledger_is_exported(command: Command, project: Path) -> None:
    for name in ("ledger.csv", "ledger.parquet"):
        code, _, err = command(
            "cost", "export", "--project", str(project), "-o", str(project / name)
        )
        assert (code, "3 generations" in err) == (0, True)
    settings = {"zone": "UTC", "peers": [PEERS[1]], "load_watts": 170.0, "price": 4700.0}
    settings |= {"months": 36, "idle_watts": 35.0, "electricity": 0.3, "idle_counted": True}
    (project / "given.json").write_text(json.dumps(settings | {"hours": 240.0, "rate": 1.0}))
    script = Path(__file__).with_name("recomputed.py")
    arguments = [str(script), str(project / "ledger.csv"), str(project / "given.json")]
    done = subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
    assert len(json.loads(done.stdout)) == 3
    from pyarrow import parquet

    table = parquet.read_table(project / "ledger.parquet")
    assert table.num_rows == 3
    assert table.column("energy").to_pylist() == ["unknown"] * 3


def test_prices_that_cannot_be_fetched_stay_what_they_were(
    command: Command, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(project / "cache"))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    code, _, err = command("cost", "update")
    assert code == 1
    assert "in use stays genai-prices" in err


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--by", "week"], "--by is one of day, agent, job, model"),
        (["--since", "yesterday"], "a time is 2026-11-01"),
        (["--zone", "Mars/Olympus"], "there is none of that name"),
        (["--hardware", "cray"], "hardware: cray is unknown"),
        (["--plot", "chart.gif"], "a chart is a file of .png or .svg"),
    ],
)
def test_what_the_command_refuses(
    command: Command, project: Path, arguments: list[str], line: str
) -> None:
    code, _, err = command("cost", str(project), *arguments)
    assert (code, line in err) == (2, True), err
