"""A page that runs networks: one HTML file, opened from disk, with the weights inside and the network in JavaScript.

`templates/network.js` computes the steps of `nets.graph` in a worker; `templates/netpage.js` is what a person sees.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from reslab.nets.graph import Graph, Step
from reslab.nets.names import name_of
from reslab.show.look import HUE
from reslab.show.networds import NET_PAGE
from reslab.show.pages.embed import inert
from reslab.show.pages.page import TEMPLATES, page

if TYPE_CHECKING:
    import numpy as np

MOST_NET, MOST_PAGE = 3_000_000, 6_000_000  # bytes
SCRIPTS = ("network.js", "netpage.js")


@dataclass(frozen=True, eq=False)
class PageNet:
    """A network of the page.

    graph        with weights in half precision (`in_halves`)
    classes      names in the order of the logits
    view         how a picture becomes the network's square, as `View.recorded`
    mean, scale  of the input in pixel units, float32 [H, W, C] or [1, 1, C], and [C] or [1]
    compared     pictures on which the answers of these weights were compared with fp32's
    changed      answers that differ
    """

    graph: Graph
    classes: Sequence[str]
    view: Mapping[str, Any]
    mean: np.ndarray
    scale: np.ndarray
    compared: int
    changed: int


@dataclass(frozen=True)
class PagePicture:
    """A picture of the strip: the bytes of a PNG file, and its class if it is known."""

    png: bytes
    label: str = ""


def in_halves(graph: Graph) -> Graph:
    """Return the network with its weights rounded to half precision; infinite if they are too large for it."""
    import numpy as np

    def rounded(values: np.ndarray | None) -> np.ndarray | None:
        with np.errstate(over="ignore"):
            return None if values is None else values.astype(np.float16).astype(np.float32)

    steps = (replace(step, weight=rounded(step.weight), bias=rounded(step.bias)) for step in graph.steps)
    return Graph(graph.spec, tuple(steps))


def blocks_of(graph: Graph) -> list[dict[str, str]]:
    """Return the blocks that can be switched off: name, its output, and what is taken instead.

    A residual block without its branch is its shortcut (`measure.removal`; here also shortcuts that change the shape);
    a plain block can be passed over if its input and output have one shape.
    """
    found = []
    for block, group in groupby(graph.steps, key=lambda step: step.row.block):
        members = list(group)
        rows = [step.row for step in members]
        addition = next((step for step in members if step.kind == "add"), None)
        if addition is not None:
            found.append({"name": str(block), "output": addition.name, "instead": addition.inputs[1]})
        elif block and (rows[0].c_in, rows[0].size_in) == (rows[-1].c_out, rows[-1].size_out):
            found.append({"name": block, "output": members[-1].name, "instead": members[0].inputs[0]})
    return found


def net_page(nets: Sequence[PageNet], pictures: Sequence[PagePicture], language: str = "en") -> str:
    """Return the page of one or two networks as a whole HTML document. Raises UserError for an unknown language.

    pictures   of the strip, which a person picks from
    """
    texts = _texts(language)
    scripts = [(TEMPLATES / name).read_text(encoding="utf-8") for name in SCRIPTS]
    colours = {"for": HUE["plain"], "against": HUE["residual"]}
    strip = [{"png": _text(picture.png), "label": picture.label} for picture in pictures]
    content = {"nets": [_facts(net) for net in nets], "strip": strip, "colours": colours, "words": texts}
    names = " and ".join(name_of(net.graph.spec) for net in nets)
    return page(
        "net.html.j2",
        language,
        title=names,
        words=texts,
        content=inert(content),
        worker=inert(scripts[0]),
        interface=scripts[1],
    )


def _texts(language: str) -> dict[str, dict[str, str]]:
    languages = [language, *(each for each in ("en", "ko") if each != language)]
    return {each: {name: text(each) for name, text in NET_PAGE.items()} for each in languages}


def _facts(net: PageNet) -> dict[str, Any]:
    """Return a network as JSON."""
    spec = net.graph.spec
    return {
        "name": name_of(spec), "classes": list(net.classes), "size": spec.image_size, "channels": spec.in_channels,
        "shorter": net.view.get("shorter"), "resize": net.view.get("resize", "crop"), "fill": net.view.get("fill"),
        "cubic": net.view["interpolation"] == "bicubic", "mean": net.mean.ravel().tolist(),
        "scale": net.scale.ravel().tolist(), "activation": spec.activation, "padding": spec.padding,
        "padAt": spec.pad_at, "residual": spec.residual, "blocks": blocks_of(net.graph),
        "blockCount": len({step.row.block for step in net.graph.steps} - {""}), "compared": net.compared,
        "changed": net.changed, "steps": [_step(step, spec.family == "mlp") for step in net.graph.steps],
        "weights": weights_text(net.graph),
    }  # fmt: skip


def _step(step: Step, is_flat: bool) -> dict[str, Any]:
    row = step.row
    sizes = (1, 1, 1) if is_flat else (row.stride, row.size_in, row.size_out)
    return {
        "name": step.name, "kind": step.kind, "inputs": list(step.inputs), "kernel": row.kernel,
        "padding": row.padding, "cIn": row.c_in, "cOut": row.c_out,
        **dict(zip(("stride", "sizeIn", "sizeOut"), sizes, strict=True)),
        **({} if step.weight is None else {"weight": list(step.weight.shape)}),
    }  # fmt: skip


def weights_text(graph: Graph) -> str:
    """Return all weights and biases in the order of the steps, half precision, little endian, in base64."""
    import numpy as np

    arrays = [values for step in graph.steps for values in (step.weight, step.bias) if values is not None]
    return _text(b"".join(np.ascontiguousarray(values, "<f2").tobytes() for values in arrays))


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
