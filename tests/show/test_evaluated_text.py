"""The parts of an evaluation in a terminal: confusions, calibration, temperature, McNemar's test."""

from __future__ import annotations

from pathlib import Path

import pytest

from reslab.show.terminal.evaluated import comparison_text
from reslab.show.terminal.text import evaluation_text
from reslab.show.words import wide


def evaluated(names, confused=((0, 1, 3),), each: int = 5, **fields):
    """`to_dict` of an evaluation of `each` images a class, of which some are confused (true, predicted, images)."""
    torch = pytest.importorskip("torch")
    from reslab.measure.evaluate import Tally
    from reslab.measure.result import Evaluation

    labels = torch.arange(len(names)).repeat_interleave(each)
    answers = labels.clone()
    for true, predicted, count in confused:
        answers[true * each : true * each + count] = predicted
    tally = Tally(len(names), keep=True)
    tally.add(torch.nn.functional.one_hot(answers, len(names)) * 4.0, labels)
    scores = tally.scores(len(labels))
    return Evaluation(Path("run"), "net", 1, "pets", "val", "fp32", tuple(names), scores, **fields).to_dict()


def rows_of(text: str) -> list[str]:
    lines = text.splitlines()
    at = next(number for number, line in enumerate(lines) if line.split() == ["true", "predicted"])
    return lines[at + 1 :]


def test_the_matrix_with_short_names():
    head, *rows = rows_of(evaluation_text(evaluated(("a", "b", "c"))))
    assert head.split() == ["a", "b", "c"]
    assert [row.split() for row in rows] == [["a", "2", "3", "."], ["b", ".", "5", "."], ["c", ".", ".", "5"]]
    assert len({len(row) for row in [head, *rows]}) == 1


@pytest.mark.parametrize("name", ["a rather long name of a class that goes on", "개와 고양이와 그 밖의 모든 동물들"])
def test_the_matrix_with_long_names(name):
    """Columns are numbered then, and every row ends in the same column, also after Korean letters."""
    head, *rows = rows_of(evaluation_text(evaluated((name, "cat", "dog"))))
    assert head.split() == ["0", "1", "2"]
    assert [row.split()[0] for row in rows] == ["0", "1", "2"]
    assert rows[0].split()[-3:] == ["2", "3", "."]
    assert len({wide(row) for row in [head, *rows]}) == 1
    assert "…" in rows[0]


def test_many_classes_list_their_largest_confusions():
    names = [f"k{i}" for i in range(30)]
    text = evaluation_text(evaluated(names, [(i, i + 1, 1 + i % 4) for i in range(20)]))
    lines = text.splitlines()
    at = lines.index("  largest confusions (true → predicted, images)")
    assert lines[at + 1 :][:2] == ["  k3 → k4  4", "  k7 → k8  4"]
    assert len(lines[at + 1 :]) == 10
    assert "predicted," not in evaluation_text(evaluated(names, []))  # nothing is confused


def test_columns_of_the_table_of_classes():
    lines = evaluation_text(evaluated(("a", "b", "c"))).splitlines()
    at = next(number for number, line in enumerate(lines) if line.split()[:1] == ["class"])
    assert lines[at].split() == ["class", "n", "wrong", "error", "precision", "recall"]
    assert lines[at + 1].split() == ["a", "5", "3", "60.00", "%", "100.00", "%", "40.00", "%"]
    assert lines[at + 2].split() == ["b", "5", "0", "0.00", "%", "62.50", "%", "100.00", "%"]
    assert {len(line) for line in lines[at : at + 4]} == {len(lines[at])}


def test_the_temperature_is_told():
    from reslab.measure.confidence import Temperature

    assert "temperature" not in evaluation_text(evaluated("ab"))
    text = evaluation_text(evaluated("ab", temperature=Temperature(None, 0, "pets has no val split")))
    assert "  temperature  not fitted: pets has no val split" in text
    text = evaluation_text(evaluated("ab", temperature=Temperature(1.5, 300)))
    assert "  temperature  1.500, fitted on 300 images of val (the scored images); calibration error" in text


def test_the_balanced_error_is_told_of_unequal_classes():
    assert "balanced" not in evaluation_text(evaluated("ab"))
    result = evaluated("ab")
    result["per_class"][0]["n"] = 7
    assert "  balanced     30.00 %   mean over the classes" in evaluation_text(result)


def test_comparisons():
    from reslab.measure.mcnemar import Comparison

    alone = evaluated("ab")
    other = evaluated("ab", comparison=Comparison(30, 12, 5, 0.00790))
    assert comparison_text([alone]) == []
    assert comparison_text([alone, other, alone]) == [
        "2 (net) against 1: 12 images wrong here alone, 30 there alone; McNemar's exact test p = 0.0079\n"
        "3 (net) against 1: not compared, as they were scored on other images"
    ]
