"""Pictures in requests: in the words of the three APIs, by their own clients and ours."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from anthropic import Anthropic
from gesso.agent.serve import Limits, serving
from gesso.agent.serve.chat import CHAT
from gesso.agent.serve.keys import Keys
from gesso.agent.serve.messages import MESSAGES
from gesso.agent.serve.refusal import Refusal
from gesso.agent.serve.responses import RESPONSES
from gesso.engine import Engine, Image, Message, RemoteEngine, Request, choice, load_engine
from openai import BadRequestError, OpenAI
from oracle import Shape, save_checkpoint
from PIL import Image as Pillow

NAME = "seeing"
SCHEMA = {"enum": ["a receipt", "a letter"]}


def png(shade: int) -> bytes:
    file = io.BytesIO()
    slope = np.linspace(0, shade, 120 * 200).reshape(120, 200).astype(np.uint8)
    Pillow.fromarray(slope).save(file, "PNG")
    return file.getvalue()


ONE, OTHER = png(255), png(90)


def url_of(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder = tmp_path_factory.mktemp("models") / NAME
    save_checkpoint(folder, Shape(NAME, layers="sf", window=64, canvas=16))
    return load_engine(folder)


@pytest.fixture(scope="module")
def seen_at(seeing: Engine) -> Iterator[str]:
    limits = Limits(side_by_side=4, waiting=16, tokens=32)
    with serving(seeing, host="127.0.0.1", port=0, keys=Keys(), limits=limits) as url:
        yield url


def test_chat_completions_take_data_urls(seen_at: str, seeing: Engine) -> None:
    said: Any = [
        {"type": "text", "text": "First "},
        {"type": "image_url", "image_url": {"url": url_of(ONE)}},
        {"type": "text", "text": "then"},
        {"type": "image_url", "image_url": {"url": url_of(OTHER), "detail": "auto"}},
    ]
    form: Any = {"type": "json_schema", "json_schema": {"name": "kind", "schema": SCHEMA}}
    with OpenAI(base_url=f"{seen_at}/v1", api_key="none", max_retries=0) as client:
        answer = client.chat.completions.create(
            model=NAME,
            messages=[{"role": "user", "content": said}],
            response_format=form,
            seed=1,
        )
    images = [Image(ONE, 6), Image(OTHER, 10)]
    request = Request([Message("user", "First then", images=images)], seed=1)
    assert answer.usage is not None
    # the schema is told to the model in the system turn, which the other one does not have
    assert answer.usage.prompt_tokens > seeing.prompt_tokens(request)
    assert answer.choices[0].message.content in ('"a receipt"', '"a letter"')


def test_responses_take_input_images(seen_at: str) -> None:
    said: Any = [
        {
            "role": "user",
            "content": [
                {"type": "input_image", "image_url": url_of(ONE), "detail": "auto"},
                {"type": "input_text", "text": "Which?"},
            ],
        }
    ]
    with OpenAI(base_url=f"{seen_at}/v1", api_key="none", max_retries=0) as client:
        answer = client.responses.create(model=NAME, input=said, max_output_tokens=16)
    assert answer.usage is not None
    assert answer.usage.input_tokens > 30


def test_messages_take_images_also_in_a_tools_result(seen_at: str) -> None:
    image: Any = {
        "type": "image",
        "source": {
            "type": "base64",
            "media_type": "image/png",
            "data": base64.b64encode(ONE).decode(),
        },
    }
    called: Any = [
        {"role": "user", "content": [image, {"type": "text", "text": "Look"}]},
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "t", "name": "draw", "input": {}}],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "t",
                    "content": [{"type": "text", "text": "done"}, image],
                }
            ],
        },
    ]
    with Anthropic(base_url=seen_at, api_key="none", max_retries=0) as client:
        first = client.messages.count_tokens(model=NAME, messages=called[:1])
        whole = client.messages.count_tokens(model=NAME, messages=called)
        client.messages.create(model=NAME, messages=called, max_tokens=16)
    assert whole.input_tokens > 2 * first.input_tokens - 10
    request = MESSAGES.read({"model": NAME, "messages": called, "max_tokens": 9}, 99).request
    assert [(one.role, one.content, len(one.images)) for one in request.messages] == [
        ("user", "Look", 1),
        ("assistant", "", 0),
        ("tool", "done", 0),
        ("user", "", 1),
    ]


def chat(part: Any, role: str = "user") -> Any:
    return CHAT, {"model": "m", "messages": [{"role": role, "content": [part]}]}


def responses(part: Any, role: str = "user") -> Any:
    return RESPONSES, {"model": "m", "input": [{"role": role, "content": [part]}]}


def messages(source: Any) -> Any:
    said = [{"role": "user", "content": [{"type": "image", "source": source}]}]
    return MESSAGES, {"model": "m", "max_tokens": 9, "messages": said}


FAR = "https://example.com/a.png"


@pytest.mark.parametrize(
    ("asked", "param", "complaint"),
    [
        (
            chat({"type": "image_url", "image_url": {"url": FAR}}),
            "messages[0].content[0].image_url.url",
            "fetches nothing",
        ),
        (
            chat({"type": "image_url", "image_url": {"url": "data:image/png;base64,é"}}),
            "messages[0].content[0].image_url.url",
            "not base64",
        ),
        (
            chat({"type": "image_url", "image_url": {"url": url_of(ONE), "detail": "low"}}),
            "messages[0].content[0].image_url.detail",
            "auto",
        ),
        (
            chat({"type": "image_url", "image_url": {"url": url_of(ONE)}}, "system"),
            "messages[0].content[0].type",
            "text",
        ),
        (
            responses({"type": "input_image", "image_url": FAR}),
            "input[0].content[0].image_url",
            "fetches nothing",
        ),
        (
            responses({"type": "input_image", "file_id": "f"}),
            "input[0].content[0].image_url",
            "required",
        ),
        (
            responses({"type": "input_image", "image_url": url_of(ONE)}, "assistant"),
            "input[0].content[0].type",
            "a user's messages",
        ),
        (
            messages({"type": "url", "url": FAR}),
            "messages[0].content[0].source.type",
            "base64",
        ),
        (
            messages({"type": "base64", "media_type": "image/png", "data": "?"}),
            "messages[0].content[0].source.data",
            "not base64",
        ),
    ],
)
def test_what_cannot_be_shown_is_refused_by_name(asked: Any, param: str, complaint: str) -> None:
    dialect, body = asked
    with pytest.raises(Refusal, match=complaint) as refused:
        dialect.read(body, 99)
    assert refused.value.status == 400
    assert refused.value.param == param


def test_a_picture_that_cannot_be_read_is_the_requests_fault(seen_at: str) -> None:
    part: Any = {"type": "image_url", "image_url": {"url": url_of(ONE[:100])}}
    with (
        OpenAI(base_url=f"{seen_at}/v1", api_key="none", max_retries=0) as client,
        pytest.raises(BadRequestError, match="image 1 cannot be read"),
    ):
        client.chat.completions.create(model=NAME, messages=[{"role": "user", "content": [part]}])


def test_a_model_that_does_not_see_says_so(url: str) -> None:
    part = {"type": "image_url", "image_url": {"url": url_of(ONE)}}
    body = {"model": "sketch", "messages": [{"role": "user", "content": [part]}]}
    answer = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=60)
    assert answer.status_code == 400
    assert "sketch reads no images" in answer.json()["error"]["message"]


def test_one_gesso_shows_another_its_pictures(seen_at: str, seeing: Engine, url: str) -> None:
    far = RemoteEngine(f"{seen_at}/v1", NAME)
    assert far.sees
    assert not RemoteEngine(f"{url}/v1", "sketch").sees
    images = [Image(ONE, 5), Image(OTHER, 5)]
    said = Message("user", "These", images=images)
    request = Request([said], constraint=choice(["yes", "no"]), seed=1)
    assert seeing.prompt_tokens(request) <= far.prompt_tokens(request) < 4000
    told = Request([said], seed=1, max_tokens=16)
    here, there = seeing.generate(told), far.generate(told)
    assert there.text == here.text
    assert there.usage.prompt_tokens == here.usage.prompt_tokens
