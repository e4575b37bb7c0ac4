"""C3 and C22: do gradients vanish or explode in deep nets, with and without BN, and does that explain degradation?

The notes disagree: 000 and 001 give vanishing and exploding gradients as the reason of degradation; 002 and §4.1 say
that BN already keeps them healthy. The measure is that of `decades`, at initialisation for every variant, and through
training for the twins with BN and the deepest plain net without BN. Residual nets without BN are not trained: their
activations grow with every block, as C22 shows.

The rule, written before the runs: gradients have "vanished" or "exploded" where first and last block lie more than
three DECADES apart. C3 as 000 and 001 mean it holds where they do in the deepest plain net, with BN and without, at
initialisation and in the median probe of its training. It holds with a condition where only some of these do, or where
the residual twin, which should then degrade too, is as far apart. To go together is what a cause must do; it proves
none. C22 holds where gradients and activations of the deepest plain net both grow by more than DECADES at
initialisation, with BN and without.
"""

from __future__ import annotations

from reslab.claims.claim import BESIDE, LIMIT, MAIN, Claim, Statement, answers
from reslab.claims.evidence import Setting, net
from reslab.claims.experiments.decades import FAR, Variant, at_initialisation, at_start, in_training, size
from reslab.claims.experiments.degradation import deeper_minus
from reslab.claims.quantity import Quantity, final_error, paired
from reslab.claims.rules import Above, Below, Within
from reslab.claims.text import Text

NAME = "gradients"
DECADES = 3.0  # one rate serves all layers: where steps differ by more than 1000, one end stands still or is torn up
BEYOND = Above(DECADES)
GOING = 80.0  # percent of training error below which a net has "started converging" (§4.2, of 110 layers)


def last(values: list[float]) -> float:
    return values[-1]


def claims(setting: Setting) -> tuple[Claim, ...]:
    return (_cause(setting), _growth(setting))


# -- C3


def _cause(setting: Setting) -> Claim:
    shallow, middle, deep = setting.shallow, setting.middle, setting.deep
    plain, bare = net(f"cifar_plain{deep}"), net(f"cifar_plain{deep}", batch_norm=False)

    def rise(depth: int) -> Statement:
        ends = net(f"cifar_plain{depth}"), net(f"cifar_plain{shallow}")
        return deeper_minus(setting, "plain", depth, "train", Above(0.0), flat=ends)

    def distance(en: str, ko: str, of: Quantity, rule: Above | Below, role: str = MAIN) -> Statement:
        return Statement(Text(f"Gradient, first block against last: {en}", f"gradient, 첫 block과 마지막 block: {ko}"),
                         of, rule, role=role, unit="decades")  # fmt: skip

    inside = Below(DECADES)
    between = (
        rise(middle),
        distance(f"plain {middle}, BN, initial", f"plain {middle}, BN, 초기값", size(at_start("plain", middle, True)),
                 inside, BESIDE),
        distance(f"plain {middle}, BN, training", f"plain {middle}, BN, 학습 중",
                 in_training(net(f"cifar_plain{middle}")), inside, BESIDE),
    ) if middle not in (shallow, deep) else ()  # fmt: skip
    return Claim(
        id="C3",
        name=NAME,
        quote="Deep Neural Net에서 위와 같은 문제점이 발생하는 이유는 gradient가 폭발적으로 증가하거나, 0에 가깝게 "
        "감소하기 때문입니다.",
        said="000, 001; against them 002, §4.1",
        text=Text(
            "Deep plain nets degrade because their gradients vanish or explode.",
            "깊은 plain 네트워크의 degradation은 gradient vanishing/exploding 때문이다.",
        ),
        statements=(
            distance(f"plain {deep}, BN, initial weights", f"plain {deep}, BN, 초기값",
                     size(at_start("plain", deep, True)), BEYOND),
            distance(f"plain {deep}, BN, median of training", f"plain {deep}, BN, 학습 중 중앙값",
                     in_training(plain), BEYOND),
            distance(f"plain {deep}, no BN, initial weights", f"plain {deep}, BN 없음, 초기값",
                     size(at_start("plain", deep, False)), BEYOND),
            distance(f"plain {deep}, no BN, median of training", f"plain {deep}, BN 없음, 학습 중 중앙값",
                     in_training(bare), BEYOND),
            distance(f"residual {deep}, BN, initial weights: as far apart", f"residual {deep}, BN, 초기값: 똑같이 크다",
                     size(at_start("resnet", deep, True)), BEYOND, LIMIT),
            rise(deep),
            distance(f"residual {deep}, BN, median of training", f"residual {deep}, BN, 학습 중 중앙값",
                     in_training(net(f"cifar_resnet{deep}")), inside, BESIDE),
            distance(f"plain {deep}, BN, end of training", f"plain {deep}, BN, 학습 끝",
                     in_training(plain, last), inside, BESIDE),
            Statement(Text(f"Training error, plain {deep}, no BN: it gets going (§4.2's bar of 80 %)",
                           f"training error, plain {deep}, BN 없음: 학습이 시작된다 (§4.2의 기준 80 %)"),
                      final_error(bare, "train"), Below(GOING), role=BESIDE, unit="%"),
            *between,
        ),
        answers=answers(
            f"In the plain {deep}-layer net the gradients of first and last block lie apart by {{s0}} at "
            f"initialisation and {{s1}} in training with BN, by {{s2}} and {{s3}} without (where it ends at {{s8}} "
            f"training error); in its residual twin with BN by {{s4}}. From {shallow} to {deep} layers the plain "
            f"training error changes by {{s5}}: {{end}}",
            f"plain {deep}층에서 첫 block과 마지막 block의 gradient 차이는 BN이 있으면 초기값에서 {{s0}}, 학습 중 "
            f"{{s1}}, BN이 없으면 {{s2}}, {{s3}}이고(이때 마지막 training error {{s8}}), BN이 있는 residual 쌍둥이는 "
            f"{{s4}}이다. {shallow}층에서 {deep}층으로 가면 plain의 training error가 {{s5}} 변한다: {{end}}",
            holds=Text(
                "beyond three decades wherever plain was measured, and not in the residual twin. This is what "
                "a cause would look like; it proves none.",
                "plain에서는 어디서 재도 3 decade를 넘고 residual에서는 넘지 않는다. 원인이라면 이렇게 보이겠지만, "
                "원인임을 증명하지는 않는다.",
            ),
            condition=Text(
                "beyond three decades in some of these cases, but not in every plain one, or in the "
                "residual twin as well. It depends on BN and on the moment, and is not the whole cause.",
                "3 decade를 넘는 경우가 있지만, plain의 모든 경우가 그런 것은 아니거나 residual도 그렇다. BN과 "
                "시점에 달려 있으며, 이것만으로 원인이라 할 수 없다.",
            ),
            fails=Text(
                "in no case are they shown to lie beyond three decades. They neither vanish nor explode, so "
                "that is not the cause.",
                "3 decade를 넘는다고 밝혀진 경우가 없다. vanishing도 exploding도 아니므로 그것이 원인은 아니다.",
            ),
            undecided=Text(
                "these runs do not decide whether that is beyond three decades.",
                "3 decade를 넘는지 이 실행들로는 결정할 수 없다.",
            ),
        ),
        measurements=(at_initialisation(setting),),
        charts=("gradients",),
    )  # fmt: skip


# -- C22


def _growth(setting: Setting) -> Claim:
    shallow, deep = setting.shallow, setting.deep

    def grows(of: Variant, what: str, rule: Above | Within = BEYOND, role: str = BESIDE) -> Statement:
        kind, depth, batch_norm, activation = of
        en = f"{kind.replace('resnet', 'residual')} {depth}, {'BN' if batch_norm else 'no BN'}, {activation}"
        return Statement(
            Text(f"Initial weights, growth of the {what}: {en}",
                 f"초기값, {what}의 증가: {en.replace('no BN', 'BN 없음')}"),
            at_start(*of, what=what), rule, role=role, unit="decades",
        )  # fmt: skip

    def a_layer(far: float, near: float) -> float:
        return (far - near) / (FAR - shallow)

    pace = Statement(
        Text(f"Growth of the gradient a layer, plain, BN, relu, from {shallow} to {FAR} layers",
             f"한 층당 gradient의 증가, plain, BN, relu, {shallow}층에서 {FAR}층까지"),
        paired(at_start("plain", FAR, True), at_start("plain", shallow, True),
               a_layer),
        Above(0.0), role=BESIDE, unit="decades a layer",
    )  # fmt: skip
    saturating = [
        grows((k, deep, False, a), w)
        for a in ("tanh", "sigmoid") for k in ("plain", "resnet") for w in ("gradient", "activation")
    ]  # fmt: skip
    beyond = (
        f"; the gradient through {FAR} plain layers with BN by {{s7}}",
        f"BN이 있는 plain {FAR}층의 gradient는 {{s7}} 증가한다. ",
    )
    far = beyond if deep != FAR else ("", "")
    return Claim(
        id="C22",
        name=NAME,
        quote="gradient값이 너무 작거나 큰 값들이 계속 곱해지면 결국 vanishig 혹은 exploding하게 된다.",
        said="000, 001",
        text=Text(
            "Gradients and activations also explode in deep plain nets.",
            "깊은 plain 네트워크에서는 gradient와 activation이 exploding하기도 한다.",
        ),
        statements=(
            *(grows(("plain", deep, bn, "relu"), w, role=MAIN) for bn in (True, False)
              for w in ("gradient", "activation")),
            grows(("resnet", deep, True, "relu"), "gradient", Within(DECADES)),
            grows(("resnet", deep, False, "relu"), "gradient"),
            grows(("resnet", deep, False, "relu"), "activation"),
            *([grows(("plain", FAR, True, "relu"), "gradient")] if deep != FAR else []),
            *([pace] if shallow != FAR else []),
            *saturating,
        ),
        answers=answers(
            f"At initialisation, through {deep} plain layers, the gradient grows towards the input by {{s0}} with "
            "BN and {s2} without, the activation towards the output by {s1} and {s3} (below 0: it shrinks); in "
            f"the residual net without BN by {{s5}} and {{s6}}{far[0]}: {{end}}",
            f"초기값에서 plain {deep}층을 지나는 동안 gradient는 입력 쪽으로 BN이 있으면 {{s0}}, 없으면 {{s2}}, "
            "activation은 출력 쪽으로 {s1}, {s3} 증가한다(음수는 감소). BN 없는 residual에서는 {s5}, {s6}이다: "
            f"{far[1]}{{end}}",
            holds=Text(
                "plain nets explode by more than three decades in every case.",
                "plain은 모든 경우에 3 decade 넘게 exploding한다.",
            ),
            condition=Text(
                "more than three decades in some cases and not in others; it depends on BN and on which "
                "of the two is meant.",
                "3 decade를 넘는 경우도 있고 아닌 경우도 있다. BN의 유무와 둘 중 무엇을 말하는지에 달려 있다.",
            ),
            fails=Text(
                f"through {deep} layers plain explodes by more than three decades in no case.",
                f"{deep}층에서는 plain이 3 decade 넘게 exploding하는 경우가 없다.",
            ),
            undecided=Text(
                "this does not decide whether plain nets explode by more than three decades.",
                "plain이 3 decade 넘게 exploding하는지 결정할 수 없다.",
            ),
        ),
        measurements=(at_initialisation(setting),),
        charts=("gradients", "activations"),
    )  # fmt: skip
