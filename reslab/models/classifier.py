"""Images in any form to class probabilities."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reslab.engines import host
from reslab.engines.calibrated import Int8Inference
from reslab.engines.inference import Inference, unsuitable_reason
from reslab.engines.machine import prepare, scoring
from reslab.errors import RunError
from reslab.models.images import Named, each, is_held, is_path, opened
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

        images    an image or an iterable of images, in any form that `predict` takes; folders are not searched
        Raises BadImage for a file that is not an image, UserError for any other value that is not one, RunError for
        scores that are not finite.
        """
        parts = []
        with ThreadPoolExecutor(self.settings.threads) as pool:
            futures = decoded(self.model, each(images), pool, at_once=not is_held(images))
            while batch := list(islice(futures, self.batch)):
                shares, unfit = self.shares([future.result() for _, future in batch])
                if unfit:
                    raise RunError(f"{batch[unfit[0]][0]}: {self.unfit_reason()}")
                parts.append(shares)
        return torch.cat(parts) if parts else torch.empty(0, len(self.model.classes))

    def shares(self, pixels: Sequence[np.ndarray]) -> tuple[Tensor, list[int]]:
        """Return the probabilities [B, classes] of squares of pixels, and the rows whose scores are not finite."""
        logits = self._logits_of(self.model.transform.inputs(pixels)).float()
        unfit = (~torch.isfinite(logits).all(1)).nonzero().flatten().tolist()
        return logits.softmax(1).cpu(), unfit

    def unfit_reason(self) -> str:
        return f"its scores are not finite, so it has no class; use another checkpoint than {self.model.origin.path}"


def pixels_of(model: TrainedModel, image: Any, name: str) -> np.ndarray:
    """Return the pixels of an image of `each` that a model sees, uint8 [S, S, C]. Raises BadImage."""
    return model.transform.pixels(opened(image, name, model.transform.levels))


def decoded(
    model: TrainedModel, images: Iterable[Named], pool: Executor, at_once: bool
) -> Iterator[tuple[str, Future[np.ndarray]]]:
    """Yield the name of each image and its pixels to be; files are decoded in the pool.

    at_once   finish an image in memory before the next one is fetched: an iterator may close or overwrite it then
    """
    for name, image in images:
        future = pool.submit(pixels_of, model, image, name)
        if at_once and not is_path(image):
            wait([future])
        yield name, future
