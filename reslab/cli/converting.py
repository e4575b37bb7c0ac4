"""`reslab import` and `reslab export`."""

from __future__ import annotations

from reslab.cli.options import Given, Json, command
from reslab.cli.output import print_json, say, show
from reslab.options.converting import ExportOptions, ImportOptions


@command(options=ImportOptions)
def import_(source: str, /, *, options: Given, json_: Json = False) -> None:
    """Read somebody else's weights of a residual network.

    Parameters
    ----------
    source
        a file (.pt, .pth, .th, .tar, .safetensors); a folder with config.json; hf:OWNER/NAME, torchvision:NAME or
        timm:NAME, which may download
    json_
        print JSON: model, parameters, spec, classes, input, origin, folder
    """
    from reslab.api import models
    from reslab.show.terminal.imported import import_text

    model, folder = models.import_weights(source, **options).to_dict(), options.get("out")
    if json_:
        print_json({**model, "folder": None if folder is None else str(folder)})
    else:
        show(import_text(model, folder))


@command(options=ExportOptions)
def export(model: str, second: str | None = None, /, *, options: Given) -> None:
    """Write a model for torchvision, timm, ONNX, or as one file.

    Parameters
    ----------
    model
        a run, a step-… folder or a model folder; also weights of others, as `reslab import` takes them
    second
        page: another, to compare with
    """
    from reslab.api import models

    show(models.export(model, second, **options, tell=say))
