"""The log's two forms: one line a record, whatever the record holds."""

import json
import logging
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from gesso.agent.log import JsonHandler, TextHandler, in_run, redactor_of

log = logging.getLogger("gesso.test_log")


@pytest.fixture(params=[TextHandler, JsonHandler])
def handler(request: pytest.FixtureRequest) -> Iterator[logging.Handler]:
    handler = request.param()
    log.addHandler(handler)
    log.propagate = False
    yield handler
    log.removeHandler(handler)


def test_a_record_names_its_time_level_run_and_message(
    handler: logging.Handler, capsys: pytest.CaptureFixture[str]
) -> None:
    with in_run("clerk-1", "clerk"):
        log.warning("started: %s", "x")
    log.warning("outside")
    captured = capsys.readouterr()
    if isinstance(handler, TextHandler):
        first, second = captured.err.splitlines()
        assert first[19:] == " warning clerk-1 started: x"
        assert second[19:] == " warning outside"
        datetime.fromisoformat(first[:19])
    else:
        first, second = (json.loads(line) for line in captured.out.splitlines())
        assert datetime.fromisoformat(first.pop("time")).tzinfo is not None
        assert first == {
            "level": "warning",
            "run": "clerk-1",
            "agent": "clerk",
            "message": "started: x",
            "exception": None,
        }
        assert (second["run"], second["agent"], second["message"]) == (None, None, "outside")


def test_a_message_stays_one_line_and_cannot_paint(
    handler: logging.Handler, capsys: pytest.CaptureFixture[str]
) -> None:
    log.warning("New file: %s", "a\n2026-01-01 00:00:00 error   forged\x1b[2J\udc80[red]ü")
    captured = capsys.readouterr()
    (line,) = (captured.out or captured.err).splitlines()
    assert "\x1b" not in line
    if isinstance(handler, TextHandler):
        assert line.endswith(r"New file: a\n2026-01-01 00:00:00 error   forged\x1b[2J\udc80[red]ü")
    else:
        assert json.loads(line)["message"].endswith("forged\x1b[2J\udc80[red]ü")


def test_a_traceback_is_shown_and_blanked(
    handler: logging.Handler,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("API_KEY", "s3cr3t-s3cr3t")
    handler.addFilter(redactor_of(["API_KEY"], tmp_path / "secrets"))
    try:
        raise ValueError("bad key s3cr3t-s3cr3t")
    except ValueError:
        log.exception("failed with %s", "s3cr3t-s3cr3t")
    captured = capsys.readouterr()
    text = captured.out or captured.err
    assert "s3cr3t" not in text
    assert "ValueError: bad key [secret API_KEY]" in text
    if isinstance(handler, TextHandler):
        first, *more = text.splitlines()
        assert first.endswith("failed with [secret API_KEY]")
        assert all(line.startswith("    ") for line in more)
    else:
        assert json.loads(text)["exception"].startswith("Traceback")


def test_only_a_terminal_gets_colour(capsys: pytest.CaptureFixture[str]) -> None:
    assert not sys.stderr.isatty()
    TextHandler().handle(logging.LogRecord("gesso", logging.ERROR, "", 1, "x" * 300, None, None))
    err = capsys.readouterr().err
    assert "\x1b" not in err
    assert err.count("\n") == 1
