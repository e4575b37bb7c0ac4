"""`load` a trained network, `import_weights` of others, `export` them, and make a `classifier` of a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reslab.api.arguments import takes
from reslab.errors import UserError
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
def export(
    source: str | Path | TrainedModel,
    second: str | Path | TrainedModel | None = None,
    *,
    options: ExportOptions,
    tell: Callable[[str], None] | None = None,
) -> Path:
    """Write a model for another library or runtime and return the file.

    source     as `load` takes it, or a model
    second     page: another model beside it
    {options}
    tell       called with each line on what was checked
    torchvision, timm: the library's own network must load the weights with strict=True and give equal logits. onnx:
    onnxruntime must give torch's answers on at least 100 pictures, at batches of 1, 2 and 5. onnx-int8, page: at least
    `min_agreement` percent of the answers on 1,000 pictures must stay. Otherwise nothing is written. Raises UserError
    if the target cannot hold the network, with the difference, if its library is not installed, and if the file exists
    or cannot be written; RunError if answers differ.
    """
    _refuse_options_of_others(options)
    if second is not None and options.to != "page":
        raise UserError(f"{second}: a second model is for --to page, not for --to {options.to}; leave it out")
    model, data = opened(source), options.data
    models = [model] if second is None else [model, opened(second)]
    if tell is not None and options.to != "safetensors":
        for line in _range_lines(models, options.to):
            tell(line)
    if options.to == "page":
        from reslab.api.pages import exported_page

        out = options.out or Path(f"{model.name}.html")
        exported_page(models, out, data, options.min_agreement, options.lang, tell)
        return out
    if not options.to.startswith("onnx"):
        from reslab.convert.exporting import exported

        return exported(model, options.to, options.out or Path(f"{model.name}-{options.to}.safetensors"))
    from reslab.api.samples import calibration, sample
    from reslab.convert.runtimes.onnx_file import LEAST, Check, exported_onnx
    from reslab.convert.runtimes.onnx_int8 import PICTURES, exported_int8

    out = options.out or Path(f"{model.name}{options.to.removeprefix('onnx')}.onnx")
    check: Check
    if options.to == "onnx":
        check = exported_onnx(model, out, lambda: sample(model, data, LEAST, LEAST), options.with_preprocessing)
    else:
        check = exported_int8(
            model, out, lambda: sample(model, data, PICTURES, LEAST), options.with_preprocessing,
            lambda: calibration(model, [data], "--data"), options.min_agreement,
        )  # fmt: skip
    if tell is not None:
        for line in check.lines():
            tell(line)
    return out


def _range_lines(models: Sequence[TrainedModel], to: str) -> Iterator[str]:
    """Yield a line for each model with a range of 16-bit levels, which the exported file does not map itself."""
    for model in models:
        if not (levels := model.transform.levels).is_full:
            what = "a browser divides them by 257; give the page" if to == "page" else "the file takes 8 bits; give it"
            yield f"{model.name}: of 16-bit pictures {levels.words}; {what} pictures mapped like that"


# targets of the options that not every target has
TARGETS = {
    "with_preprocessing": ("onnx", "onnx-int8"), "data": ("onnx", "onnx-int8", "page"),
    "min_agreement": ("onnx-int8", "page"), "lang": ("page",),
}  # fmt: skip


def _refuse_options_of_others(options: ExportOptions) -> None:
    """Raise UserError if an option is given that `options.to` does not have."""
    for about in ExportOptions.described().values():
        targets = TARGETS.get(about.name, (options.to,))
        if options.to not in targets and getattr(options, about.name) != about.default:
            raise UserError(
                f"{about.flag}: is for --to {' and '.join(targets)}, not for --to {options.to}; leave it out"
            )


@takes(ClassifierOptions)
def classifier(source: str | Path | TrainedModel, *, options: ClassifierOptions) -> Classifier:
    """Return a function from images to class probabilities, float32 [N, classes].

    source     a run or checkpoint folder, or a model from `load`
    {options}
    It takes one image or many: paths, bytes of image files, Pillow images, arrays uint8 [H, W, 3], [H, W, 1] or [H, W],
    tensors uint8 [3, H, W] or [1, H, W], and batches of arrays or tensors.
    """
    from reslab.api.samples import calibration_for
    from reslab.models.classifier import Classifier

    model = opened(source)
    return Classifier(model, options, calibration_for(model, options))
