"""The exponential average of a network's weights, which is scored and saved in their place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from reslab.nets.model import Network


class Average:
    """Averages of the weights and BN statistics of `net`, updated after each update of the net."""

    def __init__(self, net: Network, share: float) -> None:
        """Begin with the net's own values; `share` of the average is kept at each update (`Recipe.average`)."""
        self.net, self.share = net, share
        self.begin()

    def begin(self) -> None:
        """Begin again with the net's own values, after it has been filled."""
        self.values = _copies(self.net)

    @torch.no_grad()
    def update(self, iteration: int) -> None:
        """Add the net's values after `iteration` updates."""
        kept = min(self.share, (1 + iteration) / (10 + iteration))
        values = self.net.state_dict()
        floats = [name for name, value in values.items() if value.is_floating_point()]
        torch._foreach_lerp_([self.values[n] for n in floats], [values[n] for n in floats], 1 - kept)
        for name in values.keys() - set(floats):  # counts of batches
            self.values[name].copy_(values[name])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Give the net the averages, and take them back afterwards, with BN statistics measured in between."""
        own = _copies(self.net)
        self._fill(self.values)
        try:
            yield
        finally:
            for name, value in self.net.state_dict().items():
                self.values[name].copy_(value)
            self._fill(own)

    @torch.no_grad()
    def _fill(self, values: Mapping[str, Tensor]) -> None:
        for name, value in self.net.state_dict().items():  # in place: a recorded update reads the same memory
            value.copy_(values[name])


def _copies(net: Network) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in net.state_dict().items()}
