"""Refuse to score or probe what cannot fit into memory, before anything is computed."""

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

# What fits must not be refused. What a GPU, a compiled update or an evaluation frees on the way was not measured: these
# are refused only if there is no doubt.
ROUGH = 2.0


def free_bytes(device: str) -> int | None:
    """Return the bytes that can be had on `device`, swap space included; None if unknown."""
    if not device.startswith("cuda"):
        return host.available(swap=True)
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + unused


def check_evaluation(spec: Spec, images: int, device: str, nets: int = 1, at_once: int | None = None) -> None:
    """Raise UserError if the evaluation of a batch cannot fit, with the largest batch that does.

    images    of a batch
    nets      members of an ensemble, all of them in memory
    at_once   images whose maps exist together, if a batch is scored in pieces
    """
    free = free_bytes(device)
    weights = nets * cost(spec).parameters * memory.FLOAT

    def wanted(batch: int) -> int:
        maps = memory.evaluation(spec, min(batch, at_once or batch))
        return weights + maps + memory.inputs(spec, batch)

    if free is None or wanted(images) <= ROUGH * free:
        return
    fitting = next((2**k for k in range(images.bit_length() - 1, -1, -1) if wanted(2**k) <= ROOM * free), 0)
    remedy = f"--batch {fitting} fits" if fitting else "no batch fits; use a machine with more memory"
    raise UserError(
        f"--batch {images}: to score it by {name_of(spec)} would take about {memory.shown(wanted(images))} and "
        f"{memory.shown(free)} are free; {remedy}"
    )


def check_probe(spec: Spec, images: int, gradients: bool, device: str) -> None:
    """Raise UserError if a probe of `spec` on batches of `images` cannot fit; `gradients`: some are differentiated."""
    free = free_bytes(device)
    wanted = 2 * cost(spec).parameters * memory.FLOAT + memory.evaluation(spec, images)  # the net and its copy
    if gradients:
        # the copy stands for the momentum that an update has
        wanted = max(wanted, memory.least(spec, Recipe(batch=min(images, GRADIENT_BATCH)), "fp32"))
    if free is not None and wanted > ROUGH * free:
        raise UserError(
            f"probe: {name_of(spec)} would take about {memory.shown(wanted)} and {memory.shown(free)} are free; take a "
            "smaller net or smaller images"
        )
