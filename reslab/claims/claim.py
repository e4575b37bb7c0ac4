"""What a claim is: its sentence, what must be run for it, and the rule of each of its parts.

A claim is data. Thresholds and margins are in its file and are shown with the figures; `ledger` holds their dates.
It trains nothing: `api.studies` trains its nets, makes its measurements, and hands the evidence to `judging.judge`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from reslab.claims.evidence import Net
from reslab.claims.quantity import Quantity
from reslab.claims.rules import Figure, Rule
from reslab.claims.text import Text
from reslab.runs.recipe import Recipe

MAIN, LIMIT, BESIDE = "main", "limit", "beside"


class Bench(Protocol):
    """What a measurement is given: data, and the study's trained nets."""

    def network(self, of: Net, seed: int) -> Any:
        """The trained network of a run, in evaluation mode (`nets.model.Network`)."""
        ...

    def batch(self, of: Net, seed: int, count: int, split: str = "train") -> tuple[Any, Any]:
        """The first `count` samples of a split as that run sees them, not augmented: images [count,C,H,W], labels."""
        ...

    def first_images(self, recipe: Recipe, count: int) -> tuple[Any, Any]:
        """The data, and a batch of its first `count` training images as a run of `recipe` sees them, not augmented."""
        ...

    def logits(self, members: list[tuple[Net, int]]) -> tuple[list[Any], Any]:
        """Of each run (net, seed) the logits of the whole test split, [N,classes] in float64; and the labels [N]."""
        ...


@dataclass(frozen=True)
class Measurement:
    """Something computed from nets, saved as one file of plain numbers: made once, or for each seed.

    make     (bench, seed) → figures: numbers, or lists of them; imports torch when called. `seed` is None for "once"
    nets     whose finished runs it reads, all seeds of them
    version  to be raised whenever what `make` computes changes: older files are then made again
    seconds  about what one takes on a core of 2026, on digits: for `--budget`
    """

    name: str
    make: Callable[[Bench, int | None], dict[str, Any]]
    nets: tuple[Net, ...] = ()
    each_seed: bool = False
    version: int = 1
    seconds: float = 1.0


@dataclass(frozen=True)
class Statement:
    """One part of a claim: a quantity and the rule it is held against.

    role   "main": part of what is claimed; "limit": where it ends; "beside": shown, but decides nothing
    unit   of the quantity: "points", "decades" (powers of ten), "×", "%", "layers", or "" for a plain number
    flat   nets whose training curves must be flat at the end; if not, the verdict carries a condition
    """

    text: Text
    quantity: Quantity
    rule: Rule
    role: str = MAIN
    unit: str = ""
    flat: tuple[Net, ...] = ()


@dataclass(frozen=True)
class Claim:
    """A statement of the notes or the paper.

    id, name     "C1", and the experiment's word: `reslab reproduce NAME`
    quote        the notes' own words (Korean) or the paper's
    said         where: "000, 001, 002", "§4.1"
    text         the claim in our words
    statements   its parts
    answers      the answer for each verdict (`phrases.answers`)
    measurements what must be computed besides training
    charts       which figures show it, by the names that `show` knows
    analytic     made in seconds, without training
    """

    id: str
    name: str
    quote: str
    said: str
    text: Text
    statements: tuple[Statement, ...]
    answers: Mapping[str, Text]
    measurements: tuple[Measurement, ...] = ()
    charts: tuple[str, ...] = ()
    why_not_run: Text | None = None

    @property
    def nets(self) -> tuple[Net, ...]:
        """Every net that must be trained for it, once."""
        of_statements = [n for s in self.statements for n in (*s.quantity.nets, *s.flat)]
        return tuple(dict.fromkeys([*of_statements, *(n for m in self.measurements for n in m.nets)]))

    @property
    def analytic(self) -> bool:
        return not self.nets


def kept(value: float) -> float:
    """A figure as a measurement's file keeps it: eight significant digits."""
    return float(f"{value:.8g}")


@dataclass(frozen=True)
class Finding:
    """A statement with its figure and verdict; `figure` is None if nothing was run."""

    statement: Statement
    figure: Figure | None
    verdict: str
