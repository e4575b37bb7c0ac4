"""What the comparison of one item gives, and the words that all items share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from reslab.conformance.net import Net
from reslab.nets.spec import Spec


class Finding(NamedTuple):
    """What the paper says, what was found, and whether that departs."""

    paper: str
    found: str
    departs: bool


def counted(counts: Counter[str], unit: str) -> str:
    """Return "a (3 blocks), b (1 block)"; without numbers if there is one kind, "none" if there is none."""
    if len(counts) < 2:
        return next(iter(counts), "none")
    return ", ".join(f"{word} ({n} {unit}{'s' if n > 1 else ''})" for word, n in counts.most_common())


def source(spec: Spec, cifar: str, imagenet: str) -> str:
    """Return the part of the paper that an item of `spec` comes from, in brackets."""
    if spec.family == "vgg":
        return " (Fig. 3, left)"
    return f" ({cifar if spec.family == 'cifar' else imagenet})"


Compare = Callable[[Net, Net, Spec], Finding]
"""Compares a network with the reference, whose `Spec` gives the source."""
