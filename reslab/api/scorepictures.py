"""The pictures of `evaluate`: confusion matrix, reliability diagram, and the images with the highest loss."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from reslab.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from reslab.api.scorer import Job
    from reslab.measure.result import Evaluation
    from reslab.models.trained import TrainedModel

MOST = 200  # images on a sheet
BATCH = 32  # images whose maps are computed at once
WITHOUT = "Without maps, which need one net that ends in global average pooling and one linear layer."
MAPS = "Left: what the network saw. Right: orange is evidence for the predicted class, blue is against it."


class ScorePictures:
    """The folder of `--pictures`.

    worst   number of images on the sheet
    Raises UserError if the folder holds something or cannot be written, or for more than 200 images.
    """

    def __init__(self, folder: Path, worst: int, device: str) -> None:
        from reslab.api.picturefolder import PictureFolder

        if worst > MOST:
            raise UserError(f"--worst: {worst} images do not fit on one sheet; give at most {MOST}")
        self.folder, self.worst, self.device = PictureFolder(folder, "--pictures"), worst, device

    def written(self, result: Evaluation, job: Job, place: int | None, is_whole: bool) -> tuple[Path, ...]:
        """Write the pictures of a result and return their files.

        place      number of the result, which gets a folder of its own; None for a single result
        is_whole   the result is an ensemble's, which has no class activation maps
        Raises UserError if a file cannot be written.
        """
        from reslab.show.charts.chart import rendered
        from reslab.show.charts.scores import confusion_chart, reliability_chart

        name = "ensemble" if is_whole else result.model
        folder = Path() if place is None else Path(f"{place}-{name}")
        told, paths = result.to_dict(), []
        for title, chart in (("confusion", confusion_chart(told)), ("reliability", reliability_chart(told))):
            for ending in (".svg", ".png"):
                paths.append(self.folder.write(folder / f"{title}{ending}", rendered(chart, ending)))
        sheet = self._sheet(result, job, is_whole)
        return (*paths, self.folder.write(folder / "worst.png", sheet)) if sheet else tuple(paths)

    def _sheet(self, result: Evaluation, job: Job, is_whole: bool) -> bytes:
        """Return the sheet as PNG; nothing if no image has finite scores."""
        import vl_convert

        from reslab.measure.answers import highest_losses
        from reslab.show.drawings.worst import Case, draw_worst

        answers = result.scores.answers
        assert answers is not None
        rows = highest_losses(answers, self.worst)
        if not len(rows):
            return b""
        predicted = answers.predicted[rows]
        images, remark = self._images(job, rows, predicted, is_whole)
        sources = [source_of(job, row) for row in rows.tolist()]
        cases = [
            Case(
                image, result.classes[answers.labels[row]], result.classes[answers.predicted[row]],
                float(answers.confidence[row]), float(answers.loss[row]), source,
            )
            for image, row, source in zip(images, rows.tolist(), sources, strict=True)
        ]  # fmt: skip
        title = (
            f"{result.model}, {result.data} {result.split}: {len(rows)} highest losses of {result.scores.n:,} images"
        )
        drawing = draw_worst(title, cases, with_maps=remark == MAPS, remark=remark)
        return bytes(vl_convert.svg_to_png(drawing.svg, scale=2))

    def _images(
        self, job: Job, rows: np.ndarray, predicted: np.ndarray, is_whole: bool
    ) -> tuple[list[Image.Image], str]:
        """Return the images of `rows`, beside their maps if the model has any, and a remark on them."""
        from PIL import Image

        from reslab.api.explanations import explained

        pixels = pixels_of(job, rows)
        if is_whole or not has_map(job.model):
            arrays = [array if array.shape[2] == 3 else array[:, :, 0] for array in pixels]
            return [Image.fromarray(array).convert("RGB") for array in arrays], WITHOUT
        drawn = []
        for start in range(0, len(rows), BATCH):
            numbers = predicted[start : start + BATCH].tolist()
            found = explained(job.model, self.device, pixels[start : start + BATCH], numbers)
            drawn += [one.picture() for one in found]
        return drawn, MAPS


def has_map(model: TrainedModel) -> bool:
    """Return whether the network has class activation maps."""
    from reslab.measure.activation import map_row

    try:
        map_row(model.network)
    except UserError:
        return False
    return True


def pixels_of(job: Job, rows: np.ndarray) -> list[np.ndarray]:
    """Return the squares that the network saw of `rows` (int64 [M]) of the job's split, uint8 [S, S, C] each."""
    from reslab.data.images.decode import read
    from reslab.data.splits import Memory

    split, transform = job.part, job.model.transform
    if isinstance(split, Memory):
        return [*split.images[rows]]
    return [transform.view(read(split.paths[row], levels=split.levels)) for row in rows.tolist()]


def source_of(job: Job, row: int) -> str:
    """Return the name of an image's file, or its number in a split in memory."""
    from reslab.data.splits import Memory

    split = job.part
    return f"image {row:,}" if isinstance(split, Memory) else Path(split.name(row)).name
