"""A server of chat completions that answers as it is told to, over real HTTP: also as the servers
that people run misbehave."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Body = Mapping[str, Any]


@dataclass(frozen=True)
class Reply:
    """`cut`: the connection ends in the middle of the body."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False


Script = Sequence[Reply] | Callable[[Body], Reply]


def says(text: str | None, *, usage: Body | None = None, **message: Any) -> Reply:
    """A chat completion that says this."""
    reason = message.pop("finish_reason", "stop")
    usage = {"prompt_tokens": 100, "completion_tokens": 20} if usage is None else usage
    choice = {"message": {"role": "assistant", "content": text, **message}, "finish_reason": reason}
    return Reply(200, {"object": "chat.completion", "choices": [choice], "usage": usage})


def calls(*named: tuple[str, Any]) -> Reply:
    """A chat completion that calls these tools, its arguments JSON text, or as they are."""
    made = [
        {
            "id": f"c{number}",
            "type": "function",
            "function": {
                "name": name,
                "arguments": json.dumps(arguments) if isinstance(arguments, dict) else arguments,
            },
        }
        for number, (name, arguments) in enumerate(named)
    ]
    return says(None, tool_calls=made, finish_reason="tool_calls")


def refuses(status: int, message: str, **headers: str) -> Reply:
    error = {"error": {"message": message, "type": "invalid_request_error"}}
    return Reply(status, error, {name.replace("_", "-"): value for name, value in headers.items()})


class Server:
    """`asked` has the body of every request, `keys` their Authorization."""

    def __init__(self, script: Script, models: Sequence[Body]) -> None:
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.models = models
        self._script = script
        self._lock = threading.Lock()

    def answer(self, body: dict[str, Any], key: str | None) -> Reply:
        with self._lock:
            self.asked.append(body)
            self.keys.append(key)
            if callable(self._script):
                return self._script(body)
            return self._script[min(len(self.asked), len(self._script)) - 1]


@contextmanager
def served(script: Script, models: Sequence[Body] = ({"id": "m"},)) -> Iterator[tuple[str, Server]]:
    """A server on loopback, by its address; the last reply of a script is said again and again."""
    server = Server(script, models)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send(Reply(200, {"object": "list", "data": list(server.models)}))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self._send(server.answer(body, self.headers.get("Authorization")))

        def _send(self, reply: Reply) -> None:
            text = reply.body if isinstance(reply.body, str) else json.dumps(reply.body)
            data = text.encode()
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if reply.cut else data)
            self.close_connection = reply.cut

        def log_message(self, format: str, *args: Any) -> None:
            """What pytest should not be told."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    thread = threading.Thread(target=http.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{http.server_port}/v1", server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
