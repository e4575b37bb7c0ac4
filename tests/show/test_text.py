"""An evaluation in words: nothing is printed that is no number, and nothing that says nothing."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from reslab.show.terminal.text import evaluation_text


def evaluated(classes: int, score: float = 0.0):
    """`Evaluation.to_dict` of a net that gives these scores to every image, two images a class."""
    torch = pytest.importorskip("torch")
    from reslab.measure.evaluate import Tally
    from reslab.measure.result import Evaluation

    tally = Tally(classes)
    labels = torch.arange(classes).repeat(2)
    tally.add(torch.full((2 * classes, classes), score), labels)
    names = tuple(f"class{i}" for i in range(classes))
    found = Evaluation(Path("run"), "cifar_resnet8", 10, "pets", "val", "fp32", names, tally.scores(2 * classes))
    return found.to_dict()


@pytest.mark.parametrize("score", [math.nan, math.inf])
def test_scores_that_are_not_finite_are_told(score):
    text = evaluation_text(evaluated(10, score))
    assert "scores are not finite" in text
    assert "top-1 error  100.00 %" in text
    assert "loss         –" in text
    assert "not finite" not in evaluation_text(evaluated(10))


@pytest.mark.parametrize(("classes", "told"), [(2, False), (5, False), (6, True), (10, True)])
def test_top_5_of_five_classes_or_fewer_says_nothing(classes, told):
    assert ("top-5" in evaluation_text(evaluated(classes))) == told


def test_what_must_be_said_of_the_data_stands_in_lines_of_its_own():
    result = evaluated(10)
    assert "  data  " not in evaluation_text(result)
    assert "  data  " not in evaluation_text(result | {"data_notes": None})
    lines = evaluation_text(result | {"data_notes": ["3 images left out", "a\x1b[31mb"]}).splitlines()
    assert [x for x in lines if x.startswith("  data ")] == [
        "  data         3 images left out",
        "  data         a\ufffd[31mb",
    ]
