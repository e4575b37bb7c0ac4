"""An ensemble against numpy, and `reslab evaluate --ensemble` against the members' own scores."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

import reslab
from reslab.errors import UserError
from reslab.measure.ensemble import all_logits, average, evaluate_together, scored


class Batch:
    def __init__(self, images, labels):
        self.images, self.labels = images, labels


def softmax(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


@pytest.fixture
def scores():
    return [np.random.default_rng(i).normal(0, 3, (37, 7)) for i in range(3)]


@pytest.fixture
def labels():
    return np.random.default_rng(9).integers(0, 7, 37)


def batches(labels, size=10):
    rows = torch.arange(len(labels))
    return [Batch(rows[i : i + size], torch.from_numpy(labels[i : i + size])) for i in range(0, len(labels), size)]


def test_average_is_the_mean_of_probabilities_or_of_logits(scores):
    given = [torch.from_numpy(s) for s in scores]
    mean = np.mean([softmax(s) for s in scores], axis=0)
    assert np.allclose(average(given).exp().numpy(), mean, rtol=0, atol=1e-12)
    assert np.allclose(average(given, "logits").numpy(), np.mean(scores, axis=0), rtol=0, atol=1e-12)


@pytest.mark.parametrize("how", ["softmax", "logits"])
def test_together_against_numpy(scores, labels, how):
    members = [(lambda rows, s=s: torch.from_numpy(s)[rows], batches(labels)) for s in scores]
    alone, whole = evaluate_together(members, 37, 7, how)
    for s, found in zip(scores, alone, strict=True):
        assert found.top1_wrong == int((s.argmax(1) != labels).sum())
    mean = np.mean([softmax(s) for s in scores] if how == "softmax" else scores, axis=0)
    assert whole.top1_wrong == int((mean.argmax(1) != labels).sum())
    p = mean if how == "softmax" else softmax(mean)
    assert whole.loss_sum == pytest.approx(-np.log(p[np.arange(37), labels]).sum(), abs=1e-9)
    assert {a.top1_wrong for a in alone} != {whole.top1_wrong}  # the comparison is of different things


def test_the_two_averages_differ_and_equal_members_change_nothing(scores, labels):
    same = [(lambda rows: torch.from_numpy(scores[0])[rows], batches(labels)) for _ in range(3)]
    alone, whole = evaluate_together(same, 37, 7)
    assert whole.top1_wrong == alone[0].top1_wrong
    assert whole.loss_sum == pytest.approx(alone[0].loss_sum, rel=1e-12)
    given = [torch.from_numpy(s) for s in scores]
    assert not torch.allclose(average(given), average(given, "logits"))


@pytest.mark.parametrize("how", ["softmax", "logits"])
def test_logits_kept_and_averaged_score_as_in_one_pass(scores, labels, how):
    members = [(lambda rows, s=s: torch.from_numpy(s)[rows].float(), batches(labels)) for s in scores]
    alone, whole = evaluate_together(members, 37, 7, how)
    seen = [all_logits(logits_of, each, 37) for logits_of, each in members]
    assert [scored(*one).per_class for one in seen] == [a.per_class for a in alone]
    assert all(torch.equal(y, torch.from_numpy(labels)) for _, y in seen)
    assert seen[0][0].dtype == torch.float64
    together = scored(average([z for z, _ in seen], how), seen[0][1])
    assert (together.top1_wrong, together.top5_wrong, together.per_class) == (
        whole.top1_wrong, whole.top5_wrong, whole.per_class
    )  # fmt: skip
    with pytest.raises(AssertionError, match="37 samples, expected 38"):
        all_logits(*members[0], 38)


def test_members_must_see_the_same_samples(scores, labels):
    one = (lambda rows: torch.from_numpy(scores[0])[rows], batches(labels))
    other = (lambda rows: torch.from_numpy(scores[1])[rows], batches(labels[::-1].copy()))
    with pytest.raises(AssertionError, match="different samples"):
        evaluate_together([one, other], 37, 7)
    with pytest.raises(ValueError, match="shorter"):
        evaluate_together([one, (other[0], batches(labels)[:-1])], 37, 7)


@pytest.mark.slow
def test_real_checkpoints(tmp_path):
    """Two runs of different seeds: the members' figures are their own, the ensemble's those of their mean scores."""
    runs = []
    for seed in (0, 1):
        out = tmp_path / f"s{seed}"
        reslab.train(
            "cifar_resnet8", "digits", recipe="digits-smoke", seed=seed, out=out, threads=1, tell=lambda event: None
        )
        runs.append(out)
    told = reslab.evaluate(runs, ensemble="softmax", threads=1)
    apart = reslab.evaluate(runs, threads=1)
    assert [t.scores for t in told[:2]] == [a.scores for a in apart]
    assert told[2].model == "ensemble of 2 (softmax averaged)"
    assert told[2].scores.n == 500
    # a slow twin: the same two nets scored by hand
    from reslab.data.batches.loader import evaluation_batches
    from reslab.data.sources import load

    data = load("digits")
    models = [reslab.load(run) for run in runs]
    with torch.no_grad():
        p = [
            torch.cat(
                [
                    torch.softmax(m.network(b.images).double(), 1)
                    for b in evaluation_batches(data.test, m.transform.statistics, 500, 0)
                ]
            )
            for m in models
        ]
    wrong = ((p[0] + p[1]).argmax(1).numpy() != data.test.labels).sum()
    assert told[2].scores.top1_wrong == wrong
    words = [sys.executable, "-m", "reslab", "evaluate", *map(str, runs), "--ensemble", "softmax", "--threads", "1"]
    printed = json.loads(subprocess.run([*words, "--json"], check=True, capture_output=True, text=True).stdout)
    assert [e["top1_error"] for e in printed] == [t.scores.top1_error for t in told]
    with pytest.raises(UserError, match="two or more"):
        reslab.evaluate(runs[:1], ensemble="softmax")
    with pytest.raises(UserError, match="did you mean softmax"):
        reslab.evaluate(runs, ensemble="sofmax")
