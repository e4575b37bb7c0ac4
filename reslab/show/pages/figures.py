"""The picture of a claim, and those of runs without a claim: charts by name, each with its caption and its table.

The names: "curves", "depth", "macs", "gradients", "activations", "residuals", "responses", "macs-by-layer", "copying",
"removal", "progress"; and "intervals", a claim's values against its thresholds. A figure without data is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from reslab.claims.evidence import Evidence, net
from reslab.claims.judging import Judgement
from reslab.claims.text import Text
from reslab.nets.cost import shown
from reslab.nets.paper import FIG_3
from reslab.runs.runlog import Record
from reslab.show import words
from reslab.show.charts import copying, costs, findings, intervals, removal
from reslab.show.charts.chart import depth_panels
from reslab.show.charts.curves import ceiling, curve_panels, lines_words
from reslab.show.charts.rates import progress_panels, progress_table
from reslab.show.pages.embed import Panel, Shelf
from reslab.show.series import Runs, Sound, by_net, sound, splits_of
from reslab.show.tables import mean_words

Table = tuple[list[str], list[list[str]]]
CANDIDATES = 2  # charts of a claim that may be its picture; the others answer other questions


@dataclass(frozen=True)
class Drawn:
    """One figure: its panels, and the same figures as a table ([] head: none).

    panels   Altair charts in the page's language, each with a description
    """

    id: str
    title: Text
    caption: Text
    panels: dict[str, Any]
    head: list[str]
    rows: list[list[str]]


@dataclass(frozen=True)
class Figure:
    """A figure of a page, its words in one language."""

    id: str
    title: str
    caption: str
    panels: list[Panel]
    head: list[str]
    rows: list[list[str]]


INTERVALS = Text("Values against thresholds", "측정값과 기준값")
TITLES = {
    "curves": Text("Error against iterations", "반복 횟수에 따른 error"),
    "depth": Text("Final error against depth", "깊이에 따른 마지막 error"),
    "macs": Text("Final error against MACs", "MACs에 따른 마지막 error"),
    "gradients": Text("Gradients by block", "block별 gradient"),
    "activations": Text("Activations by block", "block별 activation"),
    "residuals": Text("‖F(x)‖ / ‖x‖ by block", "block별 ‖F(x)‖ / ‖x‖"),
    "responses": Text("Layer responses (Fig. 7)", "layer response (Fig. 7)"),
    "macs-by-layer": Text("MACs by layer", "층별 MACs"),
    "copying": Text("Copying the input", "입력을 그대로 내보내기"),
    "removal": removal.TITLE,
    "progress": Text("Training loss and learning rate", "training loss와 learning rate"),
}
MEAN_LINES = Text(" Bold: mean over seeds; faint: each seed.", " 굵은 선: seed 평균, 흐린 선: 각 seed.")
CUT = Text(" Errors above {top:g} % are cut off.", " {top:g} %를 넘는 부분은 잘라냈다.")
LEFT_OUT = Text(
    " {n} measured moments have no finite error and are left out.", " 유한한 error가 없는 측정 {n}개는 뺐다."
)
BROKEN = Text(" {n} damaged records are left out.", " 손상된 기록 {n}개는 뺐다.")
MEANS = Text("Mean and 95 % interval over seeds.", "seed 평균과 95 % 신뢰구간.")
BY_BLOCK = Text(
    "By block, from the input on; lines are means over seeds. The axis is logarithmic, so zeros are left out.",
    "입력 쪽 block부터. 선은 seed 평균. 로그 축이므로 0은 뺐다.",
)
RESPONSES = Text(
    "Standard deviation of each 3×3 layer's output after BN, before the ReLU or the addition, at the end of training; "
    "mean over seeds.",
    "학습이 끝난 뒤 각 3×3 층의 출력(BN 뒤, ReLU나 덧셈 앞)의 표준편차, seed 평균.",
)
BY_LAYER = Text(
    "Multiply-adds of each layer with weights, for one image; read from the nets' own definitions. Each net has "
    "its own scale; the projections of shortcuts are in the sums alone.",
    "weight가 있는 각 층의 곱셈-덧셈 수(이미지 한 장). 네트워크 정의에서 계산했다. 눈금은 네트워크마다 다르고, "
    "shortcut의 projection은 합계에만 들어 있다.",
)
COPYING = Text(
    "The training images of the digits, copied. Mean squared error relative to the variance of the input (1: the best "
    "constant answer). Small: each seed; large: their geometric mean.",
    "digits의 학습 이미지를 그대로 내보낸다. 입력 분산에 대한 평균제곱오차(1: 상수로 답할 때의 최선). 작은 점: 각 "
    "seed, 큰 점: 기하평균.",
)
REMOVAL = Text("Each point: one block removed from the trained net; mean over seeds.",
               "점 하나: 학습한 네트워크에서 block 하나를 뺐을 때, seed 평균.")  # fmt: skip
PROGRESS = Text("Training loss as recorded during training; each line is one run.",
                "학습 중 기록된 training loss. 선 하나가 실행 하나이다.")  # fmt: skip


def picture_of(judgement: Judgement, prefix: str, shelf: Shelf, shown: set[str], language: str = "en") -> Figure | None:
    """Return the one picture of a judgement, or None if nothing was measured.

    It is the first of its claim's charts (of CANDIDATES) that the page does not show yet, or else the values of its
    statements against their thresholds. `shown` holds the charts of the page so far, as JSON.
    """
    for name in judgement.claim.charts[:CANDIDATES]:
        records = [r for group in _runs_of(judgement, name) for r in group.records]
        drawn = draw(name, records, judgement.evidence, language)
        if drawn is not None and (new := unseen(figure(drawn, prefix, shelf, language), shown)):
            return new
    if not any(f.figure for f in judgement.findings):
        return None
    panels = intervals.interval_panels(judgement.findings, language)  # as a table: that of the statements
    drawn = Drawn("intervals", INTERVALS, intervals.CAPTION, panels, [], [])
    return unseen(figure(drawn, prefix, shelf, language), shown)


def unseen(one: Figure, shown: set[str]) -> Figure | None:
    """Return the figure without the charts that `shown` has, or None if no chart is left; `shown` gains the others."""
    panels = [panel for panel in one.panels if panel.json not in shown]
    shown.update(panel.json for panel in panels)
    return replace(one, panels=panels) if panels else None


def records_figures(records: Sequence[Record], language: str = "en") -> list[Drawn]:
    """Return the figures of a run, or of several compared, that have something to show."""
    names = ("curves", "progress", "depth", "macs", "responses", "gradients", "activations", "residuals")
    depths = {(group.kind, group.depth) for group in by_net(sound(records).records) if group.ended}
    several = len({d for _, d in depths}) > 1
    lines = {"curves": "eval", "progress": "train"}  # with fewer than two points their axes would be empty
    drawn = [
        draw(n, records, None, language)
        for n in names
        if (several or n not in ("depth", "macs")) and (n not in lines or has_line(records, lines[n]))
    ]
    return [chart for chart in drawn if chart]


def has_line(records: Sequence[Record], kind: str) -> bool:
    """Return whether some run has lines of this kind at two iterations."""
    return any(len({m.get("iteration") for m in r.metrics if m.get("kind") == kind}) > 1 for r in records)


def figure(drawn: Drawn, prefix: str, shelf: Shelf, language: str = "en") -> Figure:
    """Return a figure's panels and words, its points put on the shelf."""
    id = f"{prefix}-{drawn.id}"
    panels = shelf.panels(id, drawn.panels)
    return Figure(id, drawn.title(language), drawn.caption(language), panels, drawn.head, drawn.rows)


def _runs_of(judgement: Judgement, name: str) -> list[Runs]:
    """Return the runs that a claim's figure shows: its own nets, and both twins of every depth if it is about twins."""
    evidence, nets = judgement.evidence, list(judgement.claim.nets)
    if all(not n.switches for n in nets) and name != "residuals":
        nets += [net(f"cifar_{kind}{d}") for kind in ("plain", "resnet") for d in evidence.setting.depths]
    keys = dict.fromkeys(n.key for n in nets)
    records = [r for key in keys for r in evidence.records.get(key, {}).values()]
    return by_net(sound(records).records)


def draw(name: str, records: Sequence[Record], evidence: Evidence | None = None, language: str = "en") -> Drawn | None:
    """Return the figure of that name; None if nothing was recorded for it or the name is unknown."""
    clean = sound(records)
    runs = by_net(clean.records)
    panels: dict[str, Any] = {}
    caption, table = Text("", ""), ([], [])  # type: tuple[Text, Table]
    if name == "curves":
        panels, caption, table = curve_panels(records, language), _caption(clean), _finals(runs, language)
    elif name == "depth":
        panels, caption, table = depth_panels(runs, language), MEANS, _finals(runs, language)
    elif name == "macs":
        panels, caption, table = costs.macs_panels(runs, language), MEANS, _finals(runs, language, macs=True)
    elif name == "progress":
        panels, caption, table = progress_panels(runs, language), PROGRESS, progress_table(runs, language)
    elif name in ("gradients", "activations", "residuals"):
        panels, caption = findings.block_panels(runs, evidence, name, language), BY_BLOCK
        table = findings.table(runs, name, language, evidence)
    elif name == "responses":
        panels, caption = findings.response_panels(runs, language), RESPONSES
        table = findings.table(runs, name, language)
    elif name == "macs-by-layer":
        panels, caption = costs.layer_panels(language), BY_LAYER
        table = [costs.SIZE(language), *FIG_3], costs.size_table(language=language)
    elif name == "copying" and evidence:
        panels, caption = copying.copying_panels(evidence, language), COPYING
        table = copying.table(evidence, language)
    elif name == "removal" and evidence:
        panels, caption = removal.removal_panels(evidence, language), REMOVAL
        table = removal.table(evidence, language)
    if not panels:
        return None
    head, rows = table if table[1] else ([], [])
    return Drawn(name, TITLES[name], caption, panels, head, rows)


def _caption(clean: Sound) -> Text:
    """Return what the curves show, where their axis ends, and what is left out."""
    splits = splits_of(clean.records)
    lines = [Text(lines_words(splits), lines_words(splits, "ko"))]
    if any(len(group.records) > 1 for group in by_net(clean.records)):
        lines.append(MEAN_LINES)
    return together([*lines, left_out(clean)])


def left_out(clean: Sound) -> Text:
    """Return where the error axis ends, and what is left out; each with a space before it."""
    top = ceiling(clean.records)
    parts = [CUT.filled(top=top)] if top < 100 else []
    return together(
        [*parts, *(text.filled(n=n) for text, n in ((LEFT_OUT, clean.left_out), (BROKEN, clean.broken)) if n)]
    )


def together(parts: Sequence[Text]) -> Text:
    return Text("".join(p.en for p in parts), "".join(p.ko for p in parts))


def _finals(runs: Sequence[Runs], language: str, macs: bool = False) -> Table:
    """Return net, (MACs,) and final errors of the splits in percent: mean, 95 % interval, seeds."""
    ended = [group for group in runs if group.ended]
    splits = splits_of(r for group in ended for r in group.records)
    head = [words.NET(language), *(f"{words.MEASURES[split](language)} (%)" for split in splits)]
    rows = []
    for group in ended:
        rows.append([group.label, *(mean_words(group.final(split)) for split in splits)])
        if macs:
            rows[-1].insert(1, shown(costs.macs_of(group)))
    if macs:
        head.insert(1, "MACs")
    return head, rows
