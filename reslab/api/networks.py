"""`spec`: a network's definition. `build`: its torch module."""

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
    """Return the frozen, torch-free definition of a network: `spec("resnet50", shortcut="C", classes=10)`.

    Raises UserError for unknown names, switches and impossible depths.
    """
    network = spec_of(model, **switches)
    plan(network)
    return network


@takes()
def build(model: str | Spec, *, seed: int = 0, device: str = "cpu", **switches: Any) -> Network:
    """Return a torch module, from images [B,C,S,S] to logits [B,classes], with He-initialised weights.

    The weights depend only on the seed and the layers' names. `build("resnet50", classes=10, shortcut="C")`;
    `net(images, names=("conv2_1.add",))` also returns named outputs.
    Raises UserError for unknown names, switches and impossible depths.
    """
    from reslab.engines.machine import resolve_device
    from reslab.nets import model as networks

    torch_device = device if device == "meta" else resolve_device(device)
    return networks.build(model, seed=seed, device=torch_device, **switches)
