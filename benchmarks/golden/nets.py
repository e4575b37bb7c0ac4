"""Rows on networks: initial weights by tensor, and the plan of each network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.golden.collection import Collection, reslab_json
from benchmarks.golden.values import Entries, exact, flat, of_array

SMALL = {"widths": (16, 16, 32, 32), "classes": 10, "image_size": 64}
# Every family and every switch; small enough that a net takes milliseconds.
NETS: dict[str, tuple[str, dict[str, Any]]] = {
    "residual": ("cifar_resnet20", {}),
    "plain": ("cifar_plain20", {}),
    "grey": ("cifar_resnet8", {"in_channels": 1, "image_size": 8, "classes": 7}),
    "option A": ("cifar_resnet14", {"shortcut": "A"}),
    "option B": ("cifar_resnet14", {"shortcut": "B"}),
    "option C": ("cifar_resnet14", {"shortcut": "C"}),
    "zeros on both sides": ("cifar_resnet14", {"shortcut": "A", "pad_at": "both"}),
    "pre-activation": ("cifar_resnet14", {"order": "pre"}),
    "pre-activation B": ("cifar_resnet14", {"order": "pre", "shortcut": "B"}),
    "plain pre-activation": ("cifar_plain14", {"order": "pre"}),
    "bottleneck": ("cifar_resnet20", {"block": "bottleneck"}),
    "bottleneck, stride in 3x3": ("cifar_resnet20", {"block": "bottleneck", "stride_in": "3x3"}),
    "bottleneck, pre-activation": ("cifar_resnet20", {"block": "bottleneck", "order": "pre"}),
    "single": ("cifar_resnet14", {"block": "single"}),
    "triple": ("cifar_resnet20", {"block": "triple"}),
    "mixed": ("cifar_resnet32", {"block": "basic,bottleneck", "shortcut": "B"}),
    "pooling": ("cifar_resnet14", {"downsample": "pool"}),
    "pooling B": ("cifar_resnet14", {"downsample": "pool", "shortcut": "B"}),
    "no batch norm": ("cifar_resnet14", {"batch_norm": False}),
    "plain without batch norm": ("cifar_plain14", {"batch_norm": False}),
    "last γ at 0": ("cifar_resnet14", {"zero_init": True}),
    "fan out": ("cifar_resnet14", {"fan": "out"}),
    "widths": ("cifar_resnet14", {"widths": (8, 24, 40)}),
    "7x7 stem": ("cifar_resnet14", {"stem": "7x7", "image_size": 64}),
    "tanh": ("cifar_resnet14", {"activation": "tanh"}),
    "sigmoid": ("cifar_resnet14", {"activation": "sigmoid"}),
    "identity": ("cifar_resnet14", {"activation": "identity"}),
    "mlp residual": ("mlp_resnet10", {}),
    "mlp plain": ("mlp_plain10", {}),
    "mlp narrow": ("mlp_resnet10", {"widths": (24,), "in_channels": 1, "image_size": 8}),
    "18 layers": ("resnet18", SMALL),
    "34 plain layers": ("plain34", SMALL),
    "50 layers": ("resnet50", SMALL),
    "50 layers C": ("resnet50", {**SMALL, "shortcut": "C"}),
    "50 layers, stride in 3x3": ("resnet50", {**SMALL, "stride_in": "3x3"}),
    "101 layers": ("resnet101", {**SMALL, "widths": (4, 4, 8, 8)}),
    "152 layers": ("resnet152", {**SMALL, "widths": (4, 4, 8, 8)}),
    "vgg19": ("vgg19", {"widths": (8, 8, 16, 16, 16), "classes": 10, "image_size": 32}),
}
QUICK = ("residual", "plain", "option B", "pre-activation", "bottleneck", "mlp residual", "18 layers", "vgg19")
LARGE = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "plain18", "vgg19", "cifar_resnet110")
SEEDS = (0, 12345)


def _chosen(collection: Collection) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for name, (model, switches) in NETS.items():
        if not collection.quick or name in QUICK:
            yield name, model, switches


def weights(collection: Collection) -> Entries:
    """Return the SHA-256 of every initial tensor of every net for two seeds; shapes alone of the large nets."""
    import reslab

    entries: Entries = {}
    for name, model, switches in _chosen(collection):
        for seed in SEEDS:
            state = reslab.build(model, seed=seed, **switches).state_dict()
            entries |= {f"{name}/s{seed}/{key}": of_array(value) for key, value in state.items()}
    for model in () if collection.quick else LARGE:
        state = reslab.build(model, device="meta").state_dict()
        entries |= {f"{model}/shapes/{key}": exact(list(value.shape)) for key, value in state.items()}
    return entries


def plans(collection: Collection) -> Entries:
    """Return the output of `reslab describe --json` for each net: rows with names, kinds, parameters and MACs."""
    entries: Entries = {}
    chosen = [*_chosen(collection), *((model, model, dict[str, Any]()) for model in LARGE)]
    for name, model, switches in chosen:
        facts = reslab_json("describe", model, *_words(switches))
        entries |= {f"{name}/{key}": exact(value) for key, value in facts.items() if key not in ("rows", "paper")}
        for row in facts["rows"]:
            entries[f"{name}/rows/{row['name']}"] = exact(row)
        entries[f"{name}/order of rows"] = exact([row["name"] for row in facts["rows"]])
    for row in reslab_json("list"):
        entries |= flat(row, f"list/{row['name']}")
    return entries


def _words(switches: dict[str, Any]) -> list[str]:
    """Return the options that give `switches`."""
    words = []
    for key, value in switches.items():
        flag = f"--{key.replace('_', '-')}"
        if isinstance(value, bool):
            words += [flag if value else f"--no-{flag[2:]}"]
        else:
            words += [flag, ",".join(map(str, value)) if isinstance(value, tuple) else str(value)]
    return words
