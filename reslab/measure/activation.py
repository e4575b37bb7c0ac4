"""Class activation maps: where in an image the evidence for a class lies (Zhou et al. 2016, "Learning deep features").

A net that ends in global average pooling and one linear layer has logits that are means over places:
logit_c = Σ_k w_ck mean(f_k) + b_c = mean over places of (Σ_k w_ck f_k + b_c). The map is that last bracket: exact, and
without gradients. HiResCAM of such a net is its positive part, without b_c and up to a factor.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reslab.errors import UserError
from reslab.nets.flow import reads
from reslab.nets.model import Network
from reslab.nets.row import path_of


def map_row(network: Network) -> str:
    """Return the name of the row whose output is averaged over places. Raises UserError if the net has no such end."""
    rows = network.rows
    if [row.kind for row in rows[-2:]] != ["gap", "linear"]:
        raise UserError(
            f"{network.name}: has no class activation map, as it does not end in global average pooling and one linear "
            "layer"
        )
    return reads(rows)[rows[-2].name][0]


@torch.no_grad()
def activation_maps(network: Network, images: Tensor, classes: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the maps [B, h, w] of one class for each image, and the logits [B, classes]; the network in fp32.

    images   [B, C, S, S], normalised, on the network's device
    classes  int64 [B]; by default the class with the highest logit
    The mean of a map is the class's logit. Raises UserError if the net does not end in global average pooling and one
    linear layer.
    """
    name = map_row(network)
    logits, outputs = network(images, names=(name,))
    chosen = logits.argmax(1) if classes is None else classes.to(logits.device)
    head = network.get_submodule(path_of(network.rows[-1]))
    assert isinstance(head, nn.Linear)
    maps = torch.einsum("bkhw,bk->bhw", outputs[name], head.weight[chosen]) + head.bias[chosen][:, None, None]
    return maps, logits
