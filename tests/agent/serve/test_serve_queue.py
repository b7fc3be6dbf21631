"""Requests side by side: who waits, who is turned away, and how a place becomes free again."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from gesso.agent.serve import Limits, serving
from gesso.agent.serve.keys import Keys
from gesso.engine import Engine, Message, Request, json_schema
from gesso.memory import Store
from receipts_to_serve import LONG, RECEIPT, SCHEMA, Start

ASK = [{"role": "user", "content": RECEIPT}]
CHAT = "/v1/chat/completions"
SHORT: dict[str, Any] = {"model": "sketch", "messages": ASK, "max_tokens": 30, "seed": 1}


def held(schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    form = {"type": "json_schema", "json_schema": {"name": "it", "schema": schema}}
    return {"model": "sketch", "messages": ASK, "response_format": form, **more}


def begun(url: str) -> socket.socket:
    """A long answer that is being written, on a connection of its own."""
    host, port = url.removeprefix("http://").split(":")
    body = json.dumps(held(LONG, stream=True)).encode()
    connection = socket.create_connection((host, int(port)), timeout=30)
    head = f"POST {CHAT} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)
    assert connection.recv(12) == b"HTTP/1.1 200"
    return connection


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def short(url: str) -> httpx.Response:
    return httpx.post(url + CHAT, json=SHORT, timeout=60)


def test_answers_side_by_side_are_what_they_would_be_alone(url: str, sketch: Engine) -> None:
    asked = [f"Customer: {name}\nTotal: {n}.50" for n, name in enumerate("ABCDEFGH")]

    def ask(content: str) -> str:
        body = held(SCHEMA, seed=4) | {"messages": [{"role": "user", "content": content}]}
        answer = httpx.post(url + CHAT, json=body, timeout=60).json()
        return answer["choices"][0]["message"]["content"]

    with ThreadPoolExecutor(len(asked)) as pool:
        found = list(pool.map(ask, asked))
    constraint = json_schema(SCHEMA)
    assert found == [
        sketch.generate(
            Request([Message("user", content)], constraint=constraint, seed=4, max_tokens=400)
        ).text
        for content in asked
    ]


def test_whoever_finds_no_place_is_told_when_to_come_again(start: Start) -> None:
    url = start(side_by_side=1, waiting=0)
    with begun(url):
        answer = short(url)
        assert answer.status_code == 429
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert answer.json()["error"]["type"] == "rate_limit_error"
        body = {"model": "sketch", "messages": ASK, "max_tokens": 5}
        answer = httpx.post(f"{url}/v1/messages", json=body)
        assert answer.status_code == 429
        assert answer.json()["error"]["type"] == "rate_limit_error"


def resets(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()


@pytest.mark.parametrize(
    "go", [socket.socket.close, resets, lambda one: one.shutdown(socket.SHUT_WR)]
)
def test_a_client_that_goes_frees_its_place_at_the_next_step(
    start: Start, go: Callable[[socket.socket], None]
) -> None:
    url = start(side_by_side=1, waiting=0)
    connection = begun(url)
    assert short(url).status_code == 429
    go(connection)
    wait_for(lambda: short(url).status_code == 200)
    connection.close()


def test_a_client_that_goes_before_its_turn_frees_its_place(start: Start) -> None:
    url = start(side_by_side=1, waiting=1)
    with begun(url) as first:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(url + CHAT, json=SHORT, timeout=0.5)
        time.sleep(0.2)
        with ThreadPoolExecutor(1) as pool:
            waits = pool.submit(short, url)
            time.sleep(0.2)
            assert not waits.done()
            first.close()
            assert waits.result().status_code == 200


def test_whoever_reads_slowly_holds_nobody_up(start: Start) -> None:
    url = start(side_by_side=2, waiting=0)
    with begun(url):  # and reads nothing
        assert [short(url).status_code for _ in range(3)] == [200, 200, 200]


def test_at_the_end_what_is_being_written_is_and_what_waits_is_refused(sketch: Engine) -> None:
    limits = Limits(side_by_side=1, waiting=8, tokens=400)
    long = held({"type": "string", "minLength": 120}, seed=1)
    server = serving(sketch, host="127.0.0.1", port=0, keys=Keys(), limits=limits)
    url = server.__enter__()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(httpx.post, url + CHAT, json=long, timeout=60)
        time.sleep(0.5)
        second = pool.submit(short, url)
        time.sleep(0.3)
        server.__exit__(None, None, None)
        assert first.result().status_code == 200
        assert len(json.loads(first.result().json()["choices"][0]["message"]["content"])) >= 120
        assert second.result().status_code == 503
        assert second.result().json()["error"]["type"] == "server_error"
    with pytest.raises(httpx.ConnectError):
        short(url)


def test_a_failure_of_the_model_is_told_and_survived(
    start: Start, sketch: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = start(side_by_side=2, waiting=2)
    run, failed = sketch.model.run, threading.Event()

    def broken(passes: Any) -> Any:
        if not failed.is_set():
            failed.set()
            raise RuntimeError("out of memory")
        return run(passes)

    monkeypatch.setattr(sketch.model, "run", broken)
    answer = short(url)
    assert answer.status_code == 500
    assert "out of memory" in answer.json()["error"]["message"]
    assert short(url).status_code == 200


def test_every_turn_is_in_the_ledger(start: Start, tmp_path: Path) -> None:
    with Store(tmp_path / "store.db") as store:
        url = start(side_by_side=2, waiting=2, store=store)
        usages = [short(url).json()["usage"] for _ in range(2)]
        entries = list(store.ledger.entries(agent="serve"))
        assert [entry.prompt_tokens for entry in entries] == [u["prompt_tokens"] for u in usages]
        assert [entry.output_tokens for entry in entries] == [
            usage["completion_tokens"] for usage in usages
        ]
        assert {entry.model for entry in entries} == {"sketch"}
        begun(url).close()  # it is given up
        wait_for(lambda: len(list(store.ledger.entries(agent="serve"))) == 3)
        now = datetime.now(UTC)
        spent = store.ledger.spends([now - timedelta(minutes=1), now], agent="serve")
        assert sum(spend.generations for spend in spent) == 3
