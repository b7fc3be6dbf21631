"""Train the bundled model: `python -m gesso.engine.training.train --out runs/sketch`.

Two stages on an endless stream of seeded synthetic turns. The first is next-token prediction on
prompt and answer, which is where copying is learnt; a run that starts from another checkpoint's
weights (`--start FOLDER`) skips it. The second is next-token prediction of the answers, which is
what decides a verified answer, and in a share of its steps DiffusionGemma's own objective beside it
(google-deepmind/gemma, `diffusion/hackable_diffusion_adapter`): one noise level `t ~ U(0, 1)` an
example, every token of one canvas replaced by a uniform token with probability `t`, two passes of
which the first conditions the second half of the time, mean cross-entropy over all positions.

The budget is minutes of training, because that is what a CPU has; the learning rate is constant
and falls in the last part of them. A run writes `state.pt` every few minutes and continues from
it, also with a longer budget (`--minutes`); `log.jsonl` holds the losses.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..checkpoint import SKETCH, load_weights, locate, save_weights
from ..config import ModelConfig, read_config, read_generation_config
from ..model import DiffusionGemma
from ..prompt import ChatTemplate
from ..tokenizer import Tokenizer
from .tasks import rendered, turn
from .vocabulary import common_words, write_tokenizer


@dataclass(frozen=True)
class Recipe:
    """Everything that a run depends on; kept beside its checkpoint.

    Turns are at most `longest_first` tokens long in the beginning and `longest` after
    `ramp_minutes`. Every `canvas_every`-th step of the second stage trains the denoiser too.
    """

    seed: int = 7
    start: str = ""
    minutes: float = 170.0
    warm_start_minutes: float = 60.0
    ramp_minutes: float = 40.0
    longest_first: int = 600
    longest: int = 1400
    tokens_per_batch: int = 6144
    learning_rate: float = 2e-3
    matrix_learning_rate: float = 4e-3
    cool_down_share: float = 0.4
    warm_up_steps: int = 100
    prompt_weight: float = 0.2
    tail_weight: float = 0.2
    next_token_weight: float = 1.0
    canvas_every: int = 2
    self_conditioning_share: float = 0.5


SHAPE: dict[str, Any] = {
    "hidden_size": 160,
    "intermediate_size": 320,
    "num_hidden_layers": 5,
    "num_attention_heads": 3,
    "num_key_value_heads": 3,
    "head_dim": 48,
    "global_head_dim": 64,
    "num_global_key_value_heads": 3,
    "num_experts": 4,
    "top_k_experts": 2,
    "moe_intermediate_size": 80,
    "sliding_window": 64,
    "max_position_embeddings": 4096,
    "rms_norm_eps": 1e-6,
    "final_logit_softcapping": 30.0,
    "hidden_activation": "gelu_pytorch_tanh",
    "attention_bias": False,
    "layer_types": [*["sliding_attention", "full_attention"] * 2, "full_attention"],
    "rope_parameters": {
        "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
        "full_attention": {
            "rope_type": "proportional",
            "partial_rotary_factor": 0.25,
            "rope_theta": 1000000.0,
        },
    },
    "tie_word_embeddings": True,
    "initializer_range": 0.02,
    "model_type": "diffusion_gemma_text",
}
CANVAS_LENGTH = 96
WORDS = 560
"""How many whole words a new tokenizer has beside its characters."""


def write_folder(
    folder: Path,
    start: Path | None = None,
    *,
    shape: Mapping[str, Any] = SHAPE,
    canvas_length: int = CANVAS_LENGTH,
    words: int = WORDS,
) -> None:
    """Write configuration, template and tokenizer of a new checkpoint folder; with a checkpoint to
    start from, its tokenizer is kept: a word that became a token late is one that the model cannot
    spell (`Auto Service` was copied as `Auto Heights`)."""
    folder.mkdir(parents=True, exist_ok=True)
    template_file = folder / "chat_template.jinja"
    if not template_file.exists():
        template_file.write_text((SKETCH / "chat_template.jinja").read_text(encoding="utf-8"))
    template = ChatTemplate(template_file, bos_token="<bos>")
    if start:
        shutil.copy(start / "tokenizer.json", folder / "tokenizer.json")
        size = read_config(start / "config.json").text_config.vocab_size
    else:
        size = write_tokenizer(folder / "tokenizer.json", common_words(template, count=words))
    controls = {
        entry["content"]: entry["id"]
        for entry in json.loads((folder / "tokenizer.json").read_text())["added_tokens"]
    }
    ends = [controls[name] for name in ("<eos>", "<turn|>", "<|tool_response>")]
    special = {"bos_token_id": controls["<bos>"], "pad_token_id": controls["<pad>"]}
    text = {**shape, "vocab_size": size, **special, "eos_token_id": ends[0]}
    vision = {"model_type": "gemma4_vision", "hidden_size": 8, "intermediate_size": 8}
    vision |= {"num_hidden_layers": 1, "num_attention_heads": 1, "num_key_value_heads": 1}
    _write_json(
        folder / "config.json",
        {
            "architectures": ["DiffusionGemmaForBlockDiffusion"],
            "model_type": "diffusion_gemma",
            "dtype": "bfloat16",
            "canvas_length": canvas_length,
            "boi_token_id": None,
            "eoi_token_id": None,
            "image_token_id": None,
            "trained_tail": True,
            "verify_drafts": True,
            "draft_window": 20,
            "tie_word_embeddings": True,
            "text_config": text,
            "vision_config": {**vision, "head_dim": 8},
        },
    )
    _write_json(
        folder / "generation_config.json",
        {
            **special,
            "eos_token_id": ends,
            "max_denoising_steps": 8,
            "sampler_config": {"_cls_name": "EntropyBoundSamplerConfig", "entropy_bound": 0.1},
            "t_min": 0.4,
            "t_max": 0.8,
            "stability_threshold": 1,
            "confidence_threshold": 0.05,
        },
    )
    _write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": "<bos>",
            "eos_token": "<eos>",
            "pad_token": "<pad>",
            "unk_token": "<unk>",
            "clean_up_tokenization_spaces": False,
        },
    )


def _write_json(file: Path, data: dict[str, Any]) -> None:
    file.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Batch:
    """Turns padded on the right; `prompt_lengths` and `lengths` are [B]."""

    tokens: Tensor  # [B, T] prompt and answer
    prompt_lengths: Tensor
    lengths: Tensor

    @property
    def size(self) -> int:
        return len(self.lengths)


def batches(
    rng: random.Random,
    template: ChatTemplate,
    tokenizer: Tokenizer,
    tokens_per_batch: int,
    longest: Callable[[], int],
) -> Iterator[Batch]:
    """An endless stream of batches of turns of like length, none above `longest` tokens."""
    while True:
        pool: list[tuple[list[int], int]] = []
        limit = longest()
        while len(pool) < 256:
            prompt, answer = map(tokenizer.encode, rendered(turn(rng, "train"), template))
            if len(prompt) + len(answer) <= limit:
                pool.append((prompt + answer, len(prompt)))
        pool.sort(key=lambda entry: len(entry[0]))
        groups: list[list[tuple[list[int], int]]] = []
        while pool:
            group = [pool.pop()]
            width = len(group[0][0])
            while pool and (len(group) + 1) * width <= tokens_per_batch:
                group.append(pool.pop())
            groups.append(group)
        rng.shuffle(groups)
        for group in groups:
            lengths = torch.tensor([len(tokens) for tokens, _ in group])
            padded = torch.zeros(len(group), int(lengths.max()), dtype=torch.long)
            for row, (tokens, _) in enumerate(group):
                padded[row, : len(tokens)] = torch.tensor(tokens)
            yield Batch(padded, torch.tensor([prompt for _, prompt in group]), lengths)


def next_token_loss(model: DiffusionGemma, states: Tensor, batch: Batch, prompt: float) -> Tensor:
    """Mean next-token cross-entropy over the answers, plus `prompt` times that over the prompts."""
    positions = torch.arange(1, batch.tokens.shape[1])[None]
    in_answer = (positions >= batch.prompt_lengths[:, None]) & (positions < batch.lengths[:, None])
    loss = F.cross_entropy(model.logits(states[:, :-1][in_answer]), batch.tokens[:, 1:][in_answer])
    if prompt:
        in_prompt = positions < batch.prompt_lengths[:, None]
        logits = model.logits(states[:, :-1][in_prompt])
        loss = loss + prompt * F.cross_entropy(logits, batch.tokens[:, 1:][in_prompt])
    return loss


def draw_canvases(batch: Batch, length: int, pad: int) -> tuple[Tensor, Tensor]:
    """One clean canvas of each answer [B, L], filled with pad after its end, and the number of
    tokens before it [B]."""
    answers = batch.lengths - batch.prompt_lengths
    count = (answers + length - 1) // length
    chosen = (torch.rand(batch.size) * count).long()
    prefix = batch.prompt_lengths + chosen * length
    positions = prefix[:, None] + torch.arange(length)[None]
    inside = positions < batch.lengths[:, None]
    clean = batch.tokens.gather(1, positions.clamp(max=batch.tokens.shape[1] - 1))
    return torch.where(inside, clean, pad), prefix


def canvas_loss(
    model: DiffusionGemma, batch: Batch, recipe: Recipe, length: int, pad: int
) -> tuple[Tensor, Tensor]:
    """The denoiser's loss and the encoder's, over one pass of the encoder."""
    cache = model.new_cache()
    states = model.encode(batch.tokens, cache)
    clean, prefix = draw_canvases(batch, length, pad)
    noise = torch.randint(model.config.vocab_size, clean.shape)
    level = torch.rand(batch.size, 1)
    canvas = torch.where(torch.rand(clean.shape) < level, noise, clean)
    soft = None
    if torch.rand(()) < recipe.self_conditioning_share:
        with torch.no_grad():
            first = model.denoise(canvas, _detached(cache), None, prefix)
            soft = model.soften(first.softmax(-1))
    logits = model.denoise(canvas, cache, soft, prefix)
    losses = F.cross_entropy(logits.flatten(0, 1), clean.flatten(), reduction="none")
    weights = torch.where(clean.flatten() == pad, recipe.tail_weight, 1.0)
    denoising = (losses * weights).sum() / weights.sum()
    return denoising, next_token_loss(model, states, batch, prompt=0.0)


def _detached(cache: Any) -> Any:
    """A second cache over the same keys; a pass without gradients may grow it freely."""
    copy = type(cache)(len(cache._keys))
    copy.length = cache.length
    copy._keys = [keys.detach() for keys in cache._keys]
    copy._values = [values.detach() for values in cache._values]
    return copy


def optimisers(model: DiffusionGemma, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Muon for the layers' matrices, Adam for embeddings, experts, norms and scales."""
    matrices, rest = [], []
    for name, parameter in model.named_parameters():
        matrix = parameter.ndim == 2 and "layers." in name and "router" not in name
        (matrices if matrix else rest).append(parameter)
    return [
        torch.optim.Muon(
            matrices,
            lr=recipe.matrix_learning_rate,
            weight_decay=1e-4,
            adjust_lr_fn="match_rms_adamw",
        ),
        torch.optim.AdamW(rest, lr=recipe.learning_rate, betas=(0.95, 0.99), weight_decay=1e-4),
    ]


def train(
    folder: Path,
    recipe: Recipe,
    threads: int,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Run both stages to their end, or go on from `state.pt`; the budget is measured in the
    seconds of `clock`."""
    torch.set_num_threads(threads)
    torch.manual_seed(recipe.seed)
    start = locate(recipe.start) if recipe.start else None
    if not (folder / "config.json").exists():
        write_folder(folder, start)
    config: ModelConfig = read_config(folder / "config.json")
    generation = read_generation_config(folder / "generation_config.json")
    pad = generation.pad_token_id
    template = ChatTemplate(folder / "chat_template.jinja", bos_token="<bos>")
    tokenizer = Tokenizer(
        folder / "tokenizer.json",
        vocab_size=config.text_config.vocab_size,
        ends=tuple(generation.eos_token_id),
        pad=pad,
    )
    model = DiffusionGemma(config.text_config)
    for name, parameter in model.named_parameters():
        if parameter.ndim >= 2:
            torch.nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5)
        if "embed_tokens" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    if start:
        weights = load_weights(start, read_config(start / "config.json"), torch.float32)
        model.load_state_dict(weights.state_dict())
    optims = optimisers(model, recipe)
    base = [optim.param_groups[0]["lr"] for optim in optims]
    state_file, log_file = folder / "state.pt", folder / "log.jsonl"
    step, examples, elapsed = 0, 0, 0.0
    if state_file.exists():
        state = torch.load(state_file, weights_only=True)
        model.load_state_dict(state["model"])
        for optim, saved in zip(optims, state["optimisers"], strict=True):
            optim.load_state_dict(saved)
        step, examples, elapsed = state["step"], state["examples"], state["elapsed"]
        torch.manual_seed(recipe.seed + step)
    budget = 60 * recipe.minutes
    warm_start = 0.0 if start else 60 * recipe.warm_start_minutes

    def longest() -> int:
        ramp = min(1.0, elapsed / (60 * recipe.ramp_minutes))
        return round(recipe.longest_first + ramp * (recipe.longest - recipe.longest_first))

    stream = batches(
        random.Random(f"{recipe.seed}-{step}"),
        template,
        tokenizer,
        recipe.tokens_per_batch,
        longest,
    )
    _write_json(folder / "recipe.json", {**asdict(recipe), "parameters": _count(model)})
    last_saved = last_logged = clock()
    sums: dict[str, float] = {}
    tokens = 0
    while elapsed < budget:
        began = clock()
        batch = next(stream)
        rate = _schedule(step, elapsed / budget, recipe)
        for optim, lr in zip(optims, base, strict=True):
            optim.param_groups[0]["lr"] = lr * rate
        losses: dict[str, Tensor] = {}
        with torch.autocast("cpu", dtype=torch.bfloat16):
            if elapsed < warm_start or step % recipe.canvas_every:
                states = model.encode(batch.tokens, model.new_cache())
                prompt_weight = recipe.prompt_weight if elapsed < warm_start else 0.0
                loss = next_token_loss(model, states, batch, prompt_weight)
                losses["next_token"] = loss
            else:
                denoising, answers = canvas_loss(model, batch, recipe, config.canvas_length, pad)
                losses["canvas"], losses["next_token"] = denoising, answers
                loss = denoising + recipe.next_token_weight * answers
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optim in optims:
            optim.step()
            optim.zero_grad(set_to_none=True)
        step, examples = step + 1, examples + batch.size
        tokens += int(batch.lengths.sum())
        now = clock()
        elapsed += now - began
        for name, value in losses.items():
            sums[name] = sums.get(name, 0.0) + float(value.detach())
            sums[f"{name}_n"] = sums.get(f"{name}_n", 0.0) + 1
        if now - last_logged > 30:
            speed = round(tokens / (now - last_logged))
            line = {"step": step, "examples": examples, "seconds": round(elapsed, 1)}
            line["tokens_per_second"] = speed
            means = {
                name: round(sums[name] / sums[f"{name}_n"], 4)
                for name in sums
                if not name.endswith("_n")
            }
            with log_file.open("a", encoding="utf-8") as log:
                log.write(json.dumps({**line, **means}) + "\n")
            sums, last_logged, tokens = {}, now, 0
        if now - last_saved > 150 or elapsed >= budget:
            _save(folder, model, optims, step, examples, elapsed)
            last_saved = now


def _schedule(step: int, progress: float, recipe: Recipe) -> float:
    """Linear warm-up, a plateau, and a linear fall to a twentieth in the last part."""
    left = (1.0 - min(progress, 1.0)) / recipe.cool_down_share
    return min(1.0, (step + 1) / recipe.warm_up_steps) * min(1.0, max(0.05, left))


def _save(
    folder: Path,
    model: DiffusionGemma,
    optims: list[torch.optim.Optimizer],
    step: int,
    examples: int,
    elapsed: float,
) -> None:
    """Write the state to continue from, and the checkpoint that can be loaded, each in one move."""
    state = {
        "model": model.state_dict(),
        "optimisers": [optim.state_dict() for optim in optims],
        "step": step,
        "examples": examples,
        "elapsed": elapsed,
    }
    torch.save(state, folder / "state.tmp")
    (folder / "state.tmp").replace(folder / "state.pt")
    save_weights(model, folder / "model.tmp", torch.bfloat16)
    (folder / "model.tmp").replace(folder / "model.safetensors")


def _count(model: DiffusionGemma) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description="Train the bundled model.")
    parser.add_argument("--out", type=Path, default=Path("runs/sketch"))
    parser.add_argument("--threads", type=int, default=2)
    defaults = Recipe()
    for name, value in asdict(defaults).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    options = vars(parser.parse_args())
    folder, threads = options.pop("out"), options.pop("threads")
    train(folder, Recipe(**options), threads)


if __name__ == "__main__":
    main()
