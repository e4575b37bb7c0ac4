"""C19: the deeper plain net contains the shallower one's solution, and SGD does not find it (notes 001, 002 §1; §1).

A plain net of the deep depth is built from one of the middle depth and identity layers (`deeper_copy`). Rule: the
greatest difference of the two nets' logits over the greatest logit is at most ROUNDING, for initialised nets (BN
values drawn at random) and for each trained one, and the copy's training error is the trained net's. Where it ends:
over the seeds, the paired difference of final training error, plain net of the deep depth trained by SGD minus the
net that could have been copied; its 95 % interval lies above 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reslab.claims.claim import LIMIT, Bench, Claim, Measurement, Statement, kept
from reslab.claims.evidence import Net, Setting, net
from reslab.claims.phrases import answers
from reslab.claims.quantity import error_gap, measurement, minus
from reslab.claims.rules import Above, Always
from reslab.claims.text import Text

if TYPE_CHECKING:
    from torch import Tensor

    from reslab.nets.model import Network

NAME = "deeper"
ROUNDING = {"fp32": 1e-5, "float64": 1e-10}  # some 100 layers of a unit of rounding each (6e-8, 1e-16), and a margin
SAMPLES = 1000  # training samples on which a trained net and its copy are compared


def claims(setting: Setting) -> tuple[Claim, ...]:
    return (_solution(setting),)


def deeper_copy(shallow: Network, depth: int) -> Network:
    """A plain net of `depth` layers with the outputs of a shallower one, in evaluation mode (and in its precision).

    Each stage's first blocks are the shallow net's; the further ones are identity layers: a weight that copies each
    channel (a Dirac kernel), BN with γ = sqrt(var + ε) and β = mean, and a ReLU that changes nothing because what
    comes in has passed a ReLU. Raises UserError for other nets than plain ones of ReLUs after each layer, for depths
    that do not exist, and for one that is not greater.
    """
    from torch.nn.modules.batchnorm import _BatchNorm

    from reslab.errors import UserError
    from reslab.nets.model import build
    from reslab.nets.names import name_of, spec_of, switches_of
    from reslab.nets.row import path_of

    spec = shallow.spec
    if spec.residual or spec.order != "post" or spec.activation != "relu" or spec.family not in ("cifar", "mlp"):
        raise UserError(f"{shallow.name}: only a plain CIFAR or MLP net with a ReLU after each layer is copied so")
    if depth <= spec.depth:
        raise UserError(f"depth {depth}: must be greater than the {spec.depth} layers of the net that is copied")
    name = name_of(spec).removesuffix(str(spec.depth)) + str(depth)
    deep = build(spec_of(name, **switches_of(spec))).to(next(shallow.parameters()))
    theirs = shallow.state_dict()
    mine = deep.state_dict()
    mine.update({key: value for key, value in theirs.items() if key in mine})
    deep.load_state_dict(mine)
    copied = {row.block for row in shallow.rows}
    for row in deep.rows:
        if row.block in copied or not row.parameters:
            continue
        layer = deep.get_submodule(path_of(row))
        if isinstance(layer, _BatchNorm):
            _passing_bn(layer)
        elif row.c_in == row.c_out:
            _passing_weight(layer)
        else:
            raise UserError(f"{row.name}: {row.c_in} to {row.c_out} channels cannot be the identity; use basic blocks")
    return deep.train(shallow.training)


def _passing_weight(layer: Any) -> None:
    """A convolution or fully connected layer that gives what it gets: 1 in the middle of channel i's own kernel."""
    import torch

    with torch.no_grad():
        (torch.nn.init.dirac_ if layer.weight.dim() == 4 else torch.nn.init.eye_)(layer.weight)
        if layer.bias is not None:
            layer.bias.zero_()


def _passing_bn(layer: Any) -> None:
    """Make BN the identity in evaluation mode, for any running statistics."""
    import torch

    with torch.no_grad():
        layer.weight.copy_(torch.sqrt(layer.running_var + layer.eps))
        layer.bias.copy_(layer.running_mean)


def depths_of(setting: Setting) -> tuple[int, int]:
    """The depth that is copied and the deeper one that copies it."""
    return (setting.middle if setting.middle < setting.deep else setting.shallow), setting.deep


def difference(a: Tensor, b: Tensor) -> float:
    """The greatest difference of two nets' logits over the greatest logit of the first."""
    return kept(((a - b).abs().max() / a.abs().max()).item())


def _initialised(setting: Setting) -> Measurement:
    shallow, deep = depths_of(setting)

    def make(bench: Bench, seed: int | None) -> dict[str, Any]:
        """Differences for five initialised nets, whose BN values and statistics are then drawn at random."""
        import torch

        from reslab.nets.model import build

        differences: dict[str, list[float]] = {kind: [] for kind in ROUNDING}
        for number in range(5):
            small = build(f"cifar_plain{shallow}", seed=number, image_size=8)
            generator = torch.Generator().manual_seed(number)
            with torch.no_grad():
                for layer in small.modules():
                    if isinstance(layer, torch.nn.BatchNorm2d):
                        for key, low in (("weight", 0.5), ("bias", -0.5), ("running_mean", -0.5), ("running_var", 0.5)):
                            value = getattr(layer, key)
                            value.copy_(low + torch.rand(value.shape, generator=generator))
            images = torch.randn((32, 3, 8, 8), generator=generator)
            for kind, dtype in (("fp32", torch.float32), ("float64", torch.float64)):
                original = small.to(dtype).eval()
                with torch.no_grad():
                    copied = deeper_copy(original, deep)(images.to(dtype))
                    differences[kind].append(difference(original(images.to(dtype)), copied))
        return differences

    return Measurement("deeper-copy", make, seconds=11)


def _trained(of: Net, deep: int) -> Measurement:
    def make(bench: Bench, seed: int | None) -> dict[str, Any]:
        """The trained net against its deeper copy on training samples: logits, and the error of each in percent."""
        import torch

        assert seed is not None
        small = bench.network(of, seed).eval()
        images, labels = bench.batch(of, seed, SAMPLES)
        with torch.no_grad():
            a, b = small(images), deeper_copy(small, deep)(images)
        errors = [kept(100 * (x.argmax(1) != labels).double().mean().item()) for x in (a, b)]
        return {"fp32": difference(a, b), "error": errors[0], "error_copy": errors[1]}

    return Measurement("deeper-trained", make, nets=(of,), each_seed=True, seconds=2)


def _solution(setting: Setting) -> Claim:
    shallow, deep = depths_of(setting)
    small, large = net(f"cifar_plain{shallow}"), net(f"cifar_plain{deep}")
    untrained, trained = _initialised(setting), _trained(small, deep)
    return Claim(
        id="C19",
        name=NAME,
        quote="이론적으로 NeuralNet의 layer가 증가하면, Parameter의 수가 증가하므로 , training에서의 performance가 "
        "증가해야합니다.",
        said="000, 001, 002 §1; §1",
        text=Text(
            "In theory a deeper net trains no worse: it contains the shallower one.",
            "이론적으로 layer가 늘어도 training은 나빠지지 않아야 한다: 깊은 네트워크는 얕은 네트워크의 해를 포함한다.",
        ),
        statements=(
            *(
                Statement(
                    Text(
                        f"Initialised nets, {kind}: relative difference of the logits, {shallow} layers and their "
                        f"{deep}-layer copy",
                        f"초기화된 네트워크, {kind}: {shallow}층과 그것을 복사한 {deep}층의 logit 상대 차이",
                    ),
                    measurement(untrained.name, kind),
                    Always(high=bar),
                )
                for kind, bar in ROUNDING.items()
            ),
            Statement(
                Text(
                    f"Trained nets, fp32: relative difference of the logits, {shallow} layers and their {deep}-layer "
                    "copy",
                    f"학습된 네트워크, fp32: {shallow}층과 그것을 복사한 {deep}층의 logit 상대 차이",
                ),
                measurement(trained.name, "fp32"),
                Always(high=ROUNDING["fp32"]),
            ),
            Statement(
                Text(
                    f"Training error of the {deep}-layer copy minus the trained {shallow}-layer net's",
                    f"{deep}층 복사본의 training error − 학습된 {shallow}층의 training error",
                ),
                minus(measurement(trained.name, "error_copy"), measurement(trained.name, "error")),
                Always(0, 0),
                unit="points",
            ),
            Statement(
                Text(
                    f"Training error after SGD, plain, {deep} layers minus {shallow}",
                    f"SGD로 학습한 plain의 training error, {deep}층 − {shallow}층",
                ),
                error_gap(large, small, "train"),
                Above(0.0),
                role=LIMIT,
                unit="points",
                flat=(small, large),
            ),
        ),
        answers=answers(
            holds=Text(
                f"A trained {shallow}-layer plain net plus layers that change nothing is a {deep}-layer net with equal "
                "logits and training error (evaluation mode).",
                f"학습된 {shallow}층에 값을 그대로 내보내는 층을 더한 plain {deep}층은 평가 모드에서 logit과 training "
                f"error가 그 {shallow}층과 같다.",
            ),
            condition=Text(
                f"A trained {shallow}-layer plain net plus layers that change nothing is a {deep}-layer net with equal "
                "logits and training error (evaluation mode). From scratch, training error {s4m} from "
                f"{shallow} to {deep} layers.",
                f"학습된 {shallow}층에 값을 그대로 내보내는 층을 더한 plain {deep}층은 평가 모드에서 logit과 training "
                f"error가 그 {shallow}층과 같다. 하지만 처음부터 학습하면 {shallow}층에서 {deep}층으로 늘릴 때 "
                "training error가 {s4m}한다.",
            ),
            fails=Text(
                "The copy has other logits ({s2}) or another training error ({s3}).",
                "복사본은 logit({s2})이나 training error({s3})가 원래 네트워크와 다르다.",
            ),
            undecided=Text(
                "The copy's logits differ by {s2}, its training error by {s3}.",
                "복사본의 logit은 {s2}, training error는 {s3}만큼 다르다.",
            ),
        ),
        measurements=(untrained, trained),
        charts=("depth",),
    )
