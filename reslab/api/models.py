"""`load` a trained network, `import_weights` of others, `export` them, and make a `classifier` of a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from reslab.api.arguments import takes
from reslab.options.converting import ExportOptions, ImportOptions
from reslab.options.scoring import ClassifierOptions

if TYPE_CHECKING:
    from reslab.models.classifier import Classifier
    from reslab.models.trained import TrainedModel


@takes()
def load(path: str | Path) -> TrainedModel:
    """Return the trained model of a run folder (its newest checkpoint), a checkpoint or model folder, or weights.

    path   a folder of reslab; or weights of others, as `import_weights` takes them without options: a file, a folder
           of the Hub, "hf:OWNER/NAME", "torchvision:NAME", "timm:NAME"
    `model.network` is an ordinary `nn.Module` in evaluation mode; other attributes are `spec`, `weights`, `classes`,
    `transform` and `origin`. `model.save_pretrained(FOLDER)` writes a model folder. Raises UserError if there is no
    checkpoint, if it is damaged, or if the weights are not recognised.
    """
    return opened(path)


def opened(source: str | Path | TrainedModel) -> TrainedModel:
    """Return `source` if it is a model, else load it from the path or name."""
    from reslab.models import trained

    if isinstance(source, trained.TrainedModel):
        return source
    from reslab.convert import sources

    if sources.is_foreign(source):
        return sources.opened(source, ImportOptions())
    return trained.load(source)


@takes(ImportOptions)
def import_weights(source: str | Path, *, options: ImportOptions) -> TrainedModel:
    """Return a model with somebody else's weights; with `out` also write it as a model folder.

    source     a file of weights (.pt, .pth, .th, .tar, .safetensors); a folder with config.json as transformers, timm
               or reslab publish it; "hf:OWNER/NAME" (or OWNER/NAME@REVISION); "torchvision:NAME" or
               "torchvision:NAME:WEIGHTS"; "timm:NAME". Only the last four may touch the network
    {options}
    `model.origin.imported.assumed` has what the file does not show. Nothing in a file is run. Raises UserError if the
    file is damaged or needs more than tensors, if no layout fits, or if several fit different networks.
    """
    from reslab.convert import sources
    from reslab.models.folder import check_target

    if options.out is not None:
        check_target(options.out)  # before anything is downloaded
    model = sources.opened(source, options)
    if options.out is not None:
        model.save_pretrained(options.out)
    return model


@takes(ExportOptions)
def export(source: str | Path | TrainedModel, *, options: ExportOptions) -> Path:
    """Write a model's weights under another library's names and return the file.

    source     as `load` takes it, or a model
    {options}
    The library's own network must load them with strict=True and give equal logits before the file is written.
    Raises UserError if the library has no such network, with the difference; RunError if its logits differ.
    """
    from reslab.convert.exporting import exported

    model = opened(source)
    return exported(model, options.to, options.out or Path(f"{model.name}-{options.to}.safetensors"))


@takes(ClassifierOptions)
def classifier(source: str | Path | TrainedModel, *, options: ClassifierOptions) -> Classifier:
    """Return a function from images to class probabilities, float32 [N, classes].

    source     a run or checkpoint folder, or a model from `load`
    {options}
    It takes one image or many: paths, bytes of image files, Pillow images, arrays uint8 [H, W, 3], [H, W, 1] or [H, W],
    tensors uint8 [3, H, W] or [1, H, W], and batches of arrays or tensors.
    """
    from reslab.models.classifier import Classifier

    return Classifier(opened(source), options)
