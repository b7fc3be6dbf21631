"""Every kernel is compiled for an H200, which needs no GPU: the interpreter takes much that the
compiler refuses. The sizes are those of the 26B model.

In a process of its own: Triton compiles only where it was not imported to interpret.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any

import pytest

SHARED = 227 << 10
"""Bytes of shared memory that a program may have on Hopper."""


@pytest.mark.slow
@pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")
def test_every_kernel_compiles_for_hopper_and_fits_there() -> None:
    environment = os.environ | {"TRITON_INTERPRET": "0"}
    command = [sys.executable, __file__]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    print(done.stdout)


def cases() -> Iterator[tuple[Any, Mapping[str, Any], Mapping[str, str]]]:
    """Kernels with their constants and options, and the types of their other arguments."""
    from gesso.engine.kernels import attention, experts, float8, scores

    wide = {"raw": "*bf16", "found": "*bf16", "cap": "fp32", "temperature": "fp32"}
    wide |= {"tokens": "*i64", "best": "*i64", "winners": "*i32", "token_class": "*i64"}
    wide |= {"chosen": "*i64", "width": "i32", "blocks": "i32"}
    one = {"CAPPED": True, "BLOCK": scores._BLOCK, "num_warps": 8}
    yield scores._read, one, wide
    yield scores._join, {"BLOCKS": 64}, wide
    yield scores._draw, {"BLOCKS": 64, **one}, wide
    yield scores._write, {"LOGS": False, **one}, wide
    yield scores._of_class, one, wide

    texts = {"q": "*bf16", "k": "*bf16", "v": "*bf16", "joined": "*bf16", "table": "*i64"}
    texts |= {"length": "i32", "rows": "i32"}
    tiles = {"QUERIES": attention._QUERIES, "COLUMNS": 7, "PARTS": 4, "ALIGNED": 16}
    for width, groups in ((256, 8), (512, 2)):
        size = {"WIDTH": width, "SIZE": width, "KEYS": attention._KEYS // width}
        share = {"GROUPS": groups, "SHARE": 16 // groups}
        yield attention._attend, {**tiles, **size, **share, "num_warps": 8, "num_stages": 2}, texts
        yield attention._join, {**size, "PARTS": 5, "ROWS": attention._ROWS}, texts

    rows: dict[str, str] = dict.fromkeys(("x", "inner", "apart", "shares"), "*bf16")
    rows |= dict.fromkeys(("order", "ends", "chosen"), "*i32")
    rows |= dict.fromkeys(("hidden", "width", "rows"), "i32")
    yield experts._route, {"BLOCK": 1024}, rows
    stored = {"plain": ("*bf16", "*bf16"), "fp8": ("*fp8e4nv", "*fp32")}
    stored |= {"int8": ("*i8", "*fp16"), "int4": ("*u8", "*fp16")}
    for how, (weight, scale) in stored.items():
        types = {**rows, "weight": weight, "scale": scale, "least": scale}
        for size in (32, 64):
            shape = {"ROWS": size, "OUTPUTS": 64, "INPUTS": 64, "num_stages": 4}
            shape |= {"FORMAT": how, "GROUP": 64 if how in ("int8", "int4") else 1}
            yield experts._gate_up, {"TOP_K": 8, **shape}, types
            yield experts._down, shape, types
    values = {"x": "*bf16", "values": "*fp8e4nv", "columns": "i32"}
    yield float8._scale, {"BLOCK": 4096}, values


def compile_all() -> None:
    """Raise unless every kernel compiles and has room; print what each takes."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    for kernel, constants, types in cases():
        names = list(kernel.arg_names)
        fixed = {name: value for name, value in constants.items() if name in names}
        options = {name: value for name, value in constants.items() if name not in names}
        signature = {
            name: "constexpr" if name in fixed else types.get(name, "*fp32") for name in names
        }
        aligned = {
            (place,): [["tt.divisibility", 16]]
            for place, name in enumerate(names)
            if name not in fixed and signature[name] != "fp32"
        }
        places = {(names.index(name),): value for name, value in fixed.items()}
        source = ASTSource(kernel, signature=signature, constexprs=places, attrs=aligned)
        found = compile(source, target=GPUTarget("cuda", 90, 32), options=options)
        shared = found.metadata.shared
        ptx = found.asm["ptx"]
        print(f"{kernel.__name__:12} {shared:7} bytes shared, wgmma {ptx.count('wgmma.mma')},")
        assert found.asm["cubin"]
        assert shared <= SHARED, (kernel.__name__, constants, shared)


if __name__ == "__main__":
    compile_all()
