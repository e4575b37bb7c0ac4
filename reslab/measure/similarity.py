"""Linear CKA between the outputs of a network's blocks.

Kornblith, Norouzi, Lee, Hinton 2019, "Similarity of neural network representations revisited". For features X [n, p]
and Y [n, q] of the same n samples, with K = X Xᵀ, L = Y Yᵀ and the centring H = I − 1/n:

    CKA = <HKH, HLH> / (‖HKH‖ ‖HLH‖)        in the Frobenius inner product

A feature map is flattened, so p counts its channels times its positions. Only K [n, n] is kept of each output, so the
size of the maps does not matter. This is the paper's biased estimate: it grows as n gets small against p.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from reslab.errors import UserError
from reslab.measure.passes import Batches, Progress, moved
from reslab.nets.model import Block, Network

HELD = 2**28  # features in memory at once: 1 GiB in float32
MOST = 2**28  # entries of all Gram matrices: 2 GiB in float64


@dataclass(frozen=True)
class Similarity:
    """Linear CKA of the outputs `names` (stem, blocks, gap) over the probed samples, in evaluation mode.

    cka     a row for each of `names`, from 0 to 1; symmetric; None if an output is the same for all samples
    """

    names: tuple[str, ...]
    cka: tuple[tuple[float | None, ...], ...]


def compared(net: Network) -> dict[str, str]:
    """Return the compared outputs, name to row: stem, blocks, and global average pooling ("gap"), in network order."""
    rows: dict[str, str] = {}
    for part in net.parts:
        own = [row for row in net.rows if (row.block or row.part) == part]
        if own and (isinstance(net.get_submodule(part), Block) or part == "stem"):
            rows[part] = own[-1].name
    rows.update(("gap", row.name) for row in net.rows if row.kind == "gap")
    return rows


def check_size(net: Network, n: int) -> None:
    """Raise UserError if the Gram matrices of `n` samples are too large."""
    outputs = len(compared(net))
    if outputs * n * n > MOST:
        most = int((MOST / outputs) ** 0.5)
        raise UserError(
            f"--similarity: {outputs} outputs of {net.name} need as many matrices of {n:,} x {n:,}; "
            f"--samples {most} fits"
        )


def similarity(net: Network, batches: Batches, n: int, tell: Callable[[str], None]) -> Similarity:
    """Return the CKA of the outputs of `net`, which is in evaluation mode, over its `n` samples.

    Raises UserError if the matrices are too large.
    """
    check_size(net, n)
    grams = gram_matrices(net, batches, n, tell)
    centred = [_centred(gram) for gram in grams.values()]
    norms = [float(gram.norm()) for gram in centred]
    sizes = [float(gram.norm()) for gram in grams.values()]
    constant = [norm <= 1e-12 * size for norm, size in zip(norms, sizes, strict=True)]
    rows: list[list[float | None]] = [[None] * len(centred) for _ in centred]
    for i, one in enumerate(centred):
        for j in range(i + 1):
            if not constant[i] and not constant[j]:
                rows[i][j] = rows[j][i] = float((one * centred[j]).sum()) / (norms[i] * norms[j])
    return Similarity(tuple(grams), tuple(map(tuple, rows)))


def _centred(gram: Tensor) -> Tensor:
    """Return HKH."""
    centred = gram - gram.mean(0, keepdim=True)
    return centred - centred.mean(1, keepdim=True)


@torch.no_grad()
def gram_matrices(
    net: Network, batches: Batches, n: int, tell: Callable[[str], None], held: int = HELD
) -> dict[str, Tensor]:
    """Return X Xᵀ [n, n] of each compared output, in float64 on the CPU, by name.

    held    features kept at once; if those of all samples are more, the samples pass several times: in each pass, the
            features of some batches are kept and multiplied by those of all later ones
    """
    rows = compared(net)
    outputs = {row.name: row.c_out * row.size_out**2 for row in net.rows}
    kept_at_once = max(1, held // sum(outputs[row] for row in rows.values()))
    grams = {name: torch.zeros(n, n, dtype=torch.float64) for name in rows}
    progress = Progress(tell, "similarity")
    first = 0
    while first < n:
        kept: list[tuple[int, dict[str, Tensor]]] = []
        end, start = first, 0
        for images, _ in moved(net, batches):
            here, start = start, start + len(images)
            if here < first:
                continue
            values = net(images, names=rows.values())[1]
            features = {name: values[row].flatten(1) for name, row in rows.items()}
            if here == end and (not kept or here + len(images) - first <= kept_at_once):
                kept.append((here, features))
                end = start
            for place, earlier in kept:
                for name, gram in grams.items():
                    block = (earlier[name].double() @ features[name].double().T).cpu()
                    gram[place : place + len(block), here:start] = block
                    gram[here:start, place : place + len(block)] = block.T
                progress.step((1 if place == here else 2) * len(block) * len(images) / n**2)
        first = end
    return grams
