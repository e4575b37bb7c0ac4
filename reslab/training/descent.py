"""From gradients to new weights: SGD with its forms of momentum, and Muon for the convolutions of fast recipes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from reslab.engines.streams import side_by_side
from reslab.nets.model import Network
from reslab.runs.recipe import Recipe

# Newton-Schulz steps of fifth order with the coefficients of Jordan et al. 2024 ("Muon: an optimizer for hidden
# layers"): five of them bring singular values from 1e-3..1 to about 0.7..1.2, which is orthogonal enough for an update.
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
STEPS = 5
SMALLEST = 1e-30  # instead of a norm of zero


class Descent:
    """`step(lr)` updates every weight of `net` from its gradient at the rate `lr`, and sets the gradients to 0.

    Attributes: `rate`, the rate of the last update (None before the first).
    """

    def __init__(self, net: Network, recipe: Recipe, device: str) -> None:
        self.net, self.recipe = net, recipe
        self._on_gpu = device.startswith("cuda")
        if not self._on_gpu:
            # Gradients keep their places: made anew on each way back they would lie in the holes that maps leave, and
            # the next map would not fit (cifar_resnet110, batch 128: 800 instead of 622 MB; docs/performance.md).
            for p in net.parameters():
                p.grad = torch.zeros_like(p)
        self.rate: float | None = None
        turned = [p for p in net.parameters() if recipe.optimizer == "muon" and p.dim() == 4]
        nesterov = recipe.momentum_form == "nesterov"
        self.sgd = SGD(
            _groups(net, recipe, turned), lr=recipe.lr, momentum=recipe.momentum, nesterov=nesterov,
            fused=device.partition(":")[0] in ("cpu", "cuda"),
        )  # fmt: skip
        self.muon = Muon(turned, momentum=recipe.momentum, nesterov=nesterov, device=device) if turned else None
        if self._on_gpu:  # a recorded update reads its rates from the GPU's memory
            for optimizer in self._both():
                for group in optimizer.param_groups:
                    group["lr"] = torch.zeros((), device=device)
        self._at(recipe.lr)

    def _both(self) -> list[Optimizer]:
        return [self.sgd, self.muon] if self.muon else [self.sgd]

    def _at(self, lr: float) -> None:
        for group in self.sgd.param_groups:
            _set_rate(group, lr)
        for group in self.muon.param_groups if self.muon else []:
            _set_rate(group, lr / self.recipe.lr * self.recipe.muon_lr)  # one schedule for both

    def step(self, lr: float) -> None:
        self.prepare(lr)
        self.update()

    def prepare(self, lr: float) -> None:
        """Take `lr` as the rate of the next update."""
        if lr != self.rate:
            if self.recipe.momentum_form == "caffe" and self.rate:
                # Caffe: v = m·v + lr·g, w -= v keeps the old rate in v. PyTorch's u is v/lr: rescale it at the change.
                for buffer in self.momentum().values():
                    buffer.mul_(self.rate / lr)
            self.rate = lr
            self._at(lr)

    def update(self) -> None:
        """Update every weight from its gradient, and set the gradients to 0 (on a GPU to None)."""
        for optimizer in self._both():
            optimizer.step()
            optimizer.zero_grad(set_to_none=self._on_gpu)

    def momentum(self) -> dict[str, Tensor]:
        """The state by weight name (empty before the first update)."""
        state = {p: kept for optimizer in self._both() for p, kept in optimizer.state.items()}
        named = self.net.named_parameters()
        return {n: state[p]["momentum_buffer"] for n, p in named if "momentum_buffer" in state.get(p, {})}

    def restore(self, buffers: dict[str, Tensor], rate: float | None) -> None:
        """Take up the state that `momentum` gave; `rate` is that of the last update.

        Raises ValueError if it is not that of this network and optimizer.
        """
        self._check(buffers, rate)
        self.rate = rate
        self._at(self.recipe.lr if rate is None else rate)
        owner = {p: o for o in self._both() for group in o.param_groups for p in group["params"]}
        for name, p in self.net.named_parameters():
            if name in buffers:
                owner[p].state[p]["momentum_buffer"] = torch.empty_like(p).copy_(buffers[name])

    def _check(self, buffers: dict[str, Tensor], rate: float | None) -> None:
        # Buffers that are missing would begin at 0 and others be passed over: another run, in silence.
        owners = [self.sgd, self.muon] if self.recipe.momentum else [self.muon]
        kept = {p for owner in owners if owner for group in owner.param_groups for p in group["params"]}
        shapes = {name: p.shape for name, p in self.net.named_parameters() if p in kept and rate is not None}
        wrong = sorted({*shapes} ^ {*buffers}) or [n for n, shape in shapes.items() if buffers[n].shape != shape]
        if wrong:
            raise ValueError(f"its momentum does not fit the network: {', '.join(wrong[:5])}")


def _set_rate(group: dict[str, Any], rate: float) -> None:
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(rate)
    else:
        group["lr"] = rate


def _groups(net: nn.Module, recipe: Recipe, turned: list[nn.Parameter]) -> list[dict[str, Any]]:
    """SGD's parameters with and without weight decay: all of them, or only convolutions and fully connected weights."""
    apart = {id(p) for p in turned}
    mine = [p for p in net.parameters() if id(p) not in apart]
    if recipe.decay_on == "all":
        return [{"params": mine, "weight_decay": recipe.weight_decay}]
    weights = [p for p in mine if p.dim() > 1]
    others = [p for p in mine if p.dim() <= 1]
    groups = [{"params": weights, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return groups


class Muon(Optimizer):
    """Orthogonalised momentum for convolutions that batch norm follows (Jordan et al. 2024).

    A filter bank W, as a matrix [c_out, c_in·k·k], has a velocity V = momentum·V + G, and U is the orthogonal matrix
    nearest to V (Nesterov: to G + momentum·V). W goes on in the direction W/|W| - lr·U/|U| and keeps its norm |W|,
    which changes nothing behind batch norm: `lr` is about the angle, in radians, by which an update turns W, and there
    is nothing for a weight decay to do.
    """

    def __init__(
        self, params: Iterable[nn.Parameter], momentum: float, nesterov: bool, lr: float = 0.1, device: str = "cpu"
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "nesterov": nesterov})
        self._device = device

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        assert closure is None
        for group in self.param_groups:
            alike = self._alike(group["params"])
            side_by_side([partial(self._turn, params, group) for params in alike], self._device)

    @torch.no_grad()
    def _turn(self, alike: list[Tensor], group: dict[str, Any]) -> None:
        """Turn filter banks of one shape."""
        directions = self._directions(alike, group["momentum"], group["nesterov"])
        turns = orthogonal(torch.stack([d.flatten(1) for d in directions]))
        turns = turns / turns.norm(dim=(1, 2), keepdim=True).clamp_min(SMALLEST)
        norms = torch.stack(torch._foreach_norm(alike))
        turns = turns * (group["lr"] * norms)[:, None, None]
        torch._foreach_sub_(alike, [turn.view(p.shape) for p, turn in zip(alike, turns, strict=True)])
        scales = norms / torch.stack(torch._foreach_norm(alike)).clamp_min(SMALLEST)
        torch._foreach_mul_(alike, list(scales))

    def _alike(self, params: list[Tensor]) -> Iterator[list[Tensor]]:
        """Parameters of one shape together: their products are one call."""
        shapes = defaultdict(list)
        for p in params:
            if p.grad is not None:
                shapes[p.shape].append(p)
        yield from shapes.values()

    def _directions(self, params: list[Tensor], momentum: float, nesterov: bool) -> Sequence[Tensor]:
        for p in params:
            if "momentum_buffer" not in self.state[p]:
                self.state[p]["momentum_buffer"] = torch.zeros_like(p)
        gradients = [p.grad for p in params if p.grad is not None]
        velocities = [self.state[p]["momentum_buffer"] for p in params]
        torch._foreach_mul_(velocities, momentum)
        torch._foreach_add_(velocities, gradients)
        return torch._foreach_add(gradients, velocities, alpha=momentum) if nesterov else velocities


def orthogonal(matrices: Tensor) -> Tensor:
    """Nearly the nearest orthogonal matrix of each of `matrices` (float [N, rows, columns]): singular values near 1.

    Of a matrix of zeros: zeros.
    """
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp_min(SMALLEST)
    a, b, c = NEWTON_SCHULZ
    for _ in range(STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x
