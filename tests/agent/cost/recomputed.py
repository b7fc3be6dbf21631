"""What a ledger cost, from its export alone: a plain script that knows nothing of gesso.

    python recomputed.py ledger.csv SETTINGS.json

Every generation is priced by itself, by the price list's own arithmetic.
"""

import csv
import json
import sys
from collections import defaultdict
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from genai_prices import Usage, calc_price


def recomputed(path: str, given: dict[str, Any]) -> dict[str, Any]:
    """By day and in all: dollars of each peer, joules and electricity, and the local total."""
    zone = ZoneInfo(given["zone"])
    days: dict[str, dict[str, Any]] = defaultdict(
        lambda: {"there": defaultdict(Decimal), "joules": 0.0, "seconds": 0.0, "tokens": 0}
    )
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            at = datetime.fromisoformat(row["at"])
            day = days[at.astimezone(zone).date().isoformat()]
            seconds = float(row["prefill_seconds"]) + float(row["denoising_seconds"])
            joules = float(row["joules"]) if row["joules"] else given["load_watts"] * seconds
            day["seconds"] += seconds
            day["joules"] += joules
            day["tokens"] += int(row["prompt_tokens"]) + int(row["output_tokens"])
            for peer in given["peers"]:
                provider, _, model = peer.partition("/")
                usage = Usage(
                    input_tokens=int(row["prompt_tokens"]),
                    cache_read_tokens=int(row["cached_tokens"]),
                    output_tokens=int(row["output_tokens"]),
                )
                price = calc_price(usage, model, provider_id=provider, genai_request_timestamp=at)
                day["there"][peer] += price.total_price
    busy = sum(day["seconds"] for day in days.values())
    hourly = given["price"] / (given["months"] * 730.5)
    idle = given["idle_watts"] / 1000 * given["electricity"] if given["idle_counted"] else 0.0
    standing = hourly * given["hours"] + idle * max(0.0, given["hours"] - busy / 3600)
    found = {}
    for name, day in days.items():
        electricity = day["joules"] / 3.6e6 * given["electricity"]
        found[name] = {
            "there": {peer: float(d) * given["rate"] for peer, d in day["there"].items()},
            "electricity": electricity,
            "here": electricity + standing * (day["seconds"] / busy if busy else 0.0),
            "tokens": day["tokens"],
        }
    return found


if __name__ == "__main__":
    with open(sys.argv[2]) as settings:
        json.dump(recomputed(sys.argv[1], json.load(settings)), sys.stdout, indent=2)
