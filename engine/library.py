"""The checkpoints on this machine: fetched from the hub, looked through, checked, removed.

They are where every tool that uses `huggingface_hub` keeps them (`HF_HOME`), and may be shared with
those. Only those of the families that the engine runs are told of.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from huggingface_hub import scan_cache_dir, snapshot_download
from huggingface_hub.errors import CacheNotFound, HfHubHTTPError, HFValidationError
from huggingface_hub.utils import CachedRepoInfo, HFCacheInfo

from .checkpoint import FILES, locate, sees
from .config import ModelConfig
from .errors import CheckpointError
from .family import FAMILIES, read_any_config, read_any_generation, read_tokenizer
from .images import Sight
from .llada import LLaDAConfig
from .prompt import ChatTemplate
from .shards import shard_files, sizes

_READ = 1 << 24  # bytes at a time
_SHA256 = 64  # digits


@dataclass(frozen=True)
class Stored:
    """A checkpoint of the cache; `size` in bytes, of its weights' layout what its configuration
    says."""

    name: str
    folder: Path
    size: int
    used: datetime
    layout: str


@dataclass(frozen=True)
class Checked:
    """A file that was looked at; `how` is what was found right, `wrong` what was not."""

    file: str
    how: str
    wrong: str | None = None


def stored(cache: Path | None = None) -> list[Stored]:
    """The checkpoints of the cache (the user's own), by name."""
    found = []
    for repo in _repos(_scanned(cache)):
        folder = _folder(repo)
        config = _config(folder)
        if config.get("model_type") in FAMILIES:
            used = datetime.fromtimestamp(repo.last_accessed, UTC)
            size = repo.size_on_disk
            found.append(Stored(repo.repo_id, folder, size, used, layout_of(config)))
    return sorted(found, key=lambda one: one.name)


def find(name: str, cache: Path | None = None) -> Stored:
    """The checkpoint of that name. Raises `CheckpointError` where the cache has none."""
    for one in stored(cache):
        if one.name == name:
            return one
    raise _absent(name)


def layout_of(config: dict[str, Any]) -> str:
    """How a checkpoint's weights are stored, in a few words."""
    quantised = config.get("quantization_config")
    if not quantised:
        text = config.get("text_config") or {}
        return str(config.get("dtype") or text.get("dtype") or config.get("torch_dtype") or "plain")
    method = quantised.get("quant_method", "quantised")
    detail = quantised.get("format") or quantised.get("quant_algo")
    detail = detail or quantised.get("bnb_4bit_quant_type")
    return f"{method} {detail}" if detail else str(method)


def pull(name: str, cache: Path | None = None) -> Path:
    """Fetch a checkpoint from the hub, or what is missing of it; its folder.

    Raises:
        CheckpointError: the hub does not give it, or the disk has no room.
    """
    try:
        return Path(snapshot_download(name, allow_patterns=FILES, cache_dir=cache))
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        free = shutil.disk_usage(cache or Path.home()).free >> 30
        reason = str(error).strip().splitlines()[0]
        raise CheckpointError(
            f"{name}: cannot be fetched ({reason}); {free} GiB are free"
        ) from None


def verify(model: str | Path) -> Iterator[Checked]:
    """Look through a checkpoint's files, one by one: what is read at a start is read, and of what
    came from the hub every byte is compared with its checksum.

    Raises:
        CheckpointError: there is no such checkpoint on this machine.
    """
    folder = locate(model, download=False)
    for file in ("config.json", "generation_config.json", "tokenizer.json", "chat_template.jinja"):
        yield _read(folder, file)
    try:
        shards = shard_files(folder)
    except CheckpointError as error:
        yield Checked("*.safetensors", "", str(error))
        return
    whole = True
    for shard in shards:
        try:
            tensors = sizes(shard)
        except CheckpointError as error:
            yield Checked(shard.name, "", str(error))
            whole = False
            continue
        how = f"{len(tensors):,} tensors, {sum(tensors.values()):,} bytes"
        # The hub's cache names a large file by its checksum.
        named = shard.resolve().name
        if len(named) != _SHA256:
            yield Checked(shard.name, f"{how}; no checksum is known")
        elif _sha256(shard) == named:
            yield Checked(shard.name, f"{how}, as the hub has them")
        else:
            wrong = f"{shard}: is not what the hub has: remove the model and pull it again"
            yield Checked(shard.name, how, wrong)
    if whole:
        yield from _sight(folder)


def _sight(folder: Path) -> Iterator[Checked]:
    """What is wrong with the files by which images are read, where the weights have a tower."""
    try:
        config = read_any_config(folder)
        if isinstance(config, ModelConfig) and sees(folder):
            Sight(folder, config)
            yield Checked("vision tower", "is there, and how images go into it")
    except CheckpointError as error:
        yield Checked("vision tower", "", str(error))


def remove(name: str, cache: Path | None = None) -> int:
    """Delete a checkpoint of the cache; the bytes that are free again.

    Raises:
        CheckpointError: there is none of this name.
    """
    info = _scanned(cache)
    for repo in _repos(info):
        if info is not None and repo.repo_id == name:
            plan = info.delete_revisions(*(one.commit_hash for one in repo.revisions))
            plan.execute()
            return plan.expected_freed_size
    raise _absent(name)


def _absent(name: str) -> CheckpointError:
    return CheckpointError(f"{name}: is not among the downloaded models: see gesso models list")


def _scanned(cache: Path | None) -> HFCacheInfo | None:
    """`None` where there is no cache yet."""
    try:
        return scan_cache_dir(cache)
    except CacheNotFound:
        return None


def _repos(info: HFCacheInfo | None) -> list[CachedRepoInfo]:
    found = () if info is None else info.repos
    return [repo for repo in found if repo.repo_type == "model" and repo.revisions]


def _folder(repo: CachedRepoInfo) -> Path:
    """Of the revision that came last."""
    return max(repo.revisions, key=lambda one: one.last_modified).snapshot_path


def _config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}


def _read(folder: Path, name: str) -> Checked:
    file = folder / name
    try:
        if name == "config.json":
            read_any_config(folder)
        elif name == "generation_config.json":
            read_any_generation(folder, read_any_config(folder))
        elif name == "tokenizer.json":
            config = read_any_config(folder)
            read_tokenizer(folder, config, read_any_generation(folder, config))
        else:
            template = ChatTemplate(file, bos_token="")
            if FAMILIES.get(_config(folder).get("model_type", "")) is not LLaDAConfig:
                _ = template.calls  # LLaDA's knows no tools
    except CheckpointError as error:
        return Checked(name, "", str(error))
    return Checked(name, "can be read")


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while part := stream.read(_READ):
            digest.update(part)
    return digest.hexdigest()
