"""Measure a network: layer responses (Fig. 7), activations, gradients, ‖F(x)‖/‖x‖, block Jacobians.

All are read from the named outputs of `Network.forward`. Sums run in float64 over all samples and are divided once, so
the results do not depend on the batch size.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain, count, pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from reslab.errors import UserError, suggest
from reslab.measure.findings import BlockRms, LayerRms, Probe, Residual, Response, Subject, WeightGradient
from reslab.measure.jacobian import BlockRows, block_jacobian, blocks_of, chosen, too_large
from reslab.measure.passes import FRESH, Batches, moved, norms_of, settled
from reslab.nets.model import Network
from reslab.nets.plan import plan
from reslab.nets.row import Row, path_of
from reslab.nets.spec import Spec
from reslab.options.scoring import PARTS

BATCH = 250  # samples of a forward pass; fewer if their intermediate outputs would not fit
GRADIENT_BATCH = 128  # samples whose mean loss is differentiated: the paper's batch
_FLOATS = 2**28  # intermediate outputs in memory at once: 1 GiB in float32


@dataclass
class Moments:
    """Count, mean, sum of squared deviations and sum of squares of every element added, in float64.

    Batches are merged by the formula of Chan, Golub and LeVeque (1979), which avoids cancellation for a large mean.
    """

    n: int = 0
    mean: float = 0.0
    deviations: float = 0.0
    squares: float = 0.0

    def add(self, value: Tensor) -> None:
        x = value.detach().double()
        n, mean = x.numel(), float(x.mean())
        shift, total = mean - self.mean, self.n + n
        self.deviations += float((x - mean).square().sum()) + shift * shift * self.n * n / total
        self.squares += float(x.square().sum())
        self.mean += shift * n / total
        self.n = total

    @property
    def std(self) -> float:
        """Standard deviation of the population (divided by n)."""
        return math.sqrt(self.deviations / self.n) if self.deviations >= 0 else math.nan

    @property
    def rms(self) -> float:
        return math.sqrt(self.squares / self.n)

    @property
    def norm(self) -> float:
        return math.sqrt(self.squares)


def parts_of(what: str | Iterable[str]) -> tuple[str, ...]:
    """Return the requested parts in the order of PARTS. Raises UserError if one is unknown or there are none."""
    words = [what] if isinstance(what, str) else list(what)
    for word in words:
        if word not in PARTS:
            raise UserError(f"--only: {word!r} is none of {', '.join(PARTS)}{suggest(word, PARTS)}")
    if not words:
        raise UserError(f"--only: empty; choose from {', '.join(PARTS)}")
    return tuple(part for part in PARTS if part in words)


def response_rows(spec: Spec) -> tuple[tuple[str, str], ...]:
    """Return (layer, row read) of each layer of Fig. 7, in network order: the 3x3 convolutions.

    A layer is read after the BN that directly follows it on its path, before the ReLU or the addition; without one
    (no BN; with pre-activation the stem and a branch's last layer) its own output is read. As in the paper, a
    bottleneck's 1x1 layers are left out, and so are a 7x7 stem and projections. Of an MLP: every hidden linear layer.
    """
    layers = []
    for row, after in pairwise(plan(spec)):  # the pairs leave out the head's last layer
        hidden = spec.family == "mlp" and row.kind == "linear" and row.path != "shortcut"
        if hidden or (row.kind == "conv" and row.kernel == 3):
            follows = after.kind == "bn" and (after.part, after.block, after.path) == (row.part, row.block, row.path)
            layers.append((row.name, after.name if follows else row.name))
    return tuple(layers)


def layer_rows(spec: Spec) -> tuple[tuple[str, str], ...]:
    """Return (layer, row read) of each layer with weights, in network order.

    A layer is read after the BN and the activation that directly follow it on its own path, so a branch's last layer is
    read before the addition.
    """
    rows, layers = plan(spec), []
    for i, row in enumerate(rows):
        if row.is_weight_layer:
            at = row
            for after in rows[i + 1 :]:
                if after.kind not in ("bn", "act") or (after.block, after.path) != (row.block, row.path):
                    break
                at = after
            layers.append((row.name, at.name))
    return tuple(layers)


def batch_size(spec: Spec, samples: int) -> int:
    """Return the samples of a forward pass: at most 250, so that the outputs fit, and no last batch of one sample."""
    outputs = sum(row.c_out * row.size_out**2 for row in plan(spec))
    most = min(BATCH, max(2, _FLOATS // outputs))
    return next(b for b in chain(range(most, 1, -1), count(most + 1)) if samples % b != 1)


def probe(
    net: Network,
    batches: Batches,
    subject: Subject,
    what: str | Iterable[str] = PARTS,
    block: str | None = None,
    device: str = "cpu",
) -> Probe:
    """Probe a copy of `net`; `net` is not changed. `batches()` returns the same samples at every call.

    Raises UserError for an unknown part or block, for a block whose Jacobian is too large, and if only Jacobians are
    requested and no block is small enough.
    """
    parts = parts_of(what)
    if block is not None and "jacobians" not in parts:
        raise UserError(f"--at {block}: is used only for Jacobians; add jacobians to --only")
    jacobian_of = chosen(net, block) if "jacobians" in parts else ()
    blocks = blocks_of(net.rows)
    notes = []
    if "jacobians" in parts and not jacobian_of:
        last = blocks[-1]
        if parts == ("jacobians",):
            raise UserError(f"{net.name}: no block is small enough; {last.name}: {too_large(last)}")
        notes.append(f"no Jacobian: the smallest blocks are too large; {last.name}: {too_large(last)}")
    if "residuals" in parts and not net.spec.residual:
        notes.append("no ‖F(x)‖/‖x‖: the net has no shortcuts")
    net = copy.deepcopy(net).to(device)
    kind = settled(net, batches)
    if kind == "samples":
        notes.append(FRESH)
    layers = response_rows(net.spec) if "responses" in parts else ()
    outputs = {at for _, at in layers}
    if "gradients" in parts:
        outputs |= {b.output for b in blocks} | {at for _, at in layer_rows(net.spec)}
    if "residuals" in parts:
        outputs |= {name for b in blocks if b.branch for name in (b.branch, b.shortcut)}
    n, moments = _moments(net, batches, outputs)
    first = next(iter(moved(net, batches)))[0][0]
    jacobians = tuple(block_jacobian(net, b, first) for b in jacobian_of) if "jacobians" in parts else None
    # Last, because BN in training mode changes the copy's moving averages.
    batch, loss, block_gradients, layer_gradients, weight_gradients = (
        _gradients(net, batches, blocks, moments) if "gradients" in parts else (None,) * 5
    )
    return Probe(
        subject, n, kind,
        tuple(Response(layer, at, moments[at].std) for layer, at in layers) if "responses" in parts else None,
        tuple(BlockRms(b.name, moments[b.output].rms) for b in blocks) if "gradients" in parts else None,
        batch, loss, block_gradients, layer_gradients, weight_gradients,
        tuple(_residual(b, moments) for b in blocks if b.branch) if "residuals" in parts else None,
        jacobians,
        tuple(notes),
    )  # fmt: skip


@torch.no_grad()
def _moments(net: Network, batches: Batches, names: set[str]) -> tuple[int, dict[str, Moments]]:
    """Return the number of samples, and the moments of each named output over all of them."""
    n, moments = 0, {name: Moments() for name in names}
    for images, _ in moved(net, batches):
        n += len(images)
        if names:
            for name, value in net(images, names=names)[1].items():
                moments[name].add(value)
    return n, moments


def _residual(block: BlockRows, moments: dict[str, Moments]) -> Residual:
    branch, shortcut = moments[block.branch].norm, moments[block.shortcut].norm
    return Residual(block.name, block.line, branch, shortcut, branch / shortcut if shortcut else None)


def _gradients(
    net: Network,
    batches: Batches,
    blocks: tuple[BlockRows, ...],
    moments: dict[str, Moments],
) -> tuple[int, float, tuple[BlockRms, ...], tuple[LayerRms, ...], tuple[WeightGradient, ...]]:
    """Return the batch size, the mean cross entropy, and its derivatives.

    The derivatives are with respect to each block's output, each layer's output, and each layer's weights.
    """
    images, labels = (x[:GRADIENT_BATCH] for x in next(iter(moved(net, batches))))
    layers: list[Row] = [row for row in net.rows if row.is_weight_layer]
    weights = [net.get_parameter(f"{path_of(row)}.weight").requires_grad_() for row in layers]
    for norm in norms_of(net):
        norm.train(not net.is_frozen(norm))
    with torch.enable_grad():
        read = layer_rows(net.spec)
        outputs = list(dict.fromkeys([*(b.output for b in blocks), *(at for _, at in read)]))
        logits, values = net(images, names=outputs)
        loss = F.cross_entropy(logits, labels)
        slopes = torch.autograd.grad(loss, [*(values[name] for name in outputs), *weights])
    sums = []
    for slope in slopes:
        sums.append(Moments())
        sums[-1].add(slope)
    by_output = dict(zip(outputs, sums, strict=False))
    block_gradients = tuple(BlockRms(b.name, by_output[b.output].rms) for b in blocks)
    layer_gradients = tuple(LayerRms(layer, at, moments[at].rms, by_output[at].rms) for layer, at in read)
    weight_gradients = tuple(
        WeightGradient(row.name, m.norm, m.rms) for row, m in zip(layers, sums[len(outputs) :], strict=True)
    )
    return len(images), float(loss.detach()), block_gradients, layer_gradients, weight_gradients
