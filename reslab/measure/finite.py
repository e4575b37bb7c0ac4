"""Refuse weights that are not finite.

A network can hide a broken weight: the ReLU that oneDNN fuses into a convolution turns NaN into 0, and the scores that
follow look like any others. So weights are checked when a network is filled, not by what it answers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from reslab.errors import UserError


def unusable(values: Tensor) -> int:
    """Return how many of `values` are NaN or infinite; integers never are."""
    # NaN and infinity survive a sum, which needs one pass and no copy; a sum that overflows is counted value by value.
    if not values.is_floating_point() or math.isfinite(float(values.sum())):
        return 0
    return int((~torch.isfinite(values)).sum())


def check_weights(tensors: Mapping[str, Tensor], where: str) -> None:
    """Raise UserError that names the first tensor with values no network can use, and how many of them it has.

    tensors   parameters and BN buffers by name; a `running_var` must not be negative either
    where     what the tensors belong to, as the message names it
    """
    for name, values in tensors.items():
        problem, count = "not finite", unusable(values)
        if not count and name.rsplit(".", 1)[-1] == "running_var":
            problem, count = "negative, which no variance is", int((values < 0).sum())
        if count:
            raise UserError(
                f"{where}: {count:,} of {values.numel():,} values of {name} are {problem}; use other weights"
            )


def check_network(net: nn.Module, where: str) -> None:
    """Raise UserError if a weight or BN buffer of `net` is unusable."""
    check_weights(net.state_dict(), where)
