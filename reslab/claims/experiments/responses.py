"""C15: layer responses (note 002 §4; §4.2 "Analysis of Layer Responses", Fig. 7).

The runs: the plain and residual twins of C1 and C2, probed at the end of training. The measure: the standard deviation
of each 3x3 layer's output after its BN and before the ReLU or the addition, over samples, channels and positions; of a
net, the mean of it over all its layers. Fig. 7 shows every layer and leaves the comparison to the eye: the mean is the
choice made here. A deeper net's mean has more layers in it; which layers are smaller, the figure by layer shows.
The rule, written before the runs, by paired differences over the seeds with their 95 % intervals. (a) Deeper residual
nets respond less: deepest minus shallowest ends at 0 or below. (b) A residual net responds less than its plain twin:
the same, at every depth. (c) The note's own reading, deeper plain nets respond more: deepest minus shallowest above 0.
"""

from __future__ import annotations

from statistics import mean

from reslab.claims.claim import BESIDE, MAIN, Claim, Statement, answers
from reslab.claims.evidence import Setting, net
from reslab.claims.quantity import Quantity, minus, probed
from reslab.claims.rules import Above, Below, Rule
from reslab.claims.text import Text

NAME = "responses"


def response(kind: str, depth: int) -> Quantity:
    """Mean over the layers of their responses' standard deviation, at the end of training."""
    return probed(net(f"cifar_{kind}{depth}"), "responses", mean)


def claims(setting: Setting) -> tuple[Claim, ...]:
    return (_responses(setting),)


def _by_depth(kind: str, deep: int, shallow: int, rule: Rule, role: str = MAIN) -> Statement:
    word, more = ("plain", "larger") if kind == "plain" else ("residual", "smaller")
    ko = "더 크다" if kind == "plain" else "더 작다"
    return Statement(
        Text(
            f"Mean std of the responses, {word}, {deep} layers minus {shallow}: {more}",
            f"response의 평균 표준편차, {word}, {deep}층 − {shallow}층: {ko}",
        ),
        minus(response(kind, deep), response(kind, shallow)),
        rule,
        role=role,
    )


def _by_kind(depth: int) -> Statement:
    return Statement(
        Text(
            f"Mean std of the responses, {depth} layers, residual minus plain: smaller",
            f"response의 평균 표준편차, {depth}층, residual − plain: 더 작다",
        ),
        minus(response("resnet", depth), response("plain", depth)),
        Below(0.0),
    )


def _responses(setting: Setting) -> Claim:
    shallow, deep = setting.shallow, setting.deep
    less, more = Below(0.0), Above(0.0)
    return Claim(
        id="C15",
        name=NAME,
        quote="깊을수록 std가 더 작다는 것을 알 수 있다. 더 안정적이다. […] plain한 모델들은 기존의 문제인 깊을수록 "
        "불안정하다. (std가 크다)",
        said="002 §4; §4.2, Fig. 7",
        text=Text(
            "Deeper residual nets respond less, residual nets less than plain ones, and deeper plain nets more.",
            "residual은 깊을수록, 또 plain보다 response의 std가 작고, plain은 깊을수록 크다.",
        ),
        statements=(
            _by_depth("resnet", deep, shallow, less),
            _by_kind(deep),
            _by_depth("plain", deep, shallow, more),
            *(_by_kind(depth) for depth in reversed(setting.depths[:-1])),
            *(
                _by_depth(kind, depth, shallow, rule, BESIDE)
                for depth in setting.depths[1:-1]
                for kind, rule in (("resnet", less), ("plain", more))
            ),
        ),
        answers=answers(
            f"From {shallow} to {deep} layers the mean std changes by {{s0}} in residual nets and by {{s2}} in "
            f"plain ones; at {deep} layers residual differs from plain by {{s1}}: {{end}}",
            f"{shallow}층에서 {deep}층으로 가면 평균 std가 residual에서 {{s0}}, plain에서 {{s2}} 변하고, {deep}층"
            f"에서 residual은 plain과 {{s1}} 다르다: {{end}}",
            holds=Text("all three parts hold.", "세 부분이 모두 성립한다."),
            condition=Text(
                "not every part of it holds at every depth.", "모든 부분이 모든 깊이에서 성립하지는 않는다."
            ),
            fails=Text("no part of it is shown.", "어느 부분도 확인되지 않는다."),
            undecided=Text("these runs do not decide all of it.", "이 실행들로는 모두 결정할 수는 없다."),
        ),
        charts=("responses",),
    )
