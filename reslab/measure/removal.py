"""A trained network without one of its blocks (Veit, Wilber, Belongie 2016, "Residual networks behave like ensembles").

A residual block without F is its identity; a plain block is two layers left out, whose neighbours are joined.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from reslab.measure.evaluate import Tally
from reslab.nets.model import Block, Network, Note

BATCH = 250  # images scored at once


class Nothing(nn.Module):
    """In place of a block: gives back what it gets."""

    def forward(self, x: Tensor, note: Note) -> Tensor:
        return x


def removable(network: Network) -> list[str]:
    """Return the names of the blocks whose input and output have one shape, in network order: "conv2_1" …"""
    found = []
    for name in network.parts:
        rows = [row for row in network.rows if row.block == name]
        if isinstance(network.get_submodule(name), Block) and (
            (rows[0].c_in, rows[0].size_in) == (rows[-1].c_out, rows[-1].size_out)
        ):
            found.append(name)
    return found


@contextmanager
def without(network: Network, block: str) -> Iterator[Network]:
    """Lend `network` without `block`; afterwards it is whole again."""
    kept = network.get_submodule(block)
    network.add_module(block, Nothing())
    try:
        yield network
    finally:
        network.add_module(block, kept)


@torch.no_grad()
def error(network: Network, images: Tensor, labels: Tensor) -> float:
    """Return the top-1 error in percent on images [N, C, H, W] as the network reads them, in evaluation mode."""
    network.eval()
    tally = Tally(network.spec.classes)
    for start in range(0, len(labels), BATCH):
        tally.add(network(images[start : start + BATCH]), labels[start : start + BATCH])
    return tally.scores(len(labels)).top1_error


def errors_without(network: Network, images: Tensor, labels: Tensor) -> dict[str, float]:
    """Return the error without each of the removable blocks, one at a time."""
    found = {}
    for block in removable(network):
        with without(network, block):
            found[block] = error(network, images, labels)
    return found
