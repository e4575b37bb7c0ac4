"""Images to class probabilities: from paths, bytes, Pillow images, arrays or tensors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from reslab.data.images.decode import read, upright
from reslab.engines import host
from reslab.engines.calibrated import Int8Inference
from reslab.engines.inference import Inference, unsuitable_reason
from reslab.engines.machine import prepare, scoring
from reslab.errors import RunError, UserError
from reslab.models.trained import TrainedModel
from reslab.options.scoring import ClassifierOptions

DEFAULTS = ClassifierOptions()


class Classifier:
    """A function from images to class probabilities, float32 [N, classes].

    With bf16 and int8 on a CPU, close calls are computed again, so that the first class is that of fp32.
    `calibration` has the pixels of training images, for int8 (`Int8Inference`).
    Attributes: `precision` (the one in use), `about` (how it computes, in one line).
    """

    def __init__(
        self, model: TrainedModel, options: ClassifierOptions = DEFAULTS, calibration: Sequence[np.ndarray] = ()
    ) -> None:
        self.model, self.batch, self.settings = model, options.batch, scoring(options.device, options.threads)
        net = model.network.to(self.settings.device)
        fastest = "bf16" if host.bf16_units() and not unsuitable_reason(net, "bf16") else "fp32"
        prepare(self.settings)
        self._logits_of: Inference | Int8Inference
        if options.precision == "int8":
            self._logits_of = Int8Inference(net, calibration, model.transform.inputs)
        else:
            self._logits_of = Inference(net, fastest if options.precision == "auto" else options.precision)
        self.precision = self._logits_of.precision
        how = f"{self.settings.device}, {self.precision}, {self.settings.threads} threads"
        self.about = "; ".join(filter(None, [how, self._logits_of.fallback]))

    def __call__(self, images: Any) -> Tensor:
        """Return the probabilities of one image or of many, on the CPU.

        images    one of these, or an iterable of them: a path, the bytes of an image file, a Pillow image, an array
                  uint8 [H, W], [H, W, 1] or [H, W, 3], a tensor uint8 [1 or 3, H, W]; an array or tensor with one more
                  dimension is a batch
        Raises BadImage for a file that is not an image, UserError for any other value that is not one, RunError for
        scores that are not finite.
        """
        sources = each(images)
        parts = []
        with ThreadPoolExecutor(self.settings.threads) as pool:
            for start in range(0, len(sources), self.batch):
                batch = sources[start : start + self.batch]
                shares, unfit = self.shares([*pool.map(self.pixels, batch)])
                if unfit:
                    raise RunError(f"image {start + unfit[0]}: {self.unfit_reason()}")
                parts.append(shares)
        return torch.cat(parts) if parts else torch.empty(0, len(self.model.classes))

    def pixels(self, image: Any) -> np.ndarray:
        """Return the pixels of an image that the network sees, uint8 [S, S, C]."""
        return pixels_of(self.model, image)

    def shares(self, pixels: Sequence[np.ndarray]) -> tuple[Tensor, list[int]]:
        """Return the probabilities [B, classes] of squares of pixels, and the rows whose scores are not finite."""
        logits = self._logits_of(self.model.transform.inputs(pixels)).float()
        unfit = (~torch.isfinite(logits).all(1)).nonzero().flatten().tolist()
        return logits.softmax(1).cpu(), unfit

    def unfit_reason(self) -> str:
        return f"its scores are not finite, so it has no class; use another checkpoint than {self.model.origin.path}"


def pixels_of(model: TrainedModel, image: Any) -> np.ndarray:
    """Return the pixels of an image that a model sees, uint8 [S, S, C]."""
    return model.transform.pixels(_opened(image))


def each(images: Any) -> Sequence[Any]:
    """Return the single images of an argument of `Classifier`."""
    if isinstance(images, np.ndarray | Tensor):
        return [*images] if images.ndim == 4 else [images]
    if isinstance(images, str | Path | bytes | bytearray | Image.Image):
        return [images]
    if isinstance(images, Iterable):
        return [*images]
    raise _not_an_image(images)


def _not_an_image(value: Any) -> UserError:
    return UserError(f"images: {type(value).__name__} is not an image; give a path, bytes, a Pillow image or an array")


def _opened(image: Any) -> Image.Image:
    if isinstance(image, str | Path):
        return read(str(image))
    if isinstance(image, bytes | bytearray):
        return read(bytes(image), name=f"{len(image):,} bytes")
    if isinstance(image, Image.Image):
        return upright(image)
    if isinstance(image, Tensor) and image.ndim == 3:
        image = image.permute(1, 2, 0)
    if not isinstance(image, np.ndarray | Tensor):
        raise _not_an_image(image)
    array = np.asarray(image.cpu() if isinstance(image, Tensor) else image)
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or channels not in (1, 3) or array.size == 0:
        raise UserError(
            f"images: an array of {array.dtype} {[*array.shape]} is not an image; give uint8 [H, W, 3], [H, W, 1] or "
            "[H, W] (a tensor [3, H, W] or [1, H, W]), or pass normalised inputs to model.network"
        )
    return Image.fromarray(array if channels == 3 else array.reshape(array.shape[:2]))
