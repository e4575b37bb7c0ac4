"""C4 and C5: dH/dx = dF/dx + 1, "so the gradient can never be 0" (notes 000, 002; Eq. (1) and (2) differentiated).

The "1" is the identity matrix. Three measurements, all of `derivatives`. `jacobians-blocks`, made once: blocks of small
nets at initialisation with random BN statistics. `jacobians-counter`, made once: an MLP block with W2 W1 = -I on active
units, and one whose last ReLU is inactive everywhere. `jacobians-trained`, for each seed: identity blocks of the middle
residual net, trained and initial: how many singular values are small, how many rows are 0.

The rule: C4 holds if, for an identity shortcut and before the last ReLU, no entry of J_H - (J_F + I) is larger than
ROUNDING; with a condition if the ReLU after the addition, a projection or option A breaks it. C5 says "never": it holds
if no construction makes J_H zero, and one that does refutes it. How often directions of small gain occur in trained
nets is shown.
"""

from __future__ import annotations

from functools import partial

from reslab.claims.claim import BESIDE, LIMIT, Claim, Measurement, Statement
from reslab.claims.evidence import Setting, net
from reslab.claims.experiments.derivatives import blocks, counter, trained
from reslab.claims.phrases import answers
from reslab.claims.quantity import measurement
from reslab.claims.rules import Above, Always
from reslab.claims.text import Text

NAME = "jacobians"
BLOCKS, COUNTER, TRAINED = "jacobians-blocks", "jacobians-counter", "jacobians-trained"
ROUNDING = 1e-10  # entries are of order 1 and sums of some hundred float64 terms: their error stays below 1e-12


def claims(setting: Setting) -> tuple[Claim, ...]:
    return (_sum(), _never_zero(setting))


def _sum() -> Claim:
    rounding, broken = Always(high=ROUNDING), Always(low=ROUNDING)

    def largest(en: str, ko: str, key: str, rule: Always, role: str = BESIDE, unit: str = "") -> Statement:
        return Statement(Text(en, ko), measurement(BLOCKS, key), rule, role=role, unit=unit)

    return Claim(
        id="C4",
        name=NAME,
        quote=r"$\frac{\partial H}{\partial x}=\frac{\partial F}{\partial x}+1$",
        said="000, 002; Eq. (1), (2)",
        text=Text(
            "H(x) = F(x) + x has the derivative of F plus 1 (the identity matrix).",
            "H(x) = F(x) + x의 미분은 F의 미분에 1(항등 행렬)을 더한 것이다.",
        ),
        statements=(
            largest(
                "Identity shortcut, before the last ReLU: largest |J_H − (J_F + I)|",
                "identity shortcut, 마지막 ReLU 전: |J_H − (J_F + I)|의 최댓값",
                "identity",
                rounding,
                "main",
            ),
            largest(
                "After that ReLU: outputs of a block whose row is 0",
                "그 ReLU 뒤: 행이 0인 출력의 수 (block마다)",
                "inactive",
                Always(low=1.0),
                LIMIT,
            ),
            largest(
                "Projection where the size stays: largest |J_H − (J_F + I)|",
                "크기가 같은 projection: |J_H − (J_F + I)|의 최댓값",
                "projection_deviation",
                broken,
                LIMIT,
            ),
            largest(
                "Option A where the size halves: inputs that the shortcut drops",
                "option A, 크기가 반이 될 때: shortcut이 버리는 입력",
                "dropped",
                broken,
                LIMIT,
                "%",
            ),
            largest(
                "Projection: largest |J_H − (J_F + W_s)|",
                "projection: |J_H − (J_F + W_s)|의 최댓값",
                "projection",
                rounding,
            ),
            largest(
                "Option A: largest |J_H − (J_F + ones and zeros)|",
                "option A: |J_H − (J_F + 0과 1)|의 최댓값",
                "option_a",
                rounding,
            ),
            largest(
                "After the ReLU: largest entry of a row that should be 0, or change of another row",
                "ReLU 뒤: 0이어야 할 행의 최댓값, 또는 다른 행의 변화",
                "relu_rows",
                rounding,
            ),
            largest(
                "After the ReLU: largest |J_H − (J_F + I)|",
                "ReLU 뒤: |J_H − (J_F + I)|의 최댓값",
                "relu_deviation",
                broken,
            ),
            largest(
                "Pre-activation, the block's own output: largest |J_H − (J_F + I)|",
                "pre-activation, block의 출력: |J_H − (J_F + I)|의 최댓값",
                "preactivation",
                rounding,
            ),
        ),
        answers=answers(
            holds=Text(
                "For an identity shortcut both sides are equal to rounding ({s0}).",
                "identity shortcut에서 양변은 반올림 오차({s0}) 범위에서 같다.",
            ),
            condition=Text(
                "It is exact before the last ReLU. After it, {s1} outputs of a block have zero rows; a projection "
                "puts W_s in place of 1, and option A drops {s3} of the inputs.",
                "마지막 ReLU 전까지는 정확하다. ReLU 뒤에는 block마다 출력 {s1}개의 행이 0이 되고, projection은 1 "
                "대신 W_s를 더하며, option A는 입력의 {s3}를 버린다.",
            ),
            fails=Text(
                "Even for an identity shortcut the sides differ by {s0}.", "identity shortcut에서도 양변이 {s0} 다르다."
            ),
            undecided=Text("The sides differ by {s0}.", "양변의 차이는 {s0}이다."),
        ),
        measurements=(Measurement(BLOCKS, blocks),),
    )


def _never_zero(setting: Setting) -> Claim:
    residual = net(f"cifar_resnet{setting.middle}")

    def share(en: str, ko: str, key: str) -> Statement:
        return Statement(Text(en, ko), measurement(TRAINED, key), Above(0.0), role=BESIDE, unit="%")

    return Claim(
        id="C5",
        name=NAME,
        quote="1이 항상 더해지므로 gradient가 0이 되는 것을 막아 VG를 방지할 수 있게된다.",
        said="000, 002",
        text=Text(
            "Thanks to the added 1 the gradient through a block is never 0.",
            "1이 항상 더해지므로 residual block을 지나는 gradient는 절대 0이 될 수 없다.",
        ),
        statements=(
            Statement(
                Text(
                    "Largest |entry| of J_H in a block whose F learned −x (J_F = −I)",
                    "F가 −x를 배운 block(J_F = −I)에서 J_H 원소의 최대 절댓값",
                ),
                measurement(COUNTER, "minus_identity"),
                Always(low=ROUNDING),
            ),
            Statement(
                Text(
                    "Largest |entry| of J_H in a block whose last ReLU is inactive everywhere",
                    "마지막 ReLU가 모두 꺼진 block에서 J_H 원소의 최대 절댓값",
                ),
                measurement(COUNTER, "inactive_relu"),
                Always(low=ROUNDING),
            ),
            share(
                f"Trained residual {setting.middle}: singular values of J_H below 0.1, before the ReLU",
                f"학습된 residual {setting.middle}: 0.1보다 작은 J_H의 특이값 (ReLU 전)",
                "small_trained",
            ),
            share("The same at initialisation", "위와 같은 비율, 초기 weight", "small_initial"),
            share(
                f"Trained residual {setting.middle}: rows of J_H that are 0, after the ReLU",
                f"학습된 residual {setting.middle}: ReLU 뒤 J_H의 0인 행",
                "zero_rows_trained",
            ),
            share("The same at initialisation", "위와 같은 비율, 초기 weight", "zero_rows_initial"),
        ),
        answers=answers(
            holds=Text(
                "Neither a block with F(x) = −x nor one with an inactive ReLU makes it 0.",
                "F(x) = −x인 block도, ReLU가 꺼진 block도 gradient를 0으로 만들지 않는다.",
            ),
            condition=Text(
                "One construction makes it 0 and the other does not ({s0} and {s1}).",
                "두 block 가운데 하나만 gradient를 0으로 만든다({s0}, {s1}).",
            ),
            fails=Text(
                "It can be 0: all entries of a block's Jacobian are 0 if F learned −x, or if its last ReLU is off "
                f"at every unit. In the trained {setting.middle}-layer net {{s4}} of the rows (outputs) are 0.",
                "0이 될 수 있다. F가 −x를 배우거나 마지막 ReLU가 모두 꺼지면 block Jacobian의 모든 원소가 0이다. "
                f"학습된 {setting.middle}층에서는 행(출력)의 {{s4}}가 0이다.",
            ),
            undecided=Text("The largest entries are {s0} and {s1}.", "가장 큰 원소는 {s0}, {s1}이다."),
        ),
        measurements=(
            Measurement(COUNTER, counter),
            Measurement(TRAINED, partial(trained, residual), nets=(residual,), each_seed=True, seconds=20),
        ),
    )
