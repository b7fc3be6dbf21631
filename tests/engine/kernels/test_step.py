"""A step of whole canvases with static shapes, beside the passes that it stands for; and that it
can be captured: it never looks at the host. Without a GPU its kernels are interpreted
(`tests/conftest.py`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from gesso.engine.checkpoint import load_weights
from gesso.engine.config import read_config
from gesso.engine.model import DiffusionGemma
from gesso.engine.views import Pass
from oracle import SHAPES, VOCABULARY, Shape, save_checkpoint
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import TorchDispatchMode

pytest.importorskip("triton", reason="Triton is not installed")

from gesso.engine import step as step_module
from gesso.engine.step import Step, Steps

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def loaded(folder: Path, shape: Shape) -> DiffusionGemma:
    save_checkpoint(folder, shape)
    return load_weights(folder, read_config(folder / "config.json"), torch.float32, DEVICE)


# under the interpreter a layer takes a second
SMALL = Shape("one layer of each kind", layers="sf", window=8)


@pytest.fixture(params=[SMALL], ids=lambda shape: shape.name)
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DiffusionGemma]:
    found = loaded(tmp_path, request.param)
    with torch.inference_mode():
        yield found


def passes(
    model: DiffusionGemma, texts: Sequence[int], length: int, *, soft: bool, known: int = 0
) -> list[Pass]:
    """A canvas behind each of some texts of so many tokens."""
    torch.manual_seed(0)
    found = []
    for text in texts:
        cache = model.new_cache()
        model.encode(torch.randint(VOCABULARY, (1, text), device=DEVICE), cache)
        canvas = torch.randint(VOCABULARY, (length,), device=DEVICE)
        before = torch.randn(length, model.config.hidden_size, device=DEVICE) if soft else None
        found.append(model.drafting(canvas, cache, text, before, known))
    return found


def plainly(model: DiffusionGemma, asked: Sequence[Pass]) -> list[Tensor]:
    """What the passes are without any kernel."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gesso.engine.model.launches_on", lambda device: False)
        return model.run(asked)


@pytest.mark.parametrize(
    "model",
    [SMALL, *(pytest.param(shape, marks=pytest.mark.slow) for shape in SHAPES)],
    indirect=True,
    ids=lambda shape: shape.name,
)
@pytest.mark.parametrize("soft", [False, True])
def test_it_is_what_the_passes_are(model: DiffusionGemma, soft: bool) -> None:
    # shorter and longer than the window, and than a part of a text
    for texts in ([1], [40, 150] if soft else [3]):
        asked = passes(model, texts, 12, soft=soft, known=2)
        found = Steps(model).run(asked)
        for ours, expected in zip(found, plainly(model, asked), strict=True):
            torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)


def test_a_text_that_grows_needs_no_other_step(model: DiffusionGemma) -> None:
    steps = Steps(model)
    for texts in ([5], [60], [7]):
        asked = passes(model, texts, 5, soft=True)
        for ours, expected in zip(steps.run(asked), plainly(model, asked), strict=True):
            torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)
    assert len(steps) == 1


def test_so_many_steps_are_kept_and_no_more(
    model: DiffusionGemma, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_module, "MOST_KEPT", 2)
    steps = Steps(model)
    for length in (4, 5, 4, 6):
        steps.run(passes(model, [9], length, soft=False))
    assert len(steps) == 2


class Watched(TorchDispatchMode):
    """Raises where an operator looks at the host, or has a shape that depends on data."""

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        name = func.overloadpacket.__name__
        if name in {
            "_local_scalar_dense",
            "nonzero",
            "item",
            "bincount",
            "unique",
            "masked_select",
        }:
            raise AssertionError(f"{name} cannot be captured")
        return func(*args, **(kwargs or {}))


@pytest.mark.skipif(DEVICE.type == "cuda", reason="there the capture itself is the proof")
def test_nothing_in_it_looks_at_the_host(
    model: DiffusionGemma, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = passes(model, [9, 20], 12, soft=True)
    with pytest.raises(AssertionError, match="cannot be captured"), Watched():
        model.run(asked)  # the experts' rows are counted on the host
    monkeypatch.setattr("gesso.engine.model.launches_on", lambda device: True)
    step = Step(model, 2, 12, None)
    step._take(asked)
    with Watched():
        step._states()


@pytest.mark.skipif(DEVICE.type == "cuda", reason="there the capture itself is the proof")
def test_its_shapes_are_known_without_data(
    model: DiffusionGemma, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Traced with tensors that have no data, the kernels' places taken by what is like them."""
    monkeypatch.setattr("gesso.engine.model.launches_on", lambda device: True)
    monkeypatch.setattr("gesso.engine.kernels.experts.routed", lambda x, *_: x)
    asked = passes(model, [9], 12, soft=True)
    step = Step(model, 1, 12, None)
    step._take(asked)

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (one.transpose(1, 2) for one in (q, k, v))
        seen = F.scaled_dot_product_attention(q, k, v, enable_gqa=q.shape[1] != k.shape[1])
        return seen.transpose(1, 2)

    def traced(canvases: Tensor, starts: Tensor, soft: Tensor) -> Tensor:
        return model.canvases(canvases, starts, soft, [attend] * len(model.stack))

    graph = make_fx(traced, tracing_mode="fake", _allow_non_fake_inputs=True)(
        step._canvases, step._starts, step._soft
    )
    shape = graph(step._canvases, step._starts, step._soft).shape
    assert shape == (1, 12, model.config.hidden_size)
