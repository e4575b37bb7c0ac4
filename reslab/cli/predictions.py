"""`reslab predict`."""

from __future__ import annotations

from pathlib import Path

from reslab.cli.options import Given, Json, command
from reslab.cli.output import print_json, say, show
from reslab.options.scoring import PredictOptions


@command(options=PredictOptions, common=("top", "bad_images", "device"))
def predict(run: Path, images: list[Path], /, *, options: Given, json_: Json = False) -> None:
    """Classify image files.

    A name with ": ", two spaces or a line break is printed as a JSON string.

    Parameters
    ----------
    run
        a run folder, or a step-… folder in it
    images
        files, or folders of files
    json_
        print one JSON object per line: file, classes, probabilities
    """
    from reslab.api import predictions
    from reslab.show.terminal.text import prediction_text

    left_out = 0

    def report_bad(bad: object) -> None:
        nonlocal left_out
        left_out += 1
        say(f"left out: {bad}")

    for prediction in predictions.predict(
        run, images, **options, tell_bad=report_bad, tell=lambda engine: say(f"computed on: {engine}")
    ):
        if json_:
            print_json(prediction.to_dict(), indent=None)
        else:
            show(prediction_text(prediction.to_dict()))
    if left_out:
        say(f"{left_out} files left out")
