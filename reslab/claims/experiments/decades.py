"""How much gradients and activations grow through a net, in decades: measured at initialisation, read from probes.

Root mean square of the loss's derivative by each block's output, and of the output itself. Decades of gradient:
log10(first block / last block), above 0 where it grows towards the input. Decades of activation: log10(last block /
first block). `gradients-init` measures the initial weights of every variant on the first 128 training images, for each
seed. With BN and ReLU a plain net's gradient is known to grow towards the input by about sqrt(pi / (pi - 1)) a layer
(Yang et al. 2019, "A mean field theory of batch normalization").
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import median
from typing import Any

from reslab.claims.claim import Bench, Measurement, kept
from reslab.claims.evidence import Evidence, Net, Setting, net
from reslab.claims.quantity import Quantity, Series, measurement, named, paired, probe_lines

INITIAL, CIRCULAR = "gradients-init", "gradients-circular"
FAR = 110  # layers, measured at initialisation only: the deepest net of §4.2 but one
SAMPLES = 128  # the paper's batch, and what a training run's own probes use
# The largest distance that is counted, in decades: float32's 24 bits. One rate serves all layers, so a step that is
# smaller than another by more than this is lost in it; a gradient of 0 is at least as far.
MOST = 24 * math.log10(2)

Variant = tuple[str, int, bool, str]  # "plain" or "resnet", layers, BN, activation


# -- what is measured


def variants(setting: Setting) -> tuple[Variant, ...]:
    """ReLU at every depth, with BN and without; tanh and sigmoid at the deepest, without BN."""
    kinds, depths = ("plain", "resnet"), dict.fromkeys((*setting.depths, FAR))
    relu = [(k, d, bn, "relu") for k in kinds for d in depths for bn in (True, False)]
    return (*relu, *((k, setting.deep, False, a) for k in kinds for a in ("tanh", "sigmoid")))


def key(variant: Variant, what: str) -> str:
    """ "plain56-bn-relu.gradient": the decades; with an s at the end the values by block, first block first."""
    kind, depth, batch_norm, activation = variant
    return f"{kind}{depth}-{'bn' if batch_norm else 'nobn'}-{activation}.{what}"


def apart(a: float, b: float) -> float:
    """log10(a / b) of two root mean squares; what is 0 counts as the smallest number there is."""
    return math.log10(max(a, math.ulp(0.0))) - math.log10(max(b, math.ulp(0.0)))


def initial(
    setting: Setting, wanted: Sequence[Variant], padding: str, bench: Bench, seed: int | None
) -> dict[str, Any]:
    """Decades of each variant's initial weights; for the deepest of the setting also the values by block."""
    from reslab.measure.findings import Subject
    from reslab.measure.probe import probe
    from reslab.models.inputs import fit
    from reslab.nets.model import build

    data, batch = bench.first_images(setting.recipe, SAMPLES)
    figures: dict[str, Any] = {}
    for variant in wanted:
        kind, depth, batch_norm, activation = variant
        spec = net(f"cifar_{kind}{depth}", batch_norm=batch_norm, activation=activation, padding=padding).spec()
        network = build(fit(spec, data, {}), seed=seed or 0)
        if activation == "sigmoid":  # its gradients vanish below float32's smallest number
            network = network.double()
        subject = Subject(network.name, None, None, data.name, "train", seed)
        result = probe(network, lambda: [batch], subject, "gradients")
        gradients = [g.rms for g in result.gradients or ()]
        activations = [a.rms for a in result.activations or ()]
        figures[key(variant, "gradient")] = round(apart(gradients[0], gradients[-1]), 8)
        figures[key(variant, "activation")] = round(apart(activations[-1], activations[0]), 8)
        if depth == setting.deep:
            figures[key(variant, "gradients")] = [kept(v) for v in gradients]
            figures[key(variant, "activations")] = [kept(v) for v in activations]
    return figures


def at_initialisation(setting: Setting) -> Measurement:
    """The measurement, of the variants of a setting."""
    return Measurement(INITIAL, partial(initial, setting, variants(setting), "zeros"), each_seed=True, seconds=20)


def circular(setting: Setting) -> Measurement:
    """The same for the deepest nets of a setting with circular padding: without zeros that take away signal."""
    every = [(kind, setting.deep, bn, "relu") for kind in ("plain", "resnet") for bn in (True, False)]
    return Measurement(CIRCULAR, partial(initial, setting, every, "circular"), each_seed=True, seconds=5)


# -- what is read


def size(of: Quantity) -> Quantity:
    """Its absolute value, seed by seed: how far apart, whichever way."""
    return paired(of, of, magnitude)


def magnitude(value: float, _: float) -> float:
    return abs(value)


def at_start(kind: str, depth: int, batch_norm: bool, activation: str = "relu", what: str = "gradient") -> Quantity:
    return measurement(INITIAL, key((kind, depth, batch_norm, activation), what))


def circular_start(kind: str, depth: int, batch_norm: bool, what: str = "gradient") -> Quantity:
    return measurement(CIRCULAR, key((kind, depth, batch_norm, "relu"), what))


def in_training(of: Net, reduce: Callable[[list[float]], float] = median) -> Quantity:
    """`reduce` of how many decades the gradients of first and last block lie apart, over the probes after the start.

    More than MOST counts as MOST. A probe whose first or last gradient is not finite, whose last is 0, is left out.
    """

    def read(evidence: Evidence) -> Series:
        series: Series = {}
        for seed, record in evidence.runs(of).items():
            probes = [_apart(p.get("gradients", {})) for p in probe_lines(record) if p["iteration"] > 0]
            values = [abs(v) for v in probes if v is not None]
            if values:
                series[seed] = reduce(values)
        return series

    return Quantity(f"{named(reduce)} over training of the gradients' distance in {of.key}", read, (of,))


def _apart(gradients: Mapping[str, float | None]) -> float | None:
    values = list(gradients.values())
    if not values or values[0] is None or not values[-1]:
        return None
    return max(-MOST, min(MOST, apart(values[0], values[-1])))
