"""`export --to page`: one HTML file that runs one or two trained networks in the browser."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from reslab.claims.evidence import Net
from reslab.errors import RunError, UserError
from reslab.runs.runlog import Tell

if TYPE_CHECKING:
    from reslab.convert.runtimes.onnx_file import Sample
    from reslab.models.trained import TrainedModel
    from reslab.nets.graph import Graph
    from reslab.show.pages.netpage import PageNet, PagePicture

ENDINGS = (".html",)
NETWORKS = "network.html"  # in the folder of a study or a run: its networks, which its report links to
PICTURES, LEAST, STRIP = 1_000, 20, 20  # that answers are compared on, at least, and in the page's strip


def exported_page(
    models: Sequence[TrainedModel],
    out: Path,
    data: Any,
    least: float,
    language: str,
    tell: Callable[[str], None] | None,
) -> None:
    """Write the page of one or two models.

    data, least, language   as `made_page`
    tell                    called with a line for each network
    Raises UserError if `out` exists or cannot be written, and as `made_page`.
    """
    from reslab.convert.publish import check_out, published

    check_out(out, "page", ENDINGS)
    html, lines = made_page(models, data, least, language)
    with published(out) as aside:
        aside.write_text(html, encoding="utf-8")
    if tell is not None:
        for line in lines:
            tell(line)


def made_page(models: Sequence[TrainedModel], data: Any, least: float, language: str) -> tuple[str, list[str]]:
    """Return the page of one or two models, and a line on each.

    data    pictures for the strip and for comparing answers; None: those of the first model
    least   smallest share of answers that the weights in half precision must keep, in percent
    Raises UserError if a network or the page is too large, or has weights beyond half precision; RunError if fewer
    answers are kept.
    """
    from reslab.api.samples import sample
    from reslab.show.pages.netpage import MOST_PAGE, net_page

    graphs = [_small_enough(model) for model in models]
    pictures = sample(models[0], data, PICTURES, LEAST)
    nets = [_compared(model, graph, pictures, least) for model, graph in zip(models, graphs, strict=True)]
    html = net_page(nets, _strip(models[0], pictures), language)
    if (size := len(html.encode())) > MOST_PAGE:
        raise UserError(
            f"--to page: the page would take {_size(size)}, the largest takes {_size(MOST_PAGE)}; export one network"
        )
    return html, [
        f"{model.name}: weights in half precision keep {net.compared - net.changed:,} of {net.compared:,} answers "
        f"({pictures.source})"
        for model, net in zip(models, nets, strict=True)
    ]


def write_networks(folder: Path, runs: Mapping[tuple[Net, int], Path], language: str, tell: Tell) -> None:
    """Write the page of a study's deepest residual net and its plain twin, of its first seed, if it trained both.

    runs   the folder of each run
    A page that cannot be made or written is a warning.
    """
    from reslab.models.trained import load
    from reslab.show.pages.page import publish

    for (net, seed), place in sorted(runs.items(), key=lambda item: (-item[0][0].spec().depth, item[0][1])):
        twin = runs.get((Net(net.model.replace("resnet", "plain")), seed))
        if net.switches or "resnet" not in net.model or twin is None:
            continue
        try:
            publish(made_page([load(place), load(twin)], None, 0.0, language)[0], folder / NETWORKS)
        except (UserError, RunError, OSError) as error:
            tell({"kind": "warning", "text": f"{NETWORKS}: {error}"})
        return


def link_to_networks(folder: Path, page: Path) -> str:
    """Return the link from a report to the page of the networks in `folder`; "" if there is none."""
    networks = folder / NETWORKS
    return quote(Path(os.path.relpath(networks, page.parent)).as_posix()) if networks.is_file() else ""


def _small_enough(model: TrainedModel) -> Graph:
    """Return the network with weights in half precision. Raises UserError if it is too large for a page."""
    import numpy as np

    from reslab.show.pages.netpage import MOST_NET, in_halves, weights_text

    graph = in_halves(model.graph)
    if (size := len(weights_text(graph))) > MOST_NET:
        raise UserError(
            f"--to page: {model.name} would take {_size(size)}, the largest network takes {_size(MOST_NET)}; use --to "
            "onnx"
        )
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
    return PageNet(graph, model.classes, view.recorded(), statistics.mean, statistics.scale, len(exact), changed)


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
