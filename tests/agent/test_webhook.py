"""Signed deliveries over real HTTP, and the runs they start."""

import json
import logging
import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from gesso.agent import AgentError, Runtime
from gesso.agent.settings import Settings
from gesso.agent.webhook import BODY_LIMIT, sign
from gesso.engine import Engine
from scripted import calls, engine, requests, says
from waiting import wait_until, watching

SECRET = "a secret that nobody knows"
BODY = json.dumps({"action": "opened", "title": "It is broken: Größe"}).encode()


@pytest.fixture
def hooked(
    project: Path, write_agent: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    monkeypatch.setenv("HOOK_SECRET", SECRET)

    def write(extra: str = "") -> None:
        write_agent(f"name: clerk\ntriggers: [{{webhook: issues, secret: HOOK_SECRET{extra}}}]")

    write()
    return write


@pytest.fixture
def url() -> Iterator[Callable[[], str]]:
    """Where the server says that it listens."""
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.extend(
        re.findall(r"listening on (\S+)", record.getMessage())
    )
    log = logging.getLogger("gesso")
    log.setLevel(logging.INFO)
    log.addHandler(handler)

    def find() -> str:
        wait_until(lambda: bool(said))
        return said[-1]

    yield find
    log.removeHandler(handler)
    log.setLevel(logging.NOTSET)


@pytest.fixture
def runtime(
    project: Path, hooked: Callable[..., None], url: Callable[[], str]
) -> Iterator[Runtime]:
    with Runtime(project, engine=engine(says("ok")), listen=False) as runtime:
        runtime.load()
        with watching(runtime):
            yield runtime


def post(url: str, body: bytes = BODY, delivery: dict[str, str] | None = None) -> httpx.Response:
    headers = {"X-Hub-Signature-256": sign(SECRET, body)} | (delivery or {})
    return httpx.post(url, content=body, headers=headers)


def test_a_signed_delivery_is_a_run(
    project: Path, hooked: Callable[..., None], url: Callable[[], str]
) -> None:
    hooked(", message: Look at the issue.")
    scripted = engine(says("ok"))
    with Runtime(project, engine=scripted) as runtime:
        runtime.load()
        with watching(runtime):
            answer = post(url())
            assert answer.status_code == 202
            ended = runtime.wait(answer.json()["run"])
    assert (ended.state, ended.trigger) == ("done", "webhook issues")
    told = requests(scripted)[0].messages[1].content
    assert told.startswith("Look at the issue.\n\nWebhook issues was called.")
    found = re.search(r"\[data (\w+)\]\n(.*)\n\[end of data (\w+)\]$", told)
    assert found is not None
    assert found[1] == found[3]
    assert found[2].encode() == BODY


def test_what_a_delivery_says_sends_nothing_without_approval(
    project: Path,
    url: Callable[[], str],
    hooked: Callable[..., None],
    write_agent: Callable[..., Path],
) -> None:
    write_agent(
        "name: clerk\ntools: [fetch]\nhosts: [example.com]\n"
        "triggers: [{webhook: issues, secret: HOOK_SECRET}]"
    )
    scripted: Engine = engine(calls(("fetch", {"url": "https://example.com/?q=secret"})))
    with Runtime(project, engine=scripted) as runtime:
        runtime.load()
        with watching(runtime):
            ended = runtime.wait(post(url()).json()["run"])
    assert ended.reason is not None
    assert "waits for approval: fetch sends, and the run has read what came from" in ended.reason


@pytest.mark.parametrize("header", ["X-GitHub-Delivery", "Idempotency-Key"])
def test_a_delivery_that_comes_again_is_the_same_run(
    runtime: Runtime, url: Callable[[], str], header: str
) -> None:
    first, again = (post(url(), delivery={header: "72d3162e"}) for _ in range(2))
    other = post(url(), delivery={header: "99d3162e"})
    assert [answer.status_code for answer in (first, again, other)] == [202] * 3
    assert first.json() == again.json()
    assert first.json() != other.json()
    assert len(runtime.store.runs()) == 2


def test_deliveries_without_a_name_are_runs_of_their_own(
    runtime: Runtime, url: Callable[[], str]
) -> None:
    assert post(url()).json() != post(url()).json()
    assert len(runtime.store.runs()) == 2


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "sha256=",
        "sha256=" + "0" * 64,
        "sha1=" + sign(SECRET, BODY).removeprefix("sha256="),
        sign(SECRET, BODY).removeprefix("sha256="),
        sign(SECRET, BODY + b" "),
        sign("another secret", BODY),
        sign(SECRET, BODY).upper(),
        "sha256=é",
    ],
)
def test_a_wrong_signature_is_401(runtime: Runtime, url: Callable[[], str], signature: str) -> None:
    answer = httpx.post(
        url(), content=BODY, headers=[(b"X-Hub-Signature-256", signature.encode("latin-1"))]
    )
    assert answer.status_code == 401
    assert not runtime.store.runs()


def test_what_is_not_taken(runtime: Runtime, url: Callable[[], str]) -> None:
    assert httpx.post(url(), content=BODY).status_code == 401
    assert httpx.get(url()).status_code == 405
    assert post(url() + "x").status_code == 404
    assert post(url().removesuffix("/hooks/issues") + "/docs").status_code == 404
    assert post(url(), body=b"\xff\xfe").status_code == 400
    assert post(url(), body=b"x" * (BODY_LIMIT + 1)).status_code == 413
    assert not runtime.store.runs()
    assert post(url(), body=b"x" * BODY_LIMIT).status_code == 202


def test_a_body_whose_length_is_not_told_is_cut_off_at_the_limit(
    runtime: Runtime, url: Callable[[], str]
) -> None:
    chunks = (b"x" * 65536 for _ in range(BODY_LIMIT // 65536 + 1))
    headers = {"X-Hub-Signature-256": "sha256=00"}
    assert httpx.post(url(), content=chunks, headers=headers).status_code == 413
    assert not runtime.store.runs()


def test_the_secret_may_come_later(
    project: Path,
    runtime: Runtime,
    url: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.delenv("HOOK_SECRET")
    assert post(url()).status_code == 503
    assert "the secret HOOK_SECRET is missing: put it in the environment or " in caplog.text
    secrets = project / ".gesso" / "secrets"
    secrets.write_text(f"HOOK_SECRET={SECRET}\n")
    secrets.chmod(0o600)
    assert post(url()).status_code == 202


def test_a_port_that_is_taken_is_an_error(project: Path, hooked: Callable[..., None]) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        Runtime(
            project,
            engine=engine(says("ok")),
            listen=False,
            settings=Settings(web_port=(port := taken.getsockname()[1])),
        ) as runtime,
    ):
        runtime.load()
        with pytest.raises(AgentError, match=f":{port}: cannot listen for webhooks: Address alr"):
            runtime.watch(threading.Event())


def test_nothing_listens_without_a_webhook(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        Runtime(project, engine=engine(says("ok")), listen=False) as runtime,
    ):
        runtime.load()
        with watching(runtime, port=taken.getsockname()[1]):
            pass
    assert "listening" not in caplog.text


def test_two_agents_cannot_have_one_webhook(project: Path, hooked: Callable[..., None]) -> None:
    twin = (project / "agents" / "clerk.md").read_text().replace("name: clerk", "name: twin")
    (project / "agents" / "twin.md").write_text(twin)
    with (
        Runtime(project, engine=engine(says("ok")), listen=False) as runtime,
        pytest.raises(AgentError, match=r"twin\.md:3: triggers\.0\.webhook: clerk has a webhook i"),
    ):
        runtime.load()
