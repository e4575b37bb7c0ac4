"""Confusions, precision, recall and the highest losses: against sklearn, and confusions made on purpose."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, precision_score, recall_score
from torch import Tensor

from reslab.measure.answers import UNFIT, answers_of, confusion, highest_losses, joined, largest_confusions
from reslab.measure.ensemble import average, evaluate_together
from reslab.measure.evaluate import Scores, Tally
from reslab.measure.result import Evaluation


def draws(n: int, classes: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    maker = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (n,), generator=maker)
    logits = torch.randn(n, classes, generator=maker, dtype=torch.float64)
    logits[torch.arange(n), labels] += 1.5
    return logits, labels


def scored(logits: Tensor, labels: Tensor, size: int = 37) -> Scores:
    tally = Tally(logits.shape[1], keep=True)
    for start in range(0, len(labels), size):
        tally.add(logits[start : start + size], labels[start : start + size])
    return tally.scores(len(labels))


def evaluation(scores: Scores, classes: int) -> Evaluation:
    names = tuple(f"k{i}" for i in range(classes))
    return Evaluation(Path("run"), "cifar_resnet8", 1, "photos", "val", "fp32", names, scores)


@pytest.mark.parametrize(("n", "classes"), [(1, 3), (200, 2), (500, 10), (300, 40)])
def test_as_sklearn(n, classes):
    logits, labels = draws(n, classes)
    scores = scored(logits, labels)
    predicted = logits.argmax(1).numpy()
    truth = confusion_matrix(labels.numpy(), predicted, labels=range(classes))
    result = evaluation(scores, classes)
    assert result.confusion.dtype == np.int64
    assert (result.confusion == truth).all()
    shown = json.loads(json.dumps(result.to_dict()))
    assert shown["confusion"] == truth.tolist()
    if n > 1 and len({*labels.tolist()}) == classes:
        assert shown["balanced_error"] == pytest.approx(100 - 100 * balanced_accuracy_score(labels.numpy(), predicted))
    for key, score in (("precision", precision_score), ("recall", recall_score)):
        theirs = score(labels.numpy(), predicted, labels=range(classes), average=None, zero_division=math.nan)
        ours = [math.nan if row[key] is None else row[key] for row in shown["per_class"]]
        assert ours == pytest.approx((100 * theirs).tolist(), nan_ok=True)


def test_a_confusion_made_on_purpose_is_found():
    """71 cats called dogs, 3 dogs called cats: rows are true classes."""
    labels = torch.tensor([0] * 100 + [1] * 50 + [2] * 20)
    answers = labels.clone()
    answers[:71] = 1
    answers[100:103] = 0
    scores = scored(torch.nn.functional.one_hot(answers, 4).double() * 5, labels)
    assert confusion(scores.answers, 4).tolist() == [[29, 71, 0, 0], [3, 47, 0, 0], [0, 0, 20, 0], [0, 0, 0, 0]]
    assert largest_confusions(scores.answers, 4, 9) == [(0, 1, 71), (1, 0, 3)]
    assert largest_confusions(scores.answers, 4, 1) == [(0, 1, 71)]
    shown = evaluation(scores, 4).to_dict()
    assert shown["largest_confusions"] == [
        {"true": "k0", "predicted": "k1", "n": 71}, {"true": "k1", "predicted": "k0", "n": 3},
    ]  # fmt: skip
    assert shown["balanced_error"] == pytest.approx((71 + 6 + 0) / 3)  # the class without samples does not count
    never = shown["per_class"][3]
    assert (never["error"], never["precision"], never["recall"]) == (None, None, None)
    assert shown["per_class"][0]["precision"] == pytest.approx(100 * 29 / 32)


def test_samples_without_finite_scores_are_in_no_column():
    logits, labels = draws(60, 5)
    bad = torch.tensor([3, 17, 59])
    logits[bad, torch.tensor([0, 2, 4])] = torch.tensor([math.nan, math.inf, -math.inf], dtype=torch.float64)
    scores = scored(logits, labels, 7)
    shown = evaluation(scores, 5).to_dict()
    unfit = np.bincount(labels[bad].numpy(), minlength=5)
    assert scores.answers.predicted[bad.numpy()].tolist() == [UNFIT] * 3
    assert shown["unfit"] == 3
    for row, line, left_out in zip(shown["confusion"], shown["per_class"], unfit, strict=True):
        assert sum(row) == line["n"] - line["unfit"] == line["n"] - left_out
    assert shown["balanced_error"] == pytest.approx(np.mean([100 * w / n for n, w in scores.per_class]))
    assert sum(b["n"] for b in shown["calibration"]["bins"]) == 57
    assert not {3, 17, 59} & set(highest_losses(scores.answers, 100).tolist())
    assert len(highest_losses(scores.answers, 100)) == 57


def test_confidence_and_loss_of_each_sample():
    logits, labels = draws(50, 6)
    answers = answers_of(logits, labels, 2.5)
    for place, (row, label) in enumerate(zip(logits.tolist(), labels.tolist(), strict=True)):
        for scale, found in ((1.0, answers.confidence), (2.5, answers.tempered)):
            shares = [math.exp(value / scale) for value in row]
            assert found[place] == pytest.approx(max(shares) / sum(shares), rel=1e-12)
        total = math.fsum(math.exp(value) for value in row)
        assert answers.loss[place] == pytest.approx(math.log(total) - row[label], rel=1e-10)
    order = highest_losses(answers, 7).tolist()
    assert order == sorted(range(50), key=lambda i: -answers.loss[i])[:7]


def test_the_batch_size_changes_no_answer():
    logits, labels = draws(101, 4)
    one, other = (scored(logits, labels, size).answers for size in (101, 10))
    assert (one.predicted == other.predicted).all()
    assert (one.loss == other.loss).all()
    assert (joined([one, other]).labels == np.concatenate([labels, labels])).all()


def test_a_tally_of_training_keeps_no_answers():
    logits, labels = draws(30, 4)
    tally = Tally(4)
    tally.add(logits, labels)
    plain, kept = tally.scores(30), scored(logits, labels, 30)
    assert plain.answers is None
    assert plain == kept  # the counts are the same
    assert plain.to_dict() == kept.to_dict()
    assert evaluation(plain, 4).to_dict()["confusion"] is None
    assert evaluation(plain, 4).to_dict()["calibration"] is None


def test_many_classes_have_no_matrix_in_json():
    logits, labels = draws(400, 201)
    result = evaluation(scored(logits, labels), 201)
    assert result.to_dict()["confusion"] is None
    assert result.confusion.shape == (201, 201)
    assert len(result.to_dict()["largest_confusions"]) == 20


def test_an_ensemble_keeps_its_members_answers():
    first, labels = draws(40, 5, 1)
    second, _ = draws(40, 5, 2)
    pairs = [(lambda x: x, [Pair(part, labels)]) for part in (first, second)]
    alone, whole = evaluate_together(pairs, 40, 5, keep=True, temperatures=(None, 2.0, 3.0))
    mean = average([first, second])
    for scores, logits in zip([*alone, whole], (first, second, mean), strict=True):
        assert (scores.answers.predicted == logits.argmax(1).numpy()).all()
    assert alone[0].answers.tempered is None
    assert whole.answers.tempered == pytest.approx(torch.softmax(mean / 3.0, 1).amax(1).numpy())


class Pair:
    """A batch whose images are the scores themselves."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images, self.labels = images, labels
