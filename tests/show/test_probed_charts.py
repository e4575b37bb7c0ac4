"""Charts of lesions, similarity and surface: what they draw is what the record has."""

import pytest

from reslab.show.charts.chart import specification
from reslab.show.charts.probed import CHARTS, lesions_chart, similarity_chart, surface_chart
from reslab.show.terminal.probed import probe_text

RECORD = {
    "model": "net", "checkpoint": None, "iteration": 7, "n": 12, "data": "digits", "split": "test", "seed": 0,
    "bn": "running", "notes": [], "responses": None, "gradients": None, "residuals": None, "jacobians": None,
    "lesions": {
        "seed": 0, "error": 8.0, "without": [{"block": "a", "error": 11.0}, {"block": "b", "error": 52.0}],
        "several": [{"k": 1, "mean": 31.5, "low": 11.0, "high": 52.0, "draws": [{}, {}]}],
        "swaps": [{"first": "a", "second": "b", "error": 9.0}],
    },
    "similarity": {"names": ["stem", "a", "gap"], "cka": [[1.0, 0.5, None], [0.5, 1.0, 0.25], [None, 0.25, 1.0]]},
    "surface": {"seed": 0, "directions": 2, "steps": [-1.0, 0.0, 1.0], "cosine": 0.0, "bn": "running",
                "loss": [[9.0, 4.0, None], [3.0, 0.1, 5.0], [90.0, 2.0, 8.0]],
                "error": [[9.0, 4.0, 6.0], [3.0, 0.0, 5.0], [90.0, 2.0, 8.0]]},
}  # fmt: skip
LINE = {"directions": 1, "steps": [-1.0 + i / 10 for i in range(21)], "loss": [1.0 + i for i in range(21)],
        "error": [50.0] * 21, "bn": "none", "seed": 0, "cosine": None}  # fmt: skip


def rows_of(chart):
    """Every row of a chart; Altair validates the chart as well."""
    chart.to_dict()
    return [row for rows in specification(chart)["datasets"].values() for row in rows]


def test_lesions():
    rows = rows_of(lesions_chart(RECORD))
    assert {row["block"]: row["error"] for row in rows if "block" in row} == {"a": 11.0, "b": 52.0, "a, b": 9.0}
    assert {"k": 1, "error": 31.5, "low": 11.0, "high": 52.0} in rows
    assert {"error": 8.0} in rows
    alone = RECORD | {"lesions": RECORD["lesions"] | {"swaps": []}}
    assert len(lesions_chart(alone).to_dict()["hconcat"]) == 2


def test_similarity():
    rows = rows_of(similarity_chart(RECORD))
    assert len(rows) == 7  # without the unknown pair
    assert {(row["row"], row["column"]): row["cka"] for row in rows}["a", "gap"] == 0.25


@pytest.mark.parametrize("surface", [RECORD["surface"], LINE], ids=["map", "curve"])
def test_surface(surface):
    record = RECORD | {"surface": surface}
    values = [row["value"] for row in rows_of(surface_chart(record)) if "value" in row]
    flat = [
        v for key in ("loss", "error") for part in surface[key] for v in (part if isinstance(part, list) else [part])
    ]
    assert sorted(values) == sorted(v for v in flat if v is not None)
    types = {str(layer["encoding"]) for panel in surface_chart(record).to_dict()["hconcat"]
             for layer in panel["layer"][0].get("layer", panel["layer"])}  # fmt: skip
    assert any("'log'" in one for one in types) == (surface is not LINE)  # 0.1 to 90, 1 to 21


def test_text_of_the_extremes():
    lines = [" ".join(line.split()) for line in probe_text(RECORD).splitlines()]
    for line in (
        "the weights 0.00 0.00 0.1 0.00",
        "the least loss 0.00 0.00 0.1 0.00",
        "the largest loss 1.00 -1.00 90 90.00",
        "gap 0.250 – 1.000",
        "a, b 9.00",
    ):
        assert line in lines
    lines = [" ".join(line.split()) for line in probe_text(RECORD | {"surface": LINE}).splitlines()]
    assert "step loss error in %" in lines
    assert sum(line.endswith(" 50.00") for line in lines) == 11


def test_nothing_finite():
    """An overflowing net: no value to draw, and none that is made up."""
    nan = [[None] * 3] * 3
    record = RECORD | {
        "surface": RECORD["surface"] | {"loss": nan, "error": [[90.0] * 3] * 3},
        "similarity": {"names": ["stem", "a", "gap"], "cka": nan},
    }
    assert rows_of(similarity_chart(record)) == []
    assert [row["value"] for row in rows_of(surface_chart(record)) if "value" in row] == [90.0] * 9
    assert "the least loss" not in probe_text(record)
    assert set(CHARTS) == {"lesions", "similarity", "surface"}
