"""One rank of a run, as torchrun starts it: `python one_rank.py OUT JSON` with RANK, WORLD_SIZE … in the environment.

JSON: recipe (changes of `digits`), net, switches, widths (of VGG, a layer each), precision, engine, sync_bn, train
(images), stop (iteration), double (computes in float64), timeout; other: the rank that has other data; faster: the one
with another rate; drifts: the update in which rank 1's weights are changed; halts: the pass in which the last rank is
told to stop; scores: no run, but the scores of splits of 1 to 17 images.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

import torch

from reslab.data.batches.loader import evaluation_batches, statistics
from reslab.data.sets.digits import digits
from reslab.engines.machine import ComputeOptions
from reslab.engines.ranks import joined
from reslab.errors import ReslabError
from reslab.measure.evaluate import evaluate
from reslab.models import checkpoints
from reslab.models.inputs import fit
from reslab.nets.model import build
from reslab.nets.names import spec_of
from reslab.runs.recipe import changed
from reslab.runs.recipes import recipe
from reslab.training import loop, moments
from reslab.training.job import Job
from reslab.training.together import check_ranks


def in_float64() -> None:
    """Let the loop build, feed and score networks of float64."""
    make, stream, logits = loop.build, loop.TrainLoader.stream, loop.Step.logits
    loop.build = lambda *arguments, **named: make(*arguments, **named).double()
    loop.TrainLoader.stream = lambda *arguments: (replace(b, images=b.images.double()) for b in stream(*arguments))
    loop.Step.logits = lambda step, images: logits(step, images.double())


def all_scores(ranks):
    """The scores of an untrained net on the first 1 to 17 images, in batches of 3."""
    data = digits()
    net, stats = build(fit(spec_of("cifar_resnet8"), data, {})).eval(), statistics(data.train)
    for size in range(1, 18):
        split = data.test.subset(slice(0, size))
        batches = evaluation_batches(split, stats, 3, every=(ranks.rank, ranks.count))
        scores = evaluate(net, batches, size, len(data.classes), ranks=ranks)
        yield {**scores.to_dict(), "per_class": scores.per_class}


def told_inside(name, ranks):
    """Return a `stop` that the last rank is told within the pass `name`, "precise_statistics" or "evaluate"."""
    place = loop if name == "precise_statistics" else moments
    inside, real = [], getattr(place, name)

    def entered(*arguments, **named):
        inside.append(1)
        return real(*arguments, **named)

    setattr(place, name, entered)
    return lambda: bool(inside) and ranks.rank == ranks.count - 1


def train(out, choices, ranks):
    if choices.get("double"):
        in_float64()
    data = digits()
    if "train" in choices:
        data = replace(data, train=data.train.subset(slice(0, choices["train"])))
    if ranks.rank == choices.get("other"):
        data = replace(data, fingerprint="another")
    made = changed(recipe("digits"), choices["recipe"])
    if ranks.rank == choices.get("faster"):
        made = changed(made, {"lr": 2 * made.lr})
    spec = spec_of(choices.get("net", "cifar_resnet8"), **choices.get("switches", {}))
    if "widths" in choices:
        spec = replace(spec, widths=tuple(choices["widths"]), blocks=(("single",),) * len(choices["widths"]))
    spec = fit(spec, data, {})
    options = ComputeOptions("cpu", choices.get("precision", "fp32"), choices.get("engine", "eager"), 1)
    options = replace(options, sync_bn=choices.get("sync_bn", False), ranks=ranks.count)
    job = Job(spec, "digits", made, 0, out, options, ranks=ranks)
    check_ranks(job, data)
    told = []
    done = []
    update = loop.Step.__call__

    def counted(step, *arguments):
        done.append(1)
        if (ranks.rank, len(done)) == (1, choices.get("drifts")):  # as on a machine that rounds differently
            next(step.net.parameters()).data.mul_(1 + 1e-6)
        return update(step, *arguments)

    loop.Step.__call__ = counted
    # of rank 0: its first `run.json` may be there before another rank looks
    begun = ranks.of_first(lambda: checkpoints.newest(out).iteration if (out / "run.json").exists() else 0)
    steps = choices.get("stop", 10**9) - begun
    halted = told_inside(choices["halts"], ranks) if "halts" in choices else lambda: False
    loop.train(job, data, told.append, lambda: len(done) >= steps or halted())
    return [event["text"] for event in told if event["kind"] == "warning"]


def main() -> None:
    torch.set_num_threads(1)
    out, choices = Path(sys.argv[1]), json.loads(sys.argv[2])
    with joined(choices.get("timeout", 60)) as ranks:
        found = [*all_scores(ranks)] if choices.get("scores") else train(out, choices, ranks)
    if ranks.is_first:
        print(json.dumps(found))


if __name__ == "__main__":
    try:
        main()
    except ReslabError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
