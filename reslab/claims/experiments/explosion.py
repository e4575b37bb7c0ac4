"""C22 and C27: do gradients and activations explode in deep plain nets, and does the shortcut cure it?

The measure is that of `decades`, at initialisation, on nets with circular padding: zeros around maps of 8, 4 and 2
pixels take away signal at every layer, and without BN that shrinking was taken for an effect of depth. The same nets
with the paper's zeros are shown as well.

The rules. C22: gradients (towards the input) and activations (towards the output) of the deepest plain net grow by more
than three DECADES, with BN and without. C27: the residual twin's gradient grows less than the plain net's, with BN and
without, and without BN by no more than three DECADES. All figures with zeros were known when these rules were written;
those with circular padding on the seeds 0 to 4 of digits too, so they are judged on other seeds.
"""

from __future__ import annotations

from reslab.claims.claim import BESIDE, MAIN, Claim, Statement
from reslab.claims.evidence import Setting
from reslab.claims.experiments.decades import FAR, at_initialisation, at_start, circular, circular_start
from reslab.claims.experiments.gradients import APART, TOGETHER
from reslab.claims.phrases import answer
from reslab.claims.quantity import Quantity, minus
from reslab.claims.rules import Above, Below
from reslab.claims.text import Text

NAME = "explosion"
ZEROS = Text("zero padding (zeros weaken small maps)", "zero padding(작은 map에서는 0이 신호를 줄인다)")
CIRCULAR = Text("circular padding", "circular padding")
KINDS = {"plain": "plain", "resnet": "residual"}


def claims(setting: Setting) -> tuple[Claim, ...]:
    return (_growth(setting), _cure(setting))


def grows(
    kind: str, depth: int, batch_norm: bool, what: str, rule: Above | Below = APART, role: str = BESIDE,
    zeros: bool = False,
) -> Statement:  # fmt: skip
    """The growth of "gradient" or "activation" through a net of initial weights, with circular padding or `zeros`."""
    growth: Quantity = (at_start if zeros else circular_start)(kind, depth, batch_norm, what=what)
    padding = ZEROS if zeros else CIRCULAR
    bn = ("BN", "BN") if batch_norm else ("no BN", "BN 없음")
    return Statement(
        Text(
            f"Initial weights, growth of the {what}: {KINDS[kind]} {depth}, {bn[0]}, {padding.en}",
            f"초기 weight에서 {what}의 증가 배율: {KINDS[kind]} {depth}, {bn[1]}, {padding.ko}",
        ),
        growth, rule, role=role, unit="decades",
    )  # fmt: skip


def _growth(setting: Setting) -> Claim:
    deep = setting.deep
    sentence = Text(
        f"At initialisation (circular padding), through {deep} plain layers with BN the gradient {{s0m}} and the "
        "activation {s1m}; without BN the gradient {s2m} and the activation {s3m}.",
        f"초기 weight에서(circular padding) plain {deep}층을 지나는 동안 BN이 있으면 gradient는 {{s0n}}배, activation은"
        " {s1n}배가 되고, BN이 없으면 gradient는 {s2n}배, activation은 {s3n}배가 된다.",
    )
    return Claim(
        id="C22",
        name=NAME,
        quote="gradient값이 너무 작거나 큰 값들이 계속 곱해지면 결국 vanishig 혹은 exploding하게 된다.",
        said="000, 001",
        text=Text(
            "Gradients and activations also explode in deep plain nets.",
            "깊은 plain 네트워크에서는 gradient와 activation이 폭발하기도 한다.",
        ),
        statements=(
            *(grows("plain", deep, bn, w, role=MAIN) for bn in (True, False) for w in ("gradient", "activation")),
            *(grows("plain", deep, bn, w, zeros=True) for bn in (True, False) for w in ("gradient", "activation")),
            *([grows("plain", FAR, True, "gradient", zeros=True)] if deep != FAR else []),
        ),
        answers=answer(sentence),
        measurements=(at_initialisation(setting), circular(setting)),
        charts=("gradients", "activations"),
    )


def _cure(setting: Setting) -> Claim:
    deep, less = setting.deep, Below(0.0)

    def gap(batch_norm: bool, en: str, ko: str) -> Statement:
        return Statement(
            Text(
                f"Initial weights, growth of the gradient, {deep} layers, {en}, circular padding: residual over plain",
                f"초기 weight에서 gradient의 증가 배율, {deep}층, {ko}, circular padding: residual / plain",
            ),
            minus(circular_start("resnet", deep, batch_norm), circular_start("plain", deep, batch_norm)),
            less, role=MAIN, unit="decades",
        )  # fmt: skip

    sentence = Text(
        f"At initialisation (circular padding), with BN the gradient {{s3m}} through {deep} residual layers and "
        "{s4m} through plain ones. Without BN it "
        "{s2m} in residual nets and {s5m} in plain ones.",
        f"초기 weight에서(circular padding) BN이 있으면 gradient는 residual {deep}층에서 {{s3n}}배, plain에서 "
        "{s4n}배가 된다. BN이 없으면 residual에서 "
        "{s2n}배, plain에서 {s5n}배가 된다.",
    )
    return Claim(
        id="C27",
        name=NAME,
        quote="back-propagation시 L번째 layer 에 대한 gradient가 직접적으로 전달되기 때문에 , vanishing gradient나 "
        "exploding gradient가 발생하지 않습니다.",
        said="000, 001",
        text=Text(
            "The shortcut keeps gradients from exploding.",
            "shortcut이 있으면 gradient가 폭발하지 않는다.",
        ),
        statements=(
            gap(True, "BN", "BN"),
            gap(False, "no BN", "BN 없음"),
            grows("resnet", deep, False, "gradient", TOGETHER, MAIN),
            grows("resnet", deep, True, "gradient", TOGETHER),
            grows("plain", deep, True, "gradient", TOGETHER),
            grows("plain", deep, False, "gradient", TOGETHER),
            grows("resnet", deep, False, "activation", TOGETHER),
            grows("resnet", deep, False, "gradient", TOGETHER, zeros=True),
            grows("resnet", deep, False, "activation", TOGETHER, zeros=True),
        ),
        answers=answer(sentence),
        measurements=(at_initialisation(setting), circular(setting)),
        charts=("gradients", "activations"),
    )
