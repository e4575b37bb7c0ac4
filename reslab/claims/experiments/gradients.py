"""C3 and C26: do vanishing or exploding gradients explain degradation, and does BN keep gradients healthy?

The notes disagree: 000 and 001 give vanishing and exploding gradients as the reason of degradation (C3); 002 and §4.1
answer that BN already keeps them healthy (C26). The measure is that of `decades`: how far the gradients of first and
last block are apart, at initialisation and through training, in plain nets with BN, the nets that degrade.

The rules. Gradients have vanished or exploded if first and last block are more than three DECADES apart. C3 holds if
they are in the deepest plain net with BN, in the median probe of its training: a cause must be there while the net is
trained. C26 holds if they are not, at initialisation and in the median probe of training. Shown, and deciding nothing:
the residual twin, the end of training, and the plain net without BN, with zeros around its maps and with circular
padding (small maps lose signal to the zeros, which without BN looks like vanishing). (Until 2026-11-27 C3 was both.)
"""

from __future__ import annotations

from reslab.claims.claim import BESIDE, MAIN, Claim, Statement
from reslab.claims.evidence import Setting, net
from reslab.claims.experiments.decades import (
    MOST,
    at_initialisation,
    at_start,
    circular,
    circular_start,
    in_training,
    size,
)
from reslab.claims.experiments.degradation import deeper_minus
from reslab.claims.phrases import answer, factor
from reslab.claims.quantity import Quantity, final_error
from reslab.claims.rules import Above, Below
from reslab.claims.text import Text

NAME = "gradients"
DECADES = 3.0  # one rate serves all layers: if steps differ by more than 1,000 times, one end does not move or diverges
FACTOR = int(10**DECADES)
APART, TOGETHER = Above(DECADES), Below(DECADES)
GOING = 80.0  # percent of training error below which a net has "started converging" (§4.2, of 110 layers)


def last(values: list[float]) -> float:
    return values[-1]


def claims(setting: Setting) -> tuple[Claim, ...]:
    return (_cause(setting), _healthy(setting))


def distance(en: str, ko: str, of: Quantity, rule: Above | Below, role: str = BESIDE) -> Statement:
    return Statement(
        Text(
            f"Gradients of first and last block, larger over smaller: {en}",
            f"첫 block과 마지막 block의 gradient, 큰 쪽 / 작은 쪽: {ko}",
        ),
        of,
        rule,
        role=role,
        unit="decades",
    )


def _cause(setting: Setting) -> Claim:
    shallow, deep = setting.shallow, setting.deep
    plain, residual = net(f"cifar_plain{deep}"), net(f"cifar_resnet{deep}")
    ends = plain, net(f"cifar_plain{shallow}")
    sentence = Text(
        f"In training, gradients of the first and last block of plain-{deep} with BN differ by a factor of {{s0n}} "
        f"(vanished or exploded: over {FACTOR:,}), while from {shallow} to {deep} layers training error {{s1m}}.",
        f"학습 중 BN이 있는 plain {deep}층의 첫 block과 마지막 block의 gradient 크기는 {{s0n}}배 차이 나고"
        f"(vanishing/exploding 기준 {FACTOR:,}배), {shallow}층에서 {deep}층으로 늘리면 training error는 {{s1m}}한다.",
    )
    return Claim(
        id="C3",
        name=NAME,
        quote="Deep Neural Net에서 위와 같은 문제점이 발생하는 이유는 gradient가 폭발적으로 증가하거나, 0에 가깝게 "
        "감소하기 때문입니다.",
        said="000, 001 vs. 002; §4.1",
        text=Text(
            "Deep plain nets degrade because their gradients vanish or explode.",
            "깊은 plain 네트워크의 degradation은 gradient vanishing/exploding 때문이다.",
        ),
        statements=(
            distance(f"plain {deep}, BN, median of training", f"plain {deep}, BN, 학습 중 중앙값", in_training(plain),
                     APART, MAIN),
            deeper_minus(setting, "plain", deep, "train", Above(0.0), flat=ends),
            distance(f"plain {deep}, BN, initial weights", f"plain {deep}, BN, 초기 weight",
                     size(at_start("plain", deep, True)), APART),
            distance(f"residual {deep}, BN, median of training", f"residual {deep}, BN, 학습 중 중앙값",
                     in_training(residual), APART),
            distance(f"residual {deep}, BN, initial weights", f"residual {deep}, BN, 초기 weight",
                     size(at_start("resnet", deep, True)), APART),
        ),
        answers=answer(sentence),
        measurements=(at_initialisation(setting),),
        charts=("gradients",),
    )  # fmt: skip


def _healthy(setting: Setting) -> Claim:
    deep = setting.deep
    plain, bare = net(f"cifar_plain{deep}"), net(f"cifar_plain{deep}", batch_norm=False)
    sentence = Text(
        f"With BN, gradients of the first and last block of plain-{deep} differ by a factor of {{s0n}} at "
        f"initialisation and {{s1n}} in training; up to {FACTOR:,} counts as healthy.",
        f"BN이 있는 plain {deep}층에서 첫 block과 마지막 block의 gradient 크기는 초기 weight에서 {{s0n}}배, 학습 중 "
        f"{{s1n}}배 차이 난다. {FACTOR:,}배까지를 정상으로 본다.",
    )
    return Claim(
        id="C26",
        name=NAME,
        quote="Batch Normalization과 ReLU가 Vanishing Gradient 문제를 해결했지만, 모델이 깊을수록 training error가 "
        "커지는 문제 발생",
        said="002; §4.1",
        text=Text(
            "Batch norm keeps the gradients of deep plain nets healthy.",
            "깊은 plain 네트워크에서도 BN이 gradient를 정상 범위로 유지한다.",
        ),
        statements=(
            distance(f"plain {deep}, BN, initial weights", f"plain {deep}, BN, 초기 weight",
                     size(at_start("plain", deep, True)), TOGETHER, MAIN),
            distance(f"plain {deep}, BN, median of training", f"plain {deep}, BN, 학습 중 중앙값", in_training(plain),
                     TOGETHER, MAIN),
            distance(f"plain {deep}, BN, end of training", f"plain {deep}, BN, 학습 끝", in_training(plain, last),
                     TOGETHER),
            distance(f"plain {deep}, no BN, initial weights", f"plain {deep}, BN 없음, 초기 weight",
                     size(at_start("plain", deep, False)), TOGETHER),
            distance(f"plain {deep}, no BN, circular padding, initial weights",
                     f"plain {deep}, BN 없음, circular padding, 초기 weight",
                     size(circular_start("plain", deep, False)), TOGETHER),
            distance(f"plain {deep}, no BN, median of training (a gradient of 0 counts as ×{factor(MOST)})",
                     f"plain {deep}, BN 없음, 학습 중 중앙값(gradient 0은 {factor(MOST)}배로 센다)",
                     in_training(bare), TOGETHER),
            Statement(Text(f"Training error, plain {deep}, no BN: it trains at all (§4.2: below {GOING:g} %)",
                           f"training error, plain {deep}, BN 없음: 학습이 되는가(§4.2: {GOING:g} % 미만)"),
                      final_error(bare, "train"), Below(GOING), role=BESIDE, unit="%"),
        ),
        answers=answer(sentence),
        measurements=(at_initialisation(setting), circular(setting)),
        charts=("gradients",),
    )  # fmt: skip
