"""Row 20: losses that diverge and weights that are not numbers."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from counts import some
from damage import Tally, copied, crash, refusal
from safetensors.numpy import load
from safetensors.numpy import save as saved
from test_runs import publish
from trained import BRIEF, NEWEST, TINY, orphans, sets, unfinished


@pytest.mark.parametrize("optimizer", ["sgd", "muon"])
def test_fault_20_diverging_runs(reslab, count, optimizer):
    """Ended in one line with the remedy; every checkpoint that is kept is finite and can be scored."""
    tally = Tally()
    cases = itertools.product(("1e5", "1e9", "1e30", "1e300"), ("eager", "auto"), ("torch", "caffe", "nesterov"))
    for rate, engine, momentum in some(cases):
        out = reslab.here / f"{rate}-{engine}-{momentum}"
        fields = sets(f"lr={rate}", f"optimizer={optimizer}", f"muon_lr={rate}", f"momentum_form={momentum}",
                      "save_every=1", "log_every=1", "drops=15")  # fmt: skip
        ended = reslab(*TINY, "--engine", engine, "--iterations", "20", *fields, "--out", out)
        wrong = crash(ended) or (refusal(ended, str(out)) if ended.code else "")
        for step in sorted((out / "checkpoints").glob("step-*")):
            weights = load((step / "weights.safetensors").read_bytes())
            if not all(np.isfinite(v).all() for v in weights.values() if v.dtype.kind == "f"):
                wrong = wrong or f"{step.name} is not finite"
        for line in (out / "metrics.jsonl").read_text().splitlines():
            json.loads(line, parse_constant=lambda word: pytest.fail(f"{word} in the metrics"))
        wrong = wrong or (f"left behind {orphans(out)}" if orphans(out) else "")
        tally.add(f"lr {rate}, {engine}, {momentum}", wrong)
        tally.add("read", crash(reslab("report", out, "--out", "page.html")))
    tally.told(count, 20, f"lr of 1e5 to 1e300 with {optimizer}: one line, no checkpoint that is not finite")


def test_fault_20_weights_that_are_not_numbers(reslab, run, count):
    """In a checkpoint with a manifest that fits: no score, no prediction and no training without a word."""
    tally = Tally()
    step = run / NEWEST
    names = list(load((step / "weights.safetensors").read_bytes()))
    first = [next(n for n in names if part in n) for part in ("running_var", "running_mean")]
    for name in some((names[0], names[-1], *first)):
        for value in (math.nan, math.inf, -math.inf, -1.0 if "running_var" in name else math.nan):
            mine = copied(run, reslab.here / "mine")
            for folder in (mine / "checkpoints").iterdir():
                weights = load((folder / "weights.safetensors").read_bytes())
                weights[name] = weights[name].copy()
                weights[name].reshape(-1)[0] = value
                publish(folder, "weights.safetensors", saved(weights))
            ended = reslab("evaluate", mine, "--json")
            wrong = crash(ended)
            if not wrong and ended.code == 0:
                (told,) = json.loads(ended.out)
                wrong = "" if told["loss"] is None or "not finite" in ended.text else "scored in silence"
            tally.add(f"{name} = {value}: evaluate", wrong)
            ended = reslab("predict", mine, "x.png", "--json")
            wrong = crash(ended)
            if not wrong and ended.code == 0 and "not finite" not in ended.text:
                wrong = f"predicted in silence: {ended.out[:80]}"
            tally.add(f"{name} = {value}: predict", wrong)
            tally.add(f"{name} = {value}: probe", crash(reslab("probe", mine, "--samples", "4")))
            unfinished(mine)
            tally.add(f"{name} = {value}: resume", crash(reslab(*BRIEF, "--out", mine)))
    tally.told(count, 20, "NaN and infinity in weights and statistics: evaluate, predict, probe, resume")
