"""Secrets: where they are read from, and all the texts that do not show them."""

import base64
import html
import io
import json
import logging
import os
import re
import textwrap
import time
import urllib.parse
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gesso.tools import (
    Context,
    Redactor,
    Registry,
    SecretError,
    Secrets,
    ToolError,
    ToolFailedError,
    read_secrets,
    tool,
)

KEY = 'sk-Zoë/4+"a&b\\c d'
PEM = (
    "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\nBKcwggSjAgEAAoIBAQC7\n-----END KEY-----"
)
REDACTOR = Redactor({"KEY": KEY, "PLAIN": "hunter2hunter2", "PEM": PEM})


def every_other(text: str) -> str:
    return "".join(f"%{ord(c):02X}" if n % 2 else c for n, c in enumerate(text))


@pytest.mark.parametrize(
    "text",
    [
        KEY,
        urllib.parse.quote(KEY),
        re.sub("%..", lambda found: found[0].lower(), urllib.parse.quote(KEY, safe="")),
        urllib.parse.quote_plus(KEY),
        urllib.parse.quote(urllib.parse.quote(KEY)),
        json.dumps(KEY),
        json.dumps(KEY, ensure_ascii=False),
        json.dumps(json.dumps(KEY)),
        repr(KEY),
        ascii(KEY),
        str(KEY.encode()),
        html.escape(KEY),
        KEY.encode().hex(),
        KEY.encode().hex().upper(),
        KEY.encode().hex(" "),
        KEY.encode().hex(":", 2),
        KEY[:7] + "\r\n" + KEY[7:],
        *(
            base64.b64encode(b"x" * n + KEY.encode() + b"y" * m).decode()
            for n in range(6)
            for m in range(3)
        ),
        *(base64.urlsafe_b64encode(b"?" * n + KEY.encode()).decode() for n in range(3)),
        urllib.parse.quote(base64.b64encode(KEY.encode()).decode(), safe=""),
        "\n".join(textwrap.wrap(base64.b64encode(KEY.encode() * 5).decode(), 10)),
        json.dumps("\n".join(textwrap.wrap(base64.b64encode(KEY.encode()).decode(), 4))),
    ],
)
def test_a_secret_is_blanked_in_every_spelling(text: str) -> None:
    shown = REDACTOR.blank(f"before {text} after")
    assert "[secret KEY]" in shown
    assert shown.startswith("before ")
    assert shown.endswith(" after")
    for spelling in (KEY, text, text[3:-3]):
        assert spelling not in shown


def test_spellings_may_be_mixed() -> None:
    assert REDACTOR.blank(every_other("hunter2hunter2")) == "[secret PLAIN]"
    assert REDACTOR.blank("\\u0068unter2&#104;unter2") == "[secret PLAIN]"


def test_a_line_of_a_key_is_a_secret_too() -> None:
    assert REDACTOR.blank(PEM) == "[secret PEM]"
    assert REDACTOR.blank(json.dumps(PEM)) == '"[secret PEM]"'
    first = REDACTOR.blank("1: MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n2: BKcwggSjAgEAAoIBAQC7")
    assert first == "1: [secret PEM]\n2: [secret PEM]"


def test_innocent_text_stays() -> None:
    text = "hunter2 hunter, sk-Zoe, aHVudGVy, 68756e746572 [secret OTHER]\n"
    assert REDACTOR.blank(text) == text
    assert Redactor({}).blank(text) == text


def test_no_text_makes_blanking_slow() -> None:
    many = {str(n): f"{n}secret-{n}-of-many" for n in range(20)}
    redactor = Redactor({"PEM": PEM, "SAME": "aaaaaaaaaa", "SIGNS": "\\\\%%&&\\%&", **many})
    begun = time.monotonic()
    for text in ("\\", "%25", "a", "a\n", "&#0", "%", "\n", "A ", "0"):
        redactor.blank(text * (30_000 // len(text)))
    assert time.monotonic() - begun < 10


def test_a_secret_within_another_is_no_leak() -> None:
    redactor = Redactor({"PART": "password", "WHOLE": "my-password-is-long"})
    assert redactor.blank("my-password-is-long password") == "[secret WHOLE] [secret PART]"


def test_values_of_json_are_blanked_at_any_depth() -> None:
    value = {"a": ["hunter2hunter2", 1, None], "hunter2hunter2": {"b": ("x", True)}}
    assert REDACTOR.blank(value) == {
        "a": ["[secret PLAIN]", 1, None],
        "[secret PLAIN]": {"b": ["x", True]},
    }


def test_a_log_shows_no_secret() -> None:
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.addFilter(REDACTOR)
    logger = logging.Logger("test")
    logger.addHandler(handler)
    logger.info("sent %s to %d", {"key": "hunter2hunter2"}, 3)
    try:
        raise ValueError("hunter2hunter2 is wrong")
    except ValueError:
        logger.exception("failed")
    logger.warning("here", stack_info=True)
    assert "sent {'key': '[secret PLAIN]'} to 3" in written.getvalue()
    assert "ValueError: [secret PLAIN] is wrong" in written.getvalue()
    assert "hunter2hunter2 is" not in written.getvalue()


@tool
def leak(how: str, context: Context) -> Any:
    """Show a secret."""
    value = context.secrets["PLAIN"]
    if how == "refuse":
        raise ToolError(f"not with {value}")
    if how == "break":
        raise ValueError(value)
    if how == "long":
        return "x" * 32_990 + value + "y" * 1000
    return {"how": [how, base64.b64encode(value.encode()).decode()]}


def test_no_result_and_no_error_of_a_tool_shows_a_secret(context: Context) -> None:
    context = replace(context, secrets=Secrets({"PLAIN": "hunter2hunter2"}))
    assert leak.call({"how": "return"}, context) == {"how": ["return", "[secret PLAIN]"]}
    with pytest.raises(ToolFailedError, match=r"^not with \[secret PLAIN\]$"):
        leak.call({"how": "refuse"}, context)
    with pytest.raises(ToolFailedError, match=r"^leak: ValueError: \[secret PLAIN\]$"):
        leak.call({"how": "break"}, context)
    assert "hunter" not in leak.call({"how": "long"}, context)
    assert "hunter2" not in repr(context)


def test_a_secret_at_the_edge_of_what_is_shown_is_no_leak(context: Context) -> None:
    context = replace(context, secrets=Secrets({"PLAIN": "hunter2hunter2"}))
    root = context.workspace.root
    (root / "whole.txt").write_text("x" * 29_995 + "hunter2hunter2" + "y" * 50)
    (root / "long.txt").write_text("x" * 29_995 + "hunter2hunter2" + "y" * 500_000)
    (root / "line.txt").write_text("find " + "x" * 290 + "hunter2hunter2")
    read_file, search_files, shell = Registry().select(
        ["read_file", "search_files", "shell"], sandbox="none"
    )
    shown = [
        read_file.call({"path": "whole.txt"}, context),
        read_file.call({"path": "long.txt"}, context),
        search_files.call({"text": "find"}, context),
        shell.call({"command": "head -c 14990 long.txt; cat line.txt long.txt"}, context),
        shell.call(
            {"command": "cat long.txt; echo hunter2hunter2; head -c 14995 long.txt"}, context
        ),
    ]
    assert [text for text in shown if "hunt" in text or "ter2" in text] == []
    assert all("[cut: " in text for text in shown)


def test_any_long_result_is_cut_and_says_so(context: Context) -> None:
    @tool
    def big(text: bool) -> Any:
        """Give much."""
        return "x" * 1_000_000 if text else ["x" * 1000] * 1000

    for text in (True, False):
        result = big.call({"text": text}, context)
        assert len(result) < 34_000
        assert result.endswith("characters are shown]")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "secrets"
    path.write_text("# mine\n\nMAIL_KEY = abc=defghi \nSPARE=12345678\n")
    path.chmod(0o600)
    return path


def test_a_secret_comes_from_the_environment_or_the_file(file: Path) -> None:
    environment = {"HOST_KEY": "from-environment", "SPARE": "environment-first"}
    names = ["HOST_KEY", "MAIL_KEY", "SPARE"]
    secrets = read_secrets(names, environment=environment, file=file)
    assert dict(secrets) == {
        "HOST_KEY": "from-environment",
        "MAIL_KEY": "abc=defghi",
        "SPARE": "environment-first",
    }
    assert repr(secrets) == "Secrets(HOST_KEY, MAIL_KEY, SPARE)"
    with pytest.raises(SecretError, match="no secret OTHER is among the agent's `secrets`"):
        secrets["OTHER"]
    assert dict(read_secrets([], environment=environment, file=file)) == {}


def test_a_missing_secret_says_where_it_belongs(file: Path) -> None:
    with pytest.raises(SecretError, match=f"OTHER is missing: put it in the environment or {file}"):
        read_secrets(["OTHER"], environment={}, file=file)
    with pytest.raises(SecretError, match=r"OTHER is missing: put it in the environment$"):
        read_secrets(["OTHER"], environment={}, file=None)
    with pytest.raises(SecretError, match="put it in the environment or"):
        read_secrets(["OTHER"], environment={}, file=file.parent / "none")
    with pytest.raises(SecretError, match="SHORT is shorter than 8 characters"):
        read_secrets(["SHORT"], environment={"SHORT": "1234567"})


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o601])
def test_a_file_that_others_can_read_is_refused(file: Path, mode: int) -> None:
    file.chmod(mode)
    with pytest.raises(SecretError, match=f"others can read it: chmod 600 {file}"):
        read_secrets(["SPARE"], environment={}, file=file)


def test_a_file_that_is_none_is_refused(file: Path, tmp_path: Path) -> None:
    link, pipe = tmp_path / "link", tmp_path / "pipe"
    link.symlink_to(file)
    os.mkfifo(pipe, 0o600)
    for path in (link, pipe, tmp_path):
        with pytest.raises(SecretError, match=str(path)):
            read_secrets(["SPARE"], environment={}, file=path)
    file.write_text("A=1\nno line\n")
    with pytest.raises(SecretError, match=r"secrets:2: is no line of NAME=value"):
        read_secrets(["SPARE"], environment={}, file=file)
    file.write_bytes(b"A=\xff\n")
    with pytest.raises(SecretError, match="is not a text file in UTF-8"):
        read_secrets(["SPARE"], environment={}, file=file)
