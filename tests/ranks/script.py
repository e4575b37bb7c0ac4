"""A run of one or several ranks, as torchrun starts them: `python script.py OUT JSON` with RANK, WORLD_SIZE …

JSON: recipe (changes of `digits`), net, switches, precision, engine, "double" (in float64), train (images).
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

import torch

from reslab.data.sets.digits import digits
from reslab.engines import ranks as place
from reslab.engines.machine import ComputeOptions
from reslab.errors import ReslabError
from reslab.models.inputs import fit
from reslab.nets.names import spec_of
from reslab.runs.recipe import changed
from reslab.runs.recipes import recipe
from reslab.training import loop
from reslab.training.job import Job


def main() -> None:
    out, choices = Path(sys.argv[1]), json.loads(sys.argv[2])
    torch.set_num_threads(1)
    if choices.get("double"):
        real = loop.build
        loop.build = lambda *arguments, **named: real(*arguments, **named).double()
        stream = loop.TrainLoader.stream
        loop.TrainLoader.stream = lambda *arguments: (
            replace(b, images=b.images.double()) for b in stream(*arguments)
        )  # fmt: skip
        logits = loop.Step.logits
        loop.Step.logits = lambda step, images: logits(step, images.double())
    data = digits()
    if "train" in choices:
        data = replace(data, train=data.train.subset(slice(0, choices["train"])))
    made = changed(recipe("digits"), choices["recipe"])
    spec = fit(spec_of(choices.get("net", "cifar_resnet8"), **choices.get("switches", {})), data, {})
    options = ComputeOptions("cpu", choices.get("precision", "fp32"), choices.get("engine", "eager"), 1)
    told = []
    with place.joined(choices.get("timeout", 60)) as ranks:
        job = Job(spec, "digits", made, 0, out, options, ranks=ranks)

        def stop() -> bool:
            return ranks.rank == choices.get("stop_rank", -1) and choices["stop"] <= steps[0]

        steps = [0]
        update = loop.Step.__call__

        def counted(*arguments):
            steps[0] += 1
            return update(*arguments)

        loop.Step.__call__ = counted
        loop.train(job, data, told.append, stop)


if __name__ == "__main__":
    try:
        main()
    except ReslabError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
