"""How many bytes turns may hold, and how many one does: planned before it begins, so that memory
does not run out in the middle of it.

What a turn of DiffusionGemma holds are keys and values: of its whole text in full layers, and in
sliding ones of a window, of what one pass reads, and of a canvas. One of a masked model holds what
its step makes of the whole text.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from .cache import ROOM, rooms
from .config import ModelConfig
from .llada import LLaDAConfig
from .masked import MaskedGeneration
from .views import MOST_READ

SHARE = 0.9
"""Of the memory that is free, what may be planned for: allocators lose some between tensors."""
_LOGITS = 5  # [L, V] in float32, of one row at a time: what a step holds while it is read
_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Capacity:
    """`total` bytes for all turns at once; the bytes of a token in all `sliding` and in all `full`
    layers, and of how many tokens sliding layers hold them at most."""

    total: int
    sliding: int
    full: int
    held: int

    def of(self, tokens: int) -> int:
        """The most bytes that a turn of so many tokens holds, prompt and answer together."""
        room = rooms(tokens)
        return self.full * room + self.sliding * min(room, self.held)

    @property
    def longest(self) -> int:
        """How many tokens the longest turn has that fits alone."""
        within = self.held * (self.full + self.sliding)
        if self.total <= within:
            return self.total // (self.full + self.sliding) // ROOM * ROOM
        if not self.full:
            return 1 << 62
        return (self.total - self.held * self.sliding) // self.full // ROOM * ROOM


def capacity_of(
    config: ModelConfig, device: torch.device, dtype: torch.dtype, kept: int
) -> Capacity:
    """What is left for turns on a device where a model is: of its free memory, what one step
    needs and `kept` bytes of other things taken off."""
    text = config.text_config
    sliding, full = text.cache_bytes(dtype)
    held = rooms(text.sliding_window + MOST_READ + config.canvas_length) + ROOM
    logits = _LOGITS * 4 * config.canvas_length * text.vocab_size
    wide = 4 * text.hidden_size + 3 * text.intermediate_size
    wide += 3 * text.top_k_experts * text.moe_intermediate_size
    step = logits + MOST_READ * wide * dtype.itemsize
    total = int(SHARE * (free_bytes(device) - kept - step))
    return Capacity(max(0, total), sliding, full, held)


def masked_capacity_of(
    config: LLaDAConfig, generation: MaskedGeneration, device: torch.device, dtype: torch.dtype
) -> Capacity:
    """The same of a masked model: a turn holds nothing between two steps, and in one what a layer
    makes of each token of its text, twice where guidance has it read twice."""
    logits = _LOGITS * 8 * generation.block_length * config.vocab_size  # in float64
    wide = 6 * config.d_model + 3 * config.mlp_hidden_size
    readings = 2 if generation.cfg_scale else 1
    total = int(SHARE * (free_bytes(device) - logits))
    return Capacity(max(0, total), 0, readings * wide * dtype.itemsize, 0)


def free_bytes(device: torch.device) -> int:
    """What is free of a device's memory: of a processor's, what the machine can give without
    swapping, and no more than its control group may take, what it has of files counted as free
    (Linux kernel documentation, *cgroup v2*). Where neither is to be read, there is said to be no
    end of it."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    found = [1 << 62]
    with suppress(OSError, ValueError, StopIteration):
        lines = _MEMINFO.read_text().splitlines()
        line = next(line for line in lines if line.startswith("MemAvailable:"))
        found.append(1024 * int(line.split()[1]))
    with suppress(OSError, ValueError, KeyError):  # "max" where there is no limit
        most = int((_CGROUP / "memory.max").read_text())
        lines = (_CGROUP / "memory.stat").read_text().splitlines()
        sizes = {name: int(size) for name, _, size in (line.partition(" ") for line in lines)}
        files = sizes["inactive_file"] + sizes["active_file"]
        found.append(most - int((_CGROUP / "memory.current").read_text()) + files)
    return min(found)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the device has no memory left."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
