"""A probe with the parts that take many passes: lesions, similarity, and the loss surface."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection
from dataclasses import replace

from reslab.measure.findings import Probe, Subject
from reslab.measure.lesions import checked_blocks, lesions
from reslab.measure.passes import FRESH, Batches, settled
from reslab.measure.probe import probe
from reslab.measure.similarity import check_size, similarity
from reslab.measure.surface import surface
from reslab.nets.model import Network


def check_extras(net: Network, extras: Collection[str], n: int) -> None:
    """Raise UserError if one of `extras`, words of EXTRAS, cannot be measured on `n` samples."""
    if "lesions" in extras:
        checked_blocks(net)
    if "similarity" in extras:
        check_size(net, n)


def examine(
    net: Network,
    batches: Batches,
    subject: Subject,
    n: int,
    parts: tuple[str, ...],
    block: str | None,
    device: str,
    extras: Collection[str],
    directions: int,
    seed: int,
    tell: Callable[[str], None],
) -> Probe:
    """Probe a copy of `net` as `probe` does, and add the `extras`; `net` is not changed.

    n            the number of samples in `batches`
    parts        words of PARTS; may be empty
    extras       words of EXTRAS
    directions   of the surface, 1 or 2
    seed         of the lesions' random blocks and the surface's directions
    tell         called with lines of progress
    Raises UserError as `probe` does, and if an extra cannot be measured.
    """
    check_extras(net, extras, n)
    found = probe(net, batches, subject, parts, block, device) if parts else None
    if found is not None and not extras:
        return found
    net = copy.deepcopy(net).to(device)
    bn = settled(net, batches)
    notes = (FRESH,) if bn == "samples" else ()
    found = found or Probe(subject, n, bn, *(None,) * 9, notes)
    return replace(
        found,
        lesions=lesions(net, batches, n, seed, tell) if "lesions" in extras else None,
        similarity=similarity(net, batches, n, tell) if "similarity" in extras else None,
        surface=surface(net, batches, n, bn, seed, directions, tell) if "surface" in extras else None,
    )
