"""The model of meaning that a project's settings name."""

from pathlib import Path

import pytest
from gesso.agent.runtime import embedding_of
from gesso.agent.settings import read_settings
from gesso.tools import SecretError


def test_without_an_address_there_is_none(project: Path) -> None:
    assert embedding_of(read_settings(project), project) is None


def test_it_is_named_by_the_settings_and_its_key_is_a_secret(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = 'embedding_url = "http://localhost:1/v1"\nembedding_key = "MEANING_KEY"\n'
    (project / "gesso.toml").write_text(text + 'embedding_model = "small"\n')
    settings = read_settings(project)
    with pytest.raises(SecretError, match="the secret MEANING_KEY is missing"):
        embedding_of(settings, project)
    monkeypatch.setenv("MEANING_KEY", "a-long-key")
    embedding = embedding_of(settings, project)
    assert embedding is not None
    assert embedding.name == "small"
