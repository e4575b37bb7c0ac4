"""Tables 1, 2, 3, 4 and 6 of the paper, each with our figures.

Table 1 is drawn from the plans. ImageNet rows are "not run" if no run of ours exists; their parameters and MACs are
exact counts. Table 6 takes its errors from records of the very nets of the paper, trained on CIFAR-10. The paper's
figures are those of `nets.paper`, as printed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from reslab.claims.text import Text
from reslab.data.source import recorded_kind
from reslab.errors import ReslabError
from reslab.nets import paper
from reslab.nets.cost import by_part, cost, shown
from reslab.nets.names import IMAGENET, name_of, spec_of, switches_of
from reslab.nets.plan import plan
from reslab.nets.row import Row
from reslab.nets.spec import Spec
from reslab.runs.recipes import paper_cifar
from reslab.runs.runlog import Record
from reslab.show.notes import beside
from reslab.show.series import Runs, by_net, sound
from reslab.show.tables import mean_words
from reslab.show.words import NET, NOT_RUN_WORD, OUTPUT_SIZE

CIFAR_PLAIN = (20, 32, 44, 56, 110)  # the plain nets of Fig. 6; the paper prints no figure of them

IRRELEVANT = {"fan", "pad_at", "shortcut", "stride_in"}  # what the paper leaves open, or a plain net does not have


@dataclass(frozen=True)
class PaperTable:
    """A table of text; a cell may have several lines, and the first column names the row."""

    id: str
    title: Text
    caption: Text
    head: list[str]
    rows: list[list[str]]


PART = Text("layer name", "층 이름")
PARAMETERS_OURS, PARAMETERS_PAPER = Text("parameters,\nours", "parameter,\n우리"), Text("paper", "논문")
MACS_OURS, MACS_PAPER = Text("MACs,\nours", "MACs,\n우리"), Text("FLOPs,\npaper", "FLOPs,\n논문")
TOP1, TOP5 = Text("top-1 error,\npaper", "top-1 error,\n논문"), Text("top-5 error,\npaper", "top-5 error,\n논문")
ERROR_PAPER = Text("test error,\npaper", "test error,\n논문")
ERROR_OURS = Text("test error (%),\nours", "test error (%),\n우리")
OURS = Text("errors,\nours", "error,\n우리")
SCHEDULE = Text("our schedule", "우리 실행")
OF = Text("{it:,} of {all:,} it.", "{it:,} / {all:,}회")


def table1(language: str = "en") -> PaperTable:
    """Table 1: for each part its output size and blocks, read from the plans; last our MACs and the paper's FLOPs."""
    specs = {depth: spec_of(f"resnet{depth}") for depth in IMAGENET}
    parts = {depth: by_part(spec) for depth, spec in specs.items()}
    rows = [["conv1", *_first(plan(specs[18]), len(specs))]]
    for part in [p for p in parts[18] if p not in ("stem", "head")]:
        size = parts[18][part][-1].size_out
        cells = ["\n".join(_blocks(parts[depth][part])) for depth in specs]
        if part == "conv2_x":
            pool = next(r for r in parts[18]["stem"] if r.kind == "maxpool")
            cells = [f"{_window(pool)} max pool,\nstride {pool.stride}\n{cell}" for cell in cells]
        rows.append([part, f"{size}×{size}", *cells])
    last = plan(specs[18])[-1]
    rows.append(
        [last.part, f"{last.size_out}×{last.size_out}", *[f"average pool,\n{last.c_out}-d fc,\nsoftmax"] * len(specs)]
    )
    rows.append([MACS_OURS(language), "", *(shown(cost(spec).macs) for spec in specs.values())])
    rows.append([MACS_PAPER(language), "", *(_macs(spec) for spec in specs.values())])
    head = [
        PART(language),
        OUTPUT_SIZE(language),
        *(f"{depth}-layer" if language == "en" else f"{depth}층" for depth in specs),
    ]
    caption = Text(
        "Drawn from the nets' own definitions. The paper's FLOPs are multiply-adds, partly truncated.",
        "네트워크 정의에서 그렸다. 논문의 FLOPs는 곱셈-덧셈 수이며 일부는 버림한 값이다.",
    )
    return PaperTable("table1", Text("Table 1: ImageNet nets", "Table 1: ImageNet 네트워크"), caption, head, rows)


def _first(rows: Sequence[Row], count: int) -> list[str]:
    conv = rows[0]
    cell = f"{_window(conv)}, {conv.c_out},\nstride {conv.stride}"
    return [f"{conv.size_out}×{conv.size_out}", *[cell] * count]


def _window(row: Row) -> str:
    return f"{row.kernel}×{row.kernel}"


def _blocks(rows: Iterable[Row]) -> list[str]:
    """Return the lines of a part: the weight layers of each kind of block, then how often it occurs."""
    kinds: Counter[tuple[str, ...]] = Counter()
    for block, group in groupby(rows, key=lambda r: r.block):
        if block:
            kinds[tuple(f"{_window(r)}, {r.c_out}" for r in group if r.path == "branch" and r.kind == "conv")] += 1
    return [line for kind, times in kinds.items() for line in (*kind, f"× {times}")]


def _macs(spec: Spec) -> str:
    return paper.published(spec).get("macs", ("–", ""))[0]


def _errors(spec: Spec) -> tuple[str, str]:
    printed = paper.published(spec)
    return tuple(printed.get(f"imagenet_{top}_error", ("–", ""))[0] for top in ("top1", "top5"))  # type: ignore[return-value]


def _imagenet(
    nets: Sequence[tuple[str, str]], errors: Callable[[Spec], tuple[str, ...]], language: str
) -> list[list[str]]:
    """Rows: net, its parameters and MACs, the paper's FLOPs and errors, "not run"."""
    rows = []
    for name, option in nets:
        spec = spec_of(name, **({"shortcut": option} if option else {}))
        total = cost(spec)
        label = f"{name} {option}".strip()
        figures = [f"{total.parameters:,}", shown(total.macs), _macs(spec)]
        rows.append([label, *figures, *errors(spec), NOT_RUN_WORD(language)])
    return rows


def _head(language: str, *between: Text) -> list[str]:
    first = NET(language), PARAMETERS_OURS(language), MACS_OURS(language)
    return [*first, MACS_PAPER(language), *(t(language) for t in between), OURS(language)]


TEN_CROP = Text(
    "ImageNet validation, 10-crop. Parameters and MACs are exact counts of our nets; no run of ours on ImageNet.",
    "ImageNet validation, 10-crop. parameter와 MACs는 우리 네트워크의 정확한 수이고, ImageNet 실행은 없다.",
)


def table2(language: str = "en") -> PaperTable:
    """Table 2: plain and residual (option A) nets of 18 and 34 layers, top-1 error."""
    nets = [("plain18", ""), ("plain34", ""), ("resnet18", "A"), ("resnet34", "A")]
    rows = _imagenet(nets, lambda spec: _errors(spec)[:1], language)
    title = Text("Table 2: plain and residual, top-1 error", "Table 2: plain과 residual의 top-1 error")
    return PaperTable("table2", title, TEN_CROP, _head(language, TOP1), rows)


def table3(language: str = "en") -> PaperTable:
    """Table 3: options A, B, C and depth, top-1 and top-5 error; VGG-16 as the paper tested it."""
    nets = [(name, option) for (name, option), (*_, table) in paper.TEN_CROP.items() if table == "Table 3"]
    top1, top5, _ = paper.VGG_16
    rows = [["VGG-16", "–", "–", "–", top1, top5, "–"], *_imagenet(nets, _errors, language)]
    title = Text("Table 3: ImageNet errors by option and depth", "Table 3: 옵션과 깊이에 따른 ImageNet error")
    return PaperTable("table3", title, TEN_CROP, _head(language, TOP1, TOP5), rows)


def table4(language: str = "en") -> PaperTable:
    """Table 4: one net tested at several scales, and the authors' README with one crop."""

    def errors(spec: Spec) -> tuple[str, ...]:
        key = (name_of(spec), spec.shortcut)
        return (*paper.MULTI_SCALE[key], *paper.ONE_CROP.get(key, ("–", "–")))

    rows = _imagenet(list(paper.MULTI_SCALE), errors, language)
    title = Text("Table 4: one net, several scales", "Table 4: 단일 모델, 여러 scale")
    caption = Text(
        "ImageNet validation: scores averaged over {224, 256, 384, 480, 640}; one crop: the authors' released "
        f"README, not the paper. Six nets as one: {paper.ENSEMBLE} top-5 on the test set (Table 5). No run of ours.",
        "ImageNet validation: {224, 256, 384, 480, 640}의 score 평균. one crop은 논문이 아니라 저자의 README. 여섯 "
        f"모델 앙상블의 test top-5 error는 {paper.ENSEMBLE} (Table 5). ImageNet 실행은 없다.",
    )
    one_crop = [Text(f"top-{k} error,\none crop", f"top-{k} error,\none crop") for k in (1, 5)]
    return PaperTable("table4", title, caption, _head(language, TOP1, TOP5, *one_crop), rows)


def table6(records: Iterable[Record] = (), language: str = "en") -> PaperTable:
    """Table 6: CIFAR-10 by depth, the paper's figures and those of our records; below, the plain twins of Fig. 6."""
    runs = by_net(r for r in sound(records).records if _is_cifar10(r))
    rows = []
    names = [f"cifar_resnet{depth}" for depth in paper.TABLE_6] + [f"cifar_plain{depth}" for depth in CIFAR_PLAIN]
    for name in names:
        spec = spec_of(name)
        printed = paper.published(spec)
        theirs = [printed[key][0] if key in printed else "–" for key in ("parameters", "cifar10_test_error")]
        ours = sorted(
            (group for group in runs if group.ended and _net_of(group) == name), key=lambda group: -_length(group)
        )
        error = "\n".join(mean_words(group.final("test")) for group in ours) or NOT_RUN_WORD(language)
        length = paper_cifar().iterations
        schedule = [
            ", ".join([OF.filled(it=_length(group), all=length)(language),
                       *(text for what, text in group.apart.items() if what != "length")])
            for group in ours
        ]  # fmt: skip
        rows.append([name, f"{cost(spec).parameters:,}", theirs[0], theirs[1].replace(" (", "\n("), error,
                     "\n".join(schedule) or "–"])  # fmt: skip
    records_here = [r for group in runs for r in group.records]
    caption = Text(
        "CIFAR-10 test error, percent; ours: mean [95 % interval] over n seeds. The paper has no figure for plain nets."
        + beside(records_here),
        "CIFAR-10 test error(%). 우리 값은 seed n개의 평균 [95 % 신뢰구간]. 논문은 plain의 수치를 싣지 않았다."
        + beside(records_here, "ko"),
    )
    head = [NET(language), PARAMETERS_OURS(language), PARAMETERS_PAPER(language),
            ERROR_PAPER(language), ERROR_OURS(language), SCHEDULE(language)]  # fmt: skip
    return PaperTable("table6", Text("Table 6: CIFAR-10 by depth", "Table 6: 깊이별 CIFAR-10"), caption, head, rows)


def _is_cifar10(record: Record) -> bool:
    """Return whether a run is of the set itself, not of a folder of that name."""
    data = record.run["data"]
    return data.get("name") == "cifar10" and recorded_kind(data) == "set"


def _net_of(one: Runs) -> str:
    """Return the name of the paper's own net of these runs; "" for another net."""
    try:
        spec = Spec.from_dict(one.records[0].run["spec"])
    except (ReslabError, KeyError, TypeError, ValueError, AttributeError):
        return ""
    if spec.residual:
        return name_of(spec) if "cifar10_test_error" in paper.published(spec) else ""
    return name_of(spec) if spec.family == "cifar" and not set(switches_of(spec)) - IRRELEVANT else ""


def _length(one: Runs) -> int:
    return int(one.records[0].run["recipe"].get("iterations", 0))
