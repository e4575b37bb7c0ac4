"""`load` a trained network, and make a `classifier` of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from reslab.api.arguments import takes
from reslab.options.scoring import ClassifierOptions

if TYPE_CHECKING:
    from reslab.models.classifier import Classifier
    from reslab.models.trained import TrainedModel


@takes()
def load(path: str | Path) -> TrainedModel:
    """Return the trained model of a run folder (its newest checkpoint) or of a checkpoint folder.

    `model.network` is an ordinary `nn.Module` in evaluation mode; other attributes are `spec`, `weights`, `classes`,
    `transform` and `origin`. Raises UserError if there is no checkpoint, if it is damaged, or if it is a pickle.
    """
    from reslab.models.trained import load

    return load(path)


@takes(ClassifierOptions)
def classifier(source: str | Path | TrainedModel, *, options: ClassifierOptions) -> Classifier:
    """Return a function from images to class probabilities, float32 [N, classes].

    source     a run or checkpoint folder, or a model from `load`
    {options}
    It takes one image or many: paths, bytes of image files, Pillow images, arrays uint8 [H, W, 3], [H, W, 1] or [H, W],
    tensors uint8 [3, H, W] or [1, H, W], and batches of arrays or tensors.
    """
    from reslab.models.classifier import Classifier
    from reslab.models.trained import opened

    return Classifier(opened(source), options)
