"""A judgement's figures, and those of runs without a claim: charts by name, each with its caption and its table.

First the statements against their bars, then what the claim names: "curves", "depth", "macs", "gradients",
"activations", "residuals", "responses", "macs-by-layer", "copying". A figure without anything to show is left out.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reslab.claims.evidence import Evidence, net
from reslab.claims.judging import Judgement
from reslab.claims.text import Text
from reslab.nets.cost import shown
from reslab.nets.paper import FIG_3
from reslab.runs.runlog import Record
from reslab.show import words
from reslab.show.charts import copying, costs, findings, intervals
from reslab.show.charts.chart import depth_panels
from reslab.show.charts.curves import ceiling, curve_panels, lines_words
from reslab.show.charts.rates import progress_panels, progress_table
from reslab.show.pages.embed import Panel, Shelf
from reslab.show.series import Runs, Sound, by_net, sound, splits_of
from reslab.show.tables import spread

Table = tuple[list[str], list[list[str]]]


@dataclass(frozen=True)
class Drawn:
    """One figure: panels that stand beside or below each other, and the same figures as a table ([] head: none).

    panels   Altair charts, words in the language that was asked for, each with a description
    """

    id: str
    title: Text
    caption: Text
    panels: dict[str, Any]
    head: list[str]
    rows: list[list[str]]


@dataclass(frozen=True)
class Figure:
    """A figure of a page, its words in one language; `same_as` names the section in which it stands already."""

    id: str
    title: str
    caption: str
    panels: list[Panel]
    head: list[str]
    rows: list[list[str]]
    same_as: str = ""


INTERVALS = Text("The figures and their bars", "값과 기준")
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
    "progress": Text("Training loss and learning rate", "training loss와 learning rate"),
}
CURVES = Text("{lines} Bold: mean over seeds; faint: each seed.", "{lines} 굵은 선: seed 평균, 흐린 선: 각 seed.")
CUT = Text(" Errors above {top:g} % are cut off.", " {top:g} %를 넘는 부분은 잘라냈다.")
LEFT_OUT = Text(
    " {n} measured moments have no finite error and are left out.", " 유한한 error가 없는 측정 {n}개는 뺐다."
)
BROKEN = Text(" {n} damaged records are left out.", " 손상된 기록 {n}개는 뺐다.")
MEANS = Text("Mean ± standard deviation over seeds.", "seed 평균 ± 표준편차.")
BY_BLOCK = Text(
    "By block, from the input on; lines are means over seeds, logarithmic axis. Zeros cannot stand on it.",
    "입력 쪽 block부터. 선은 seed 평균, 로그 축이라 0은 나타낼 수 없다.",
)
RESPONSES = Text(
    "Standard deviation of each 3×3 layer's output after BN, before the ReLU or the addition, at the end of training; "
    "mean over seeds.",
    "각 3×3 층의 출력(BN 뒤, ReLU나 덧셈 앞)의 표준편차, 학습 끝, seed 평균.",
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
PROGRESS = Text("Running training loss as told while training; each line is one run.",
                "학습 중 기록된 training loss. 선 하나가 실행 하나이다.")  # fmt: skip


def figures_of(judgement: Judgement, language: str = "en") -> list[Drawn]:
    """The intervals of the statements against their bars, then the charts that the claim names."""
    found = []
    if any(f.figure for f in judgement.findings):
        panels = intervals.interval_panels(judgement.findings, language)  # as a table: that of the statements
        found.append(Drawn("intervals", INTERVALS, intervals.CAPTION, panels, [], []))
    for name in judgement.claim.charts:
        runs = _runs_of(judgement, name)
        made = draw(name, [r for one in runs for r in one.records], judgement.evidence, language)
        found += [made] if made else []
    return found


def records_figures(records: Sequence[Record], language: str = "en") -> list[Drawn]:
    """The figures of a run, or of several compared: those that have something to show."""
    names = ("curves", "progress", "depth", "macs", "responses", "gradients", "activations", "residuals")
    depths = {(one.kind, one.depth) for one in by_net(sound(records).records) if one.ended}
    several = len({d for _, d in depths}) > 1
    made = [draw(n, records, None, language) for n in names if several or n not in ("depth", "macs")]
    return [one for one in made if one]


def figure(
    drawn: Drawn, prefix: str, shelf: Shelf, seen: dict[str, str], section: str = "", language: str = "en"
) -> Figure:
    """A figure's panels and words; one that another section shows already is told by that section's name."""
    id = f"{prefix}-{drawn.id}"
    panels = shelf.panels(id, drawn.panels)
    key = json.dumps([(p.json, p.words) for p in panels])
    first = seen.setdefault(key, section)
    again = first if first != section else ""
    return Figure(
        id, drawn.title(language), drawn.caption(language), [] if again else panels,
        [] if again else drawn.head, [] if again else drawn.rows, again,
    )  # fmt: skip


def _runs_of(judgement: Judgement, name: str) -> list[Runs]:
    """The runs that a claim's figure shows: its own nets, and both twins of every depth where it is about twins."""
    evidence, nets = judgement.evidence, list(judgement.claim.nets)
    if all(not n.switches for n in nets) and name != "residuals":
        nets += [net(f"cifar_{kind}{d}") for kind in ("plain", "resnet") for d in evidence.setting.depths]
    keys = dict.fromkeys(n.key for n in nets)
    records = [r for key in keys for r in evidence.records.get(key, {}).values()]
    return by_net(sound(records).records)


def draw(name: str, records: Sequence[Record], evidence: Evidence | None = None, language: str = "en") -> Drawn | None:
    """The figure of that name, or None where nothing was recorded for it, or where there is none of that name."""
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
    if not panels:
        return None
    head, rows = table if table[1] else ([], [])
    return Drawn(name, TITLES[name], caption, panels, head, rows)


def _caption(clean: Sound) -> Text:
    """What the curves show, where their axis ends, and what had to be left out."""
    splits = splits_of(clean.records)
    lines = Text(CURVES.en.format(lines=lines_words(splits)), CURVES.ko.format(lines=lines_words(splits, "ko")))
    return together([lines, left_out(clean)])


def left_out(clean: Sound) -> Text:
    """Where the error axis ends, and what could not be drawn; each with a space before it."""
    top = ceiling(clean.records)
    parts = [CUT.filled(top=top)] if top < 100 else []
    return together(
        [*parts, *(text.filled(n=n) for text, n in ((LEFT_OUT, clean.left_out), (BROKEN, clean.broken)) if n)]
    )


def together(parts: Sequence[Text]) -> Text:
    return Text("".join(p.en for p in parts), "".join(p.ko for p in parts))


def _finals(runs: Sequence[Runs], language: str, macs: bool = False) -> Table:
    """Net, (MACs,) final errors of the splits in percent, mean ± std over n seeds."""
    ended = [one for one in runs if one.ended]
    splits = splits_of(r for one in ended for r in one.records)
    head = [words.NET(language), *(f"{words.MEASURES[split](language)} (%)" for split in splits)]
    rows = []
    for one in ended:
        rows.append([one.label, *(spread(*one.final(split)) for split in splits)])
        if macs:
            rows[-1].insert(1, shown(costs.macs_of(one)))
    if macs:
        head.insert(1, "MACs")
    return head, rows
