"""A trained network without one of its blocks (Veit, Wilber, Belongie 2016, "Residual networks behave like ensembles").

Without F a residual block is the identity. Without a plain block the layers before and after it are joined.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from reslab.measure.evaluate import Tally
from reslab.nets.model import Block, Network, Note

BATCH = 250  # images scored at once


class Identity(nn.Module):
    """Takes the place of a removed block: returns its input."""

    def forward(self, x: Tensor, note: Note) -> Tensor:
        return x


def removable(network: Network) -> list[str]:
    """Return the names of the blocks whose input and output have one shape, in network order: "conv2_1" …"""
    names = []
    for name in network.parts:
        rows = [row for row in network.rows if row.block == name]
        if isinstance(network.get_submodule(name), Block) and (
            (rows[0].c_in, rows[0].size_in) == (rows[-1].c_out, rows[-1].size_out)
        ):
            names.append(name)
    return names


@contextmanager
def without(network: Network, block: str) -> Iterator[Network]:
    """A context in which `network` lacks `block`; it is restored at the end."""
    removed = network.get_submodule(block)
    network.add_module(block, Identity())
    try:
        yield network
    finally:
        network.add_module(block, removed)


@torch.no_grad()
def error(network: Network, images: Tensor, labels: Tensor) -> float:
    """Return the top-1 error in percent on normalised images [N, C, H, W], in evaluation mode."""
    network.eval()
    tally = Tally(network.spec.classes)
    for start in range(0, len(labels), BATCH):
        tally.add(network(images[start : start + BATCH]), labels[start : start + BATCH])
    return tally.scores(len(labels)).top1_error


def errors_without(network: Network, images: Tensor, labels: Tensor) -> dict[str, float]:
    """Return the error (percent) without each of the removable blocks, by the removed block's name."""
    errors = {}
    for block in removable(network):
        with without(network, block):
            errors[block] = error(network, images, labels)
    return errors
