"""Group the layers that are computed together: a convolution, the batch norm after it, the addition, the ReLU."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from torch import nn

from reslab.nets.model import ADD


@dataclass(frozen=True)
class Group:
    """A layer and the batch norm, addition and ReLU directly after it, if present.

    layer   a convolution; or any other layer, which forms a group by itself; None if the group begins with batch norm,
            the addition or the ReLU
    adds    the shortcut is added (y = F(x) + x, Eq. (1))
    """

    layer: nn.Module | None
    norm: nn.BatchNorm2d | None = None
    adds: bool = False
    relu: nn.ReLU | None = None


def groups(modules: Iterable[nn.Module]) -> Iterator[Group]:
    """Yield the modules in order, in the longest possible groups."""
    queue = deque(modules)

    def is_next(kind: type[nn.Module]) -> bool:
        return bool(queue) and isinstance(queue[0], kind)

    while queue:
        has_no_layer = queue[0] is ADD or is_next(nn.BatchNorm2d) or is_next(nn.ReLU)
        layer = None if has_no_layer else queue.popleft()
        if layer is not None and not isinstance(layer, nn.Conv2d):
            yield Group(layer)
            continue
        norm = queue.popleft() if is_next(nn.BatchNorm2d) else None
        adds = bool(queue) and queue[0] is ADD
        if adds:
            queue.popleft()
        relu = queue.popleft() if is_next(nn.ReLU) else None
        assert norm is None or isinstance(norm, nn.BatchNorm2d)
        assert relu is None or isinstance(relu, nn.ReLU)
        yield Group(layer, norm, adds, relu)
