"""What goes on inside a network: layer responses (Fig. 7), activations, gradients, ‖F(x)‖/‖x‖, block Jacobians.

All of it is read from the named intermediates of `Network.forward`. Sums run in float64 over all samples of all
batches and are divided once, so the cut into batches does not show.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, count, pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reslab.errors import UserError, suggest
from reslab.measure.evaluate import LabelledBatch, precise_statistics
from reslab.measure.findings import BlockRms, LayerRms, Probe, Residual, Response, Subject, WeightGradient
from reslab.measure.jacobian import BlockRows, block_jacobian, blocks_of, chosen, too_large
from reslab.nets.model import Network, path_of
from reslab.nets.plan import plan
from reslab.nets.row import Row
from reslab.nets.spec import Spec
from reslab.options.scoring import PARTS

BATCH = 250  # samples of a forward pass, fewer where their intermediates would not fit
GRADIENT_BATCH = 128  # samples whose mean loss is differentiated: the paper's batch
_FLOATS = 2**28  # intermediates held at once: 1 GiB in float32


@dataclass
class Moments:
    """Count, mean, sum of squared deviations and sum of squares of every element added, in float64.

    Batches are merged by Chan, Golub and LeVeque's formula (1979): no cancellation where the mean is large.
    """

    n: int = 0
    mean: float = 0.0
    deviations: float = 0.0
    squares: float = 0.0

    def add(self, value: Tensor) -> None:
        x = value.detach().double()
        n, mean = x.numel(), float(x.mean())
        apart, total = mean - self.mean, self.n + n
        self.deviations += float((x - mean).square().sum()) + apart * apart * self.n * n / total
        self.squares += float(x.square().sum())
        self.mean += apart * n / total
        self.n = total

    @property
    def std(self) -> float:
        """Of the whole population (divided by n)."""
        return math.sqrt(self.deviations / self.n) if self.deviations >= 0 else math.nan

    @property
    def rms(self) -> float:
        return math.sqrt(self.squares / self.n)

    @property
    def norm(self) -> float:
        return math.sqrt(self.squares)


def parts_of(what: str | Iterable[str]) -> tuple[str, ...]:
    """The parts asked for, in the order of PARTS. Raises UserError for an unknown one, and for none at all."""
    asked = [what] if isinstance(what, str) else list(what)
    for word in asked:
        if word not in PARTS:
            raise UserError(f"--only: {word!r} is none of {', '.join(PARTS)}{suggest(word, PARTS)}")
    if not asked:
        raise UserError(f"--only: nothing asked for; choose from {', '.join(PARTS)}")
    return tuple(w for w in PARTS if w in asked)


def response_rows(spec: Spec) -> tuple[tuple[str, str], ...]:
    """(layer, row read) of each layer of Fig. 7, in network order: its 3x3 convolutions.

    Read after the BN that directly follows the layer on its path, before the ReLU or the addition; the convolution's
    own output where none does (no BN; in pre-activation the stem, and a branch's last layer). A bottleneck's 1x1 layers
    are left out, as in the paper; so is a 7x7 stem. Of an MLP: every hidden linear layer. Projections never.
    """
    rows = plan(spec)
    found = []
    for row, after in pairwise(rows):  # the head's last layer is no candidate
        if (row.kind == "conv" and row.kernel == 3) or (
            spec.family == "mlp" and row.kind == "linear" and row.path != "shortcut"
        ):
            follows = after.kind == "bn" and (after.part, after.block, after.path) == (row.part, row.block, row.path)
            found.append((row.name, after.name if follows else row.name))
    return tuple(found)


def layer_rows(spec: Spec) -> tuple[tuple[str, str], ...]:
    """(layer, row read) of each layer with weights, in network order: what it hands on, BN and activation included.

    Only what directly follows it on its own path counts: a branch's last layer is read before the addition.
    """
    rows = plan(spec)
    found = []
    for i, row in enumerate(rows):
        if row.is_weight_layer:
            at = row
            for after in rows[i + 1 :]:
                if after.kind not in ("bn", "act") or (after.block, after.path) != (row.block, row.path):
                    break
                at = after
            found.append((row.name, at.name))
    return tuple(found)


def batch_size(spec: Spec, samples: int) -> int:
    """Samples of a forward pass: up to 250, so that the intermediates fit, and none is left alone in the last batch."""
    held = sum(row.c_out * row.size_out**2 for row in plan(spec))
    most = min(BATCH, max(2, _FLOATS // held))
    return next(b for b in chain(range(most, 1, -1), count(most + 1)) if samples % b != 1)


def probe(
    net: Network,
    batches: Callable[[], Iterable[LabelledBatch]],
    subject: Subject,
    what: str | Iterable[str] = PARTS,
    block: str | None = None,
    device: str = "cpu",
) -> Probe:
    """Probe a copy of `net`; the net itself is left as it is. `batches()` gives the same samples at every call.

    Raises UserError for an unknown part or block, for a block whose Jacobian is too large, and for a Jacobian alone
    asked of a net that has no block small enough.
    """
    asked = parts_of(what)
    if block is not None and "jacobians" not in asked:
        raise UserError(f"--at: {block} is a Jacobian's block, and no Jacobian is asked for; add jacobians to --only")
    jacobian_of = chosen(net, block) if "jacobians" in asked else ()
    blocks = blocks_of(net.rows)
    notes = []
    if "jacobians" in asked and not jacobian_of:
        last = blocks[-1]
        if asked == ("jacobians",):
            raise UserError(f"{net.name}: no block is small enough; {last.name}: {too_large(last)}")
        notes.append(f"no Jacobian: the smallest blocks are too large; {last.name}: {too_large(last)}")
    if "residuals" in asked and not net.spec.residual:
        notes.append("no ‖F(x)‖/‖x‖: the net has no shortcuts")
    own = copy.deepcopy(net).to(device)
    kind = _make_ready(own, batches)
    if kind == "samples":
        notes.append("BN has never seen a batch; it is given the averages over batches of these samples")
    layers = response_rows(net.spec) if "responses" in asked else ()
    wanted = {at for _, at in layers}
    if "gradients" in asked:
        wanted |= {b.output for b in blocks} | {at for _, at in layer_rows(net.spec)}
    if "residuals" in asked:
        wanted |= {name for b in blocks if b.branch for name in (b.branch, b.shortcut)}
    n, found = _moments(own, batches, wanted)
    first = next(iter(_moved(own, batches)))[0][0]
    jacobians = tuple(block_jacobian(own, b, first) for b in jacobian_of) if "jacobians" in asked else None
    # Last: with BN in training mode the copy's moving averages go on.
    batch, loss, of_blocks, of_layers, of_weights = (
        _gradients(own, batches, blocks, found) if "gradients" in asked else (None,) * 5
    )
    return Probe(
        subject, n, kind,
        tuple(Response(layer, at, found[at].std) for layer, at in layers) if "responses" in asked else None,
        tuple(BlockRms(b.name, found[b.output].rms) for b in blocks) if "gradients" in asked else None,
        batch, loss, of_blocks, of_layers, of_weights,
        tuple(_residual(b, found) for b in blocks if b.branch) if "residuals" in asked else None,
        jacobians,
        tuple(notes),
    )  # fmt: skip


def _norms(net: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    return [m for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]


def _make_ready(net: Network, batches: Callable[[], Iterable[LabelledBatch]]) -> str:
    """Put `net` in evaluation mode, with BN statistics that mean something; says which (see `Probe.bn`).

    Fresh moving averages are 0 and 1, with which BN would be the identity: not the net that training starts from.
    """
    norms = _norms(net)
    fresh = [m for m in norms if m.num_batches_tracked is not None and int(m.num_batches_tracked) == 0]
    if fresh:
        with torch.no_grad():
            precise_statistics(net, (images for images, _ in _moved(net, batches)))
    net.eval()
    return "samples" if fresh else "running" if norms else "none"


def _moved(net: Network, batches: Callable[[], Iterable[LabelledBatch]]) -> Iterator[tuple[Tensor, Tensor]]:
    """Images and labels where the weights are, images in the weights' precision."""
    weight = next(net.parameters())
    for batch in batches():
        yield batch.images.to(weight.device, weight.dtype), batch.labels.to(weight.device)


@torch.no_grad()
def _moments(
    net: Network, batches: Callable[[], Iterable[LabelledBatch]], names: set[str]
) -> tuple[int, dict[str, Moments]]:
    """How many samples there are, and the moments of each named output over all of them."""
    n, found = 0, {name: Moments() for name in names}
    for images, _ in _moved(net, batches):
        n += len(images)
        if names:
            for name, value in net(images, names=names)[1].items():
                found[name].add(value)
    return n, found


def _residual(block: BlockRows, found: dict[str, Moments]) -> Residual:
    branch, shortcut = found[block.branch].norm, found[block.shortcut].norm
    return Residual(block.name, block.line, branch, shortcut, branch / shortcut if shortcut else None)


def _gradients(
    net: Network,
    batches: Callable[[], Iterable[LabelledBatch]],
    blocks: tuple[BlockRows, ...],
    found: dict[str, Moments],
) -> tuple[int, float, tuple[BlockRms, ...], tuple[LayerRms, ...], tuple[WeightGradient, ...]]:
    """Batch, mean cross entropy, its derivative by each block's and layer's output and by each layer's weights."""
    images, labels = (x[:GRADIENT_BATCH] for x in next(iter(_moved(net, batches))))
    layers: list[Row] = [row for row in net.rows if row.is_weight_layer]
    weights = [net.get_parameter(f"{path_of(row)}.weight").requires_grad_() for row in layers]
    for norm in _norms(net):
        norm.train()
    with torch.enable_grad():
        read = layer_rows(net.spec)
        outputs = list(dict.fromkeys([*(b.output for b in blocks), *(at for _, at in read)]))
        logits, seen = net(images, names=outputs)
        loss = F.cross_entropy(logits, labels)
        slopes = torch.autograd.grad(loss, [*(seen[name] for name in outputs), *weights])
    sums = []
    for slope in slopes:
        sums.append(Moments())
        sums[-1].add(slope)
    by_output = dict(zip(outputs, sums, strict=False))
    of_blocks = tuple(BlockRms(b.name, by_output[b.output].rms) for b in blocks)
    of_layers = tuple(LayerRms(layer, at, found[at].rms, by_output[at].rms) for layer, at in read)
    of_weights = tuple(
        WeightGradient(row.name, m.norm, m.rms) for row, m in zip(layers, sums[len(outputs) :], strict=True)
    )
    return len(images), float(loss.detach()), of_blocks, of_layers, of_weights
