"""Images as they go into a prompt: what a checkpoint's processor makes of a picture's file, and the
tokens that stand for it.

A picture is scaled to the largest size within the budget of soft tokens that keeps its shape, cut
into patches row by row, and stands in the prompt as a begin token, as many soft tokens as it has
squares of patches, and an end token (`Gemma4ImageProcessorPil` and `Gemma4Processor` in
`transformers`; the same to the bit for a picture without transparency, whose ground is white here
and whatever its pixels say there). Each soft token is a number below zero, made of the picture's
digest: so that two texts are the same to whoever compares them when they and their pictures are.

Pillow reads the files (`gesso[images]`). They come from outside: formats that call other programs
are not among those that are read, and a size that no scan has is refused before it is unpacked.
"""

from __future__ import annotations

import io
import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator

from .config import ModelConfig, read_file
from .errors import CheckpointError, RequestError
from .request import Image
from .vision import Patches

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
MOST_PIXELS = 80_000_000
"""A page of A3 at 600 dots to the inch has 70 million."""
MOST_KEPT = 16
"""Pictures that stay unpacked, of 8 MB each where they have 280 soft tokens."""
_FILES = ("processor_config.json", "preprocessor_config.json")
_DEEP = ("I;16", "I;16B", "I;16L", "I;16N", "I")
_ORIENTATION = 0x0112  # of Exif; from 5 on a picture lies on its side
_MISSING = "images need a package more: pip install 'gesso[images]'"


class ImageSettings(BaseModel):
    """What a checkpoint's processor does (`processor_config.json`, `preprocessor_config.json`);
    what a file leaves out is as in `transformers`' `Gemma4ImageProcessor`."""

    model_config = ConfigDict(frozen=True)
    max_soft_tokens: int = Field(default=280, gt=0)
    patch_size: int = Field(default=16, gt=0)
    pooling_kernel_size: int = Field(default=3, gt=0)
    resample: int = Field(default=3, ge=0, le=5)
    do_resize: Literal[True] = True
    do_rescale: Literal[True] = True
    rescale_factor: float = 1 / 255
    do_normalize: bool = False
    image_mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    image_std: tuple[float, float, float] = (1.0, 1.0, 1.0)

    @model_validator(mode="before")
    @classmethod
    def _of_images(cls, data: Any) -> Any:
        """A processor's file has those of images in a part of their own; a null is no setting."""
        if not isinstance(data, Mapping):
            return data
        found = data.get("image_processor", data)
        return {key: value for key, value in found.items() if value is not None}

    @property
    def side(self) -> int:
        """Pixels of the side of a soft token's square."""
        return self.patch_size * self.pooling_kernel_size


def read_settings(folder: Path) -> ImageSettings:
    """What a checkpoint folder says of its processor; without a file, the reference's defaults.

    Raises:
        CheckpointError: a file is not JSON, or says what cannot be done.
    """
    for name in _FILES:
        if (file := folder / name).exists():
            return read_file(file, ImageSettings)
    return ImageSettings()


class Sight:
    """How a checkpoint takes pictures."""

    def __init__(self, folder: Path, config: ModelConfig) -> None:
        """
        Raises:
            CheckpointError: the folder's files do not say how, or contradict each other.
        """
        marks = (config.boi_token_id, config.image_token_id, config.eoi_token_id)
        if config.vision_config is None or None in marks:
            raise CheckpointError(
                f"{folder / 'config.json'}: a vision tower needs vision_config, boi_token_id,"
                " image_token_id and eoi_token_id"
            )
        self._begin, self._mark, self._end = marks
        self._kept: dict[int, Patches] = {}  # the last one that was used is last
        self._lock = threading.Lock()
        self.settings = settings = read_settings(folder)
        tower = config.vision_config
        for name in ("patch_size", "pooling_kernel_size"):
            if getattr(settings, name) != getattr(tower, name):
                raise CheckpointError(
                    f"{folder}: {name} is {getattr(settings, name)} for the processor and"
                    f" {getattr(tower, name)} for the vision tower"
                )
        if settings.max_soft_tokens * settings.pooling_kernel_size > tower.position_embedding_size:
            raise CheckpointError(
                f"{folder}: images of {settings.max_soft_tokens} soft tokens in a row are longer"
                f" than the tower's {tower.position_embedding_size} positions"
            )

    def placed(self, tokens: Sequence[int], images: Sequence[Image]) -> list[int]:
        """A rendered prompt with its images: each of the template's tokens for one becomes the
        image's own.

        Raises:
            RequestError: a picture cannot be read, or the template does not write one for each.
        """
        if tokens.count(self._mark) != len(images):
            raise RequestError(
                f"the chat template writes {tokens.count(self._mark)} of {len(images)} images:"
                " this checkpoint cannot be shown them"
            )
        placed: list[int] = []
        rest = iter(enumerate(images, 1))
        for token in tokens:
            if token != self._mark:
                placed.append(token)
                continue
            which, image = next(rest)
            with _named(which):
                rows, columns = fitted(_size(image), self.settings)
            placed += [self._begin, *[number_of(image)] * (rows * columns), self._end]
        return placed

    def patches(self, images: Sequence[Image]) -> dict[int, Patches]:
        """The images as the vision tower takes them, by the number that stands for each. A
        conversation has its images in every turn: the last ones that were asked for are kept.

        Raises:
            RequestError: a picture cannot be read.
        """
        found: dict[int, Patches] = {}
        for which, image in enumerate(images, 1):
            number = number_of(image)
            with self._lock:
                known = found.get(number) or self._kept.pop(number, None)
            if known is None:
                with _named(which):
                    known = patched(image, self.settings)
            found[number] = known
        with self._lock:
            self._kept |= found
            for number in list(self._kept)[:-MOST_KEPT]:
                del self._kept[number]
        return found


def number_of(image: Image) -> int:
    """What stands in a text for an image, below zero; of 128 bits of its digest."""
    return -1 - int(image.digest[:32], 16)


def fitted(size: tuple[int, int], settings: ImageSettings) -> tuple[int, int]:
    """How many squares high and wide a picture of that height and width becomes: all that the
    budget allows in its shape (`get_aspect_ratio_preserving_size`).

    Raises:
        RequestError: it is too narrow for its length.
    """
    height, width = size
    budget, side = settings.max_soft_tokens, settings.side
    factor = math.sqrt(budget * side**2 / (height * width))
    rows, columns = math.floor(factor * height / side), math.floor(factor * width / side)
    if rows == 0:
        rows, columns = 1, min(width // height, budget)
    elif columns == 0:
        rows, columns = min(height // width, budget), 1
    return rows, columns


def patched(image: Image, settings: ImageSettings) -> Patches:
    """A picture's patches.

    Raises:
        RequestError: it cannot be read.
    """
    with _opened(image) as opened:
        rows, columns = fitted(_upright(opened), settings)
        height, width = rows * settings.side, columns * settings.side
        picture = _plain(opened)
        if picture.size != (width, height):
            picture = picture.resize((width, height), settings.resample)
        pixels = torch.from_numpy(np.array(picture)).float()  # [height, width, 3]
    pixels *= settings.rescale_factor
    if settings.do_normalize:
        pixels = (pixels - torch.tensor(settings.image_mean)) / torch.tensor(settings.image_std)
    patch = settings.patch_size
    cut = pixels.unflatten(0, (-1, patch)).unflatten(2, (-1, patch))  # [rows, P, columns, P, 3]
    values = cut.transpose(1, 2).reshape(-1, 3 * patch**2)
    return Patches(values, height // patch, width // patch)


def _size(image: Image) -> tuple[int, int]:
    """Height and width, as its header has them."""
    with _opened(image) as picture:
        return _upright(picture)


def _upright(picture: Picture) -> tuple[int, int]:
    """Height and width of a picture that is turned as it says it should be."""
    width, height = picture.size
    return (width, height) if picture.getexif().get(_ORIENTATION, 1) >= 5 else (height, width)


@contextmanager
def _opened(image: Image) -> Iterator[Picture]:
    """Raises `RequestError` for whatever is wrong with a picture, also while it is worked on."""
    try:
        import PIL.Image
    except ModuleNotFoundError:
        raise RequestError(_MISSING) from None
    try:
        with PIL.Image.open(io.BytesIO(image.data), formats=FORMATS) as picture:
            width, height = picture.size
            if width * height > MOST_PIXELS:
                raise RequestError(f"has {width} x {height} pixels; the limit is {MOST_PIXELS:,}")
            frames = getattr(picture, "n_frames", 1)
            if frames > 1 and picture.format != "MPO":  # a photo, and another for its preview
                raise RequestError(f"has {frames} frames or pages: send each as a picture")
            yield picture
    except PIL.UnidentifiedImageError:
        raise RequestError(f"is of no format that is read ({', '.join(FORMATS)})") from None
    except (PIL.Image.DecompressionBombError, PIL.Image.DecompressionBombWarning):
        raise RequestError(f"has more pixels than {MOST_PIXELS:,}, the limit") from None
    except RequestError:
        raise
    except Exception as error:  # whatever a broken file makes its decoder raise
        reason = str(error).strip().splitlines()
        raise RequestError(
            f"cannot be read: {reason[0] if reason else type(error).__name__}"
        ) from None


def _plain(picture: Picture) -> Picture:
    """Upright, in red, green and blue of 8 bits, what is transparent in it on white."""
    import PIL.Image
    import PIL.ImageOps

    picture = PIL.ImageOps.exif_transpose(picture)
    if picture.mode in _DEEP:
        # `convert` would cut off what is brighter than 255
        deep = np.asarray(picture).astype(np.int64)
        picture = PIL.Image.fromarray((deep.clip(0, 65535) // 257).astype(np.uint8))
    elif picture.mode == "F":
        raise RequestError("has pixels in floating point: save it with 8 bits a channel")
    if picture.has_transparency_data:
        seen = picture.convert("RGBA")
        ground = PIL.Image.new("RGBA", seen.size, "white")
        picture = PIL.Image.alpha_composite(ground, seen)
    return picture.convert("RGB")


@contextmanager
def _named(which: int) -> Iterator[None]:
    """Say of a complaint which image it is about."""
    try:
        yield
    except RequestError as error:
        raise RequestError(f"image {which} {error}") from None
