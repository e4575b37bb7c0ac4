"""Profile an update: time by kind of work, and convolutions against the sum of their own best times.

`python -m benchmarks.where [MODEL] [--engine fused] [--threads N]`: a table on standard output. `benchmarks.train_cpu`
judges the share of the floor.
"""

from __future__ import annotations

import argparse
import os
from collections import Counter

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.side import machine, table
from benchmarks.train_cpu import Floor
from reslab.engines.machine import ComputeOptions, prepare, settle
from reslab.nets.model import build
from reslab.nets.names import spec_of
from reslab.runs.recipes import paper_cifar
from reslab.training.step import Step

KINDS = {
    "convolutions, forward": ("aten::mkldnn_convolution", "_Convolution"),
    "convolutions, both backwards": ("aten::convolution_backward", "_ConvolutionBackward"),
    "BN, addition, ReLU, forward": ("_Normalise", "aten::native_batch_norm", "aten::relu", "aten::threshold"),
    "BN, addition, ReLU, backward": ("_NormaliseBackward", "aten::native_batch_norm_backward",
                                     "aten::threshold_backward"),
    "additions, of gradients too": ("aten::add", "aten::add_"),
    "casts and copies": ("aten::copy_", "aten::_to_copy"),
    "weights' update": ("Optimizer.step#SGD.step", "aten::_fused_sgd_"),
}  # fmt: skip
STEPS = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model", nargs="?", default="cifar_resnet20")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()
    recipe = paper_cifar()
    settings = settle(
        spec_of(options.model), recipe, ComputeOptions("cpu", engine=options.engine, threads=options.threads)
    )
    prepare(settings)
    load = os.getloadavg()[0]
    step = Step(build(options.model), recipe, settings)
    step.net.train()
    images = torch.randn(recipe.batch, 3, 32, 32).to(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (recipe.batch,))
    for _ in range(3):
        step(images, labels, 0.01)
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for _ in range(STEPS):
            step(images, labels, 0.01)
    spent: Counter[str] = Counter()
    for event in profiler.key_averages():
        kind = next((k for k, names in KINDS.items() if event.key in names), "all else")
        spent[kind] += event.self_cpu_time_total / 1e3 / STEPS
    whole = sum(spent.values())
    floor = 1e3 * recipe.batch / Floor(options.model, recipe.batch, settings.threads)()
    convolutions = sum(v for k, v in spent.items() if k.startswith("convolutions"))
    rows = [(k, f"{spent[k]:.1f}", f"{100 * spent[k] / whole:.0f} %") for k in [*KINDS, "all else"]]
    rows += [("together", f"{whole:.1f}", "100 %")]
    rows += [("the convolutions' floor", f"{floor:.1f}", f"{100 * floor / whole:.0f} %")]
    print(f"# {options.model}, batch {recipe.batch}: {settings.why}\n")
    print("\n".join(table(("", "ms an update", "share"), rows)))
    print(f"\nConvolutions take {convolutions / floor:.2f} of the sum of their own best times.\n")
    print("\n".join(machine(load)))


if __name__ == "__main__":
    main()
