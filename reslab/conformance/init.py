"""The initial weights of an untrained network, held against He et al. 2015 [13] within sampling error.

The rule: convolutions Gaussian with mean 0 and variance 2/fan. Whether fan counts inputs or outputs is left open,
but it is one of them for the whole net. BN begins with γ = 1 and β = 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from torch import Tensor, nn

from reslab.conformance.finding import Finding
from reslab.conformance.net import Net
from reslab.conformance.record import Node
from reslab.nets.spec import Spec

SIGMAS = 5.0  # standard errors within which a figure of a random sample fits
MOST = 2**16  # weights of a layer that are looked at
CLOSE = 1.5  # largest ratio of figures that are reported as one
UNIFORM = -1.2  # excess kurtosis of a uniform distribution; of a Gaussian 0, cut at two σ -0.63


@dataclass(frozen=True)
class _Sample:
    """The weights of one convolution: their number, moments, and variance times each fan."""

    name: str
    n: int
    mean: float
    std: float
    kurtosis: float
    fans: dict[str, tuple[int, ...]]

    def fits(self, fan: str) -> bool:
        """Return whether mean and standard deviation are those of N(0, 2/fan)."""
        if abs(self.mean) > SIGMAS * self.std / math.sqrt(self.n):
            return False
        margin = SIGMAS / math.sqrt(2 * self.n) + 1e-3
        return any(abs(self.std / math.sqrt(2 / count) - 1) <= margin for count in self.fans[fan])

    def gain(self, fan: str) -> float:
        """Return the variance times the fan; 2 by the rule."""
        return self.std**2 * self.fans[fan][0]


def _sample(name: str, weight: Tensor, groups: int) -> _Sample:
    window = weight[0, 0].numel()
    # of a grouped convolution torch counts all outputs, although an input reaches only those of its group
    fans = {"in": (weight.shape[1] * window,), "out": (len(weight) * window // groups, len(weight) * window)}
    step = max(1, weight.numel() // MOST)
    while math.gcd(step, fans["in"][0]) > 1:  # so that every position in a kernel is met
        step += 1
    # numpy, because torch's threads cost more than these sums
    w = weight.detach().flatten()[::step].cpu().float().numpy().astype("float64")
    n, mean, std = w.size, float(w.mean()), float(w.std())
    squares = ((w - mean) / std) ** 2 if std else w
    kurtosis = float((squares * squares).mean()) - 3
    return _Sample(name, n, mean, std, kurtosis, fans)


def init(module: nn.Module, found: Net, spec: Spec) -> Finding:
    """Return the finding of the item "init"; nothing departs in a trained net."""
    zero = "; last γ of each branch 0" if spec.zero_init else ""
    paper = f"convolutions Gaussian, variance 2/fan in or out [13]; BN γ 1, β 0{zero} (§3.4)"
    a = found.anatomy
    nodes = [*a.trunk, *(node for path in a.shortcuts for node in path.nodes())]
    norms = [node for node in nodes if node.kind == "norm"]
    statistics = _tensors(module.named_buffers(), norms, "running_mean", "running_var")
    tensors = dict(module.named_parameters())
    samples = [
        _sample(name, tensors[name], node.facts.groups)
        for node in nodes
        if node.kind == "conv" and not node.computed
        for name in node.names.get("weight", ())
        if name in tensors
    ]
    words, fits = _convolutions(samples)
    if statistics and _is_trained(module, statistics):
        return Finding(paper, "trained, not judged", False)
    if not statistics and not fits:
        return Finding(paper, "not judged: without moving BN statistics, trained weights look the same", False)
    biases = [name for node in nodes if node.kind == "conv" for name in node.names.get("bias", ()) if name in tensors]
    if any(tensors[name].detach().any() for name in biases):
        words, fits = f"{words}; biases not 0", False
    norm_words, norms_fit = _batch_norms(tensors, found, norms, spec.zero_init)
    heads = (
        name for node in a.head if node.kind == "linear" for name in node.names.get("weight", ()) if name in tensors
    )
    head_words = [
        f"head variance {float(tensors[name].detach().var()) * tensors[name].shape[1]:.2g}/fan in" for name in heads
    ]
    return Finding(paper, "; ".join(filter(None, (words, norm_words, *head_words[-1:]))), not (fits and norms_fit))


def _tensors(named: Iterable[tuple[str, Tensor]], nodes: Iterable[Node], *arguments: str) -> dict[str, list[Tensor]]:
    """Return the tensors that the nodes read, by argument."""
    tensors = dict(named)
    by_argument: dict[str, list[Tensor]] = {}
    for node in nodes:
        for argument in arguments:
            for name in node.names.get(argument, ()):
                if name in tensors:
                    by_argument.setdefault(argument, []).append(tensors[name])
    return by_argument


def _is_trained(module: nn.Module, statistics: dict[str, list[Tensor]]) -> bool:
    if any(bool(mean.any()) for mean in statistics.get("running_mean", ())):
        return True
    if any(bool((variance != 1).any()) for variance in statistics.get("running_var", ())):
        return True
    counts = (count for name, count in module.named_buffers() if name.endswith("num_batches_tracked"))
    return any(bool(count.any()) for count in counts)


def _convolutions(samples: list[_Sample]) -> tuple[str, bool]:
    """Return the distribution of the convolutions' weights in words, and whether it is the rule's."""
    if not samples:
        return "no convolution's weights are parameters", False
    constant = [sample for sample in samples if not sample.std]
    if constant:
        return f"constant weights in {len(constant)} of {len(samples)} convolutions ({constant[0].name})", False
    total = sum(sample.n for sample in samples)
    kurtosis = sum(sample.kurtosis * sample.n for sample in samples) / total
    error = SIGMAS * math.sqrt(24 / total) + 0.01
    shape = "Gaussian" if abs(kurtosis) <= error else "uniform" if abs(kurtosis - UNIFORM) <= 0.1 else (
        f"neither Gaussian nor uniform (excess kurtosis {kurtosis:.2f})"
    )  # fmt: skip
    misfits = {fan: [s for s in samples if not s.fits(fan)] for fan in ("in", "out")}
    fan = min(misfits, key=lambda f: len(misfits[f]))
    wrong = misfits[fan]
    if not wrong:
        return f"{shape}, variance 2/fan {fan}", shape == "Gaussian"
    if 2 * len(wrong) <= len(samples):
        first = wrong[0]
        where = f"{len(wrong)} of {len(samples)} convolutions ({first.name}: {first.gain(fan):.2g}/fan {fan}"
        return f"{shape}, variance 2/fan {fan}, but not in {where}, mean {first.mean:.2g})", False
    fan = min(misfits, key=lambda f: _spread(samples, f))
    gains = sorted(sample.gain(fan) for sample in samples)
    variance = f"{median(gains):.2g}" if gains[-1] < CLOSE * gains[0] else f"from {gains[0]:.2g} to {gains[-1]:.2g}"
    return f"{shape}, variance {variance}/fan {fan}", False


def _spread(samples: list[_Sample], fan: str) -> float:
    """Return how much the variance times the fan differs between convolutions."""
    gains = [sample.gain(fan) for sample in samples]
    return max(gains) / min(gains)


def _batch_norms(tensors: dict[str, nn.Parameter], found: Net, norms: list[Node], zero_init: bool) -> tuple[str, bool]:
    """Return γ and β of all batch norms in words, and whether they are the reference's."""
    last = {tuple(norm.index for norm in block.branch if norm.kind == "norm")[-1:] for block in found.anatomy.blocks}
    ends = {index for indices in last for index in indices}
    zeros, others, shifted = 0, 0, 0
    for norm in norms:
        gammas = [tensors[name].detach() for name in norm.names.get("weight", ()) if name in tensors]
        betas = [tensors[name].detach() for name in norm.names.get("bias", ()) if name in tensors]
        is_zero = norm.index in ends and bool(gammas) and not any(bool(g.any()) for g in gammas)
        zeros += is_zero
        others += not is_zero and any(bool((g != 1).any()) for g in gammas)
        shifted += any(bool(b.any()) for b in betas)
    if not norms:
        return "", True
    words = [f"last γ 0 in {zeros} blocks" if zeros else "", f"γ not 1 in {others} layers" if others else ""]
    words += [f"β not 0 in {shifted} layers" if shifted else ""]
    expected = len(found.anatomy.blocks) if zero_init else 0
    if zero_init and zeros < expected:
        words.append(f"last γ not 0 in {expected - zeros} blocks")
    return ", ".join(filter(None, words)) or "BN γ 1, β 0", zeros == expected and not others and not shifted
