"""`spec`: a network's definition. `build`: its torch module."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reslab.api.arguments import takes
from reslab.errors import UserError, suggest_beside
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


def spec_of_word(word: str, switches: Mapping[str, Any], absent: str, beside: Path | None = None) -> Spec:
    """Return the network of a verb's argument that is no path.

    absent   what else the word could have named: "no run of that name here"
    beside   the missing path, to suggest the nearest names in its folder
    Raises UserError as `spec` does; for an unknown name the message begins with `absent`.
    """
    try:
        return spec(word, **switches)
    except UserError as error:
        if str(error).startswith("unknown model"):
            raise UserError(f"{absent}, and {error}{suggest_beside(beside) if beside else ''}") from None
        raise


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
