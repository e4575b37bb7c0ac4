"""`spec` and `build`: a network described, and a network made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reslab.api.arguments import takes
from reslab.nets.names import spec_of
from reslab.nets.plan import plan
from reslab.nets.spec import Spec

if TYPE_CHECKING:
    from reslab.nets.model import Network


@takes()
def spec(model: str, **switches: Any) -> Spec:
    """The frozen, torch-free description of a network: `spec("resnet50", shortcut="C", classes=10)`.

    Raises UserError for unknown names, switches and impossible depths.
    """
    found = spec_of(model, **switches)
    plan(found)
    return found


@takes()
def build(model: str | Spec, *, seed: int = 0, device: str = "cpu", **switches: Any) -> Network:
    """A torch module with He-initialised weights that depend on (seed, layer name) alone; images [B,C,S,S] to logits.

    `build("resnet50", classes=10, shortcut="C")`; `net(images, names=("conv2_1.add",))` returns named intermediates.
    Raises UserError for unknown names, switches and impossible depths.
    """
    from reslab.engines.machine import resolve_device
    from reslab.nets.model import build as make

    where = device if device == "meta" else resolve_device(device)
    return make(model, seed=seed, device=where, **switches)
