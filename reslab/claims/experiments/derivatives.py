"""Jacobians of single blocks for C4 and C5: at initialisation, as constructed, and in trained nets.

They are exact: autograd in float64, one block at one sample. What the shortcut adds is written down without autograd:
an identity matrix, a projection's columns one by one, option A's ones and zeros.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reslab.claims.claim import Bench, kept

if TYPE_CHECKING:
    from torch import Tensor

    from reslab.measure.jacobian import BlockRows
    from reslab.nets.model import Network

IMAGES = 4  # samples at which trained blocks are differentiated
SIDE = 1024  # the largest block taken at all of them; larger ones (32x32 images): the last block, one sample
CASES = ("A", "B", "C", "pre")  # shortcut options of post-activation nets, and pre-activation


# -- C4: blocks at initialisation


def blocks(bench: Bench | None, seed: int | None) -> dict[str, Any]:
    """Largest deviations, one number a block: of H from F + S before the last ReLU, and what breaks H = F + 1."""
    deviations: dict[str, list[float]] = {k: [] for k in (
        "identity", "preactivation", "projection", "option_a",  # largest |J_H - (J_F + J_S)|, the true J_S
        "relu_rows", "inactive", "relu_deviation", "projection_deviation", "dropped",
    )}  # fmt: skip
    for case in CASES:
        network, image = _small(case)
        for block in _blocks(network):
            _differentiate(network, block, image, case, deviations)
    return {**deviations}


def _small(case: str) -> tuple[Network, Tensor]:
    """Fourteen layers, 8x8 images, weights and BN's statistics drawn at random; and an image. Double precision."""
    import torch

    from reslab.nets.model import build

    switches: dict[str, Any] = {"order": "pre"} if case == "pre" else {"shortcut": case}
    network = build("cifar_resnet14", seed=0, in_channels=1, image_size=8, widths=(4, 6, 8), **switches).double()
    draw = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for values, low in ((module.weight.data, 0.5), (module.running_var, 0.5), (module.bias.data, -0.5)):
                assert values is not None
                values.copy_(low + torch.rand(values.shape, generator=draw, dtype=values.dtype))
    return network.eval(), torch.randn(1, 8, 8, generator=draw, dtype=torch.float64)


def _blocks(network: Network) -> tuple[BlockRows, ...]:
    from reslab.measure.jacobian import blocks_of

    return blocks_of(network.rows)


def _differentiate(network: Network, block: BlockRows, image: Tensor, case: str, found: dict[str, list[float]]) -> None:
    """Add what one block shows to `found`."""
    import torch

    from reslab.measure.jacobian import jacobian

    module, x, seen = _at(network, block, image)
    j_f, j_h = jacobian(module, x, block.branch), jacobian(module, x, block.before)
    same = block.inputs == block.outputs
    eye = torch.eye(block.inputs, dtype=x.dtype)
    if block.line == "solid":
        found["preactivation" if case == "pre" else "identity"].append(_most(j_h - j_f - eye))
    elif case == "A":
        ones = _padding(module, x)
        found["option_a"].append(_most(j_h - j_f - ones))
        found["dropped"].append(100.0 * float((ones == 0).all(0).double().mean()))
    elif case != "pre":
        found["projection"].append(_most(j_h - j_f - _columns(module, x)))
        if same:  # option C has projections where the size does not change: where an identity would have fitted
            found["projection_deviation"].append(_most(j_h - j_f - eye))
    if block.after and block.line == "solid":
        after, inactive = jacobian(module, x, block.after), seen[block.before].flatten() <= 0
        found["relu_rows"].append(max(_most(after[inactive]), _most(after[~inactive] - j_h[~inactive])))
        found["inactive"].append(float(inactive.sum()))
        found["relu_deviation"].append(_most(after - j_f - eye))


def _at(network: Network, block: BlockRows, image: Tensor) -> tuple[Any, Tensor, dict[str, Tensor]]:
    """The block's module, what it reads for this image, and its named outputs there."""
    import torch

    with torch.no_grad():
        seen = network(image[None], names="all")[1]
    return network.get_submodule(block.name), seen[block.reads][0], seen


def _most(matrix: Tensor) -> float:
    return kept(float(matrix.abs().max()) if matrix.numel() else 0.0)


def _columns(module: Any, x: Tensor) -> Tensor:
    """W_s as a matrix: the (affine) shortcut applied to each unit vector, less its value at 0. No autograd."""
    import torch

    from reslab.nets.model import Note

    with torch.no_grad():
        units = torch.eye(x.numel(), dtype=x.dtype).view(-1, *x.shape)
        images: Tensor = module.shortcut(units, Note()) - module.shortcut(torch.zeros_like(x)[None], Note())
        return images.flatten(1).T


def _padding(module: Any, x: Tensor) -> Tensor:
    """Option A's matrix, written down from §4.1: a 1 for every second pixel of every channel, zeros for the others."""
    import torch

    channels, size = x.shape[0], x.shape[-1]
    half = size // 2
    outputs = module.branch(x[None], _nothing()).numel()
    ones = torch.zeros(outputs, x.numel(), dtype=x.dtype)
    for c in range(channels):
        for i in range(half):
            for j in range(half):
                ones[(c * half + i) * half + j, (c * size + 2 * i) * size + 2 * j] = 1.0
    return ones


def _nothing() -> Any:
    from reslab.nets.model import Note

    return Note()


# -- C5: constructions


def counter(bench: Bench | None, seed: int | None) -> dict[str, Any]:
    """Largest |entry| of J_H in two MLP blocks: F(x) = -x on active units; a last ReLU inactive at every output."""
    import torch

    from reslab.measure.jacobian import jacobian
    from reslab.nets.model import build

    largest: dict[str, Any] = {"minus_identity": [], "inactive_relu": []}
    for width in (2, 16, 64):
        network = build("mlp_resnet4", widths=(width,), in_channels=1, image_size=8).double().eval()
        (block,) = _blocks(network)
        module: Any = network.get_submodule(block.name)
        first, second = (m for m in module.modules() if isinstance(m, torch.nn.Linear))
        draw = torch.Generator().manual_seed(width)
        order = torch.randperm(width, generator=draw)
        swap = torch.eye(width, dtype=torch.float64)[order]
        x = 1.0 + torch.rand(width, generator=draw, dtype=torch.float64)  # after a ReLU: not negative
        with torch.no_grad():
            first.weight.copy_(swap)  # W1 x > 0: every inner unit is active
            second.weight.copy_(-swap.T)  # W2 W1 = -I
        largest["minus_identity"].append(_most(jacobian(module, x, block.before)))
        with torch.no_grad():
            second.bias.fill_(-1.0)  # H(x) = F(x) + x = -1: the last ReLU passes nothing
            second.weight.zero_()
            second.bias.sub_(x.max())
        largest["inactive_relu"].append(_most(jacobian(module, x, block.after)))
    return largest


# -- C5: trained nets


def trained(of: Any, bench: Bench, seed: int | None) -> dict[str, Any]:
    """Percent of small singular values (before the ReLU) and of zero rows (after it), trained and initial weights."""
    from reslab.measure.evaluate import precise_statistics
    from reslab.nets.model import build

    assert seed is not None
    images, _ = bench.batch(of, seed, 128)
    network = bench.network(of, seed)
    start = build(network.spec, seed=seed)
    precise_statistics(start, [images])
    figures: dict[str, Any] = {}
    for when, net in (("trained", network), ("initial", start)):
        spectra = _spectra(net.eval().double(), images.double())
        figures |= {f"{key}_{when}": value for key, value in spectra.items()}
    return figures


def _spectra(network: Network, images: Tensor) -> dict[str, Any]:
    import torch

    from reslab.measure.jacobian import SMALL, jacobian

    solid = [b for b in _blocks(network) if b.line == "solid"]
    small_enough = [b for b in solid if b.outputs <= SIDE]
    count = IMAGES if small_enough else 1
    rates, zero, least = [], [], []
    for block in small_enough or solid[-1:]:
        small = total = inactive = 0
        for image in images[:count]:
            module, x, seen = _at(network, block, image)
            values = torch.linalg.svdvals(jacobian(module, x, block.before))
            small, total = small + int((values < SMALL).sum()), total + len(values)
            inactive += int((seen[block.before] <= 0).sum()) if block.after else 0
            least.append(float(values.min()))
        rates.append(round(100.0 * small / total, 8))
        zero.append(round(100.0 * inactive / total, 8))
    mean = [round(sum(v) / len(v), 8) for v in (rates, zero)]
    return {"small": mean[0], "zero_rows": mean[1], "least": kept(min(least)), "small_by_block": rates,
            "zero_rows_by_block": zero}  # fmt: skip
