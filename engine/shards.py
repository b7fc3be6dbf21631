"""The safetensors files of a checkpoint folder: which tensors are there, and each when it is asked
for, out of the mapped file.

One file is open at a time (and the one before, for a tensor whose parts are in both), so that no
more than that is held in memory besides the model.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from .errors import CheckpointError


class Shards:
    """`files` has the file of every tensor, file by file.

    Raises:
        CheckpointError: there is no file, one is missing, damaged or cut off, or the folder has
            weights of a kind that is not read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = dict(_stored(folder))
        self._opened = lru_cache(maxsize=2)(lambda file: safe_open(file, framework="pt"))

    def read(self, name: str) -> Tensor:
        """A tensor as it is stored, on the CPU."""
        return self._opened(self.files[name]).get_tensor(name)

    def form(self, name: str) -> tuple[str, list[int]]:
        """The dtype of a tensor, in safetensors' words, and its shape."""
        stored = self._opened(self.files[name]).get_slice(name)
        return stored.get_dtype(), stored.get_shape()

    def close(self) -> None:
        self._opened.cache_clear()


def sizes(file: Path) -> Mapping[str, int]:
    """The bytes of every tensor of a file, which is there in full.

    Raises:
        CheckpointError: it is damaged, or cut off inside a tensor, which is named.
    """
    with file.open("rb") as stream:
        size = file.stat().st_size
        length = int.from_bytes(stream.read(8), "little")
        header: Any = None
        if 8 + length <= size:
            try:
                header = json.loads(stream.read(length))
            except (json.JSONDecodeError, UnicodeDecodeError):
                header = None
    if not isinstance(header, dict):
        raise CheckpointError(f"{file}: the safetensors header is damaged or cut off")
    header.pop("__metadata__", None)
    for name, entry in header.items():
        if 8 + length + entry["data_offsets"][1] > size:
            raise CheckpointError(f"{file}: the file is cut off inside tensor {name}")
    spans = {name: entry["data_offsets"] for name, entry in header.items()}
    return {name: end - start for name, (start, end) in spans.items()}


def _stored(folder: Path) -> Iterator[tuple[str, Path]]:
    for file in shard_files(folder):
        sizes(file)
        try:
            with safe_open(file, framework="pt") as handle:
                names = list(handle.keys())
        except SafetensorError as error:
            raise CheckpointError(f"{file}: not a valid safetensors file ({error})") from None
        for name in names:
            yield name, file


def shard_files(folder: Path) -> list[Path]:
    """The safetensors files of a folder: those that its index names, or else all. Raises
    `CheckpointError` where there is none, or one is missing."""
    index = folder / "model.safetensors.index.json"
    if index.exists():
        try:
            named = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        except (json.JSONDecodeError, KeyError, UnicodeDecodeError) as error:
            raise CheckpointError(f"{index}: not a safetensors index ({error})") from None
        files = [folder / shard for shard in sorted(set(named))]
    else:
        files = sorted(folder.glob("*.safetensors"))
    if not files:
        gguf = next(folder.glob("*.gguf"), None)
        if gguf is not None:
            raise CheckpointError(
                f"{gguf}: GGUF files are not read: take the checkpoint's safetensors (and"
                ' quantize = "int4"), or serve the file with llama-server and set model to its'
                " address, http://localhost:8080/v1#NAME"
            )
        raise CheckpointError(f"{folder}: there are no *.safetensors files in this folder")
    for file in files:
        if not file.exists():
            raise CheckpointError(f"{file}: the index names this shard, but it is missing")
    return files
