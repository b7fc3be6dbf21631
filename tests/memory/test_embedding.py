"""An embedding model over HTTP: a real server on loopback that counts words."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import cast

import pytest
from gesso.memory import EmbeddingError, Memory, served_embedding

NOW = datetime(2026, 11, 25, tzinfo=UTC)
IDEAS = ({"rabbit", "hare", "bunny"}, {"boiler", "heating", "furnace"})


class Server(ThreadingHTTPServer):
    keys: list[str | None]
    answer: bytes | None = None


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server = cast(Server, self.server)
        server.keys.append(self.headers["Authorization"])
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        data = [
            {"index": n, "embedding": [0.01, *(sum(w in text.lower() for w in i) for i in IDEAS)]}
            for n, text in enumerate(asked["input"])
        ]
        body = server.answer or json.dumps({"data": data[::-1]}).encode()
        self.send_response(200 if self.path == "/v1/embeddings" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as server:
        server.keys = []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def address(server: Server) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}/v1"


def test_facts_are_found_by_the_meaning_that_a_server_tells(server: Server, url: str) -> None:
    embedding = served_embedding(address(server), "ideas", key="k-123")
    with Memory(url, embedding=embedding) as memory:
        for text in ("The bunny eats clover", "Brandt mended the furnace", "Rent is due on Friday"):
            memory.remember(text, source="chat", at=NOW)
        (best, *_) = memory.recall("heating", 1)
    assert best.text == "Brandt mended the furnace"
    assert set(server.keys) == {"Bearer k-123"}


def test_without_an_answer_facts_are_found_by_their_words(url: str) -> None:
    embedding = served_embedding("http://127.0.0.1:9/v1", "ideas")
    with Memory(url, embedding=embedding) as memory:
        memory.remember("The bunny eats clover", source="chat", at=NOW)
        assert [fact.text for fact in memory.recall("clover", 1)] == ["The bunny eats clover"]


@pytest.mark.parametrize(
    "answer", [b"no JSON", b"{}", b'{"data": []}', b'{"data": [{"index": 0}]}']
)
def test_an_answer_that_does_not_fit_is_an_error(server: Server, answer: bytes) -> None:
    server.answer = answer
    with pytest.raises(EmbeddingError, match="/v1/embeddings"):
        served_embedding(address(server), "ideas").embed(["a", "b"])
