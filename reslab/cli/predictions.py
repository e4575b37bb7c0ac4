"""`reslab predict`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from reslab.cli.app import STDIN
from reslab.cli.options import Csv, Given, Json, Null, command
from reslab.cli.output import print_csv, print_json, say, show, valid
from reslab.errors import RunError, UserError
from reslab.options.scoring import PredictOptions

if TYPE_CHECKING:
    from reslab.data.images.decode import BadImage


@command(options=PredictOptions, common=("top", "bad_images", "device"))
def predict(
    run: Path, images: list[Path], /, *, options: Given, json_: Json = False, csv: Csv = False, null: Null = False
) -> None:
    """Classify image files.

    A name with ": ", two spaces or a line break is printed as a JSON string.

    Parameters
    ----------
    run
        a run folder, or a step-… folder in it
    images
        files, folders of files, or - to read paths from stdin
    json_
        print a JSON object a line: file, classes, probabilities; error
    csv
        print CSV: file, classes with probabilities, error
    null
        paths from stdin end with a zero byte, which is usually recognised
    """
    from reslab.api import models, predictions
    from reslab.api.pathlist import PathList
    from reslab.show.terminal.text import prediction_text

    if json_ and csv:
        raise UserError("--json and --csv are two forms of one output; give one of them")
    if images.count(Path(STDIN)) > 1:
        raise UserError("-: standard input can be read once; give it once")
    chosen = PredictOptions.of(options)
    skips, maps = chosen.bad_images == "skip", chosen.explain is not None
    model = models.opened(run)
    places = min(chosen.top, len(model.classes))
    number = bad = 0

    def report_bad(error: BadImage) -> None:
        nonlocal bad
        bad += 1
        say(f"left out: {error}" if skips else f"bad image: {error}")

    found = predictions.predict(
        model,
        [PathList(null=null) if path == Path(STDIN) else path for path in images],
        **options,
        tell_bad=report_bad,
        tell=lambda engine: say(f"computed on: {engine}"),
    )
    for prediction in found:
        if csv and number == 0:
            print_csv(heads(places, maps))
        number += 1
        if json_:
            print_json(prediction.to_dict(), indent=None)
        elif csv:
            print_csv(cells(prediction.to_dict(), places, maps))
        elif prediction.error is None:
            show(prediction_text(prediction.to_dict()))
    if skips and bad:
        say(f"{bad} files left out")
    elif bad:
        raise RunError(f"{bad} of {number} images could not be read")


def heads(places: int, maps: bool) -> list[str]:
    """Return the head line of the CSV."""
    columns = [f"{name}_{place}" for place in range(1, places + 1) for name in ("class", "probability")]
    return ["file", *columns, *(["map"] if maps else []), "error", "file_bytes"]


def cells(prediction: dict[str, Any], places: int, maps: bool) -> list[Any]:
    """Return a prediction (`Prediction.to_dict`) as the cells of a line of CSV, with texts and bytes as in --json."""
    plain = valid(prediction)
    answers = [cell for pair in zip(plain["classes"], plain["probabilities"], strict=True) for cell in pair]
    answers += [""] * (2 * places - len(answers))
    map_ = [plain.get("map", "")] if maps else []
    return [plain["file"], *answers, *map_, plain.get("error", ""), plain.get("file_bytes", "")]
