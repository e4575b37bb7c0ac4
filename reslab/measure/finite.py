"""Raise UserError for weights that are not finite.

A network can hide a broken weight: the ReLU that oneDNN fuses into a convolution turns NaN into 0, and the scores look
normal. So weights are checked when they are copied into a network, not by its outputs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from reslab.errors import UserError


def unusable(values: Tensor) -> int:
    """Return the number of NaN and infinite `values`; 0 for integers."""
    # A sum keeps NaN and infinity and needs no copy; only if it is not finite are the values counted one by one.
    if not values.is_floating_point() or math.isfinite(float(values.sum())):
        return 0
    return int((~torch.isfinite(values)).sum())


def check_weights(tensors: Mapping[str, Tensor], where: str) -> None:
    """Raise UserError, with the first such tensor and its count, if values are not finite or a variance is negative.

    tensors   parameters and BN buffers by name
    where     the tensors' origin, for the message
    """
    for name, values in tensors.items():
        problem, count = "not finite", unusable(values)
        if not count and name.rsplit(".", 1)[-1] == "running_var":
            problem, count = "negative, but they are variances", int((values < 0).sum())
        if count:
            raise UserError(
                f"{where}: {count:,} of {values.numel():,} values of {name} are {problem}; use other weights"
            )


def check_network(net: nn.Module, where: str) -> None:
    """Raise UserError if a weight or BN buffer of `net` is not finite or a variance is negative."""
    check_weights(net.state_dict(), where)
