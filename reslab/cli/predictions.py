"""`reslab predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from reslab.cli.app import app
from reslab.cli.options import DATA, MACHINE, whole
from reslab.cli.output import print_json, say, show


@app.command
def predict(
    run: Path,
    images: list[Path],
    /,
    *,
    top: Annotated[int, Parameter(converter=whole)] = 5,
    json_: Annotated[bool, Parameter(name="--json", negative="")] = False,
    bad_images: Annotated[Literal["error", "skip"], Parameter(group=DATA)] = "error",
    device: Annotated[str, Parameter(group=MACHINE)] = "auto",
    precision: Annotated[Literal["auto", "fp32", "bf16"], Parameter(group=MACHINE)] = "auto",
    batch: Annotated[int, Parameter(group=MACHINE, converter=whole)] = 32,
    threads: Annotated[int, Parameter(group=MACHINE, converter=whole)] = 0,
) -> None:
    """Classify image files: one line a file, its most probable classes first: FILE: CLASS PERCENT %  CLASS …

    A name that could be mistaken (": ", two spaces, a line break, an escape) stands in quotes, as a JSON string.

    Parameters
    ----------
    run
        a run folder (its newest checkpoint) or a step-… folder
    images
        files, or folders of them
    top
        so many classes of each
    json_
        print one JSON object a line: file, classes, probabilities; a name that is not UTF-8 stands in base64 beside it
        (file_bytes, classes_bytes)
    bad_images
        error: the first file that is no image ends it; skip: such files are left out and told on stderr
    device
        as in `reslab train`
    precision
        auto: bf16 where the CPU has units for it (close calls again in fp32), else fp32
    batch
        images at a time
    threads
        CPU threads (0: all)
    """
    from reslab.api.predictions import predict as predicted
    from reslab.show.terminal.text import prediction_text

    left_out = 0

    def told(bad: object) -> None:
        nonlocal left_out
        left_out += 1
        say(f"left out: {bad}")

    found = predicted(
        run, images, top=top, device=device, precision=precision, batch=batch, threads=threads, bad_images=bad_images,
        tell_bad=told, tell=lambda how: say(f"computed on: {how}"),
    )  # fmt: skip
    for one in found:
        if json_:
            print_json(one.to_dict(), indent=None)
        else:
            show(prediction_text(one.to_dict()))
    if left_out:
        say(f"{left_out} files left out")
