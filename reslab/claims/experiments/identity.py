"""C6: with W = b = 0 a residual block passes its input through (note 001).

No training: blocks of residual nets with W = b = 0 (BN fresh: γ = 1, β = 0), on random inputs; the number of output
entries that differ from the input. The rule: for ReLU and a ≥ 0 none, in any case, exactly. The limits: a negative
entry becomes 0 (a block that does not follow a ReLU), and tanh and sigmoid change the input by more than CHANGED. Shown
as well: without an activation after the addition (g the identity, or a pre-activation block) every a passes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reslab.claims.claim import BESIDE, LIMIT, Bench, Claim, Measurement, Statement, kept
from reslab.claims.evidence import Setting
from reslab.claims.phrases import answers
from reslab.claims.quantity import measurement
from reslab.claims.rules import Always
from reslab.claims.text import Text

if TYPE_CHECKING:
    from torch import Tensor

NAME = "identity"
CHANGED = 0.1  # on inputs in [0, 1]: a tenth of their range, far above rounding

# Blocks whose shortcut is the identity: (net, block, switches). With BN and without, of one, two and three layers.
BLOCKS: tuple[tuple[str, str, dict[str, Any]], ...] = tuple(
    (model, name, {"batch_norm": bn, **more})
    for bn in (True, False)
    for model, name, more in (
        ("mlp_resnet4", "fc2_1", {}),
        ("cifar_resnet8", "conv2_1", {}),
        ("cifar_resnet5", "conv2_1", {"block": "single"}),
        ("cifar_resnet20", "conv2_2", {"block": "bottleneck"}),
    )
)


def claims(setting: Setting) -> tuple[Claim, ...]:
    return (_zero_weights(),)


def zeroed(model: str, name: str, **switches: Any) -> Any:
    """A block of a residual net as a function of a, with W = b = 0; BN at γ = 1, β = 0 and fresh statistics."""
    import torch

    from reslab.nets.model import Note, build

    block = build(model, **switches).get_submodule(name)
    with torch.no_grad():
        for layer in block.modules():
            if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
                layer.weight.zero_()
                if layer.bias is not None:
                    layer.bias.zero_()
    return lambda a, training=False: block.train(training)(a, Note()).detach()


def given(name: str, bottleneck: bool, negative: bool) -> Tensor:
    """What a block gets: [8,64] or [8,C,8,8], uniform in [0, 1] or [-1, 1), with both ends of [0, 1] among it."""
    import torch

    shape = (8, 64) if name.startswith("fc") else (8, 64 if bottleneck else 16, 8, 8)
    a = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    a.view(-1)[:2] = torch.tensor([0.0, 1.0])
    return 2 * a - 1 if negative else a


def _blocks(bench: Bench, seed: int | None) -> dict[str, Any]:
    """Entries that differ from the input, block by block; training and evaluation mode are two cases."""
    import torch

    changes: dict[str, list[float]] = {k: [] for k in ("relu", "negative", "tanh", "sigmoid", "any")}
    for model, name, switches in BLOCKS:
        a, mixed = (given(name, switches.get("block") == "bottleneck", n) for n in (False, True))
        relu = zeroed(model, name, **switches)
        for training in (False, True):
            out = relu(a, training)
            changes["relu"].append(0 if torch.equal(out, a) else int((out != a).sum()))
            out = relu(mixed, training)
            changes["negative"].append(float((out[mixed < 0] == 0).double().mean()))
        for act in ("tanh", "sigmoid"):
            out = zeroed(model, name, activation=act, **switches)(a)
            changes[act].append(kept((out - a).abs().max().item()))
        for free in ({"activation": "identity"}, {"order": "pre"}):
            out = zeroed(model, name, **free, **switches)(mixed)
            changes["any"].append(0 if torch.equal(out, mixed) else int((out != mixed).sum()))
    return changes


def _zero_weights() -> Claim:
    name = "identity-blocks"
    exact = Always(0, 0)
    return Claim(
        id="C6",
        name=NAME,
        quote="만약에 , W, b 가 0라고 가정을 하면, […] l번째 layer의 activation이 0 이상이기 때문에 , l번째 layer의 "
        "activation이 결과값이 됩니다.",
        said="001",
        text=Text(
            "With W = b = 0 and ReLU a block outputs its input: a[l+2] = a[l].",
            "W = b = 0이고 ReLU이면 block은 입력을 그대로 내보낸다: a[l+2] = a[l].",
        ),
        statements=(
            Statement(
                Text(
                    "ReLU, a ≥ 0: entries of the output that differ from the input",
                    "ReLU, a ≥ 0: 입력과 다른 출력 성분의 수",
                ),
                measurement(name, "relu"),
                exact,
            ),
            Statement(
                Text(
                    "ReLU: share of the negative entries that become 0 (1: all)",
                    "ReLU: 음수 성분 중 0이 되는 비율(1: 모두)",
                ),
                measurement(name, "negative"),
                Always(1, 1),
                role=LIMIT,
            ),
            *(
                Statement(
                    Text(
                        f"{act}, a in [0, 1]: greatest change of an entry",
                        f"{act}, [0, 1] 안의 a: 성분이 가장 크게 변한 값",
                    ),
                    measurement(name, act),
                    Always(low=CHANGED),
                    role=LIMIT,
                )
                for act in ("tanh", "sigmoid")
            ),
            Statement(
                Text(
                    "Nothing after the addition (g = identity, pre-activation), any a: entries that differ",
                    "덧셈 뒤에 activation이 없을 때(g = identity, pre-activation), 모든 a: 다른 성분의 수",
                ),
                measurement(name, "any"),
                exact,
                role=BESIDE,
            ),
        ),
        answers=answers(
            holds=Text("With ReLU and a ≥ 0 the output equals the input.", "ReLU이고 a ≥ 0이면 출력은 입력과 같다."),
            condition=Text(
                "With ReLU and a ≥ 0 the output equals the input exactly. But negative entries become 0, and with "
                "tanh an entry changes by up to {s2}, with sigmoid by up to {s3}.",
                "ReLU이고 a ≥ 0이면 출력은 입력과 정확히 같다. 그러나 음수는 0이 되고, ReLU 대신 tanh를 쓰면 "
                "성분이 최대 {s2}, sigmoid를 쓰면 최대 {s3}만큼 변한다.",
            ),
            fails=Text(
                "Even with ReLU and a ≥ 0, {s0} entries of the output differ.",
                "ReLU이고 a ≥ 0이어도 출력 성분 {s0}개가 다르다.",
            ),
            undecided=Text("{s0} entries of the output differ.", "출력 성분 {s0}개가 다르다."),
        ),
        measurements=(Measurement(name, _blocks),),
    )
