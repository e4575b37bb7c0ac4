"""Which rank this process is, and which images of a batch each rank takes; without torch."""

from __future__ import annotations

import os
from functools import lru_cache
from itertools import pairwise

RANK, COUNT = "RANK", "WORLD_SIZE"  # in the environment of a rank
LOCAL, LOCAL_COUNT = "LOCAL_RANK", "LOCAL_WORLD_SIZE"  # of the machine alone
TRY = "TORCHELASTIC_RESTART_COUNT"  # how often torchrun has started the ranks again
TIMEOUT = 600.0  # seconds to wait for the other ranks


def is_rank() -> bool:
    """Return whether torchrun, or a launcher like it, started this process as one of several."""
    return os.environ.get(COUNT, "1") not in ("", "1")


def is_first() -> bool:
    """Return whether this process is the only one of its run, or rank 0."""
    return not is_rank() or os.environ.get(RANK) == "0"


def on_this_machine() -> int:
    """Return the number of ranks that share this machine's memory; 1 for a process that is no rank."""
    count = os.environ.get(LOCAL_COUNT, "")
    return max(1, int(count)) if is_rank() and count.isdigit() else 1


def part_ends(samples: int, bn_batch: int) -> list[int]:
    """Return the ends of the parts of a batch with separate BN statistics: one part, unless `bn_batch` is set."""
    part = bn_batch or samples
    ends = [*range(part, samples, part), samples]
    if len(ends) > 1 and ends[-1] - ends[-2] == 1:  # one image has no batch statistics: merge it into the part before
        del ends[-2]
    return ends


@lru_cache(maxsize=64)
def shares(samples: int, ranks: int, part: int = 0) -> tuple[slice, ...]:
    """Return the samples of a batch that each rank takes; the shares are in order and differ by one at most.

    part   of separate BN statistics (`part_ends`): kept whole if there are at least as many parts as ranks
    """
    ends = part_ends(samples, part) if part else []
    if len(ends) < ranks:
        ends = [*range(1, samples + 1)]
    ends = [0, *ends]
    bounds = [ends[k * (len(ends) - 1) // ranks] for k in range(ranks + 1)]
    return tuple(slice(first, last) for first, last in pairwise(bounds))


def sizes(samples: int, ranks: int, part: int = 0) -> list[int]:
    """Return how many samples of a batch each rank takes; see `shares`."""
    return [share.stop - share.start for share in shares(samples, ranks, part)]
