"""`reslab predict`."""

from __future__ import annotations

from pathlib import Path

from reslab.cli.options import Given, Json, command
from reslab.cli.output import print_json, say, show
from reslab.options.scoring import PredictOptions


@command(options=PredictOptions, common=("top", "bad_images", "precision", "device"))
def predict(run: Path, images: list[Path], /, *, options: Given, json_: Json = False) -> None:
    """Classify image files.

    One line a file, its most probable classes first: FILE: CLASS PERCENT %  CLASS … A name with ": ", two spaces or a
    line break is printed as a JSON string.

    Parameters
    ----------
    run
        a run folder, or a step-… folder in it
    images
        files, or folders of them
    json_
        print one JSON object a line: file, classes, probabilities (names that are not UTF-8 in base64 too)
    """
    from reslab.api.predictions import predict as predicted
    from reslab.show.terminal.text import prediction_text

    left_out = 0

    def told(bad: object) -> None:
        nonlocal left_out
        left_out += 1
        say(f"left out: {bad}")

    found = predicted(run, images, **options, tell_bad=told, tell=lambda how: say(f"computed on: {how}"))
    for one in found:
        if json_:
            print_json(one.to_dict(), indent=None)
        else:
            show(prediction_text(one.to_dict()))
    if left_out:
        say(f"{left_out} files left out")
