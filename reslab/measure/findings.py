"""The result of a probe: figures by layer and by block, and plain types for `--json`."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from reslab.measure.jacobian import BlockJacobian
from reslab.measure.lesions import Lesions
from reslab.measure.similarity import Similarity
from reslab.measure.surface import Surface
from reslab.notebook import table
from reslab.options.scoring import EXTRAS, PARTS

REQUESTED = (*EXTRAS, "pictures")  # fields that are in the record only if they were requested


@dataclass(frozen=True)
class Subject:
    """The probed network and its data. `checkpoint` and `iteration` are None for a net in memory; `seed` if unknown."""

    model: str
    checkpoint: str | None
    iteration: int | None
    data: str
    split: str
    seed: int | None


@dataclass(frozen=True)
class Response:
    """Standard deviation of a layer's output over samples, channels and positions (Fig. 7); `at` is the row read."""

    layer: str
    at: str
    std: float


@dataclass(frozen=True)
class BlockRms:
    """Root mean square per element of a block's output, or of the loss's derivative with respect to it."""

    block: str
    rms: float


@dataclass(frozen=True)
class LayerRms:
    """A layer's output, after the BN and the activation that directly follow it (`at` is the row read).

    Root mean square per element of the output in evaluation mode, and of the loss's derivative with respect to it.
    """

    layer: str
    at: str
    activation: float
    gradient: float


@dataclass(frozen=True)
class WeightGradient:
    """The loss's derivative with respect to a layer's weights (not its bias): Euclidean norm, and root mean square."""

    layer: str
    norm: float
    rms: float


@dataclass(frozen=True)
class Residual:
    """‖F(x)‖, ‖shortcut's output‖ (Frobenius norms over all samples) and their ratio; None if the shortcut's is 0."""

    block: str
    line: str
    branch: float
    shortcut: float
    ratio: float | None


@dataclass(frozen=True)
class Probe:
    """One network, probed over `n` samples. A part that was not measured is None.

    bn                BN's statistics in evaluation mode: "running" (moving averages), "samples" (averages over batches
                      of the probed samples, for a net whose BN has no statistics yet), "none" (no BN)
    responses         evaluation mode, in network order
    activations       evaluation mode, blocks in network order
    layers            activation and gradient of every layer with weights
    gradients         of the mean cross entropy of the first `gradient_batch` samples (`loss`), BN by that batch's own
                      statistics as in training, no dropout
    residuals         evaluation mode; empty for a plain net
    jacobians         evaluation mode, float64, at the first sample
    notes             remarks for the reader, one line each
    lesions, similarity, surface    evaluation mode; see their classes
    pictures          files written
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
    lesions: Lesions | None = None
    similarity: Similarity | None = None
    surface: Surface | None = None
    pictures: tuple[str, ...] | None = None

    @property
    def responses_sorted(self) -> tuple[Response, ...]:
        """The responses, largest first: the lower half of Fig. 7."""
        return tuple(sorted(self.responses or (), key=lambda r: -r.std if math.isfinite(r.std) else -math.inf))

    def to_dict(self) -> dict[str, Any]:
        """Return plain types for `--json`; numbers that are not finite are None.

        Lesions, similarity, surface and pictures are left out if they were not requested.
        """
        fields = {key: value for key, value in asdict(self).items() if key not in REQUESTED or value is not None}
        ranked = None if self.responses is None else [r.layer for r in self.responses_sorted]
        values: dict[str, Any] = {}
        for key, value in {**fields.pop("subject"), **fields}.items():
            values[key] = _plain(value)
            if key == "responses":
                values["responses_sorted"] = ranked
        return values

    def _repr_html_(self) -> str:
        """Return a table for each measured part."""
        parts = {"responses": self.responses, "gradients": self.gradients, "residuals": self.residuals,
                 "jacobians": self.jacobians}  # fmt: skip
        tables = []
        for name, lines in parts.items():
            rows = [_plain(asdict(line)) for line in lines or ()]
            head = [key for key, value in rows[0].items() if not isinstance(value, list | dict)] if rows else []
            if rows:
                tables.append(table(f"{self!r}: {name}", head, [[_shown(row[key]) for key in head] for row in rows]))
        return "\n".join(tables)

    def __repr__(self) -> str:
        parts = [w for w in (*PARTS, *EXTRAS) if getattr(self, w) is not None]
        return f"Probe({self.subject.model}, {self.subject.split}, n = {self.n:,}: {', '.join(parts)})"


def _shown(value: Any) -> Any:
    return f"{value:.4g}" if isinstance(value, float) else value


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
