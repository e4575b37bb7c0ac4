"""`export --to page`: one HTML file that runs one or two trained networks in the browser."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reslab.errors import RunError, UserError

if TYPE_CHECKING:
    from reslab.convert.runtimes.onnx_file import Sample
    from reslab.models.trained import TrainedModel
    from reslab.nets.graph import Graph
    from reslab.show.pages.netpage import PageNet, PagePicture

ENDINGS = (".html",)
PICTURES, LEAST, STRIP = 1_000, 20, 20  # that answers are compared on, at least, and in the page's strip


def exported_page(
    models: list[TrainedModel], out: Path, data: Any, least: float, language: str, tell: Callable[[str], None] | None
) -> None:
    """Write the page of one or two models.

    data    pictures for the strip and for comparing answers; None: those of the first model
    least   smallest share of answers that the weights in half precision must keep, in percent
    tell    called with a line for each network
    Raises UserError if a network or the page is too large, has weights beyond half precision, or if `out` cannot be
    written; RunError if fewer answers are kept, in which case nothing is written.
    """
    from reslab.api.samples import sample
    from reslab.convert.publish import check_out, published
    from reslab.show.pages.netpage import MOST_PAGE, net_page

    check_out(out, "page", ENDINGS)
    graphs = [_small_enough(model) for model in models]
    pictures = sample(models[0], data, PICTURES, LEAST)
    nets = [_compared(model, graph, pictures, least) for model, graph in zip(models, graphs, strict=True)]
    html = net_page(nets, _strip(models[0], pictures), language).encode()
    if len(html) > MOST_PAGE:
        raise UserError(f"--to page: the page would have {_size(len(html))}, the largest has {_size(MOST_PAGE)}")
    with published(out) as aside:
        aside.write_bytes(html)
    for model, net in zip(models, nets, strict=True):
        if tell is not None:
            tell(
                f"{model.name}: weights in half precision keep {net.compared - net.changed:,} of {net.compared:,} "
                f"answers ({pictures.source})"
            )


def _small_enough(model: TrainedModel) -> Graph:
    """Return the network with weights in half precision. Raises UserError if it is too large for a page."""
    import numpy as np

    from reslab.show.pages.netpage import MOST_NET, in_halves, weights_text

    graph = in_halves(model.graph)
    if len(weights_text(graph)) > MOST_NET:
        size, most = _size(len(weights_text(graph))), _size(MOST_NET)
        raise UserError(f"--to page: {model.name} would take {size}, the largest network takes {most}; use --to onnx")
    if not all(np.isfinite(step.weight).all() for step in graph.steps if step.weight is not None):
        raise UserError(
            f"--to page: {model.name} has weights beyond 65,504, too large for half precision; use --to onnx"
        )
    return graph


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


def _compared(model: TrainedModel, graph: Graph, pictures: Sample, least: float) -> PageNet:
    """Return the network of a page. Raises RunError if half precision changes too many answers."""
    from reslab.convert.runtimes.onnx_file import logits_of
    from reslab.engines.steps import Steps
    from reslab.show.pages.netpage import PageNet

    inputs, steps = model.transform.inputs([model.transform.pixels(one) for one in pictures.pictures]), Steps(graph)
    answers = [steps.logits(part).argmax(1) for part in inputs.split(50)]
    exact = logits_of(model, inputs.numpy()).argmax(1)
    changed = sum(int(k) != int(wanted) for k, wanted in zip((k for part in answers for k in part), exact, strict=True))
    if not 100 * (len(exact) - changed) >= least * len(exact):
        raise RunError(
            f"--to page: {model.name} in half precision changes {changed:,} of {len(exact):,} answers, more than "
            f"--min-agreement {least:g} allows; nothing written"
        )
    view, statistics = model.transform.view, model.transform.statistics
    return PageNet(
        graph, model.classes, view.shorter, view.interpolation, statistics.mean, statistics.scale, len(exact), changed
    )


def _strip(model: TrainedModel, pictures: Sample) -> list[PagePicture]:
    """Return evenly spaced pictures, as the network sees them, with their classes."""
    from PIL import Image

    from reslab.show.pages.netpage import PagePicture

    count, found = len(pictures.pictures), []
    for number in range(0, count, max(1, -(-count // STRIP))):
        pixels, content = model.transform.pixels(pictures.pictures[number]), io.BytesIO()
        Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0]).save(content, "PNG", optimize=True)
        is_labelled = number < len(pictures.labels)
        found.append(PagePicture(content.getvalue(), model.classes[pictures.labels[number]] if is_labelled else ""))
    return found
