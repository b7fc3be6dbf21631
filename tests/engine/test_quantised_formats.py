"""Quantised checkpoints as others write them: each layout is read as its own library reads it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from bitsandbytes import functional as bitsandbytes
from compressed_tensors.compressors import (
    NVFP4PackedCompressor,
    PackedQuantizationCompressor,
    unpack_fp4_from_uint8,
)
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from compressed_tensors.quantization import QuantizationStrategy as Strategy
from compressed_tensors.quantization import QuantizationType as Type
from gesso.engine import CheckpointError, Message, Request, checkpoint, load_engine
from gesso.engine.checkpoint import load_weights
from gesso.engine.config import read_config
from gesso.engine.float8 import Float8
from gesso.engine.formats import dense, split
from oracle import VOCABULARY, Shape, save_checkpoint
from safetensors.torch import load_file, save_file
from torch import Tensor

Parts = dict[str, Tensor]


def weight(rows: int = 48, columns: int = 64, seed: int = 0) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


def fp8(value: Tensor) -> tuple[Parts, Tensor]:
    scale = value.abs().amax(1, keepdim=True) / 448
    codes = (value / scale).to(torch.float8_e4m3fn)
    parts = {"weight": codes, "weight_scale": scale.bfloat16(), "input_scale": torch.ones(1)}
    return parts, codes.float() * scale.bfloat16().float()


def fp8_of_one(value: Tensor) -> tuple[Parts, Tensor]:
    scale = value.abs().max() / 448
    codes = (value / scale).to(torch.float8_e4m3fn)
    return {"weight": codes, "weight_scale": scale}, codes.float() * scale


def fp8_of_blocks(value: Tensor) -> tuple[Parts, Tensor]:
    blocks = value.unflatten(0, (-1, 16)).unflatten(2, (-1, 16))  # [R / 16, 16, C / 16, 16]
    scale = blocks.abs().amax((1, 3)) / 448
    spread = scale[:, None, :, None]
    codes = (blocks / spread).to(torch.float8_e4m3fn)
    expected = (codes.float() * spread).flatten(2).flatten(0, 1)
    return {"weight": codes.flatten(2).flatten(0, 1), "weight_scale": scale}, expected


def nvfp4_scales(value: Tensor) -> tuple[Tensor, Tensor]:
    """A scale for every 16 values in E4M3, and one for all."""
    whole = 448 * 6 / value.abs().max()
    scale = value.unflatten(1, (-1, 16)).abs().amax(2) / 6 * whole
    return scale.to(torch.float8_e4m3fn), whole


def nvfp4(value: Tensor) -> tuple[Parts, Tensor]:
    scale, whole = nvfp4_scales(value)
    weights = QuantizationArgs(
        num_bits=4, type=Type.FLOAT, strategy=Strategy.TENSOR_GROUP, group_size=16
    )
    scheme = QuantizationScheme(targets=["Linear"], weights=weights)
    given = {"weight": value, "weight_scale": scale.float(), "weight_global_scale": whole[None]}
    parts = NVFP4PackedCompressor.compress(given, scheme)
    expected = NVFP4PackedCompressor.decompress(parts, scheme)["weight"]
    return {name: part for name, part in parts.items() if part is not None}, expected.float()


def modelopt(value: Tensor) -> tuple[Parts, Tensor]:
    """The same numbers under NVIDIA's names, and the scale of all the other way round."""
    parts, _ = nvfp4(value)
    rows, columns = value.shape
    numbers = unpack_fp4_from_uint8(parts["weight_packed"], rows, columns).float()
    scale = parts["weight_scale"].float() / parts["weight_global_scale"]
    named = {
        "weight": parts["weight_packed"],
        "weight_scale": parts["weight_scale"],
        "weight_scale_2": 1 / parts["weight_global_scale"][0],
        "input_scale": torch.ones(()),
    }
    return named, numbers * scale.repeat_interleave(16, 1)


def integers(bits: int, *, symmetric: bool) -> Callable[[Tensor], tuple[Parts, Tensor]]:
    def quantised(value: Tensor) -> tuple[Parts, Tensor]:
        weights = QuantizationArgs(
            num_bits=bits,
            type=Type.INT,
            strategy=Strategy.GROUP,
            group_size=16,
            symmetric=symmetric,
        )
        scheme = QuantizationScheme(targets=["Linear"], weights=weights)
        grouped = value.unflatten(1, (-1, 16))
        if symmetric:
            scale = grouped.abs().amax(2) / (2 ** (bits - 1) - 1)
            zero = torch.zeros_like(scale, dtype=torch.int8)
        else:
            scale = (grouped.amax(2) - grouped.amin(2)) / (2**bits - 1)
            middle = -(2 ** (bits - 1))
            zero = (middle - grouped.amin(2) / scale).round().clamp(middle, -middle - 1)
            zero = zero.to(torch.int8)
        given = {"weight": value, "weight_scale": scale, "weight_zero_point": zero}
        parts = PackedQuantizationCompressor.compress(given, scheme)
        expected = PackedQuantizationCompressor.decompress(dict(parts), scheme)["weight"]
        return {name: part for name, part in parts.items() if part is not None}, expected.float()

    return quantised


def four_bits(kind: str, *, nested: bool) -> Callable[[Tensor], tuple[Parts, Tensor]]:
    def quantised(value: Tensor) -> tuple[Parts, Tensor]:
        # In rows of a block: of shorter ones its CPU kernel (0.50) makes other numbers.
        codes, state = bitsandbytes.quantize_4bit(
            value.reshape(-1, 64), blocksize=64, quant_type=kind, compress_statistics=nested
        )
        expected = bitsandbytes.dequantize_4bit(codes, state).float().reshape(value.shape)
        state.shape = value.shape
        parts = {"weight": codes}
        parts |= {f"weight.{name}": part for name, part in state.as_dict(packed=True).items()}
        return parts, expected

    return quantised


LAYOUTS: dict[str, Callable[[Tensor], tuple[Parts, Tensor]]] = {
    "FP8 by rows": fp8,
    "FP8 of one scale": fp8_of_one,
    "FP8 by blocks": fp8_of_blocks,
    "NVFP4 of compressed-tensors": nvfp4,
    "NVFP4 of ModelOpt": modelopt,
    "4-bit integers": integers(4, symmetric=True),
    "4-bit integers with zeros": integers(4, symmetric=False),
    "8-bit integers": integers(8, symmetric=True),
    "NF4": four_bits("nf4", nested=False),
    "NF4, its scales in 8 bits": four_bits("nf4", nested=True),
    "FP4": four_bits("fp4", nested=True),
}
BITS = {"8-bit integers": 8}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_is_read_as_its_own_library_reads_it(layout: str) -> None:
    value = weight()
    parts, expected = LAYOUTS[layout](value)
    found = dense("w", parts, BITS.get(layout, 4))
    rounding = 5e-3 if layout == "NVFP4 of compressed-tensors" else 1e-3  # theirs is in bfloat16
    assert torch.allclose(found, expected, rtol=rounding, atol=1e-5)
    error = (found - value).norm() / value.norm()
    assert error < (0.2 if "FP8" not in layout and "8-bit" not in layout else 0.04)


def test_parts_are_told_from_weights() -> None:
    base = "model.decoder.layers.0.self_attn.q_proj"
    for part in (
        *("weight", "weight_scale", "weight_scale_2", "weight_packed", "weight.absmax"),
        *("weight.quant_state.bitsandbytes__nf4", "input_scale", "input_global_scale", "k_scale"),
    ):
        assert split(f"{base}.{part}") == (f"{base}.weight", part)
    for name in ("model.decoder.layers.0.experts.down_proj", "model.decoder.layers.0.layer_scalar"):
        assert split(name) == (name, "weight")


@pytest.mark.parametrize(
    "parts",
    [
        {"weight": torch.zeros(2, 2, dtype=torch.float8_e4m3fn)},
        {"weight": torch.zeros(2, 2, dtype=torch.uint8)},
        {"weight": torch.zeros(2, 2, dtype=torch.uint32), "weight_scales": torch.ones(2)},
        {"weight": torch.zeros(2, 2, dtype=torch.float8_e4m3fn), "weight_scale_inv": torch.ones(1)},
    ],
)
def test_a_layout_that_is_not_known_is_refused_with_what_to_use(parts: Parts) -> None:
    with pytest.raises(CheckpointError, match=r"is a layout that is not read; read are .*int4"):
        dense("w", parts, None)


# whole checkpoints


def quantised(folder: Path, layout: str) -> dict[str, Tensor]:
    """Make a checkpoint one of that layout, its experts stored one by one as the published ones
    are; what its projections stand for, by name."""
    file = folder / "model.safetensors"
    stored, made, expected = load_file(file), dict[str, Tensor](), dict[str, Tensor]()
    for name, value in stored.items():
        projection = name.startswith("model.decoder") and "proj" in name and "router" not in name
        if not projection:
            made[name] = value
            continue
        for single, one in one_by_one(name, value):
            parts, stands_for = LAYOUTS[layout](one)
            expected[single] = stands_for
            base = single.removesuffix(".weight")
            made |= {f"{base}.{part}": tensor.contiguous() for part, tensor in parts.items()}
    save_file(made, file, metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    bits = BITS.get(layout, 4)
    group = {"targets": ["Linear"], "weights": {"type": "int", "num_bits": bits}}
    config["quantization_config"] = {"config_groups": {"group_0": group}}
    (folder / "config.json").write_text(json.dumps(config))
    return expected


def one_by_one(name: str, value: Tensor) -> list[tuple[str, Tensor]]:
    if value.ndim == 2:
        return [(name, value)]
    base, _, kind = name.rpartition(".")
    found = []
    for number, expert in enumerate(value):
        if kind == "down_proj":
            found.append((f"{base}.{number}.down_proj.weight", expert))
            continue
        gate, up = expert.chunk(2)
        found.append((f"{base}.{number}.gate_proj.weight", gate))
        found.append((f"{base}.{number}.up_proj.weight", up))
    return found


@pytest.mark.parametrize(
    "layout", ["FP8 by rows", "NVFP4 of ModelOpt", "4-bit integers", "NF4, its scales in 8 bits"]
)
def test_a_quantised_checkpoint_is_what_it_stands_for(tmp_path: Path, layout: str) -> None:
    plain, packed = tmp_path / "plain", tmp_path / "packed"
    for folder in (plain, packed):
        save_checkpoint(folder, Shape("tiny", layers="sf"))
    expected = quantised(packed, layout)
    file = plain / "model.safetensors"
    stored = {name: value for name, value in load_file(file).items() if ".experts." not in name}
    save_file(stored | expected, file)
    models = [
        load_weights(folder, read_config(folder / "config.json"), torch.float32)
        for folder in (plain, packed)
    ]
    for (name, one), other in zip(
        models[0].state_dict().items(), models[1].state_dict().values(), strict=True
    ):
        assert torch.allclose(one, other, rtol=1e-3, atol=1e-5), name


@pytest.mark.parametrize("layout", ["FP8 by rows", "FP8 of one scale", "FP8 by blocks"])
def test_on_a_gpu_fp8_with_a_scale_a_row_stays_what_it_is(
    tmp_path: Path, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(tmp_path, Shape("tiny", layers="sf"))
    quantised(tmp_path, layout)
    config = read_config(tmp_path / "config.json")
    plain = load_weights(tmp_path, config, torch.float32)
    # kept as on a GPU, and multiplied as what it stands for, as here
    monkeypatch.setattr("gesso.engine.checkpoint.launches_on", lambda device: True)
    kept = load_weights(tmp_path, config, torch.float32)
    weights = {name: one for name, one in kept.named_modules() if isinstance(one, Float8)}
    assert len(weights) == (0 if "blocks" in layout else 14)
    for name, one in weights.items():
        expected = plain.get_parameter(name)
        # published scales are in bfloat16 or of one tensor: every code is the published one
        torch.testing.assert_close(one.dense(torch.float32), expected, rtol=1e-6, atol=0)
    tokens = torch.randint(VOCABULARY, (1, 9))
    with torch.inference_mode():
        states = [model.encode(tokens, model.new_cache()) for model in (plain, kept)]
    torch.testing.assert_close(states[0], states[1], rtol=1e-4, atol=1e-4)


def test_an_expert_that_is_missing_is_told_of(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, Shape("tiny", layers="s"))
    quantised(tmp_path, "FP8 by rows")
    file = tmp_path / "model.safetensors"
    stored = load_file(file)
    gone = "model.decoder.layers.0.experts.3.down_proj"
    save_file({n: t for n, t in stored.items() if not n.startswith(gone)}, file)
    with pytest.raises(CheckpointError, match=r"layers\.0\.experts\.down_proj is missing"):
        load_weights(tmp_path, read_config(tmp_path / "config.json"), torch.float32)


def test_a_gguf_is_refused_with_what_to_use(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, Shape("tiny", layers="s"))
    (tmp_path / "model.safetensors").rename(tmp_path / "model-Q4_K_M.gguf")
    with pytest.raises(CheckpointError, match=r"GGUF files are not read: .*llama-server"):
        load_engine(tmp_path)


# weights that are quantised on load


@pytest.mark.parametrize(("kind", "most"), [("int8", 0.01), ("int4", 0.12)])
def test_quantised_on_load_a_model_is_nearly_what_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any, most: float
) -> None:
    monkeypatch.setattr(checkpoint, "packs", lambda device: False)  # as on a GPU
    save_checkpoint(tmp_path, Shape("tiny", layers="sf", experts=1, top_k=1))
    config = read_config(tmp_path / "config.json")
    plain = load_weights(tmp_path, config, torch.float32)
    small = load_weights(tmp_path, config, torch.float32, quantize=kind)
    for name, weight in plain.named_parameters():
        kept = "embed" in name or "router" in name or name.startswith("vision.")
        if weight.ndim < 2 or kept:
            assert torch.equal(weight, small.state_dict()[name]), name
            continue
        found = small.get_submodule(name).get_buffer("scale")
        assert found.dtype == torch.float16
        codes: Any = small.get_submodule(name)
        error = (codes.dense(torch.float32) - weight).norm() / weight.norm()
        assert error < most, name
    tokens = torch.arange(20)[None]
    with torch.inference_mode():
        states = [model.encode(tokens, model.new_cache()) for model in (plain, small)]
    assert (states[1] - states[0]).norm() / states[0].norm() < 8 * most


def test_a_quantised_engine_writes_turns_alone_and_in_company(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, Shape("tiny", layers="sf"))
    engine = load_engine(tmp_path, quantize="int4")
    requests = [Request([Message("user", text)], seed=1, max_tokens=12) for text in ("a", "b c")]
    alone = [engine.generate(request).text for request in requests]
    together = engine.generate_batch(requests)
    assert [getattr(one, "text", one) for one in together] == alone


def test_loading_is_told_of_as_it_goes_on(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, Shape("tiny", layers="s"))
    told: list[tuple[int, int]] = []
    load_engine(tmp_path, progress=lambda done, of: told.append((done, of)))
    assert told[-1][0] == told[-1][1]
    assert [done for done, _ in told] == sorted(done for done, _ in told)
