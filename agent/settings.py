"""How a project runs on this machine: `gesso.toml` in its folder, then the environment, then flags.

A later source wins. Every setting has one flat name, the same in the file (`web_port = 8765`), in
the environment (`GESSO_WEB_PORT`) and among the flags, and knows where its value came from. What
an agent may do is not here but in its own file.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from ..tools import SecretName
from .errors import ProjectError, SettingsError

FILE = "gesso.toml"
PREFIX = "GESSO_"

PEERS = (
    "google/gemma-4-26b-a4b-it-maas",
    "openai/gpt-6-luna",
    "anthropic/claude-sonnet-5-5",
)
"""What work is set against, so that nobody is flattered: the same kind of open model, hosted; a
small cheap one; a large one."""


class Settings(BaseSettings):
    """`model` takes the place of every agent's own; `device`, `dtype`, `quantize` and `adapter` are
    those of `load_engine`; `concurrency` is how many runs are carried out at a time, of all agents
    together, by one process; `database_url` (`postgresql+psycopg://USER@HOST/DATABASE`) moves store
    and queue from the project's folder to PostgreSQL, where many processes share them;
    `web_host` and `web_port` are where webhooks are listened for (0 is any free port);
    `control_port` is where this machine's monitor and `/metrics` are served. With `recordings`
    what happens in each run is kept to be played again. With an
    `embedding_url` (an OpenAI-compatible address, such as `http://localhost:11434/v1`), facts are
    also recalled by meaning, with `embedding_model`; `embedding_key` names the secret that it
    wants, if any.

    A `model` may be `URL#NAME`, one behind an OpenAI-compatible address. `remote_keys` names the
    secret that an address wants; `remote_context` is how many tokens such a model reads, for where
    its server does not say, and `remote_images` whether it reads images, likewise.

    What the work costs is told with the rest: `hardware` is a profile of `gesso cost hardware`, of
    which `hardware_price` (in `currency`), `hardware_months`, `idle_watts` and `load_watts` each
    take one figure's place; `electricity` is the price of a kilowatt hour; a US dollar buys
    `currency_rate` of `currency`; the electricity of idle hours is `idle_counted` or not;
    `cloud` names the models that the work is set against.

    Made by itself it holds the defaults; `read_settings` reads a project's.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True)

    model: str | None = Field(default=None, min_length=1)
    device: str = Field(default="auto", min_length=1)
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    quantize: Literal["int8", "int4"] | None = None
    adapter: str | None = Field(default=None, min_length=1)
    concurrency: int = Field(default=4, ge=1)
    web_host: str = Field(default="127.0.0.1", min_length=1)
    web_port: int = Field(default=8765, ge=0, le=65535)
    database_url: str | None = Field(default=None, min_length=1, repr=False)
    control_port: int = Field(default=0, ge=0, le=65535)
    recordings: bool = False
    log_format: Literal["text", "json"] = "text"
    embedding_url: str | None = Field(default=None, min_length=1)
    embedding_model: str = Field(default="embeddinggemma", min_length=1)
    embedding_key: SecretName | None = None
    remote_keys: Mapping[str, SecretName] = Field(default={})
    remote_context: int | None = Field(default=None, ge=256)
    remote_images: bool | None = None
    hardware: str | None = Field(default=None, min_length=1)
    hardware_price: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    hardware_months: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    idle_watts: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    load_watts: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    electricity: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    currency: str = Field(default="USD", pattern="^[A-Z]{3}$")
    currency_rate: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    idle_counted: bool = True
    cloud: tuple[str, ...] = PEERS

    @field_validator("database_url")
    @classmethod
    def _is_of_postgresql(cls, value: str | None) -> str | None:
        """Says nothing of what was given: it may hold a password."""
        if value is not None and not value.startswith(("postgresql://", "postgresql+psycopg://")):
            raise PydanticCustomError(
                "database_url", "write postgresql+psycopg://USER@HOST/DATABASE, or leave it out"
            )
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what it is given: the sources are read one by one, because each value's is told."""
        return (init_settings,)


@dataclass(frozen=True)
class Setting:
    """One setting; `origin` is `default`, `gesso.toml:LINE`, `GESSO_NAME` or `flag`."""

    name: str
    value: Any
    origin: str


def read_settings(folder: str | Path, **flags: Any) -> Settings:
    """A project's settings; a flag that is `None` was not given.

    Raises:
        ProjectError: there is no such folder.
        SettingsError: the file cannot be read, or a source names or sets something wrong.
    """
    return _read(Path(folder), flags)[0]


def explain_settings(folder: str | Path, **flags: Any) -> list[Setting]:
    """Every setting with its origin; raises what `read_settings` raises."""
    settings, origins = _read(Path(folder), flags)
    return [
        Setting(name, _shown(name, getattr(settings, name)), origins.get(name, "default"))
        for name in Settings.model_fields
    ]


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """The variables that begin as ours do and set nothing: misspelt, or a secret of an agent."""
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    return sorted(n for n in environment if n.upper().startswith(PREFIX) and n.upper() not in known)


def _shown(name: str, value: Any) -> Any:
    """A setting's value, without the password that it may hold."""
    if name != "database_url" or value is None:
        return value
    hidden = re.sub(r"(?<=://)([^:@/]*):[^@]*@", r"\1:***@", value)
    return re.sub(r"([?&]password=)[^&]*", r"\1***", hidden)


def _read(folder: Path, flags: Mapping[str, Any]) -> tuple[Settings, dict[str, str]]:
    if not folder.is_dir():
        raise ProjectError(f"{folder}: no such folder")
    path = folder / FILE
    text, in_file = _parse(path)
    in_environment = EnvSettingsSource(Settings)()
    given = {name: value for name, value in flags.items() if value is not None}
    origins = {
        **{name: f"{FILE}:{_line(text, name)}" for name in in_file},
        **{name: f"{PREFIX}{name.upper()}" for name in in_environment},
        **dict.fromkeys(given, "flag"),
    }
    try:
        settings = Settings(**{**in_file, **in_environment, **given})
    except ValidationError as error:
        problem = error.errors()[0]
        name = str(problem["loc"][0])
        what = problem["msg"]
        if problem["type"] == "extra_forbidden":
            what = f"unknown setting; known are {', '.join(Settings.model_fields)}"
        if name in given:
            raise SettingsError(f"--{name.replace('_', '-')}: {what}") from None
        origin = origins[name]
        if name not in in_environment:
            origin = f"{path}:{_line(text, name)}"
        raise SettingsError(f"{origin}: {name}: {what}") from None
    return settings, origins


def _parse(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
        return text, tomllib.loads(text)
    except FileNotFoundError:
        return "", {}
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: is not a text file in UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: {error}") from None


def _line(text: str, name: str) -> int:
    """The line on which a name of the file is set. The reader tells no lines, but it reads a file
    that ends anywhere between two statements."""
    lines = text.splitlines(keepends=True)
    begun = 0
    for number in range(1, len(lines) + 1):
        try:
            fields = tomllib.loads("".join(lines[:number]))
        except tomllib.TOMLDecodeError:
            continue  # in the middle of a value of several lines
        if name in fields:
            return begun + 1
        begun = number
    return len(lines)
