"""The palette: all colours of charts and drawings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

INK, SOFT, LINE, GROUND = "#1c1f23", "#59616b", "#8a9099", "#f6f7f9"  # text, lesser text, lines, fills
HOLDING = "#d7e3ef"  # the range in which a statement holds
GRID, AXIS = "#e6e6e6", "#999"
# Plain is orange, residual is blue: distinct in the common forms of colour blindness. A depth is a shade of its
# kind's hue, from shallow (light) to deep (dark); both ends have a contrast of 3:1 against white.
SHADES = {"plain": ("#cf7a1c", "#7a2e00"), "residual": ("#4a96cc", "#0a2f66")}
HUE = {"plain": "#d55e00", "residual": "#0072b2"}
# A depth's place between light (0) and dark (1), fixed so that a net has one colour in all figures of a page. The
# depths of the study and the paper are well separated; others are interpolated by the logarithm of the depth.
ANCHORS = ((8, 0.0), (20, 1 / 3), (56, 3 / 4), (110, 0.9), (1202, 1.0))
# Hues of Okabe and Ito, distinct in the common forms of colour blindness, by a stage's number; the head has none.
HUES = {1: "#f0e442", 2: "#56b4e9", 3: "#e69f00", 4: "#009e73", 5: "#cc79a7"}
NO_HUE = "#9aa0a6"
VGG = "#6b7280"  # neither plain twin nor residual net
MLP = "#5b3a8c"


def shades(kind: str, depths: Sequence[int]) -> list[str]:
    """Return a colour for each net of a kind, by depth, or by order if two nets have the same depth."""
    first, last = ([int(end[i : i + 2], 16) for i in (1, 3, 5)] for end in SHADES[kind])
    steps = [_darkness(depth) for depth in depths]
    if len(set(depths)) < len(depths):
        steps = [i / (len(depths) - 1) for i in range(len(depths))]
    return ["#" + "".join(f"{round(a + (b - a) * s):02x}" for a, b in zip(first, last, strict=True)) for s in steps]


def _darkness(depth: int) -> float:
    if depth <= ANCHORS[0][0]:
        return ANCHORS[0][1]
    for (shallow, light), (deep, dark) in pairwise(ANCHORS):
        if depth <= deep:
            return light + (dark - light) * math.log(depth / shallow) / math.log(deep / shallow)
    return ANCHORS[-1][1]
