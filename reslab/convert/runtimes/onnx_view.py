"""The way from pixels to a network's input as nodes of ONNX."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from reslab.convert.runtimes.onnx_nodes import Nodes
from reslab.data.batches.views import View
from reslab.models.transform import InputTransform
from reslab.nets.flow import IMAGES

PIXELS = "pixels"
CUBIC = -0.5  # Pillow's and torch's coefficient of antialiased bicubic resizing


def add_preprocessing(nodes: Nodes, transform: InputTransform) -> str:
    """Add the way from PIXELS, uint8 [batch, height, width, C] of any size, to the network's input.

    As `View` on decoded images: resized with antialiasing, then the centre is cut out or a border added; mean and
    scale are applied. Pillow rounds to whole numbers after each of its two passes, this once.
    """
    view, size = transform.view, transform.size
    floats = nodes.add("Cast", [PIXELS], "view.floats", to=TensorProto.FLOAT)
    planes = nodes.add("Transpose", [floats], "view.planes", perm=[0, 3, 1, 2])
    sides = nodes.add("Shape", [planes], "view.sides", start=2)
    if view.resize == "squash":
        pixels = _rounded(nodes, _resized(nodes, planes, _whole(nodes, "target", [size, size]), view))
    elif view.resize == "letterbox":
        pixels = _letterboxed(nodes, planes, sides, view)
    else:
        pixels = _rounded(nodes, _cropped(nodes, planes, sides, view))
    statistics = transform.statistics
    mean = nodes.constant("view.mean", statistics.mean.transpose(2, 0, 1))
    scale = nodes.constant("view.scale", statistics.scale.reshape(-1, 1, 1))
    return nodes.add("Div", [nodes.add("Sub", [pixels, mean], "view.centred"), scale], IMAGES)


def _whole(nodes: Nodes, name: str, values: list[int]) -> str:
    return nodes.constant(f"view.{name}", values, np.int64)


def _resized(nodes: Nodes, planes: str, target: str, view: View) -> str:
    """Add the resizing of pictures to the height and width of `target`."""
    cubic = view.interpolation == "bicubic"
    # Without exclude_outside the borders would be mixed with repeated pixels, which Pillow and torch leave out.
    return nodes.add(
        "Resize", [planes, "", "", target], "view.image", mode="cubic" if cubic else "linear", antialias=1,
        axes=[2, 3], cubic_coeff_a=CUBIC, exclude_outside=1, coordinate_transformation_mode="half_pixel",
    )  # fmt: skip


def _rounded(nodes: Nodes, image: str) -> str:
    """Add the rounding to whole levels in 0..255."""
    rounded = nodes.add("Round", [image], "view.rounded")
    limits = [
        nodes.constant(f"view.{name}", value, np.float32) for name, value in (("least_pixel", 0), ("most_pixel", 255))
    ]
    return nodes.add("Clip", [rounded, *limits], "view.pixels")


def _cropped(nodes: Nodes, planes: str, sides: str, view: View) -> str:
    """Add the centre of pictures whose shorter side is resized."""
    size = view.size
    exact = nodes.add("Cast", [sides], "view.exact", to=TensorProto.DOUBLE)
    shorter = nodes.add("ReduceMin", [exact], "view.least", keepdims=1)
    shortest = nodes.constant("view.shorter", [view.shorter], np.float64)
    factor = nodes.add("Div", [shortest, shorter], "view.factor")
    resized = nodes.add("Mul", [exact, factor], "view.resized")
    above = nodes.add("Add", [resized, nodes.constant("view.slack", [1e-9], np.float64)], "view.above")
    whole = nodes.add("Cast", [nodes.add("Floor", [above], "view.floor")], "view.whole", to=TensorProto.INT64)
    side = _whole(nodes, "size", [size])
    target = nodes.add("Max", [whole, side], "view.target")
    map_axes = _whole(nodes, "axes", [2, 3])
    image = _resized(nodes, planes, target, view)
    spare = nodes.add("Sub", [target, _whole(nodes, "last", [size - 1])], "view.spare")
    start = nodes.add("Div", [spare, _whole(nodes, "two", [2])], "view.start")
    end = nodes.add("Add", [start, side], "view.end")
    return nodes.add("Slice", [image, start, end, map_axes], "view.crop")


def _letterboxed(nodes: Nodes, planes: str, sides: str, view: View) -> str:
    """Add pictures whose longer side is resized, in the middle of a square of the view's colour."""
    one, two, side = _whole(nodes, "one", [1]), _whole(nodes, "two", [2]), _whole(nodes, "size", [view.size])
    longer = nodes.add("ReduceMax", [sides], "view.longer", keepdims=1)
    # `squares.contained`: (2 * side * size + longer) // (2 * longer)
    doubled = nodes.add("Mul", [sides, _whole(nodes, "twice", [2 * view.size])], "view.doubled")
    above = nodes.add("Add", [doubled, longer], "view.above")
    halved = nodes.add("Div", [above, nodes.add("Mul", [longer, two], "view.longer_twice")], "view.whole")
    target = nodes.add("Max", [halved, one], "view.target")
    pixels = _rounded(nodes, _resized(nodes, planes, target, view))
    spare = nodes.add("Sub", [side, target], "view.spare")
    before = nodes.add("Div", [spare, two], "view.before")
    after = nodes.add("Sub", [spare, before], "view.after")
    # A border has one level for all channels, so the colour is taken from the pixels before and given back after.
    colour = nodes.constant("view.fill", np.array(view.fill, np.float32).reshape(-1, 1, 1))
    pads = nodes.add("Concat", [before, after], "view.pads", axis=0)
    relative = nodes.add("Sub", [pixels, colour], "view.relative")
    framed = nodes.add("Pad", [relative, pads, "", _whole(nodes, "axes", [2, 3])], "view.framed")
    return nodes.add("Add", [framed, colour], "view.square")
