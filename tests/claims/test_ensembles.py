"""C16: real networks' scores averaged against numpy, the groups of each setting, every verdict by way of files."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from shelf import DIGITS, Shelf, canonical, unanswered

import reslab
from reslab.api.bench import StudyBench
from reslab.claims.evidence import Setting, net
from reslab.claims.experiments import ensembles
from reslab.claims.experiments.shortcuts import options
from reslab.claims.rules import CONDITION, FAILS, HOLDS, NOT_RUN, UNDECIDED
from reslab.data.sources import load
from reslab.measure.ensemble import average, scored
from reslab.nets.model import build
from reslab.runs.recipes import recipe

(C16,) = ensembles.claims(DIGITS)
SMALL = replace(DIGITS, seeds=(0, 1), depths=(8, 14))
SAMPLES = 200


class Heads:
    """A bench of real networks: as initialised but for the last layer, fitted to 300 training images."""

    def __init__(self, setting: Setting) -> None:
        digits = load("digits")
        as_input = [
            torch.tensor(part.images).float().permute(0, 3, 1, 2) / 16 - 0.5 for part in (digits.train, digits.test)
        ]
        train, labels = as_input[0][:300], torch.tensor(digits.train.labels[:300])
        self.images, self.labels = as_input[1][:SAMPLES], torch.tensor(digits.test.labels[:SAMPLES])
        self.nets = {}
        for of in ensembles.members_of(setting):
            for seed in setting.seeds:
                network = build(of.model, seed=seed, in_channels=1, image_size=8, **dict(of.switches)).eval()
                with torch.no_grad():
                    seen = network(train, names=["gap"])[1]["gap"]
                    scale = seen.std()
                    wanted = 4.0 * torch.nn.functional.one_hot(labels, 10).float()
                    ridge = 0.1 * torch.eye(seen.shape[1])
                    fitted = torch.linalg.solve((seen / scale).T @ (seen / scale) + ridge, (seen / scale).T @ wanted)
                    network.head.fc.weight.copy_(fitted.T / scale)
                self.nets[of, seed] = network

    def logits(self, members):
        with torch.no_grad():
            return [self.nets[m](self.images).double() for m in members], self.labels

    def slow(self, members, how):
        """The same in numpy, sample by sample."""
        with torch.no_grad():
            logits = np.array([self.nets[m](self.images).double().numpy() for m in members])
        labels, wrong, errors = self.labels.numpy(), 0, np.zeros(len(members))
        for i, label in enumerate(labels):
            rows = logits[:, i]
            errors += rows.argmax(1) != label
            each = np.exp(rows) / np.exp(rows).sum(1, keepdims=True) if how == "softmax" else rows
            wrong += each.mean(0).argmax() != label
        return 100 * errors / SAMPLES, 100 * wrong / SAMPLES


@pytest.fixture(scope="module")
def bench():
    return Heads(SMALL)


def test_real_networks_against_numpy(bench, tmp_path):
    (claim,) = ensembles.claims(SMALL)
    (made,) = claim.measurements
    figures = made.make(bench, None)
    shallow = options(SMALL)
    nets = [shallow["A"], net("cifar_resnet14"), net("cifar_plain8"), shallow["B"], shallow["C"]]
    seeds = [[(of, 0), (of, 1)] for of in nets]
    depths = [[(nets[0], s), (nets[1], s)] for s in (0, 1)]
    spread = set()
    for kind, groups in (("seeds", seeds), ("depths", depths)):
        for how in ("softmax", "logits"):
            alone, whole = zip(*(bench.slow(members, how) for members in groups), strict=True)
            assert figures[f"{kind}_{how}"] == pytest.approx(whole)
            mean = [w - a.mean() for a, w in zip(alone, whole, strict=True)]
            best = [w - a.min() for a, w in zip(alone, whole, strict=True)]
            assert figures[f"{kind}_{how}_mean"] == pytest.approx(mean)
            assert figures[f"{kind}_{how}_best"] == pytest.approx(best)
            spread |= set(mean) | set(best)
            assert max(max(a) for a in alone) < 80  # better than chance: there is something to average
        assert figures[f"{kind}_members"] == [2] * len(groups)
    assert len(spread) > 5  # the nets differ
    shelf = Shelf(tmp_path / "study", SMALL)
    shelf.measured(made.name, figures)
    assert [f.figure.n for f in shelf.judge(claim).findings] == [5, 2, 5, 2, 5, 5, 2, 2]


def test_a_bench_scores_trained_runs(tmp_path):
    """Logits of two real runs, each once; averaged they have the errors that `reslab evaluate --ensemble` tells."""
    members = [(net("cifar_resnet8"), 0), (net("cifar_plain8"), 1)]
    folders = {(of, seed): tmp_path / of.model for of, seed in members}
    short = replace(recipe("digits-smoke"), iterations=4, drops=(), eval_every=4, clean_every=4)
    for (of, seed), out in folders.items():
        reslab.train(of.model, recipe=short, seed=seed, out=out, threads=1, tell=lambda event: None)
    loads = []
    bench = StudyBench("digits", folders, lambda: loads.append(1) or load("digits"))
    logits, labels = bench.logits(members)
    assert loads == [1]
    assert labels.tolist() == load("digits").test.labels.tolist()
    alone = [scored(one, labels).top1_error for one in logits]
    for how in ensembles.HOWS:
        told = [e.scores.top1_error for e in reslab.evaluate(folders.values(), ensemble=how)]
        assert [*alone, scored(average(logits, how), labels).top1_error] == told
    assert len(set(alone)) == 2


def test_groups():
    found = ensembles.groups(DIGITS)
    assert [len(members) for members in found["seeds"]] == [5] * 7
    assert found["depths"] == [[(net(f"cifar_resnet{d}"), s) for d in (8, 20, 56)] for s in range(5)]
    one_seed = ensembles.groups(replace(DIGITS, seeds=(4,)))
    assert one_seed == {"depths": [[(net(f"cifar_resnet{d}"), 4) for d in (8, 20, 56)]]}
    assert list(ensembles.groups(replace(DIGITS, depths=(20,)))) == ["seeds"]
    alone = replace(DIGITS, depths=(20,), seeds=(0,))
    assert ensembles.groups(alone) == {"nets": [[(of, 0) for of in options(alone).values()]]}


@pytest.mark.parametrize(
    ("seeds", "depths", "verdict"),
    [
        ((-0.8, -0.4, -0.6), (-1.0, -1.1, -1.2), HOLDS),
        ((-0.8, -0.4, -0.6), (1.0, 1.1, 1.2), CONDITION),
        ((0.8, 0.4, 0.6), (1.0, 1.1, 1.2), FAILS),
        ((-0.8, -0.4, -0.6), (-1.0, 1.0, 0.0), UNDECIDED),
        ((-0.8, -0.4, -0.6), (-1.0,), UNDECIDED),  # one ensemble has no interval
        ((), (), NOT_RUN),
    ],
)
def test_verdicts(tmp_path, seeds, depths, verdict):
    shelf = Shelf(tmp_path / "study")
    figures = {f"{kind}_softmax_mean": list(v) for kind, v in (("seeds", seeds), ("depths", depths))}
    others = {f"{kind}_{how}_best": [0.5, 0.6] for kind in ("seeds", "depths") for how in ensembles.HOWS}
    shelf.measured("ensembles-together", figures | others)
    found = shelf.judge(C16)
    assert found.verdict == verdict
    assert found.findings[2].figure.mean == pytest.approx(0.55)  # the best member: beside
    if verdict != NOT_RUN:
        assert found.sentence.en.count(" (0.55) points") == 2  # each kind beside its own figure
        assert found.sentence.ko.count("(0.55)%p") == 2
        sign = "−" if seeds[0] < 0 else ""
        assert f"every seed of one net as one {sign}0.6 (0.55) points;" in found.sentence.en


@pytest.mark.parametrize("depths", [(8, 20, 56), (20, 56), (20,)])
@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)])
def test_form(depths, seeds):
    setting = replace(DIGITS, depths=depths, seeds=seeds)
    (claim,) = ensembles.claims(setting)
    assert canonical(claim.nets)
    assert unanswered(claim) == []
    members = {of for kind in ensembles.groups(setting).values() for group in kind for of, _ in group}
    assert members <= set(claim.nets)
    assert net(f"cifar_plain{setting.deep}") not in claim.nets or setting.deep == setting.middle
