"""Settings: the file, then the environment, then flags; each knows where it came from."""

import json
from pathlib import Path
from typing import Any

import pytest
from gesso.agent import AgentError
from gesso.agent.settings import Settings, explain_settings, read_settings, unknown_variables


def write(folder: Path, text: str) -> None:
    (folder / "gesso.toml").write_text(text)


def origin_of(folder: Path, name: str, **flags: Any) -> tuple[Any, str]:
    (found,) = [one for one in explain_settings(folder, **flags) if one.name == name]
    return found.value, found.origin


@pytest.mark.sqlite  # elsewhere the tests' own database is a setting
def test_a_project_without_a_file_has_the_defaults(tmp_path: Path) -> None:
    assert read_settings(tmp_path) == Settings()
    assert {one.origin for one in explain_settings(tmp_path)} == {"default"}
    assert origin_of(tmp_path, "concurrency") == (4, "default")


def test_the_environment_wins_over_the_file_and_a_flag_over_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, '# ours\nconcurrency = 2\ndevice = "cpu"\nmodel = "a"\n')
    assert origin_of(tmp_path, "model") == ("a", "gesso.toml:4")
    monkeypatch.setenv("GESSO_MODEL", "b")
    assert origin_of(tmp_path, "model") == ("b", "GESSO_MODEL")
    assert origin_of(tmp_path, "model", model="c") == ("c", "flag")
    assert origin_of(tmp_path, "model", model=None) == ("b", "GESSO_MODEL")
    assert origin_of(tmp_path, "concurrency") == (2, "gesso.toml:2")
    settings = read_settings(tmp_path, model="c")
    assert (settings.model, settings.device, settings.concurrency) == ("c", "cpu", 2)


def test_an_empty_variable_sets_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GESSO_CONCURRENCY", "")
    assert origin_of(tmp_path, "concurrency") == (4, "default")


def test_a_wrong_value_that_a_later_source_mends_is_no_complaint(tmp_path: Path) -> None:
    write(tmp_path, 'dtype = "int3"\n')
    assert read_settings(tmp_path, dtype="bfloat16").dtype == "bfloat16"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("\nconcurency = 3", "gesso.toml:2: concurency: unknown setting; known are model, device"),
        ("[web]\nport = 1", "gesso.toml:1: web: unknown setting"),
        ("\n\nweb_port = -1", "gesso.toml:3: web_port: Input should be greater than or equal to 0"),
        ("# a\nmodel = [\n 1,\n]\nx = 1", "gesso.toml:2: model: Input should be a valid string"),
        ('dtype = "int3"', "gesso.toml:1: dtype: Input should be 'auto', 'float32'"),
        ("web_port = ", "gesso.toml: Invalid value"),
        ("device = 'cpu'\ndevice = 'cpu'", "gesso.toml: Cannot overwrite a value"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_line_and_name(
    tmp_path: Path, text: str, complaint: str
) -> None:
    write(tmp_path, text)
    with pytest.raises(AgentError) as caught:
        read_settings(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}/{complaint}")


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "gesso.toml").write_bytes(b"model = '\xff'")
    with pytest.raises(AgentError, match=r"gesso\.toml: is not a text file in UTF-8"):
        read_settings(tmp_path)
    (tmp_path / "gesso.toml").unlink()
    (tmp_path / "gesso.toml").mkdir()
    with pytest.raises(AgentError, match=r"gesso\.toml: Is a directory"):
        read_settings(tmp_path)


def test_a_wrong_variable_and_a_wrong_flag_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AgentError, match=r"^--concurrency: Input should be greater"):
        read_settings(tmp_path, concurrency=0)
    monkeypatch.setenv("GESSO_WEB_PORT", "many")
    with pytest.raises(AgentError, match=r"^GESSO_WEB_PORT: web_port: Input should be a"):
        read_settings(tmp_path)


def test_variables_that_set_nothing_are_found() -> None:
    environment = {"GESSO_MODEL": "a", "GESSO_MODLE": "b", "HOME": "/"}
    assert unknown_variables(environment) == ["GESSO_MODLE"]


def test_config_prints_each_setting_with_its_origin(
    command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "concurrency = 2\n")
    monkeypatch.setenv("GESSO_DEVICE", "cpu")
    code, out, err = command("config", str(tmp_path), "--dtype", "float16", "--json")
    assert (code, err) == (0, "")
    shown = {one["name"]: (one["value"], one["origin"]) for one in json.loads(out)}
    assert shown.keys() == Settings.model_fields.keys()
    assert shown["concurrency"] == (2, "gesso.toml:1")
    assert shown["device"] == ("cpu", "GESSO_DEVICE")
    assert shown["dtype"] == ("float16", "flag")
    assert shown["model"] == (None, "default")
    code, out, _ = command("config", str(tmp_path))
    assert code == 0
    for words in ("concurrency", "gesso.toml:1", "GESSO_DEVICE", "127.0.0.1"):
        assert words in out
    code, out, err = command("config", str(tmp_path / "nowhere"))
    assert (code, out) == (2, "")
    assert err == f"error: {tmp_path}/nowhere: no such folder\n"
