"""Which neighbours are computed together: a convolution, the batch norm after it, the addition, the ReLU."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from torch import nn

from reslab.nets.model import ADD


@dataclass(frozen=True)
class Group:
    """A layer and what follows it directly, each only if it is there.

    layer   a convolution, with what follows; any other layer, alone; None if the group begins with batch norm, the
            addition or the ReLU
    adds    the shortcut is added (y = F(x) + x, Eq. (1))
    """

    layer: nn.Module | None
    norm: nn.BatchNorm2d | None = None
    adds: bool = False
    relu: nn.ReLU | None = None


def groups(modules: Iterable[nn.Module]) -> Iterator[Group]:
    """Yield the modules in their order, in groups. Each group takes as many of them as it can."""
    rest = deque(modules)

    def is_next(kind: type[nn.Module]) -> bool:
        return bool(rest) and isinstance(rest[0], kind)

    while rest:
        begins = rest[0] is ADD or is_next(nn.BatchNorm2d) or is_next(nn.ReLU)
        layer = None if begins else rest.popleft()
        if layer is not None and not isinstance(layer, nn.Conv2d):
            yield Group(layer)
            continue
        norm = rest.popleft() if is_next(nn.BatchNorm2d) else None
        adds = bool(rest) and rest[0] is ADD
        if adds:
            rest.popleft()
        relu = rest.popleft() if is_next(nn.ReLU) else None
        assert norm is None or isinstance(norm, nn.BatchNorm2d)
        assert relu is None or isinstance(relu, nn.ReLU)
        yield Group(layer, norm, adds, relu)
