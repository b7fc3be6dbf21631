"""What a bad request, a wrong key or a stranger is told: in the shape of the API, and why."""

from __future__ import annotations

import json
import socket
from typing import Any

import httpx
import pytest
from gesso.agent.errors import ListenError, ServeError
from gesso.agent.serve import Limits, serving
from gesso.agent.serve.keys import Keys
from gesso.engine import Engine
from receipts_to_serve import RECEIPT, SCHEMA, Start

ASK = [{"role": "user", "content": RECEIPT}]
CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
TOOL = {"type": "function", "function": {"name": "save", "parameters": SCHEMA}}


def error_of(answer: httpx.Response) -> dict[str, Any]:
    """The error, once it has the shape that its API gives it."""
    whole = answer.json()
    if answer.request.url.path.startswith(MESSAGES):
        assert whole["type"] == "error"
        assert {"type", "message"} <= set(whole["error"])
    else:
        assert set(whole) == {"error"}
        assert set(whole["error"]) == {"message", "type", "param", "code"}
    return whole["error"]


def chat(url: str, **fields: Any) -> tuple[int, dict[str, Any]]:
    body = {"model": "sketch", "messages": ASK, **fields}
    answer = httpx.post(url + CHAT, json=body, timeout=60)
    return answer.status_code, error_of(answer)


@pytest.mark.parametrize("path", [CHAT, RESPONSES, MESSAGES])
@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"\xff", b'{"model": NaN}', b"[" * 9000, b'{"model": "\\ud800"}']
)
def test_what_is_no_json_object_is_refused(url: str, path: str, body: bytes) -> None:
    answer = httpx.post(url + path, content=body)
    assert answer.status_code == 400
    assert "JSON" in error_of(answer)["message"]


@pytest.mark.parametrize("path", [CHAT, RESPONSES, MESSAGES])
def test_a_schema_of_ten_megabytes_is_too_large(url: str, path: str) -> None:
    schema = {"enum": ["x" * 1000] * 10_000}
    answer = httpx.post(url + path, json={"model": "sketch", "schema": schema})
    assert answer.status_code == 413
    assert "larger than" in error_of(answer)["message"]


def test_a_prompt_beyond_the_context(url: str) -> None:
    status, error = chat(url, messages=[{"role": "user", "content": "word " * 9000}])
    assert (status, error["param"]) == (400, "messages")
    assert error["code"] == "context_length_exceeded"


def test_an_unknown_model(url: str) -> None:
    status, error = chat(url, model="gpt-6")
    assert (status, error["code"]) == (404, "model_not_found")
    assert "sketch" in error["message"]
    assert httpx.get(f"{url}/v1/models/gpt-6").status_code == 404


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": "x", "name": "Ada"}]}, "messages[0].name"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 2, "tools": [TOOL], "tool_choice": "required"}, "max_tokens"),
        ({"seed": 2**64}, "seed"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0].type"),
        ({"tools": [{**TOOL, "function": {"name": "a b"}}]}, "tools"),
        ({"tools": [TOOL], "tool_choice": {"type": "allowed_tools"}}, "tool_choice"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [TOOL], "response_format": {"type": "json_object"}}, "response_format"),
        ({"response_format": {"type": "grammar"}}, "response_format"),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "x", "schema": {"type": "strange"}},
                }
            },
            "response_format.json_schema.schema",
        ),
    ],
)
def test_the_field_to_blame_is_named(url: str, fields: dict[str, Any], param: str) -> None:
    status, error = chat(url, **fields)
    assert status == 400
    assert str(error["param"]).startswith(param)
    assert error["message"].startswith(param)


def test_an_answer_that_no_automaton_can_hold_is_not_passed_off_as_valid(url: str) -> None:
    schema = {"type": "array", "items": {"const": 1}, "minItems": 2, "uniqueItems": True}
    form = {"type": "json_schema", "json_schema": {"name": "ones", "schema": schema}}
    status, error = chat(url, response_format=form, seed=1, max_tokens=40)
    assert status == 422
    assert "not valid" in error["message"]
    body = {"model": "sketch", "messages": ASK, "response_format": form, "seed": 1, "stream": True}
    events = httpx.post(url + CHAT, json={**body, "max_tokens": 40}, timeout=60).text.split("\n\n")
    assert "not valid" in json.loads(events[-2].removeprefix("data: "))["error"]["message"]


def test_other_paths_and_methods(url: str) -> None:
    missing = httpx.post(f"{url}/v1/embeddings")
    assert missing.status_code == 404
    error_of(missing)
    wrong = httpx.get(url + MESSAGES)
    assert wrong.status_code == 405
    assert "POST" in wrong.headers["allow"]
    error_of(wrong)


def test_a_key_is_asked_for_where_there_is_one(start: Start) -> None:
    url = start(Keys({"ONE": "first-key", "TWO": "second-key"}))
    for path in (CHAT, RESPONSES, MESSAGES):
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"x-api-key": "first-keys"}):
            answer = httpx.post(url + path, headers=headers, content=b"not even JSON")
            assert answer.status_code == 401
            assert error_of(answer)["type"] == "authentication_error"
    assert httpx.get(f"{url}/v1/models").status_code == 401
    for headers in ({"Authorization": "Bearer first-key"}, {"x-api-key": "second-key"}):
        assert httpx.get(f"{url}/v1/models", headers=headers).status_code == 200


def test_without_a_key_no_web_page_may_ask(url: str) -> None:
    models = f"{url}/v1/models"
    assert httpx.get(models, headers={"Host": "evil.example"}).status_code == 403
    assert httpx.get(models, headers={"Origin": "https://evil.example"}).status_code == 403
    assert httpx.get(models, headers={"Origin": "null"}).status_code == 403
    assert httpx.get(models, headers={"Origin": "http://localhost:3000"}).status_code == 200


def test_without_a_key_no_other_machine_is_served(sketch: Engine) -> None:
    limits = Limits(1, 0, 100)
    for host in ("0.0.0.0", "192.0.2.1", "::"):
        with (
            pytest.raises(ServeError, match="--key"),
            serving(sketch, host=host, port=0, keys=Keys(), limits=limits),
        ):
            pass


def test_a_port_that_is_taken_is_told(sketch: Engine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = serving(sketch, host="127.0.0.1", port=port, keys=Keys(), limits=Limits(1, 0, 100))
        with pytest.raises(ListenError, match=str(port)), server:
            pass
