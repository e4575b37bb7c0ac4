"""The rule on synthetic records: every verdict, the interval against scipy, what is refused, what is said."""

import json
import math
import random
from pathlib import Path

import pytest
from scipy import stats

from reslab.claims.degradation import MARGIN, Trend, defaults, judge, runs, verdict_plain
from reslab.errors import UserError
from reslab.nets.names import name_of, spec_of
from reslab.training.recipe import changed
from reslab.training.recipes import RECIPES, recipe
from reslab.training.runlog import Record, read

RECIPE = recipe("digits-degradation")
ITERATIONS = 400


class Bench:
    """Writes runs as the loop would and reads them back."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.count = folder, 0

    def run(
        self,
        model: str,
        seed: int,
        train: float,
        *,
        late: tuple[float, ...] = (),
        test: float | None = None,
        finished: bool = True,
        base=RECIPE,
        fingerprint: str = "f00d",
    ) -> Record:
        """A run that ends at `train` percent; `late` stands before it, one value for each 10 iterations."""
        self.count += 1
        out = self.folder / f"run{self.count}"
        out.mkdir()
        spec = spec_of(model, in_channels=1, image_size=8)
        run = {
            "format": 1,
            "model": name_of(spec),
            "spec": spec.to_dict(),
            "recipe": base.to_dict(),
            "seed": seed,
            "settings": {},
            "environment": {},
        }
        (out / "run.json").write_text(json.dumps({**run, "data": {"name": "digits", "fingerprint": fingerprint}}))
        values = [90.0, *late, train]
        moments = [40, *range(ITERATIONS - 10 * len(late), ITERATIONS + 1, 10)]
        lines = [
            {"kind": "eval", "iteration": i, "split": s, "n": 1297, "top1_error": e + more}
            for i, e in zip(moments, values, strict=True)
            for s, more in (("test", 1.0 if test is None else test - e), ("train", 0.0))
        ]
        if finished:
            lines.append({"kind": "end", "iteration": ITERATIONS, "clock": {"seconds": 1.0}})
        (out / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        return read(out)

    def pairs(self, kind: str, gaps: list[float], shallow: int = 8, deep: int = 56) -> list[Record]:
        """Two depths whose final training errors differ by `gaps`, seed by seed, from very different levels."""
        found = []
        for seed, gap in enumerate(gaps):
            level = 20.0 + 7.0 * (seed * 5 % 7)
            found.append(self.run(f"cifar_{kind}{shallow}", seed, level))
            found.append(self.run(f"cifar_{kind}{deep}", seed, level + gap))
        return found


@pytest.fixture
def bench(tmp_path) -> Bench:
    return Bench(tmp_path)


def test_the_runs_a_study_needs():
    found = runs((8, 20), (0, 1), RECIPE)
    models = ["cifar_plain8", "cifar_resnet8", "cifar_plain20", "cifar_resnet20"]
    assert [(r.model, r.seed) for r in found] == [(m, s) for s in (0, 1) for m in models]
    assert all(r.recipe == RECIPE for r in found)


def test_defaults():
    depths, seeds, base = defaults("digits")
    assert (depths, seeds, base) == ((8, 20, 56), 3, RECIPE)
    assert (RECIPE.iterations, RECIPE.drops, RECIPE.lr) == (400, (200, 300), 0.02)
    depths, seeds, base = defaults("cifar10:somewhere")
    assert (depths, seeds, base) == ((20, 32, 44, 56), 1, RECIPES["paper-cifar"]())


# -- verdicts


@pytest.mark.parametrize(
    ("gaps", "verdict"),
    [
        ([10.0, 11.0, 12.0], "holds"),
        ([0.5, 0.5, 0.5], "holds"),
        ([-5.0, -6.0, -5.5], "does not hold"),
        ([0.0, 0.0, 0.0], "does not hold"),
        ([-5.0, 6.0, 1.0], "undecided"),
        ([30.0, 1.0], "undecided"),
        ([40.0], "undecided"),  # one seed, however large
    ],
)
def test_plain(bench, gaps, verdict):
    found = judge(bench.pairs("plain", gaps))
    assert found.plain == verdict
    assert found.residual == "not run"
    assert found.plain_trend.mean == pytest.approx(sum(gaps) / len(gaps))
    assert f"degradation {verdict}." in found.sentence


@pytest.mark.parametrize(
    ("gaps", "verdict"),
    [
        ([-1.0, -1.25, -0.75], "holds"),
        ([0.0, 0.0, 0.0], "holds"),
        ([MARGIN, MARGIN, MARGIN], "holds"),
        ([10.0, 11.0, 12.0], "does not hold"),
        ([MARGIN + 0.5] * 3, "does not hold"),
        ([0.0, 3.0, -2.0], "undecided"),
        ([-40.0], "undecided"),
    ],
)
def test_residual(bench, gaps, verdict):
    found = judge(bench.pairs("resnet", gaps))
    assert found.residual == verdict
    assert found.plain == "not run"
    assert f"no degradation {verdict}." in found.sentence


def test_not_run(bench):
    found = judge([])
    assert (found.plain, found.residual, found.cells, found.plain_trend) == ("not run", "not run", (), None)
    found = judge([bench.run("cifar_plain20", s, 5.0 + s) for s in range(3)])
    assert (found.plain, found.residual) == ("not run", "not run")
    assert found.sentence.startswith("plain nets were not run at two depths. residual nets were not run")


def test_differences_are_paired_by_seed(bench):
    """Levels lie tens of points apart, the pairs half a point: unpaired, nothing could be said."""
    found = judge(bench.pairs("plain", [0.5, 0.6, 0.4, 0.5]))
    assert found.plain == "holds"
    shallow, deep = found.cells
    assert deep.train_std > 10 * (found.plain_trend.high - found.plain_trend.low)
    assert shallow.n == deep.n == 4


def test_the_deepest_is_held_against_the_shallowest(bench):
    records = bench.pairs("plain", [10.0, 11.0, 12.0], 8, 56)
    between = [bench.run("cifar_plain20", s, 99.0) for s in range(3)]
    found = judge([*between, *records])
    assert (found.plain_trend.shallow, found.plain_trend.deep) == (8, 56)
    assert found.plain_trend == judge(records).plain_trend
    assert [c.depth for c in found.cells] == [8, 20, 56]


def test_a_seed_without_its_pair_and_unfinished_runs_are_left_out(bench):
    records = bench.pairs("plain", [10.0, 11.0, 12.0])
    lone = bench.run("cifar_plain56", 3, 0.0)
    unfinished = [bench.run(f"cifar_plain{d}", 4, e, finished=False) for d, e in ((8, 90.0), (56, 0.0))]
    found = judge([*records, lone, *unfinished])
    assert found.plain_trend == judge(records).plain_trend
    assert found.plain_trend.n == 3
    assert [c.n for c in found.cells] == [3, 4]


def test_cells_hold_means_and_sample_deviations(bench):
    records = [bench.run("cifar_resnet20", s, e, test=2 * e) for s, e in enumerate((1.0, 2.0, 6.0))]
    (cell,) = judge(records).cells
    assert (cell.model, cell.depth, cell.residual, cell.n) == ("cifar_resnet20", 20, True, 3)
    assert (cell.train_mean, cell.test_mean) == (3.0, 6.0)
    assert cell.train_std == pytest.approx(math.sqrt(7.0))
    assert cell.test_std == pytest.approx(2 * math.sqrt(7.0))
    (cell,) = judge(records[:1]).cells
    assert math.isnan(cell.train_std)


# -- the interval


@pytest.mark.parametrize("n", [*range(2, 32), 32, 40, 121])
def test_the_interval_is_students(bench, n):
    draws = random.Random(n)
    gaps = [draws.gauss(1.0, 2.0) for _ in range(n)]
    trend = judge(bench.pairs("plain", gaps)).plain_trend
    low, high = stats.t.interval(0.95, n - 1, loc=sum(gaps) / n, scale=stats.sem(gaps))
    assert trend.n == n
    assert trend.high - trend.mean == pytest.approx((high - low) / 2, rel=1e-3)
    assert trend.mean - trend.low == pytest.approx((high - low) / 2, rel=1e-3)


def test_one_seed_has_no_interval(bench):
    found = judge(bench.pairs("plain", [40.0]))
    assert (found.plain_trend.low, found.plain_trend.high) == (-math.inf, math.inf)
    assert "rises by 40.0 points (n = 1 seed, no interval): degradation undecided." in found.sentence
    assert "inf" not in found.sentence


def test_the_bounds_belong_to_a_side():
    assert verdict_plain(Trend(8, 56, 3, 1.0, 0.0, 2.0)) == "undecided"  # an interval that touches 0 excludes nothing
    assert verdict_plain(Trend(8, 56, 3, -1.0, -2.0, 0.0)) == "does not hold"


# -- what is said


def test_the_sentence(bench):
    records = bench.pairs("plain", [10.0, 11.0, 12.0]) + bench.pairs("resnet", [-1.0, -1.25, -0.75])
    found = judge(records)
    half = stats.t.ppf(0.975, 2) / math.sqrt(3)
    assert (
        f"From 8 to 56 layers the plain net's training error rises by 11.0 points (95 % interval {11 - half:+.1f} to "
        f"{11 + half:+.1f}, n = 3 seeds): degradation holds." in found.sentence
    )
    assert "the residual net's training error falls by 1.0 points" in found.sentence
    assert "no degradation holds." in found.sentence


@pytest.mark.parametrize(
    ("late", "flat"),
    [
        ((5.1, 5.2, 5.0, 5.1), True),
        ((5.1, 5.6, 5.0, 5.1), False),  # 0.6 points within the last tenth
        ((9.0, 5.2, 5.0, 5.1, 5.1), True),  # what lies before the last tenth does not count
        ((), False),  # one measurement shows no flatness
    ],
)
def test_curves_that_still_move_are_told(bench, late, flat):
    records = [bench.run("cifar_plain8", s, 5.0, late=late) for s in range(2)]
    found = judge(records)
    assert found.flat is flat
    assert ("not all flat after 400 iterations: this is said at this budget" in found.sentence) is not flat
    assert found.iterations == 400


def test_one_moving_curve_is_enough(bench):
    still = [bench.run("cifar_plain8", s, 5.0, late=(5.0, 5.0)) for s in range(3)]
    assert judge(still).flat
    assert not judge([*still, bench.run("cifar_plain8", 3, 5.0, late=(8.0, 5.0))]).flat


# -- what is refused


def test_mixed_recipes_are_refused(bench):
    records = bench.pairs("plain", [1.0, 2.0])
    other = bench.run("cifar_plain8", 2, 5.0, base=changed(RECIPE, {"lr": 0.03}))
    with pytest.raises(UserError, match="another recipe") as told:
        judge([*records, other])
    assert str(other.folder) in str(told.value)
    unfinished = bench.run("cifar_plain8", 2, 5.0, base=recipe("digits"), finished=False)
    assert judge([*records, unfinished]).plain_trend.n == 2  # it is in no figure, so it mixes nothing


def test_mixed_data_are_refused(bench):
    records = bench.pairs("plain", [1.0, 2.0])
    other = bench.run("cifar_plain8", 2, 5.0, fingerprint="beef")
    with pytest.raises(UserError, match="two data sets are not mixed") as told:
        judge([*records, other])
    assert str(other.folder) in str(told.value)
