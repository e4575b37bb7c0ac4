"""Optimizers: SGD with its forms of momentum, and Muon for the convolutions of fast recipes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from reslab.engines.streams import run_concurrently
from reslab.nets.model import Network
from reslab.runs.recipe import Recipe

# Newton-Schulz steps of fifth order with the coefficients of Jordan et al. 2024 ("Muon: an optimizer for hidden
# layers"): five of them bring singular values from 1e-3..1 to about 0.7..1.2, which is orthogonal enough for an update.
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
STEPS = 5
SMALLEST = 1e-30  # lower bound of a norm that is divided by


class Descent:
    """`step(lr)` updates every weight of `net` from its gradient at the rate `lr`, and sets the gradients to 0.

    Frozen weights have no gradient, no velocity and no weight decay.
    Attributes: `rate`, the rate of the last update (None before the first).
    """

    def __init__(self, net: Network, recipe: Recipe, device: str) -> None:
        self.net, self.recipe = net, recipe
        self._on_gpu = device.startswith("cuda")
        if not self._on_gpu:
            # Gradients are allocated once. Allocated in each backward pass, they would lie between the freed maps, and
            # the next map would not fit there (cifar_resnet110, batch 128: 800 instead of 622 MB; docs/performance.md).
            for p in _learning(net):
                p.grad = torch.zeros_like(p)
        self.rate: float | None = None
        muon_params = [p for p in _learning(net) if recipe.optimizer == "muon" and p.dim() == 4]
        form = {"momentum": recipe.momentum, "nesterov": recipe.momentum_form == "nesterov", "device": device}
        self.sgd = Sgd(_groups(net, recipe, muon_params), **form)  # type: ignore[arg-type]
        self.muon = Muon(muon_params, **form) if muon_params else None  # type: ignore[arg-type]
        self._set_rate(recipe.lr)

    def _optimizers(self) -> list[Sgd | Muon]:
        return [self.sgd, self.muon] if self.muon else [self.sgd]

    def _set_rate(self, lr: float) -> None:
        self.sgd.set_rate(lr)
        if self.muon:
            self.muon.set_rate(lr / self.recipe.lr * self.recipe.muon_lr)  # one schedule for both

    def step(self, lr: float) -> None:
        self.prepare(lr)
        self.update()

    def prepare(self, lr: float) -> None:
        """Set `lr` as the rate of the next update."""
        if lr != self.rate:
            if self.recipe.momentum_form == "caffe" and self.rate:
                # Caffe: v = m·v + lr·g, w -= v keeps the old rate in v. PyTorch's u is v/lr, so rescale it here.
                for buffer in self.momentum().values():
                    buffer.mul_(self.rate / lr)
            self.rate = lr
            self._set_rate(lr)

    def update(self) -> None:
        """Update every weight from its gradient, and set the gradients to 0 (on a GPU to None)."""
        for optimizer in self._optimizers():
            optimizer.step()
        for p in _learning(self.net):
            if self._on_gpu:
                p.grad = None
            elif p.grad is not None:
                p.grad.zero_()

    def momentum(self) -> dict[str, Tensor]:
        """Return the velocities by weight name; empty before the first update."""
        velocities = {p: buffer for optimizer in self._optimizers() for p, buffer in optimizer.velocities.items()}
        return {name: velocities[p] for name, p in self.net.named_parameters() if p in velocities}

    def restore(self, buffers: dict[str, Tensor], rate: float | None) -> None:
        """Restore the velocities that `momentum` returned; `rate` is that of the last update.

        Raises ValueError if they are not those of this network and optimizer.
        """
        self._check(buffers, rate)
        self.rate = rate
        self._set_rate(self.recipe.lr if rate is None else rate)
        owner = {p: o for o in self._optimizers() for p in o.params}
        for name, p in self.net.named_parameters():
            if name in buffers:
                owner[p].velocities[p] = torch.empty_like(p).copy_(buffers[name])

    def _check(self, buffers: dict[str, Tensor], rate: float | None) -> None:
        # Without this check, missing buffers would begin at 0 and extra ones be ignored: silently another run.
        owners = [self.sgd, self.muon] if self.recipe.momentum else [self.muon]
        params = {p for owner in owners if owner for p in owner.params}
        shapes = {name: p.shape for name, p in self.net.named_parameters() if p in params and rate is not None}
        wrong = sorted({*shapes} ^ {*buffers}) or [n for n, shape in shapes.items() if buffers[n].shape != shape]
        if wrong:
            raise ValueError(f"its momentum does not fit the network: {', '.join(wrong[:5])}")


def _learning(net: nn.Module) -> list[nn.Parameter]:
    """Return the parameters that are not frozen."""
    return [p for p in net.parameters() if p.requires_grad]


def _groups(net: nn.Module, recipe: Recipe, muon_params: list[nn.Parameter]) -> list[tuple[list[nn.Parameter], float]]:
    """Return SGD's parameters in groups with their weight decay: the recipe's on all, or 0 on BN and biases."""
    excluded = {id(p) for p in muon_params}
    params = [p for p in _learning(net) if id(p) not in excluded]
    if recipe.decay_on == "all":
        return [(params, recipe.weight_decay)]
    return [([p for p in params if p.dim() > 1], recipe.weight_decay), ([p for p in params if p.dim() <= 1], 0.0)]


class Optimizer:
    """Parameters, their velocities, and the rate of the next update.

    Not torch.optim's: its classes import torch's compiler, which adds a second to the start of every run.
    """

    def __init__(self, params: list[nn.Parameter], momentum: float, nesterov: bool, device: str, lr: float) -> None:
        self.params, self.momentum, self.nesterov, self.device = params, momentum, nesterov, device
        self.velocities: dict[Tensor, Tensor] = {}
        # A tensor on a GPU: a recorded update reads the rate from the GPU's memory.
        self.lr: float | Tensor = torch.zeros((), device=device) if device.startswith("cuda") else lr
        self.set_rate(lr)

    def set_rate(self, lr: float) -> None:
        if isinstance(self.lr, Tensor):
            self.lr.fill_(lr)
        else:
            self.lr = lr


class Sgd(Optimizer):
    """SGD with momentum (§4.2), by the kernel of `torch.optim.SGD(fused=True)`.

    groups   (parameters, weight decay) of each group
    """

    def __init__(
        self, groups: Sequence[tuple[list[nn.Parameter], float]], momentum: float, nesterov: bool, device: str = "cpu",
        lr: float = 0.1,
    ) -> None:  # fmt: skip
        super().__init__([p for params, _ in groups for p in params], momentum, nesterov, device, lr)
        self._groups = groups

    @torch.no_grad()
    def step(self) -> None:
        for group, decay in self._groups:
            params: list[Tensor] = [p for p in group if p.grad is not None]
            if not params:
                continue
            is_first = self.momentum > 0 and not any(p in self.velocities for p in params)
            if is_first:
                self.velocities |= {p: torch.empty_like(p) for p in params}  # the kernel fills them
            torch._fused_sgd_(
                params, [p.grad for p in params if p.grad is not None],
                [self.velocities[p] for p in params] if self.momentum else [],
                weight_decay=decay, momentum=self.momentum, lr=self.lr, dampening=0.0, nesterov=self.nesterov,
                maximize=False, is_first_step=is_first,
            )  # fmt: skip


class Muon(Optimizer):
    """Orthogonalised momentum for convolutions that batch norm follows (Jordan et al. 2024).

    For a filter bank W, as a matrix [c_out, c_in·k·k], with gradient G:

        V ← momentum·V + G
        U = the orthogonal matrix nearest to V (Nesterov: to G + momentum·V)
        W ← |W| times the direction of W/|W| - lr·U/|U|

    The norm |W| stays, since batch norm makes the output independent of it. So `lr` is about the angle, in radians, by
    which an update turns W, and weight decay would have no effect.
    """

    def __init__(
        self, params: list[nn.Parameter], momentum: float, nesterov: bool, device: str = "cpu", lr: float = 0.1
    ) -> None:
        super().__init__(params, momentum, nesterov, device, lr)

    def step(self) -> None:
        by_shape = defaultdict[torch.Size, list[Tensor]](list)  # products of equal shapes are one call
        for p in self.params:
            if p.grad is not None:
                by_shape[p.shape].append(p)
        run_concurrently([partial(self._turn, params) for params in by_shape.values()], self.device)

    @torch.no_grad()
    def _turn(self, params: list[Tensor]) -> None:
        """Update filter banks of one shape."""
        turns = orthogonal(torch.stack([d.flatten(1) for d in self._directions(params)]))
        turns = turns / turns.norm(dim=(1, 2), keepdim=True).clamp_min(SMALLEST)
        norms = torch.stack(torch._foreach_norm(params))
        turns = turns * (self.lr * norms)[:, None, None]
        torch._foreach_sub_(params, [turn.view(p.shape) for p, turn in zip(params, turns, strict=True)])
        scales = norms / torch.stack(torch._foreach_norm(params)).clamp_min(SMALLEST)
        torch._foreach_mul_(params, list(scales))

    def _directions(self, params: list[Tensor]) -> Sequence[Tensor]:
        """Update the velocities V and return V, or with Nesterov G + momentum·V."""
        for p in params:
            if p not in self.velocities:
                self.velocities[p] = torch.zeros_like(p)
        gradients = [p.grad for p in params if p.grad is not None]
        velocities = [self.velocities[p] for p in params]
        torch._foreach_mul_(velocities, self.momentum)
        torch._foreach_add_(velocities, gradients)
        return torch._foreach_add(gradients, velocities, alpha=self.momentum) if self.nesterov else velocities


def orthogonal(matrices: Tensor) -> Tensor:
    """Return nearly the nearest orthogonal matrix of each of `matrices` (float [N, rows, columns]).

    Its singular values are near 1. A matrix of zeros stays zero.
    """
    is_tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if is_tall else matrices
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp_min(SMALLEST)
    a, b, c = NEWTON_SCHULZ
    for _ in range(STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if is_tall else x
