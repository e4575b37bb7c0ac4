"""Writes what the committed records say into the pages: `python -m benchmarks.documents`.

The table of claims in README.md and README.ko.md, docs/claims.md and docs/results.md with their Korean twins.
`tests/test_readme.py` fails if a page is not what the records say.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.marked import Marks
from benchmarks.parts import PARTS
from reslab.claims.claim import MAIN, Finding
from reslab.claims.evidence import STUDY, Evidence, read
from reslab.claims.judging import Judgement
from reslab.claims.ledger import order
from reslab.claims.overview import ClaimSummary, overview
from reslab.claims.phrases import cited, shown, threshold
from reslab.claims.rules import figure
from reslab.claims.text import LANGUAGES, Text
from reslab.measure.interval import wilson
from reslab.runs import runlog
from reslab.runs.runlog import Record
from reslab.show.tables import switches
from reslab.show.terminal.verdicts import EXPLORATORY, MARK, MARKED, basis_words, claims_text, command, notes_of
from reslab.show.words import ROLES, VERDICT

ROOT = Path(__file__).resolve().parent.parent
RESULTS, DOCS = ROOT / "results", ROOT / "docs"
READMES = {"en": ROOT / "README.md", "ko": ROOT / "README.ko.md"}
MARKS = Marks("<!-- claims: from results/ -->", "<!-- claims end -->")

ABOUT_CLAIMS = Text(
    """## How to read this page

Each claim is a sentence of the study notes or of the paper, with a rule in
`reslab/claims/experiments/`: a 95 % interval over seeds against a threshold. The claim holds, or does not, if the whole
interval is on one side; if not, it is undecided. No rule decides on fewer than three seeds. *Holds with a condition*:
some deciding rows hold and others do not, a limit applies, or studies disagree. *Exploratory*: every run that decides
is older than the rule. Rows marked *for information* decide nothing. Means of factors (×) are geometric. Zero padding
is the paper's and that of every trained net; circular padding is for comparison. `reslab reproduce C3` runs a claim
again; `reslab report` draws the pictures.""",
    """## 읽는 법

공부 노트와 논문의 문장을 직접 실행해 확인한 결과다. 주장마다 `reslab/claims/experiments/`에 규칙이 있다.
seed에 대한 95 % 신뢰구간 전체가 기준값의 한쪽에 있으면 성립 여부가 정해지고, 걸쳐 있으면 결정할 수 없다.
seed가 3개 미만이면 판정하지 않는다. *조건부 성립*: 판정에 쓰는 값 중 일부만 성립하거나, 제한이 있거나, 실험마다
판정이 다르다. *탐색적*: 판정에 쓴 실행이 모두 규칙보다 먼저다. *참고*로 표시한 값은 판정에 쓰지 않는다.
배율(×)의 평균은 기하평균이다. 학습한 네트워크는 모두 논문처럼 zero padding을 쓰고, circular padding은 비교용이다.
`reslab reproduce C3`으로 다시 실행하고, `reslab report --lang ko`로 그림을 볼 수 있다.""",
)
CLAIMS_TITLE = Text("# The claims", "# 주장")
ABOUT_RESULTS = Text(
    """# Results

Final errors of every committed run, by study (a folder in `results/`), longest training first: mean over seeds and the
95 % interval of that mean. One seed has no such interval: its brackets hold the binomial interval of the test images.
Errors are those at the end of training, never of the best checkpoint.""",
    """# 결과

커밋된 모든 실행의 마지막 오차를 실험(`results/`의 폴더)별로, 길게 학습한 것부터 모았다.
seed 평균과 그 평균의 95 % 신뢰구간이다.
seed가 하나이면 평균의 구간이 없으므로 괄호 안에 test 이미지의 이항 구간을 적었다.
가장 좋은 checkpoint가 아니라 학습이 끝났을 때의 값이다.""",
)
CLAIM_HEADS = {"en": ("id", "claim", "verdict"), "ko": ("번호", "주장", "판정")}
FIGURE_HEADS = {
    "en": ("measured", "mean [95 % interval]", "threshold", "verdict"),
    "ko": ("측정한 것", "평균 [95 % 신뢰구간]", "기준값", "판정"),
}
RUN_HEADS = {
    "en": ("net", "updates", "n", "test error (%)", "training error (%)", "computed with"),
    "ko": ("네트워크", "반복", "n", "test error (%)", "training error (%)", "실행 환경"),
}
COMMAND = Text("Again", "다시 실행")


def studies() -> list[Evidence]:
    """The committed studies that claims are judged on."""
    return [read(path.parent) for path in sorted(RESULTS.glob(f"*/{STUDY}"))]


def row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [row(heads), f"|{'---|' * len(heads)}", *(row(cells) for cells in rows)]


def claims_table(summaries: Sequence[ClaimSummary], language: str, link: str = "") -> list[str]:
    """A line for each claim; `link` is the page whose headings the ids lead to."""
    rows = [
        (f"[{s.claim.id}]({link}#{s.claim.id.lower()})", s.claim.text(language), _verdict(s, language))
        for s in summaries
    ]
    return table(CLAIM_HEADS[language], rows)


def _verdict(summary: ClaimSummary, language: str) -> str:
    return VERDICT[summary.verdict](language) + (EXPLORATORY(language) if summary.is_exploratory else "")


def claims_page(summaries: Sequence[ClaimSummary], language: str) -> str:
    counts = claims_text(summaries, language).splitlines()[0]
    lines = [CLAIMS_TITLE(language), "", f"**{counts}.**", "", *claims_table(summaries, language), ""]
    lines += [ABOUT_CLAIMS(language)]
    for summary in summaries:
        claim = summary.claim
        lines += ["", f"## {claim.id}", "", f"**{claim.text(language)}** {_verdict(summary, language)}.", ""]
        said = f"({cited(claim.said, language)})"
        lines += [f"> {claim.quote} {said}" if claim.quote else f"> {said}"]
        for judgement in summary.judgements:
            lines += ["", *_judged(judgement, language)]
    return "\n".join(lines) + "\n"


def _judged(judgement: Judgement, language: str) -> Iterator[str]:
    caveat = f" {judgement.caveat(language)}" if judgement.caveat else ""
    yield f"*{basis_words(judgement, language)}.* {judgement.sentence(language)}{caveat}"
    found = [f for f in judgement.findings if f.figure]
    if not found:
        return
    yield ""
    yield from table(FIGURE_HEADS[language], (_figure_row(f, language) for f in found))
    yield ""
    notes = [*notes_of(judgement, language), order(judgement.claim.id, judgement.evidence.beginning)(language)]
    yield from (f"- {note[0].upper()}{note[1:]}." for note in notes)
    yield f"- {COMMAND(language)}: `{command(judgement)}`"


def _figure_row(finding: Finding, language: str) -> tuple[str, ...]:
    role = finding.statement.role
    verdict = VERDICT[finding.verdict](language)
    if role != MAIN:
        verdict = f"{verdict} ({ROLES[role](language)})"
    text = finding.statement.text(language)
    return text, shown(finding, language), threshold(finding.statement, language), verdict


# -- results


def results_page(language: str) -> str:
    lines = [ABOUT_RESULTS(language)]
    by_study: dict[str, list[Record]] = {}
    for path in sorted(RESULTS.glob("*/*/run.json")):
        record = runlog.read(path.parent)
        if record.finished:
            by_study.setdefault(path.parent.parent.name, []).append(record)
    for name, finished in sorted(by_study.items(), key=lambda item: (-max(map(_updates, item[1])), item[0])):
        lines += ["", f"## {name}", "", *_about(name, finished, language), ""]
        lines += table(RUN_HEADS[language], _run_rows(finished))
    return "\n".join(lines) + "\n"


def _about(name: str, records: Sequence[Record], language: str) -> Iterator[str]:
    data = str(records[0].run["data"]["name"])
    recipes = ", ".join(dict.fromkeys(str(r.run["recipe"]["name"]) for r in records))
    again = f"`python -m benchmarks.evidence {name}`" if name in PARTS else "–"
    yield f"{data}, recipe {recipes}. {COMMAND(language)}: {again}"


def _run_rows(records: Sequence[Record]) -> Iterator[tuple[str, ...]]:
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(json.dumps(_group(record)), []).append(record)
    for key, group in sorted(groups.items(), key=lambda item: (_depth(item[1]), item[0])):
        net, changes, precision, _ = json.loads(key)
        words = " ".join(part for part in (net, changes) if part != "–")
        made = ", ".join(dict.fromkeys(f"{_engine(r)}, {precision}, {_machine(r)}" for r in group))
        yield words, f"{_updates(group[0]):,}", str(len(group)), _errors(group, "test"), _errors(group, "train"), made


def _updates(record: Record) -> int:
    return int(record.run["recipe"]["iterations"])


def _depth(records: Sequence[Record]) -> tuple[bool, int]:
    return records[0].residual, records[0].depth


def _group(record: Record) -> list[Any]:
    """What records of one row have in common: net, switches, precision, recipe."""
    recipe = {k: v for k, v in record.run["recipe"].items() if not k.endswith("_every")}
    return [record.model, switches(record), str(record.run["settings"].get("precision")), recipe]


def _engine(record: Record) -> str:
    settings = record.run["settings"]
    return str(settings.get("engine", "compiled" if settings.get("compile") else "eager"))


def _machine(record: Record) -> str:
    environment = record.run["environment"]
    gpu = environment.get("gpu")
    return str(gpu if record.run["settings"].get("device") == "cuda" and gpu else environment.get("cpu"))


def _errors(records: Sequence[Record], split: str) -> str:
    """Mean and interval of the final errors; of one run the binomial interval of its images."""
    ends = [end for record in records if (end := record.final(split))]
    value = figure([float(end["top1_error"]) for end in ends])
    if value is None:
        return "–"
    if value.n == 1 and split == "test":
        n = int(ends[0]["n"])
        low, high = wilson(round(value.mean * n / 100), n)
        return f"{value.mean:.2f} (images: {low:.2f} to {high:.2f})"
    if not math.isfinite(value.low):
        return f"{value.mean:.2f}"
    return f"{value.mean:.2f} [{value.low:.2f}, {value.high:.2f}]"


# -- the files


def filled(page: str, language: str, summaries: Sequence[ClaimSummary]) -> str:
    """`page` with the text between the two marks replaced by the table of claims."""
    link = "docs/claims.md" if language == "en" else "docs/claims.ko.md"
    mark = f"\\{MARK}"  # Markdown takes a bare one for emphasis
    lines = "\n".join(
        f"- [{s.claim.id}]({link}#{s.claim.id.lower()}) {s.claim.text(language).rstrip('.')}: "
        f"**{VERDICT[s.verdict](language)}**{mark if s.is_exploratory else ''}"
        for s in summaries
    )
    if any(s.is_exploratory for s in summaries):
        lines += f"\n\n\\{MARKED(language)}."
    return MARKS.fill(page, lines)


def documents() -> dict[Path, str]:
    """Path → text of every page that the records fill."""
    summaries = overview(studies())
    pages: dict[Path, str] = {}
    for language in LANGUAGES:
        suffix = "" if language == "en" else f".{language}"
        readme = READMES[language]
        pages[readme] = filled(readme.read_text(encoding="utf-8"), language, summaries)
        pages[DOCS / f"claims{suffix}.md"] = claims_page(summaries, language)
        pages[DOCS / f"results{suffix}.md"] = results_page(language)
    return pages


def main() -> None:
    for path, text in documents().items():
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
