"""`predict`: what a trained network sees in image files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from reslab.errors import RunError, UserError, suggest, suggest_beside
from reslab.runs.naming import was_set

if TYPE_CHECKING:
    import numpy as np

    from reslab.data.images.decode import BadImage
    from reslab.measure.result import Prediction
    from reslab.training.checkpoint import Checkpoint

PRECISIONS = ("auto", "fp32", "bf16")


def predict(
    path: str | Path,
    images: str | Path | Iterable[str | Path],
    *,
    top: int = 5,
    device: str = "auto",
    precision: str = "auto",
    batch: int = 32,
    threads: int = 0,
    bad_images: str = "error",
    tell_bad: Callable[[BadImage], None] | None = None,
    tell: Callable[[str], None] | None = None,
) -> Iterator[Prediction]:
    """Classify image files with a run (its newest checkpoint) or a checkpoint; one `Prediction` a file, in order.

    images      files, or folders: all visible files below them, sorted
    top         how many classes of each, most probable first
    precision   "auto": bf16 where the CPU has units for it (close calls again in fp32, so that the first class is
                that of fp32), else fp32
    bad_images  "error": the first file that is no image ends it (BadImage); "skip": such files are left out, and
                `tell_bad` is called with each
    tell        called once, before the first image, with how this is computed: device, precision, threads, and why not
                faster
    An image is seen as in `evaluate`: nets that were trained on folders see the centre crop of 224/256 of the shorter
    side, those trained on whole images (CIFAR-10, digits) the whole of it as far as it is square. Statistics and class
    names are the training's own. Raises UserError for a path that is no checkpoint, for weights that are not finite,
    and where there is no file; RunError for an image whose scores are not finite.
    """
    import torch

    from reslab.data.batches.loader import centred
    from reslab.data.images.decode import BadImage
    from reslab.engines import host
    from reslab.engines.inference import Inference, piece_of, why_not
    from reslab.engines.machine import Settings, prepare, resolve_device, thread_count
    from reslab.measure.result import Prediction
    from reslab.training import checkpoint as checkpoints
    from reslab.training.room import check_evaluation

    for option, value, known in (
        ("--precision", precision, PRECISIONS),
        ("--bad-images", bad_images, ("error", "skip")),
    ):
        if value not in known:
            raise UserError(f"{option}: {value!r} is none of {', '.join(known)}{suggest(str(value), known)}")
    for option, number in (("--top", top), ("--batch", batch)):
        if number < 1:
            raise UserError(f"{option}: {number} must be at least 1")
    found = checkpoints.find(Path(path))
    files = files_of([images] if isinstance(images, str | Path) else images)
    settings = Settings(resolve_device(device), "fp32", "channels_last", "eager", thread_count(threads))
    view = _view_of(found)
    batch = min(batch, len(files))
    check_evaluation(found.spec, batch, settings.device, at_once=piece_of(found.spec))

    net = checkpoints.network(found).to(settings.device).eval()

    def predictions() -> Iterator[Prediction]:
        prepare(settings)
        units = "bf16" if host.bf16_units() and not why_not(net, "bf16") else "fp32"
        logits_of = Inference(net, units if precision == "auto" else precision)
        if tell is not None:
            how = f"{settings.device}, {logits_of.precision}, {settings.threads} threads"
            tell("; ".join([how, logits_of.fallback] if logits_of.fallback else [how]))
        names, rest = found.facts["classes"], iter(files)
        with ThreadPoolExecutor(settings.threads) as pool:  # Pillow lets others compute while it decodes
            while some := list(islice(rest, batch)):
                good = []
                # All of them before the first is reported: reading TIFF takes the process's standard error away.
                views = [*pool.map(partial(_seen, view), some)]
                for file, seen in zip(some, views, strict=True):
                    if not isinstance(seen, BadImage):
                        good.append((file, seen))
                    elif bad_images == "error":
                        raise seen
                    elif tell_bad is not None:
                        tell_bad(seen)
                if good:
                    logits = logits_of(centred([seen for _, seen in good], found.statistics)).float()
                    unfit = (~torch.isfinite(logits).all(1)).nonzero().flatten().tolist()
                    if unfit:
                        raise RunError(
                            f"{good[unfit[0]][0]}: its scores are not finite, so there is no answer; use another "
                            f"checkpoint than {found.folder}"
                        )
                    shares = logits.softmax(1).cpu()
                    highest = shares.topk(min(top, len(names)))
                    for (file, _), values, places in zip(good, *(t.tolist() for t in highest), strict=True):
                        yield Prediction(file, tuple((names[k], v) for k, v in zip(places, values, strict=True)))

    return predictions()


def files_of(images: Iterable[str | Path]) -> list[str]:
    """The files that are meant, folders opened. Raises UserError for what is not there, and where there is none."""
    from reslab.data.sets.listing import below

    found: list[str] = []
    for one in map(Path, images):
        if one.is_dir():
            unread: list[str] = []
            inside = below(str(one), "", {}, unread)
            if unread:
                raise UserError(unread[0])
            found += inside
        elif one.exists() or one.is_symlink():  # a link that leads nowhere is a bad image
            found.append(str(one))
        else:
            raise UserError(f"{one}: no such file or folder{suggest_beside(one)}")
    if not found:
        raise UserError("predict: no image files there; give files, or folders that hold some")
    return found


def _view_of(found: Checkpoint) -> Callable[[str], np.ndarray]:
    """File to what the network sees of it, as its training's evaluation did."""
    from reslab.data.batches.views import evaluation_view, whole_view
    from reslab.data.images.decode import read

    spec = found.spec
    see = whole_view if was_set(found.facts["data"]) else evaluation_view

    def view(file: str) -> np.ndarray:
        image = read(file)
        return see(image if spec.in_channels == 3 else image.convert("L"), spec.image_size)

    return view


def _seen(view: Callable[[str], np.ndarray], file: str) -> np.ndarray | BadImage:
    from reslab.data.images.decode import BadImage

    try:
        return view(file)
    except BadImage as error:
        return error
