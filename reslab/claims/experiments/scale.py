"""C20 and C21: what only the whole schedule on CIFAR-10 can show (§4.2, Table 6, Fig. 6 right).

The runs: residual nets of Table 6's depths on CIFAR-10 by the paper's recipe, not shortened; on any other setting both
claims are "not run" and train nothing. The measure: errors at the end of the schedule.
The rules. C21: the 95 % interval of our test error minus the paper's ends at MARGIN or below, at each depth of the
setting that Table 6 has: a net that is better reproduces it too; a depth of Table 6 that is missing is a limit.
(Until 2026-11-27 it had to lie within ±MARGIN, and missing depths were no limit.) C20:
at 1202 layers the training error ends at TRAINED or below, and the test error minus that of 110 layers, seed by seed,
lies above 0.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from reslab.claims.claim import LIMIT, Claim, Statement
from reslab.claims.evidence import Evidence, Setting, net
from reslab.claims.phrases import answer
from reslab.claims.quantity import Quantity, Series, error_gap, final_error
from reslab.claims.rules import Above, Always, Below
from reslab.claims.text import Text
from reslab.runs.recipes import recipe

NAME = "scale"
# Table 6, test error in percent; 110 layers: the mean of five runs, as one seed is no best of five.
PAPER = {20: 8.75, 32: 7.51, 44: 7.17, 56: 6.97, 110: 6.61, 1202: 7.93}
MARGIN = 0.5  # points: three of the 0.16 by which the paper's five runs of 110 layers spread
TRAINED = 0.1  # percent (§4.2, of 1202 layers)
MIDDLE, DEEPEST = 110, 1202
# What makes a schedule the paper's (§4.2). The choices it leaves open, and when things are measured, may differ.
STATED = (
    "batch", "iterations", "lr", "drops", "drop_factor", "momentum", "weight_decay", "warmup_from_depth", "warmup_lr",
    "warmup_error", "augment", "pad", "centre",
)  # fmt: skip

NOT_THE_PAPERS = Text(
    "Not run: it needs CIFAR-10 and the paper's whole schedule of 64,000 iterations, beyond 20 layers an accelerator.",
    "실행하지 않음: CIFAR-10과 논문의 64,000회 반복 전체가 필요하며, 20층보다 깊으면 가속기도 있어야 한다.",
)
NO_SUCH_DEPTHS = Text(
    "Not run: this study has not the depths for it ({depths} layers).",
    "실행하지 않음: 이 실험에는 필요한 깊이({depths}층)가 없다.",
)


def claims(setting: Setting) -> tuple[Claim, ...]:
    return (_deepest(setting), _table_6(setting))


def is_the_papers(setting: Setting) -> bool:
    """Whether data and recipe are those of Table 6, unshortened."""
    paper = recipe("paper-cifar")
    return setting.data == "cifar10" and all(getattr(setting.recipe, k) == getattr(paper, k) for k in STATED)


def to_the_paper(depth: int) -> Quantity:
    """Our test error minus that of Table 6, points."""
    ours = final_error(net(f"cifar_resnet{depth}"), "test")

    def read(evidence: Evidence) -> Series:
        return {seed: error - PAPER[depth] for seed, error in ours.read(evidence).items()}

    return Quantity(f"{ours.key} minus {PAPER[depth]}", read, ours.nets)


def _only_if(able: bool, setting: Setting, needed: str, claim: Claim) -> Claim:
    """Return the claim; if the setting cannot show it, with statements that read and train nothing, and the reason."""
    if able:
        return claim
    why = NO_SUCH_DEPTHS.filled(depths=needed) if is_the_papers(setting) else NOT_THE_PAPERS
    idle = tuple(replace(s, quantity=Quantity(s.quantity.key, _nothing)) for s in claim.statements)
    return replace(claim, statements=idle, charts=(), why_not_run=why)


def _nothing(evidence: Evidence) -> Series:
    return {}


def _count(count: int, evidence: Evidence) -> Series:
    return {0: float(count)} if evidence.every_record() else {}


def _deepest(setting: Setting) -> Claim:
    able = is_the_papers(setting) and {MIDDLE, DEEPEST} <= set(setting.depths)
    middle, deepest = net(f"cifar_resnet{MIDDLE}"), net(f"cifar_resnet{DEEPEST}")
    claim = Claim(
        id="C20",
        name=NAME,
        quote="ResNet-1202: training error < 0.1 %, test error 7.93 %; ResNet-110: 6.43 %",
        said="§4.2, Table 6, Fig. 6 right",
        text=Text(
            f"{DEEPEST} layers train to below {TRAINED:g} % training error, but test worse than {MIDDLE}.",
            f"{DEEPEST}층은 training error {TRAINED:g} % 미만까지 학습되지만, test error는 {MIDDLE}층보다 크다.",
        ),
        statements=(
            Statement(
                Text(f"Training error, {DEEPEST} layers", f"training error, {DEEPEST}층"),
                final_error(deepest, "train"),
                Below(TRAINED),
                unit="%",
            ),
            Statement(
                Text(f"Test error, {DEEPEST} layers minus {MIDDLE}", f"test error, {DEEPEST}층 − {MIDDLE}층"),
                error_gap(deepest, middle, "test"),
                Above(0.0),
                unit="points",
            ),
        ),
        answers=answer(
            Text(
                f"{DEEPEST} layers end at {{s0}} training error; from {MIDDLE} to {DEEPEST} layers the test error "
                f"{{s1m}}.",
                f"{DEEPEST}층의 training error는 {{s0}}이고, {MIDDLE}층에서 {DEEPEST}층으로 늘리면 test error가 "
                f"{{s1m}}한다.",
            )
        ),
        charts=("curves", "depth"),
    )
    return _only_if(able, setting, f"{MIDDLE}, {DEEPEST}", claim)


def _table_6(setting: Setting) -> Claim:
    printed_depths = tuple(depth for depth in setting.depths if depth in PAPER) if is_the_papers(setting) else ()
    depths = printed_depths or tuple(PAPER)
    missing = [depth for depth in PAPER if depth not in depths]
    shown = ", ".join(f"{depth} layers {{s{i}}}" for i, depth in enumerate(depths))
    shown_ko = ", ".join(f"{depth}층 {{s{i}}}" for i, depth in enumerate(depths))
    open_en = f" Not run: {', '.join(map(str, missing))} layers." if missing else ""
    open_ko = f" {', '.join(map(str, missing))}층은 실행하지 않았다." if missing else ""
    claim = Claim(
        id="C21",
        name=NAME,
        quote="ResNet-20 8.75, 32 7.51, 44 7.17, 56 6.97, 110 6.43 (6.61±0.16), 1202 7.93 %",
        said="Table 6",
        text=Text(
            "The nets reach Table 6's test errors on CIFAR-10.",
            "Table 6의 CIFAR-10 test error가 재현된다(110층은 5회 평균 6.61 %).",
        ),
        statements=(
            *(
                Statement(
                    Text(
                        f"Test error, residual, {depth} layers, minus the paper's {PAPER[depth]:.2f} %",
                        f"test error, residual, {depth}층 − 논문의 {PAPER[depth]:.2f} %",
                    ),
                    to_the_paper(depth),
                    Below(MARGIN),
                    unit="points",
                )
                for depth in depths
            ),
            Statement(
                Text("Depths of Table 6 that were not run", "실행하지 않은 Table 6의 깊이 수"),
                Quantity(f"{len(missing)} depths missing", partial(_count, len(missing))),
                Always(low=1),
                role=LIMIT,
            ),
        ),
        answers=answer(
            Text(f"Test error minus the paper's: {shown}.{open_en}", f"test error − 논문의 값: {shown_ko}.{open_ko}")
        ),
        charts=("curves", "depth"),
    )
    return _only_if(bool(printed_depths), setting, ", ".join(map(str, PAPER)), claim)
