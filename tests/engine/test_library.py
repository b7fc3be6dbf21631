"""The checkpoints of the hub's cache, in the layout that `huggingface_hub` keeps."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from gesso.engine import CheckpointError
from gesso.engine.library import layout_of, pull, remove, stored, verify
from masked_oracle import save_llada
from oracle import Shape, save_checkpoint

NAME = "someone/diffusion-tiny"


def put(cache: Path, name: str, source: Path) -> Path:
    """Lay files down as a download does: blobs by their checksums, a snapshot of links."""
    repo = cache / f"models--{name.replace('/', '--')}"
    commit = hashlib.sha1(name.encode()).hexdigest()
    blobs, snapshot = repo / "blobs", repo / "snapshots" / commit
    for folder in (blobs, snapshot, repo / "refs"):
        folder.mkdir(parents=True)
    (repo / "refs" / "main").write_text(commit)
    for file in source.iterdir():
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        large = file.suffix == ".safetensors"
        blob = blobs / (digest if large else digest[:40])
        shutil.copy(file, blob)
        (snapshot / file.name).symlink_to(Path("../../blobs") / blob.name)
    return snapshot


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    save_checkpoint(source, Shape("tiny", layers="s"))
    put(tmp_path / "cache", NAME, source)
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text('{"model_type": "llama"}')
    put(tmp_path / "cache", "someone/llama", other)
    return tmp_path / "cache"


def test_what_was_downloaded_is_listed_others_models_are_not(cache: Path) -> None:
    (one,) = stored(cache)
    assert (one.name, one.layout) == (NAME, "float32")
    assert one.size > 10_000
    assert (one.folder / "config.json").exists()


def test_checkpoints_of_either_family_are_listed_and_verified(tmp_path: Path) -> None:
    save_llada(tmp_path / "source")
    put(tmp_path / "cache", "someone/llada-tiny", tmp_path / "source")
    (one,) = stored(tmp_path / "cache")
    assert one.name == "someone/llada-tiny"
    assert [checked.wrong for checked in verify(one.folder)] == [None] * 5


def test_without_a_cache_there_is_nothing(tmp_path: Path) -> None:
    assert stored(tmp_path / "nowhere") == []


def test_a_sound_checkpoint_is_verified_to_the_byte(cache: Path) -> None:
    (one,) = stored(cache)
    found = list(verify(one.folder))
    assert [checked.wrong for checked in found] == [None] * 6
    assert found[-2].how.endswith("as the hub has them")
    assert found[-1].file == "vision tower"


def test_a_processor_that_does_not_fit_the_tower_is_found(cache: Path) -> None:
    (one,) = stored(cache)
    (one.folder / "processor_config.json").unlink()
    (wrong,) = [checked for checked in verify(one.folder) if checked.wrong]
    assert wrong.file == "vision tower"
    assert "patch_size is 16 for the processor" in str(wrong.wrong)
    assert not [checked for checked in verify("sketch") if checked.file == "vision tower"]


def flip(file: Path) -> None:
    """One bit of the last tensor."""
    blob = file.resolve()
    data = bytearray(blob.read_bytes())
    data[-1] ^= 1
    blob.write_bytes(data)


def cut(file: Path) -> None:
    blob = file.resolve()
    blob.write_bytes(blob.read_bytes()[:-100])


@pytest.mark.parametrize(("damage", "told"), [(flip, "not what the hub has"), (cut, "cut off")])
def test_a_damaged_shard_is_found(cache: Path, damage: Callable[[Path], None], told: str) -> None:
    (one,) = stored(cache)
    damage(one.folder / "model.safetensors")
    (wrong,) = [checked for checked in verify(one.folder) if checked.wrong]
    assert wrong.file == "model.safetensors"
    assert told in str(wrong.wrong)


def test_files_that_cannot_be_read_are_told_of(cache: Path) -> None:
    (one,) = stored(cache)
    (one.folder / "chat_template.jinja").unlink()
    (one.folder / "model.safetensors").unlink()
    wrong = [checked.file for checked in verify(one.folder) if checked.wrong]
    assert wrong == ["chat_template.jinja", "*.safetensors"]


def test_what_is_removed_is_gone_and_the_others_stay(cache: Path) -> None:
    assert remove(NAME, cache) > 10_000
    assert stored(cache) == []
    assert (cache / "models--someone--llama").exists()
    with pytest.raises(CheckpointError, match="gesso models list"):
        remove(NAME, cache)


def test_what_the_hub_does_not_give_is_an_error_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not/a/name: cannot be fetched"):
        pull("not/a/name", tmp_path)


@pytest.mark.parametrize(
    ("config", "layout"),
    [
        ({"dtype": "bfloat16"}, "bfloat16"),
        (
            {"quantization_config": {"quant_method": "modelopt", "quant_algo": "NVFP4"}},
            "modelopt NVFP4",
        ),
        (
            {
                "quantization_config": {
                    "quant_method": "compressed-tensors",
                    "format": "float-quantized",
                }
            },
            "compressed-tensors float-quantized",
        ),
        (
            {"quantization_config": {"quant_method": "bitsandbytes", "bnb_4bit_quant_type": "nf4"}},
            "bitsandbytes nf4",
        ),
    ],
)
def test_a_layout_is_told_in_a_few_words(config: dict[str, object], layout: str) -> None:
    assert layout_of(json.loads(json.dumps(config))) == layout
