"""Raise UserError if scoring or probing a network cannot fit into memory, before anything is computed."""

from __future__ import annotations

import torch

from reslab.engines import host, memory
from reslab.engines.machine import ROOM
from reslab.errors import UserError
from reslab.measure.probe import GRADIENT_BATCH
from reslab.nets.cost import cost
from reslab.nets.names import name_of
from reslab.nets.spec import Spec
from reslab.runs.recipe import Recipe

# A task that fits must not be refused. How much a GPU, a compiled update or an evaluation frees on the way was not
# measured, so these are refused only if they need twice the free memory.
ROUGH = 2.0


def free_bytes(device: str) -> int | None:
    """Return the free bytes on `device`, swap space included, for each rank on this machine; None if unknown."""
    if not device.startswith("cuda"):
        return host.available_to_rank(swap=True)
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + unused


def check_evaluation(spec: Spec, images: int, device: str, nets: int = 1, at_once: int | None = None) -> None:
    """Raise UserError, with the largest batch that fits, if the evaluation of a batch does not.

    images    images of a batch
    nets      members of an ensemble, all of them in memory
    at_once   images whose activations exist together, if a batch is scored in pieces
    """
    free = free_bytes(device)
    weights = nets * cost(spec).parameters * memory.FLOAT

    def needed(batch: int) -> int:
        maps = memory.evaluation(spec, min(batch, at_once or batch))
        return weights + maps + memory.inputs(spec, batch)

    if free is None or needed(images) <= ROUGH * free:
        return
    fitting = next((2**k for k in range(images.bit_length() - 1, -1, -1) if needed(2**k) <= ROOM * free), 0)
    remedy = f"--batch {fitting} fits" if fitting else "no batch fits; use a machine with more memory"
    raise UserError(
        f"--batch {images}: {name_of(spec)} would take about {memory.shown(needed(images))} and "
        f"{memory.shown(free)} are free; {remedy}"
    )


def check_probe(spec: Spec, images: int, gradients: bool, device: str) -> None:
    """Raise UserError if a probe of `spec` on batches of `images` cannot fit; `gradients`: it computes gradients."""
    free = free_bytes(device)
    needed = 2 * cost(spec).parameters * memory.FLOAT + memory.evaluation(spec, images)  # the net and its copy
    if gradients:
        # the net's copy takes the place of an update's momentum
        needed = max(needed, memory.least(spec, Recipe(batch=min(images, GRADIENT_BATCH)), "fp32"))
    if free is not None and needed > ROUGH * free:
        raise UserError(
            f"probe: {name_of(spec)} would take about {memory.shown(needed)} and {memory.shown(free)} are free; take a "
            "smaller net or smaller images"
        )
