"""A checkpoint made ready to score images: its network in evaluation mode, its own training's statistics."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest

from reslab.data.batches.loader import Batch, Statistics, evaluation_batches
from reslab.data.splits import Data, Split
from reslab.engines.machine import Settings
from reslab.errors import UserError
from reslab.runs.naming import FROM_DATA
from reslab.runs.recipe import Recipe
from reslab.training import checkpoint as checkpoints
from reslab.training.checkpoint import Checkpoint
from reslab.training.inputs import fit
from reslab.training.step import Step


@dataclass(frozen=True)
class Member:
    """`step.logits` maps images [B,C,S,S], centred by `statistics`, to logits."""

    checkpoint: Checkpoint
    step: Step
    statistics: Statistics

    def batches(self, split: Split, batch: int, workers: int) -> Iterator[Batch]:
        """Every sample of `split` once, in index order, as this member wants it."""
        return evaluation_batches(split, self.statistics, batch, workers)


def recipe_of(found: Checkpoint) -> Recipe:
    return Recipe.from_dict(found.facts["recipe"])


def check_fits(found: Checkpoint, data: Data) -> None:
    """Refuse data of other classes, channels or size than the checkpoint was trained on."""
    classes = found.facts["classes"]
    for number, (here, there) in enumerate(zip_longest(data.classes, classes)):
        if here != there:
            one, other = ("missing" if name is None else repr(name) for name in (here, there))
            raise UserError(
                f"{data.name}: its {len(data.classes)} classes are not the {len(classes)} that {found.folder} was "
                f"trained on ({', '.join(classes[:5])} …): class {number} is {one} here and {other} there"
            )
    fit(found.spec, data, dict.fromkeys(FROM_DATA, 1))


def ready(found: Checkpoint, settings: Settings) -> Member:
    """The member of a checkpoint; the caller has called `machine.prepare`."""
    step = Step(checkpoints.network(found), recipe_of(found), settings)
    step.net.eval()
    return Member(found, step, found.statistics)
