"""C15: layer responses (note 002 §4; §4.2 "Analysis of Layer Responses", Fig. 7).

The runs: the plain and residual twins of C1 and C2, probed at the end of training. The measure: the standard deviation
of each 3x3 layer's output after its BN and before the ReLU or the addition, over samples, channels and positions; of a
net, the mean and the median of it over its layers: the note names none, and the two can disagree, as the first layers
of a deep plain net respond far more than the others. The figure by layer shows which layers are smaller.

The rule, by paired differences over the seeds with their 95 % intervals, each by mean and by median. (a) Deeper
residual nets respond less: deepest minus shallowest ends at 0 or below. (b) A residual net responds less than its plain
twin: the same, at the deepest. (c) The note's own reading, deeper plain nets respond more: deepest minus shallowest
above 0. Other depths are shown. (Until 2026-11-27 the mean alone decided, and (b) at every depth.)
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import mean, median

from reslab.claims.claim import BESIDE, MAIN, Claim, Statement
from reslab.claims.evidence import Setting, net
from reslab.claims.phrases import answer
from reslab.claims.quantity import Quantity, minus, probed
from reslab.claims.rules import Above, Below, Rule
from reslab.claims.text import Text

NAME = "responses"


Average = Callable[[list[float]], float]
AVERAGES: dict[Average, Text] = {mean: Text("mean", "평균"), median: Text("median", "중앙값")}


def response(kind: str, depth: int, average: Average) -> Quantity:
    """`average` over the layers of their responses' standard deviation, at the end of training."""
    return probed(net(f"cifar_{kind}{depth}"), "responses", average)


def claims(setting: Setting) -> tuple[Claim, ...]:
    return (_responses(setting),)


def _by_depth(average: Average, kind: str, deep: int, shallow: int, rule: Rule, role: str = MAIN) -> Statement:
    word, more = ("plain", "larger") if kind == "plain" else ("residual", "smaller")
    ko = "더 크다" if kind == "plain" else "더 작다"
    label = AVERAGES[average]
    return Statement(
        Text(
            f"{label.en.capitalize()} response over layers, {word}, {deep} layers minus {shallow} (claimed: {more})",
            f"층별 response의 {label.ko}, {word}, {deep}층 − {shallow}층(주장: {ko})",
        ),
        minus(response(kind, deep, average), response(kind, shallow, average)),
        rule,
        role=role,
    )


def _by_kind(average: Average, depth: int, role: str = MAIN) -> Statement:
    label = AVERAGES[average]
    return Statement(
        Text(
            f"{label.en.capitalize()} response over layers, {depth} layers, residual minus plain (claimed: smaller)",
            f"층별 response의 {label.ko}, {depth}층, residual − plain(주장: 더 작다)",
        ),
        minus(response("resnet", depth, average), response("plain", depth, average)),
        Below(0.0),
        role=role,
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
            "Deeper residual nets have smaller responses (std of outputs), plain larger.",
            "깊을수록 response(층 출력의 std)가 residual에서는 작아지고 plain에서는 커진다. residual이 plain보다 작다.",
        ),
        statements=(
            *(_by_depth(average, "resnet", deep, shallow, less) for average in AVERAGES),
            *(_by_kind(average, deep) for average in AVERAGES),
            *(_by_depth(average, "plain", deep, shallow, more) for average in AVERAGES),
            *(_by_kind(average, depth, BESIDE) for depth in reversed(setting.depths[:-1]) for average in AVERAGES),
            *(
                _by_depth(average, kind, depth, shallow, rule, BESIDE)
                for depth in setting.depths[1:-1]
                for kind, rule in (("resnet", less), ("plain", more))
                for average in AVERAGES
            ),
        ),
        answers=answer(
            Text(
                f"From {shallow} to {deep} layers the mean response changes by {{s0}} (median {{s1}}) in residual and "
                f"by {{s4}} (median {{s5}}) in plain nets. At {deep} layers residual minus plain is {{s2}} (median "
                f"{{s3}}).",
                f"{shallow}층에서 {deep}층으로 늘리면 층별 response의 평균은 residual에서 {{s0m}}, plain에서 "
                f"{{s4m}}하고, 중앙값은 각각 {{s1m}}, {{s5m}}한다. {deep}층에서 residual − plain은 평균으로 {{s2}}, "
                f"중앙값으로 {{s3}}이다.",
            )
        ),
        charts=("responses",),
    )
