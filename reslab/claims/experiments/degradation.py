"""C1 and C2: a plain net's training error rises with depth; its residual twin's does not (§1, §4.2, Fig. 1 and 6).

The runs: plain and residual twins (same layers, same initial weights, same order of samples) at several depths and
seeds. The measure: training error of a clean pass in evaluation mode at the end of the schedule, and test error.

The rule: over the seeds, the paired difference deepest minus shallowest of the final error, with its two-sided 95 %
t-interval. Plain nets degrade if the interval is above 0. Residual nets do not degrade if it ends at MARGIN or below in
training error (a claim of "no difference" needs a margin), and get better if it ends at 0 or below in training error
and in test error, as the note speaks of error. A rate other than the paper's is a condition. (Until 2026-11-27 test
error and rate decided nothing.)
"""

from __future__ import annotations

from reslab.claims.claim import BESIDE, LIMIT, MAIN, Claim, Statement
from reslab.claims.evidence import Evidence, Net, Setting, net
from reslab.claims.phrases import answer, answers
from reslab.claims.quantity import Quantity, Series, error_gap
from reslab.claims.rules import Above, Always, Below
from reslab.claims.text import Text
from reslab.runs.recipes import recipe

NAME = "degradation"
PILOT = Text(
    ", at a rate of {lr:g} chosen on other seeds; at the paper's 0.1 it degrades (docs/log.md)",
    ". learning rate {lr:g}는 다른 seed로 골랐고, 논문의 0.1에서는 degradation이 나타난다(docs/log.md)",
)
MARGIN = 1.0  # percentage points of training error by which a deeper residual net may be worse and still "not worse"


def twins(setting: Setting, kind: str) -> tuple[Net, ...]:
    """The plain or residual ("resnet") nets of a setting's depths."""
    return tuple(net(f"cifar_{kind}{depth}") for depth in setting.depths)


def claims(setting: Setting) -> tuple[Claim, ...]:
    return (_plain(setting), _residual(setting))


def deeper_minus(
    setting: Setting, kind: str, deep: int, split: str, rule: Above | Below, role: str = BESIDE,
    more: tuple[str, str] = ("", ""), flat: tuple[Net, ...] = (),
) -> Statement:  # fmt: skip
    """The final error ("train" or "test") of a twin of `deep` layers minus that of the setting's shallowest."""
    word, shallow = kind.replace("resnet", "residual"), setting.shallow
    part = "training" if split == "train" else split
    return Statement(
        Text(
            f"{part.capitalize()} error, {word}, {deep} layers minus {shallow}{more[0]}",
            f"{part} error, {word}, {deep}층 − {shallow}층{more[1]}",
        ),
        error_gap(net(f"cifar_{kind}{deep}"), net(f"cifar_{kind}{shallow}"), split),
        rule,
        role=role,
        unit="points",
        flat=flat,
    )


def _plain(setting: Setting) -> Claim:
    shallow, deep = setting.shallow, setting.deep
    return Claim(
        id="C1",
        name=NAME,
        quote="layer를 너무 많이 쌓으면 training error가 높게 나타난다. → 결국 degradation!",
        said="000, 001, 002; §1, Fig. 1, §4.2, Fig. 6",
        text=Text(
            "A plain net's training error rises with depth, once it is deep enough.",
            "plain 네트워크는 어느 깊이를 넘으면 깊을수록 training error가 커진다.",
        ),
        statements=(
            deeper_minus(setting, "plain", deep, "train", Above(0.0), MAIN, flat=twins(setting, "plain")),
            deeper_minus(setting, "plain", deep, "test", Above(0.0)),
            *(deeper_minus(setting, "plain", depth, "train", Above(0.0)) for depth in setting.depths[1:-1]),
        ),
        answers=answer(
            Text(
                f"From {shallow} to {deep} layers the plain net's training error {{s0m}}.",
                f"{shallow}층에서 {deep}층으로 늘리면 plain의 training error가 {{s0m}}한다.",
            )
        ),
        charts=("curves", "depth", "macs"),
    )


def _rate(evidence: Evidence) -> Series:
    """The setting's rate over the paper's; nothing before a run is there."""
    return {0: evidence.setting.recipe.lr / recipe("paper-cifar").lr} if evidence.every_record() else {}


def _residual(setting: Setting) -> Claim:
    shallow, deep = setting.shallow, setting.deep
    piloted = setting.recipe == recipe("digits-study")
    rate = PILOT.filled(lr=setting.recipe.lr) if piloted else Text("", "")
    no_worse = f" (no degradation: at most {MARGIN:g} point higher)", f"(degradation 없음: 증가 {MARGIN:g}%p 이하)"
    return Claim(
        id="C2",
        name=NAME,
        quote="skip-connection을 적용하면 깊을수록 error가 감소함을 보임",
        said="002; §4.2, Fig. 6",
        text=Text(
            "Residual nets do not degrade: deeper ones have a lower error.",
            "residual 네트워크에는 degradation이 없다. 깊을수록 error가 작다.",
        ),
        statements=(
            deeper_minus(setting, "resnet", deep, "train", Below(MARGIN), MAIN, no_worse, twins(setting, "resnet")),
            deeper_minus(
                setting, "resnet", deep, "train", Below(0.0), MAIN, (" (improvement: lower)", "(개선: 더 작다)")
            ),
            deeper_minus(
                setting, "resnet", deep, "test", Below(0.0), MAIN, (" (improvement: lower)", "(개선: 더 작다)")
            ),
            Statement(
                Text(
                    "Learning rate of these runs over the paper's 0.1 (below 1 it is a condition)",
                    "논문(0.1) 대비 이 실행의 learning rate(1 미만이면 조건부)",
                ),
                Quantity("rate over the paper's", _rate),
                Always(high=0.999),
                role=LIMIT,
                unit="×",
            ),
            Statement(
                Text(
                    f"Training error at {deep} layers, residual minus plain",
                    f"{deep}층의 training error, residual − plain",
                ),
                error_gap(net(f"cifar_resnet{deep}"), net(f"cifar_plain{deep}"), "train"),
                Below(0.0),
                role=BESIDE,
                unit="points",
            ),
        ),
        answers=answers(
            holds=Text(
                f"From {shallow} to {deep} layers the residual net's training error {{s0m}} and its test error "
                f"{{s2m}}.",
                f"{shallow}층에서 {deep}층으로 늘리면 residual의 training error가 {{s0m}}, test error가 {{s2m}}한다.",
            ),
            condition=Text(
                f"From {shallow} to {deep} layers the residual net's training error {{s0m}} and its test error "
                f"{{s2m}}{rate.en}.",
                f"{shallow}층에서 {deep}층으로 늘리면 residual의 training error가 {{s0m}}, test error가 "
                f"{{s2m}}한다{rate.ko}.",
            ),
            fails=Text(
                f"Residual nets degrade too: from {shallow} to {deep} layers the training error {{s0m}}.",
                f"residual에서도 degradation이 나타난다. {shallow}층에서 {deep}층으로 늘리면 training error가 "
                f"{{s0m}}한다.",
            ),
            undecided=Text(
                f"From {shallow} to {deep} layers the residual net's training error {{s0m}} and its test error "
                f"{{s2m}}.",
                f"{shallow}층에서 {deep}층으로 늘리면 residual의 training error가 {{s0m}}, test error가 {{s2m}}한다.",
            ),
        ),
        charts=("curves", "depth", "macs"),
    )
