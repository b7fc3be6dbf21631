"""The cost of work, against arithmetic done by hand on the price list's own figures."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from genai_prices.data_snapshot import get_snapshot
from gesso.agent.cost import PEERS, cost_of
from gesso.memory import LedgerEntry


def entry(turn: int, prompt: int, cached: int, output: int, *, model: str = "m") -> LedgerEntry:
    return LedgerEntry(
        key=f"run-{turn % 2}/{turn}",
        run=f"run-{turn % 2}",
        agent="clerk",
        model=model,
        device="cpu",
        at=datetime(2026, 11, 1, 12, turn, tzinfo=UTC),
        prompt_tokens=prompt,
        cached_tokens=cached,
        output_tokens=output,
        canvases=1,
        denoising_steps=12,
        prefill_seconds=0.5,
        denoising_seconds=1.5,
    )


LEDGER = [entry(0, 1000, 0, 50), entry(1, 3000, 1000, 250), entry(2, 500, 500, 7, model="n")]


def test_what_was_spent_here() -> None:
    cost = cost_of(LEDGER)
    assert cost.runs == 2
    m, n = cost.spent
    assert (m.model, m.turns, m.prompt_tokens, m.cached_tokens) == ("m", 2, 4000, 1000)
    assert (m.output_tokens, m.canvases, m.denoising_steps, m.seconds) == (300, 2, 24, 4.0)
    assert m.output_tokens_per_second == 75.0
    assert (n.model, n.turns, n.output_tokens) == ("n", 1, 7)


def price(value: object) -> Decimal:
    """The price of a million tokens in the lowest tier."""
    found = getattr(value, "base", value)
    assert isinstance(found, Decimal)
    return found


@pytest.mark.parametrize(("provider", "model"), PEERS)
def test_what_the_same_tokens_cost_elsewhere(provider: str, model: str) -> None:
    peer = next(peer for peer in cost_of(LEDGER).peers if peer.model == model)
    _, listed = get_snapshot().find_provider_model(model, None, provider, None)
    prices = listed.get_prices(LEDGER[0].at)
    fresh, cached, output = 1000 + 2000 + 0, 0 + 1000 + 500, 50 + 250 + 7
    by_hand = (
        fresh * price(prices.input_mtok)
        + cached * price(prices.cache_read_mtok)
        + output * price(prices.output_mtok)
    ) / 1_000_000
    assert peer.dollars == by_hand
    assert peer.dollars > 0


def test_a_tier_is_chosen_by_one_prompt_not_by_the_sum() -> None:
    small = [entry(n, 200_000, 0, 0) for n in range(10)]
    for together in cost_of(small).peers:
        (alone,) = (peer for peer in cost_of(small[:1]).peers if peer.model == together.model)
        assert together.dollars == 10 * alone.dollars


def test_an_empty_ledger_costs_nothing() -> None:
    cost = cost_of([])
    assert (cost.runs, cost.spent) == (0, [])
    assert [peer.dollars for peer in cost.peers] == [0, 0, 0]
