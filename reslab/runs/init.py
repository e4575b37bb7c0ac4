"""What a run begins from, as recorded: the weights of a trained model, and the parts of the net that are frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from reslab.errors import UserError

HEADS, INPUTS = ("kept", "new"), ("kept", "averaged")


@dataclass(frozen=True)
class Init:
    """The table `init` of a `run.json`.

    weights  SHA-256 of the trained model's tensors
    source   the trained model: text of --init-from
    head     "kept", or "new": drawn from the run's seed, because the model's classes are not the data's
    inputs   mean and scale of the inputs: "kept" from the model, or "averaged": its mean image averaged over the map,
             because the images have another size
    frozen   the parts that do not learn, in network order
    """

    weights: str
    source: str
    head: str
    inputs: str = "kept"
    frozen: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "frozen": list(self.frozen)}

    @staticmethod
    def of(run: Mapping[str, Any]) -> Init | None:
        """Return the table of a run's description, or None if the run began from random weights.

        Raises UserError if the table is damaged.
        """
        values = run.get("init")
        if values is None:
            return None
        try:
            init = Init(**{**values, "frozen": tuple(values["frozen"])})
        except (KeyError, TypeError):
            raise UserError("damaged (its table init is incomplete)") from None
        are_texts = all(isinstance(text, str) for text in (init.weights, init.source, *init.frozen))
        if init.head not in HEADS or init.inputs not in INPUTS or not are_texts:
            raise UserError("damaged (its table init has unknown values)")
        return init

    @property
    def words(self) -> str:
        """A remark for readers of the run, in one line."""
        frozen = f"; frozen: {', '.join(self.frozen)}" if self.frozen else ""
        return f"began from the weights of {self.source} (SHA-256 {self.weights[:12]}), {self.head} head{frozen}"


def init_difference(here: Init | None, there: Init | None) -> str | None:
    """Return how the beginning of a run differs from the recorded one `there`, as text, or None if they agree."""
    if here is None or there is None:
        if here is there:
            return None
        return f"it began from the weights of {there.source}" if there else "it began from random weights"
    if here.weights != there.weights:
        return f"it began from other weights, {there.weights[:12]} and not {here.weights[:12]}"
    if here.head != there.head:
        return f"the head is {here.head} here and {there.head} there"
    if here.frozen != there.frozen:
        frozen = [", ".join(parts) or "nothing" for parts in (here.frozen, there.frozen)]
        return f"{frozen[0]} is frozen here and {frozen[1]} there"
    return None
