"""Exact Jacobians of one block at one sample, and their singular values: Eq. (1) and (2) differentiated.

For H(x) = F(x) + S(x) the chain rule gives J_H = J_F + J_S before the last ReLU: J_S is the identity matrix for an
identity shortcut, W_s for a projection, a matrix of ones and zeros for option A. The ReLU after the addition
then multiplies the rows of its inactive outputs by 0.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from reslab.errors import UserError, suggest
from reslab.nets.model import Block, Network, Note
from reslab.nets.row import Row

MOST = 4096  # entries of a block's input or output: three such matrices in float64 hold 400 MB
SMALL = 0.1  # a singular value below it is counted as small
CHUNK = 256  # rows of a Jacobian computed at once


@dataclass(frozen=True)
class BlockRows:
    """The names of a block's outputs. `inputs` and `outputs` count the entries of one sample.

    reads      the row whose output is the block's input x; "" if that is the image
    branch     F(x), the last row of the branch; "" in a plain net, in which H is F
    shortcut   the shortcut's last row, or `reads` for the identity; "" in a plain net
    before     H(x) before the last ReLU: the addition, or in a plain net the last layer
    after      H(x) after the last ReLU; "" if no ReLU follows (pre-activation)
    output     the block's last row
    line       solid (identity), dotted, or "" in a plain net
    """

    name: str
    reads: str
    branch: str
    shortcut: str
    before: str
    after: str
    output: str
    line: str
    inputs: int
    outputs: int


def blocks_of(rows: Iterable[Row]) -> tuple[BlockRows, ...]:
    """Return the blocks of a plan, in network order."""
    blocks: list[BlockRows] = []
    reads = ""
    for name, group in groupby(rows, key=lambda r: r.block):
        own = list(group)
        if name:
            added = next((r for r in own if r.kind == "add"), None)
            branch = [r for r in own if r.path == "branch"][-1].name
            shortcut = [r.name for r in own if r.path == "shortcut"][-1:] or [reads]
            before = (added or [r for r in own if r.kind != "act"][-1]).name
            last, first = own[-1], own[0]
            blocks.append(
                BlockRows(
                    name, reads,
                    branch if added else "",
                    shortcut[0] if added else "",
                    before,
                    last.name if last.name != before else "",
                    last.name,
                    added.line if added else "",
                    first.c_in * first.size_in**2,
                    last.c_out * last.size_out**2,
                )
            )  # fmt: skip
        reads = own[-1].name
    return tuple(blocks)


@dataclass(frozen=True)
class Spectrum:
    """Singular values of a Jacobian: their number, extremes and median, and how many are below 0.1."""

    n: int
    min: float
    max: float
    median: float
    below: int


@dataclass(frozen=True)
class BlockJacobian:
    """The derivatives of one block at one sample, full size, float64, evaluation mode.

    inputs, outputs   entries of x and H(x)
    branch            of J_F; None in a plain net
    before            of J_H before the last ReLU
    after             of J_H after it; None if no ReLU follows
    gap               largest |J_H − (J_F + J_S)|, entry by entry, before the last ReLU; None in a plain net
    inactive          outputs whose row of J_H is 0 after the last ReLU; None if no ReLU follows
    A spectrum is None if the Jacobian is not finite.
    """

    block: str
    line: str
    inputs: int
    outputs: int
    branch: Spectrum | None
    before: Spectrum | None
    after: Spectrum | None
    gap: float | None
    inactive: int | None


def jacobian(block: Block, x: Tensor, row: str) -> Tensor:
    """Return d(output of `row`) / dx, [outputs, inputs], by reverse mode, `CHUNK` rows at a time.

    `x` is one sample, [C, H, W] or [C], in the block's own precision; the block is in evaluation mode.
    """

    def output(flat: Tensor) -> Tensor:
        note = Note(frozenset([row]))
        block(flat.view(1, *x.shape), note)
        return note.outputs[row].flatten()

    with torch.no_grad():  # no derivatives with respect to the parameters
        matrix: Tensor = torch.func.jacrev(output, chunk_size=CHUNK)(x.flatten())
        return matrix


def spectrum(matrix: Tensor) -> Spectrum | None:
    """Return the spectrum of all min(m, n) singular values of a matrix [m, n]; None if it is not finite."""
    if not bool(torch.isfinite(matrix).all()):
        return None
    values = torch.linalg.svdvals(matrix).cpu().numpy()
    return Spectrum(
        len(values), float(values.min()), float(values.max()), float(np.median(values)), int((values < SMALL).sum())
    )


def chosen(net: Network, block: str | None) -> tuple[BlockRows, ...]:
    """Return the block named `block`, or by default the first and the last small block with an identity shortcut.

    If no small block has one: the first and the last small block, or () if no block is small.
    Raises UserError if `block` is unknown or too large.
    """
    blocks = blocks_of(net.rows)
    if block is not None:
        named = [b for b in blocks if b.name == block]
        if not named:
            names = [b.name for b in blocks]
            listed = ", ".join(names if len(names) <= 6 else [*names[:3], "…", *names[-2:]])
            raise UserError(f"{net.name} has no block {block!r}{suggest(block, names)}; there are {listed}")
        if not _small(named[0]):
            raise UserError(f"{block}: {too_large(named[0])}")
        return (named[0],)
    small = [b for b in blocks if _small(b)]
    small = [b for b in small if b.line == "solid"] or small
    return tuple(dict.fromkeys([small[0], small[-1]])) if small else ()


def _small(block: BlockRows) -> bool:
    return max(block.inputs, block.outputs) <= MOST


def too_large(block: BlockRows) -> str:
    """Return the reason that a block's Jacobian is not computed, and the remedy."""
    return (
        f"its Jacobian would have {block.outputs:,} x {block.inputs:,} entries, more than {MOST:,} a side; take a "
        "deeper block, narrower widths or smaller images (digits)"
    )


def block_jacobian(net: Network, block: BlockRows, image: Tensor) -> BlockJacobian:
    """Return the Jacobians of `block` for the sample `image` ([C, S, S]), in float64.

    `net` is in evaluation mode, and is not changed.
    """
    exact = copy.deepcopy(net).double()
    with torch.no_grad():
        image = image.double()[None]
        x = exact(image, names=(block.reads,))[1][block.reads][0] if block.reads else image[0]
    module = exact.get_submodule(block.name)
    assert isinstance(module, Block)
    before = jacobian(module, x, block.before)
    after = jacobian(module, x, block.after) if block.after else None
    branch = gap = None
    if block.branch:
        branch_jacobian = jacobian(module, x, block.branch)
        branch = spectrum(branch_jacobian)
        identity = torch.eye(block.inputs, dtype=x.dtype, device=x.device)
        shortcut_jacobian = identity if block.shortcut == block.reads else jacobian(module, x, block.shortcut)
        gap = float((before - branch_jacobian - shortcut_jacobian).abs().max())
    return BlockJacobian(
        block.name,
        block.line,
        block.inputs,
        block.outputs,
        branch,
        spectrum(before),
        None if after is None else spectrum(after),
        gap,
        None if after is None else int((after == 0).all(1).sum()),
    )
