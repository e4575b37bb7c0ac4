"""What fits into a budget: against every subset, by brute force; and the words that say a time."""

import itertools
import random
from pathlib import Path

import pytest

from reslab.campaign.budget import fitting, seconds_each
from reslab.data.sets.digits import digits
from reslab.engines.machine import ComputeOptions
from reslab.errors import UserError
from reslab.nets.names import spec_of
from reslab.options.texts import seconds as seconds_of
from reslab.runs.recipe import changed
from reslab.runs.recipes import recipe
from reslab.training.job import Job


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("1.5h", 5400), (" 2 m ", 120)])
def test_times(text, seconds):
    assert seconds_of("--budget", text) == seconds


@pytest.mark.parametrize("text", ["30", "m", "-3m", "0s", "3d", "1h30m", ""])
def test_no_times(text):
    with pytest.raises(UserError, match="--budget"):
        seconds_of("--budget", text)


@pytest.mark.parametrize("seed", range(20))
def test_what_is_chosen_fits_and_nothing_more_would(seed):
    rng = random.Random(seed)
    runs = [Path(f"run{i}") for i in range(6)]
    seconds = {run: rng.choice([0.0, 1.0, 2.0, 5.0]) for run in runs}
    costs = {f"C{i}": rng.sample(runs, rng.randint(0, 4)) for i in range(5)}
    budget, side = rng.choice([0.5, 3.0, 8.0]), rng.choice([1, 2])

    def needed(names):
        return sum(seconds[r] for r in {r for n in names for r in costs[n]})

    chosen = fitting(costs, seconds, budget, side)
    assert needed(chosen) <= budget * side
    assert chosen == [n for n in costs if n in chosen], "in the order asked"
    for other in set(costs) - set(chosen):
        assert needed([*chosen, other]) > budget * side, "what would have fitted is in"
    most = max(
        (len(s) for k in range(6) for s in itertools.combinations(costs, k) if needed(s) <= budget * side), default=0
    )
    assert len(chosen) >= most - 1, "cheapest first is at most one piece short of the best choice here"


def test_a_deeper_and_a_longer_run_take_longer():
    data, base = digits(), recipe("digits-smoke")

    def job(depth, iterations):
        spec = spec_of(f"cifar_resnet{depth}", in_channels=1, image_size=8, widths=(4, 4, 8))
        out = Path(f"nowhere/{depth}-{iterations}")
        return Job(spec, "digits", changed(base, {"iterations": iterations}), 0, out, ComputeOptions("cpu"))

    seconds = seconds_each([job(8, 100), job(8, 1000), job(56, 1000)], data, 1)
    shallow, longer, deeper = seconds.values()
    assert 0 < shallow < longer
    assert longer < deeper
