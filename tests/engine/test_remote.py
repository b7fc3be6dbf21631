"""An engine behind an address, against a real HTTP server that behaves as real ones do."""

from __future__ import annotations

import base64
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import pytest
from gesso.engine import (
    AnswerError,
    ContextError,
    EngineError,
    Image,
    Message,
    RemoteEngine,
    Request,
    RequestError,
    Result,
    ServerError,
    ToolCall,
    ToolDeclaration,
    json_schema,
    regex,
)
from gesso.engine import remote as room
from served import Body, Reply, Script, Server, calls, refuses, says, served

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
WEATHER = ToolDeclaration(
    "weather",
    "The weather of a city.",
    {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
)
TIME = ToolDeclaration("time", "What time it is.", {"type": "object", "properties": {}})
ASKED = Request([Message("user", "Who?")], constraint=json_schema(PERSON))
CALLED = Request([Message("user", "Paris?")], tools=[WEATHER, TIME])
PLAIN = Request([Message("user", "Hello")])
Remote = Callable[..., tuple[RemoteEngine, Server]]


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch) -> Iterator[Remote]:
    """An engine over a server with this script; waits are short."""
    monkeypatch.setattr(room, "WAIT_SECONDS", 0.01)
    with ExitStack() as open_servers:

        def make(script: Script, models: Any = ({"id": "m"},), **options: Any) -> Any:
            at: AbstractContextManager[tuple[str, Server]] = served(script, models)
            url, server = open_servers.enter_context(at)
            engine = RemoteEngine(url, "m", **options)
            return engine, server

        yield make


# what is sent


@pytest.mark.parametrize(
    ("data", "media"),
    [
        (b"\x89PNG\r\n", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "image/webp"),
        (b"II*\0", "image/tiff"),
    ],
)
def test_an_image_is_sent_along_where_it_stands(remote: Remote, data: bytes, media: str) -> None:
    engine, server = remote([says("Fine.")])
    said = Message("user", "Is it? Well?", images=[Image(data, 6)])
    engine.generate(Request([said]))
    (sent,) = server.asked[0]["messages"]
    url = f"data:{media};base64,{base64.b64encode(data).decode()}"
    assert sent["content"] == [
        {"type": "text", "text": "Is it?"},
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "text", "text": " Well?"},
    ]


def test_a_server_that_refuses_images_is_asked_for_schemas_all_the_same(remote: Remote) -> None:
    engine, server = remote([refuses(400, "this model has no image input"), says('"yes"')])
    held = json_schema({"enum": ["yes"]})
    shown = Request([Message("user", "?", images=[Image(b"\x89PNG")])], constraint=held)
    with pytest.raises(RequestError, match="no image input"):
        engine.generate(shown)
    assert engine.generate(Request([Message("user", "?")], constraint=held)).value == "yes"
    assert "response_format" in server.asked[-1]


@pytest.mark.parametrize(
    ("told", "sees"),
    [
        ({}, False),
        ({"architecture": {"input_modalities": ["text", "image"]}}, True),
        ({"architecture": {"input_modalities": ["text"]}}, False),
        ({"capabilities": ["completion", "multimodal"]}, True),
    ],
)
def test_whether_it_reads_images_is_what_the_server_says_or_the_person(
    remote: Remote, told: Body, sees: bool
) -> None:
    engine, _ = remote([says("")], models=[{"id": "m", **told}])
    assert engine.sees is sees
    assert remote([says("")], models=[{"id": "m", **told}], sees=not sees)[0].sees is not sees


def test_a_turn_is_asked_for_and_metered(remote: Remote) -> None:
    usage = {
        "prompt_tokens": 30,
        "completion_tokens": 7,
        "prompt_tokens_details": {"cached_tokens": 12},
    }
    engine, server = remote([says("Hello.", usage=usage)], key="secret")
    request = Request([Message("system", "Be kind."), *PLAIN.messages], seed=7, max_tokens=50)
    result = engine.generate(request)
    assert (result.text, result.finish_reason) == ("Hello.", "stop")
    took = result.usage
    assert (took.prompt_tokens, took.cached_tokens, took.output_tokens) == (30, 12, 7)
    assert took.denoising_seconds > 0
    assert took.joules is None
    assert server.keys == ["Bearer secret"]
    assert server.asked == [
        {
            "model": "m",
            "messages": [
                {"role": "system", "content": "Be kind."},
                {"role": "user", "content": "Hello"},
            ],
            "seed": 7,
            "max_tokens": 50,
        }
    ]


def test_a_schema_goes_strict_and_is_told_as_well(remote: Remote) -> None:
    engine, server = remote([says('{"name": "Ann", "age": 3}')])
    result = engine.generate(ASKED)
    assert result.value == {"name": "Ann", "age": 3}
    (body,) = server.asked
    held = body["response_format"]["json_schema"]
    assert (held["strict"], held["schema"]) == (True, PERSON)
    assert '"minimum":0' in body["messages"][0]["content"]


def test_calls_and_results_keep_their_ids_over_turns(remote: Remote) -> None:
    engine, server = remote([calls(("weather", {"city": "Paris"}), ("time", {}))])
    made = (ToolCall("weather", {"city": "Rome"}), ToolCall("time", {}))
    messages = [
        Message("user", "Rome?"),
        Message("assistant", "I look.", tool_calls=made),
        Message("tool", "sunny", name="weather"),
        Message("tool", "noon", name="time"),
        Message("user", "And Paris?"),
    ]
    result = engine.generate(Request(messages, tools=[WEATHER, TIME]))
    assert result.tool_calls == (ToolCall("weather", {"city": "Paris"}), ToolCall("time", {}))
    assert result.finish_reason == "tool_calls"
    sent = server.asked[0]["messages"]
    ids = [call["id"] for call in sent[1]["tool_calls"]]
    assert [one["tool_call_id"] for one in sent if one["role"] == "tool"] == ids
    assert sent[1]["tool_calls"][0]["function"]["arguments"] == '{"city":"Rome"}'


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("auto", "auto"),
        ("none", "none"),
        ("required", "required"),
        ("weather", {"type": "function", "function": {"name": "weather"}}),
    ],
)
def test_the_choice_of_a_tool_is_sent(remote: Remote, choice: str, sent: Any) -> None:
    reply = says("No.") if choice == "none" else calls(("weather", {"city": "Rome"}))
    engine, server = remote([reply])
    engine.generate(Request(PLAIN.messages, tools=[WEATHER, TIME], tool_choice=choice))
    assert server.asked[0]["tool_choice"] == sent


# what is taken


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call>',
        '<tool_call>{"name": "weather", "arguments": {"city": "Rome"}}',
        '<|tool_call>call:weather{city:<|"|>Rome<|"|>}<tool_call|>',
        '{"name": "weather", "parameters": {"city": "Rome"}}',
        '```json\n[{"name": "weather", "arguments": {"city": "Rome"}}]\n```',
        '{"type": "function", "function": {"name": "weather", "arguments": {"city": "Rome"}}}',
    ],
)
def test_a_call_that_was_left_in_the_text_is_found(remote: Remote, text: str) -> None:
    engine, _ = remote([says(text)])
    assert engine.generate(CALLED).tool_calls == (ToolCall("weather", {"city": "Rome"}),)


def test_json_that_names_no_tool_is_text(remote: Remote) -> None:
    engine, _ = remote([says('{"name": "Ann"}')])
    result = engine.generate(CALLED)
    assert (result.text, result.tool_calls) == ('{"name": "Ann"}', ())


def test_a_thought_is_kept_apart(remote: Remote) -> None:
    engine, _ = remote([says("<think>Hm.</think>\n\nYes.")])
    result = engine.generate(PLAIN)
    assert (result.thought, result.text) == ("Hm.", "Yes.")
    engine, _ = remote([says("Yes.", reasoning_content="Hm.")])
    assert engine.generate(PLAIN).thought == "Hm."


def test_a_fence_around_a_value_is_taken_off(remote: Remote) -> None:
    engine, _ = remote([says('```json\n{"name": "Ann", "age": 3}\n```')])
    assert engine.generate(ASKED).value == {"name": "Ann", "age": 3}


def test_what_is_not_valid_is_explained_and_asked_for_again(remote: Remote) -> None:
    engine, server = remote([says('{"name": "Ann", "age": -3}'), says('{"name": "Ann", "age": 3}')])
    result = engine.generate(ASKED)
    assert result.value == {"name": "Ann", "age": 3}
    assert (result.usage.prompt_tokens, result.usage.output_tokens) == (200, 40)
    *_, said, wrong = server.asked[1]["messages"]
    assert said == {"role": "assistant", "content": '{"name": "Ann", "age": -3}'}
    assert "/age: -3 is less than the minimum of 0" in wrong["content"]


@pytest.mark.parametrize(
    ("reply", "wrong"),
    [
        (calls(("weather", {"town": "Rome"})), "town"),
        (calls(("storm", {})), "storm may not be called"),
        (calls(("weather", '{"city": "Ro')), "Unterminated string"),
        (calls(("weather", "[1]")), "no object"),
        (says("<tool_call>{nonsense}</tool_call>"), "nonsense|not JSON|property name"),
    ],
)
def test_a_call_that_is_not_valid_is_never_made(remote: Remote, reply: Reply, wrong: str) -> None:
    engine, server = remote([reply])
    with pytest.raises(AnswerError, match=wrong) as raised:
        engine.generate(CALLED)
    assert len(server.asked) == 3
    assert raised.value.usage.prompt_tokens == 300


@pytest.mark.parametrize(
    ("choice", "most", "reply"),
    [
        ("required", None, says("No.")),
        ("weather", None, calls(("time", {}))),
        ("none", None, calls(("time", {}))),
        ("auto", 1, calls(("time", {}), ("time", {}))),
    ],
)
def test_the_choice_is_held_to_here(
    remote: Remote, choice: str, most: int | None, reply: Reply
) -> None:
    engine, _ = remote([reply])
    request = Request(PLAIN.messages, tools=[WEATHER, TIME], tool_choice=choice, most_calls=most)
    with pytest.raises(AnswerError):
        engine.generate(request)


def test_any_constraint_is_held_to_by_asking_again(remote: Remote) -> None:
    engine, _ = remote([says("about twelve"), says("12")])
    assert engine.generate(Request(PLAIN.messages, constraint=regex("[0-9]+"))).text == "12"


def test_an_answer_that_was_cut_is_no_value(remote: Remote) -> None:
    engine, server = remote([says('{"name": "An', finish_reason="length")])
    result = engine.generate(ASKED)
    assert (result.finish_reason, result.value, len(server.asked)) == ("length", None, 1)


# servers that lack something


def lacks(*known: tuple[Callable[[Body], Any], str]) -> Callable[[Body], Reply]:
    """A server that refuses what it does not take, in its own words, and else answers."""

    def answer(body: Body) -> Reply:
        for has, words in known:
            if has(body):
                return refuses(400, words)
        if "tools" in body or "<tool_call>" in body["messages"][0]["content"]:
            return says('<tool_call>{"name": "time", "arguments": {}}</tool_call>')
        return says('{"name": "Ann", "age": 3}')

    return answer


def test_a_server_without_structured_outputs_is_told_in_the_prompt(remote: Remote) -> None:
    diffusion = "Diffusion models do not support structured outputs"  # as vLLM says it
    engine, server = remote(lacks((lambda body: "response_format" in body, diffusion)))
    assert engine.generate(ASKED).value == {"name": "Ann", "age": 3}
    assert engine.generate(ASKED).value == {"name": "Ann", "age": 3}
    assert ["response_format" in body for body in server.asked] == [True, False, False]


def test_a_server_that_cannot_be_strict_is_asked_without(remote: Remote) -> None:
    words = "Invalid schema: 'additionalProperties' is required to be false"

    def strict(body: Body) -> bool:
        return body.get("response_format", {}).get("json_schema", {}).get("strict", False)

    engine, server = remote(lacks((strict, words)))
    engine.generate(ASKED)
    assert "strict" not in server.asked[1]["response_format"]["json_schema"]


def test_a_model_without_tools_is_told_of_them_in_the_prompt(remote: Remote) -> None:
    words = "registry.ollama.ai/library/m does not support tools"
    engine, server = remote(lacks((lambda body: "tools" in body, words)))
    result = engine.generate(
        Request(
            [
                Message("user", "Paris?"),
                Message("assistant", tool_calls=[ToolCall("weather", {"city": "Paris"})]),
                Message("tool", "sunny", name="weather"),
            ],
            tools=[WEATHER, TIME],
        )
    )
    assert result.tool_calls == (ToolCall("time", {}),)
    system, _, called, answered = server.asked[-1]["messages"]
    assert '"name":"weather"' in system["content"]
    assert called["content"].startswith('<tool_call>{"name":"weather"')
    assert answered == {"role": "user", "content": "weather answers: sunny"}


def test_other_words_are_found_for_the_bound_and_the_seed(remote: Remote) -> None:
    engine, server = remote(
        lacks(
            (lambda body: "max_tokens" in body, "Use 'max_completion_tokens' instead."),
            (lambda body: "seed" in body, "Unrecognized request argument: seed"),
        )
    )
    engine.generate(Request(PLAIN.messages, seed=1, max_tokens=9))
    assert server.asked[-1]["max_completion_tokens"] == 9
    assert not {"seed", "max_tokens"} & set(server.asked[-1])


def test_a_refusal_that_nothing_mends_is_told_in_the_servers_words(remote: Remote) -> None:
    engine, server = remote([refuses(400, "messages: the roles must alternate")])
    with pytest.raises(RequestError, match="the roles must alternate"):
        engine.generate(PLAIN)
    assert len(server.asked) == 1


# servers that are in trouble


def test_a_busy_server_is_asked_again_when_it_says(remote: Remote) -> None:
    engine, server = remote([refuses(429, "slow down", Retry_After="0.3"), says("Hello.")])
    began = time.monotonic()
    assert engine.generate(PLAIN).text == "Hello."
    assert time.monotonic() - began >= 0.3
    assert len(server.asked) == 2


def test_a_server_that_wants_hours_is_not_waited_for(remote: Remote) -> None:
    engine, server = remote([refuses(429, "quota", Retry_After="7200")])
    with pytest.raises(ServerError, match="status 429: quota"):
        engine.generate(PLAIN)
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 529])
def test_a_server_that_stays_busy_is_told_of(remote: Remote, status: int) -> None:
    engine, server = remote([refuses(status, "not now")])
    with pytest.raises(ServerError, match=f"status {status}: not now"):
        engine.generate(PLAIN)
    assert len(server.asked) == 5


def test_an_answer_that_breaks_off_is_asked_for_again(remote: Remote) -> None:
    whole = says("Hello.")
    engine, server = remote([Reply(200, whole.body, cut=True), whole])
    result = engine.generate(PLAIN)
    assert (result.text, result.usage.prompt_tokens) == ("Hello.", 100)
    assert len(server.asked) == 2


@pytest.mark.parametrize("body", ["<html>hello</html>", {}, {"choices": []}, [], {"choices": [{}]}])
def test_what_is_no_answer_is_an_error_of_the_server(remote: Remote, body: Any) -> None:
    engine, _ = remote([Reply(200, body)])
    with pytest.raises(ServerError):
        engine.generate(PLAIN)


def test_what_was_paid_before_a_server_went_is_told(remote: Remote) -> None:
    engine, _ = remote([says("not JSON"), refuses(503, "gone")])
    with pytest.raises(ServerError) as raised:
        engine.generate(ASKED)
    assert raised.value.usage.prompt_tokens == 100


def test_nobody_at_the_address_is_an_error_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "WAIT_SECONDS", 0.001)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    engine = RemoteEngine(f"http://127.0.0.1:{port}/v1", "m")
    with pytest.raises(ServerError, match="does not answer: ConnectError"):
        engine.generate(PLAIN)
    with pytest.raises(ServerError):
        _ = engine.context_length


def test_a_key_that_is_refused_names_the_setting(remote: Remote) -> None:
    engine, _ = remote([refuses(401, "Incorrect API key")])
    with pytest.raises(RequestError, match=r"remote_keys in gesso\.toml"):
        engine.generate(PLAIN)


def test_a_model_that_is_not_there_names_those_that_are(remote: Remote) -> None:
    engine, _ = remote([refuses(404, "no m")], models=[{"id": "a"}, {"id": "b"}])
    with pytest.raises(RequestError, match="it has a, b"):
        engine.generate(PLAIN)


@pytest.mark.parametrize(
    "words",
    [
        "This model's maximum context length is 4096 tokens",
        "the request exceeds the available context size (4096 tokens)",
    ],
)
def test_a_prompt_that_is_too_long_is_told_from_other_refusals(remote: Remote, words: str) -> None:
    engine, server = remote([refuses(400, words)])
    with pytest.raises(ContextError):
        engine.generate(CALLED)
    assert len(server.asked) == 1


# what the agents ask of an engine


@pytest.mark.parametrize(
    ("model", "length"),
    [
        ({"id": "m", "max_model_len": 4096}, 4096),
        ({"id": "m", "context_length": 5000}, 5000),
        ({"id": "m", "meta": {"n_ctx": 2048}}, 2048),
        ({"id": "other", "max_model_len": 4096}, 8192),
        ({"id": "m"}, 8192),
    ],
)
def test_the_context_is_what_the_server_says(remote: Remote, model: Body, length: int) -> None:
    engine, _ = remote([says("")], models=[model])
    assert engine.context_length == length
    engine, _ = remote([says("")], models=[model], context_length=600)
    assert engine.context_length == 600


def test_a_batch_is_asked_for_together_and_stays_in_order(remote: Remote) -> None:
    def echo(body: Body) -> Reply:
        text = body["messages"][-1]["content"]
        return refuses(400, "no") if text == "3" else says(text)

    engine, _ = remote(echo)
    requests = [Request([Message("user", str(number))]) for number in range(20)]
    answers = engine.generate_batch(requests)
    assert isinstance(answers[3], EngineError)
    texts = [one.text if isinstance(one, Result) else "" for one in answers]
    assert texts == ["" if number == 3 else str(number) for number in range(20)]


def test_a_server_without_usage_is_metered_by_length(remote: Remote) -> None:
    reply = says("Hello there.")
    assert isinstance(reply.body, dict)
    engine, _ = remote([Reply(200, {**reply.body, "usage": None})])
    took = engine.generate(PLAIN).usage
    assert (took.prompt_tokens > 0, took.output_tokens) == (True, 4)
