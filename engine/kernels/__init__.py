"""Triton kernels of a pass on a GPU, each with the function that launches it.

A kernel computes what the plain code in `model.py` and `sampler.py` does and rounds where that
rounds; sums may be taken in another order. None adds with atomics and none looks at a neighbour: a
row comes out to the bit the same in any company of as many rows. Nothing here waits for the device
or has a shape that depends on data, so all of it can be captured in a CUDA graph.

The kernels are imported where they are launched: a machine without Triton never needs them.
"""

from __future__ import annotations

from importlib.util import find_spec

import torch


def launches_on(device: torch.device) -> bool:
    """Whether the kernels can be launched there: on an NVIDIA or AMD GPU, with Triton."""
    return device.type == "cuda" and find_spec("triton") is not None
