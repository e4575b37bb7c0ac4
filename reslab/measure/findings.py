"""What a probe gives back: figures by layer and by block, and plain types for `--json`."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from reslab.measure.jacobian import BlockJacobian
from reslab.notebook import table
from reslab.options.scoring import PARTS


@dataclass(frozen=True)
class Subject:
    """What was probed, on what. `checkpoint` and `iteration` are None for a net in memory; `seed` where not known."""

    model: str
    checkpoint: str | None
    iteration: int | None
    data: str
    split: str
    seed: int | None


@dataclass(frozen=True)
class Response:
    """Fig. 7: the standard deviation of `layer`'s output over samples, channels and positions; `at` is the row read."""

    layer: str
    at: str
    std: float


@dataclass(frozen=True)
class BlockRms:
    """Root mean square per element of a block's output, or of the loss's derivative by it."""

    block: str
    rms: float


@dataclass(frozen=True)
class LayerRms:
    """A layer's output, after the BN and the activation that directly follow it (`at` is the row read).

    Root mean square per element: of the output in evaluation mode, of the loss's derivative by it.
    """

    layer: str
    at: str
    activation: float
    gradient: float


@dataclass(frozen=True)
class WeightGradient:
    """The derivative of the loss by a layer's weights (not its bias): Euclidean norm, and root mean square."""

    layer: str
    norm: float
    rms: float


@dataclass(frozen=True)
class Residual:
    """‖F(x)‖, ‖shortcut's value‖ (Frobenius, over all samples) and their ratio; None where that value is 0."""

    block: str
    line: str
    branch: float
    shortcut: float
    ratio: float | None


@dataclass(frozen=True)
class Probe:
    """One network, probed over `n` samples. A part that was not asked for is None.

    bn                what BN normalises by in evaluation mode: "running" (the moving averages), "samples" (averages
                      over batches of the probed samples, where BN has never seen a batch), "none" (no BN)
    responses         evaluation mode, in network order
    activations       evaluation mode, blocks in network order
    layers            the same of every layer with weights, activation and gradient
    gradients         of the mean cross entropy of the first `gradient_batch` samples (`loss`), BN by that batch's own
                      statistics as in training, no dropout
    residuals         evaluation mode; empty for a plain net
    jacobians         evaluation mode, float64, at the first sample
    notes             what a reader should be told, one line each
    """

    subject: Subject
    n: int
    bn: str
    responses: tuple[Response, ...] | None
    activations: tuple[BlockRms, ...] | None
    gradient_batch: int | None
    loss: float | None
    gradients: tuple[BlockRms, ...] | None
    layers: tuple[LayerRms, ...] | None
    weight_gradients: tuple[WeightGradient, ...] | None
    residuals: tuple[Residual, ...] | None
    jacobians: tuple[BlockJacobian, ...] | None
    notes: tuple[str, ...]

    @property
    def responses_sorted(self) -> tuple[Response, ...]:
        """The responses from the largest to the smallest: the lower half of Fig. 7."""
        return tuple(sorted(self.responses or (), key=lambda r: -r.std if math.isfinite(r.std) else -math.inf))

    def to_dict(self) -> dict[str, Any]:
        """Plain types for `--json`; numbers that are not finite are None."""
        told = asdict(self)
        ranked = None if self.responses is None else [r.layer for r in self.responses_sorted]
        found: dict[str, Any] = {}
        for key, value in {**told.pop("subject"), **told}.items():
            found[key] = _plain(value)
            if key == "responses":
                found["responses_sorted"] = ranked
        return found

    def _repr_html_(self) -> str:
        """The first part that was asked for: responses, gradients, residual ratios, or singular values."""
        parts = {"responses": self.responses, "gradients": self.gradients, "residuals": self.residuals,
                 "jacobians": self.jacobians}  # fmt: skip
        tables = []
        for name, lines in parts.items():
            told = [_plain(asdict(line)) for line in lines or ()]
            head = [key for key, value in told[0].items() if not isinstance(value, list | dict)] if told else []
            if told:
                tables.append(table(f"{self!r}: {name}", head, [[_shown(line[key]) for key in head] for line in told]))
        return "\n".join(tables)

    def __repr__(self) -> str:
        parts = [w for w in PARTS if getattr(self, w) is not None]
        return f"Probe({self.subject.model}, {self.subject.split}, n = {self.n:,}: {', '.join(parts)})"


def _shown(value: Any) -> Any:
    return f"{value:.4g}" if isinstance(value, float) else value


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
