"""An agent whose model sees is shown the pictures that it reads."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

import pytest
from gesso.agent import Runtime
from gesso.agent.compaction import conversation, needed
from gesso.agent.pictures import FOLDER, Pictures
from gesso.engine import Engine, Message, Request, Result, load_engine
from gesso.memory import StoredMessage
from oracle import SOFT_TOKENS, Shape, save_checkpoint
from PIL import Image, ImageDraw
from scripted import ScriptedEngine, calls, requests, says

READ = calls(("read_file", {"path": "inbox/a.png"}))
BOTH = calls(("read_file", {"path": "inbox/b.png"}), ("read_file", {"path": "inbox/a.txt"}))


class Seeing(ScriptedEngine):
    sees = True


def seeing(*turns: Result) -> Engine:
    return cast(Engine, Seeing(turns))


@pytest.fixture
def pages(project: Path) -> dict[str, bytes]:
    """Two pictures and a text that have landed."""
    found = {}
    for name in ("a.png", "b.png"):
        drawn = Image.new("RGB", (300, 200), "white")
        ImageDraw.Draw(drawn).text((20, 20), f"Total {name}", fill="black", font_size=24)
        drawn.save(project / "inbox" / name)
        found[name] = (project / "inbox" / name).read_bytes()
    (project / "inbox" / "a.txt").write_text("Total 3.20")
    return found


def shown(message: Message) -> tuple[str, str, list[bytes]]:
    return message.role, message.content, [image.data for image in message.images]


def test_a_picture_stands_behind_the_results_of_its_turn(
    project: Path, pages: dict[str, bytes]
) -> None:
    engine = seeing(READ, BOTH, says("Read."))
    with Runtime(project, engine=engine, listen=False) as runtime:
        runtime.load()
        assert runtime.run("clerk", "New file: inbox/a.png").state == "done"
    first, second, third = (request.messages for request in requests(engine))
    assert not any(message.images for message in first)
    told = "[inbox/a.png: 1 picture is shown behind this]"
    assert [shown(message) for message in second[-2:]] == [
        ("tool", told, []),
        ("user", "[what read_file shows]", [pages["a.png"]]),
    ]
    assert third[: len(second)] == second
    assert [message.role for message in third[len(second) :]] == [
        "assistant",
        "tool",
        "tool",
        "user",
    ]
    assert shown(third[-1])[2] == [pages["b.png"]]


def test_it_sees_what_it_saw_whatever_has_become_of_the_file(
    project: Path, pages: dict[str, bytes]
) -> None:
    def gone(request: Request) -> Result:
        (project / "inbox" / "a.png").unlink()
        return calls(("list_files", {"folder": "inbox"}))

    (project / "agents" / "clerk.md").write_text(
        "---\nname: clerk\ntools: [read_file, list_files]\n---\nGo."
    )
    engine: Any = Seeing([READ, gone, says("Read.")])
    with Runtime(project, engine=engine, listen=False) as runtime:
        runtime.load()
        run = runtime.run("clerk", "New file: inbox/a.png")
        (stored,) = [one for one in runtime.store.messages(run.id) if one.images]
    assert (stored.role, stored.name) == ("tool", "read_file")
    assert [shown(m)[2] for m in engine.requests[-1].messages if m.images] == [[pages["a.png"]]]


def test_a_model_that_does_not_see_is_told_what_it_says(
    project: Path, pages: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By OCR, and where there is none, what to install."""
    monkeypatch.setenv("PATH", os.devnull)
    engine: Any = ScriptedEngine([READ, says("No.")])
    with Runtime(project, engine=engine, listen=False) as runtime:
        runtime.load()
        runtime.run("clerk", "New file: inbox/a.png")
    assert "install `tesseract`" in engine.requests[-1].messages[-1].content
    assert not (project / ".gesso" / FOLDER).exists()


def test_a_picture_that_cannot_be_read_is_a_result_of_its_own(
    project: Path, pages: dict[str, bytes]
) -> None:
    (project / "inbox" / "a.png").write_bytes(pages["a.png"][:100])
    engine: Any = Seeing([READ, says("No.")])
    with Runtime(project, engine=engine, listen=False) as runtime:
        runtime.load()
        assert runtime.run("clerk", "New file: inbox/a.png").state == "done"
    last = engine.requests[-1].messages[-1]
    assert last.role == "tool"
    assert last.content.startswith("error: inbox/a.png: cannot be read")


def test_a_real_checkpoint_takes_a_turn_behind_a_picture(
    project: Path, pages: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("seeing")
    save_checkpoint(folder, Shape("seeing", layers="sf", window=64, canvas=32))
    (project / "agents" / "clerk.md").write_text(
        "---\nname: clerk\ntools: [read_file]\ntool_choice: required\nbudget: {turns: 2}\n---\nGo."
    )
    engine = load_engine(folder)
    write = engine.generate
    asked = list[Request]()

    def reads(request: Request, **options: Any) -> Result:
        asked.append(request)
        written = write(request, **options)
        return READ if len(asked) == 1 else written

    engine.generate = reads
    with Runtime(project, engine=engine, listen=False) as runtime:
        runtime.load()
        run = runtime.run("clerk", "New file: inbox/a.png")
        entries = list(runtime.store.ledger.entries(run=run.id))
    assert len(asked) == 2
    assert entries[1].prompt_tokens > SOFT_TOKENS // 2
    assert engine.prompt_tokens(asked[1]) == entries[1].prompt_tokens


def test_pictures_count_before_they_are_counted() -> None:
    roles = ("system", "user", "assistant", "tool", "assistant")
    stored = [StoredMessage(n, role, "") for n, role in enumerate(roles)]
    result = StoredMessage(5, "tool", "", name="read_file", images=("a", "b", "c"))
    assert needed([*stored, result], 100, 4096) == 4
    text = StoredMessage(5, "tool", "", name="read_file")
    assert needed([*stored, text], 100, 4096) is None


def test_the_least_used_pictures_make_room_and_that_is_said(tmp_path: Path) -> None:
    pictures = Pictures(tmp_path, kept_bytes=250)
    names = [pictures.keep(bytes([number]) * 100) for number in range(2)]
    for number, name in enumerate(names):
        os.utime(tmp_path / FOLDER / name, (number, number))
    assert pictures.get(names[0]) == bytes(100)  # used now
    names.append(pictures.keep(b"x" * 100))
    assert [pictures.get(name) is None for name in names] == [False, True, False]
    stored = [StoredMessage(0, "tool", "seen", name="read_file", images=names)]
    _, user = conversation(stored, pictures.get)
    assert "[a picture that is not kept any more]" in user.content
    assert len(user.images) == 2


def test_one_picture_is_kept_once(tmp_path: Path) -> None:
    pictures = Pictures(tmp_path)
    assert pictures.keep(b"same") == pictures.keep(b"same")
    assert len(list((tmp_path / FOLDER).iterdir())) == 1
