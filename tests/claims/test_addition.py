"""C9: widths of built blocks, concatenation against modules that concatenate, every verdict by way of files."""

import pytest
import torch
from shelf import DIGITS, Shelf
from torch import nn

from reslab.claims.experiments import addition
from reslab.claims.rules import FAILS, HOLDS, NOT_RUN
from reslab.nets.model import build

(C9,) = addition.claims(DIGITS)


@pytest.mark.parametrize(
    ("name", "blocks"),
    [
        ("cifar_resnet8", [(16, 16, 16), (32, 32, 32), (64, 64, 64)]),
        ("mlp_resnet10", [(64, 64, 64)] * 4),
        ("resnet18", [(w, w, w) for w in (64, 64, 128, 128, 256, 256, 512, 512)]),
        ("resnet50", [(w, w, w) for w, n in ((256, 3), (512, 4), (1024, 6), (2048, 3)) for _ in range(n)]),
    ],
)
def test_widths_of_table_1(name, blocks):
    assert addition.channels(name) == blocks


def test_every_listed_residual_net_is_looked_at():
    names = addition.residual_names()
    assert {"resnet152", "cifar_resnet1202", "mlp_resnet40"} <= set(names)
    assert not [n for n in names if "plain" in n or "vgg" in n]


class Concatenating(nn.Module):
    """A block of two layers that gives [x, F(x)]."""

    def __init__(self, layer, c_in, width, bn, stride=1):
        super().__init__()
        self.branch = nn.Sequential(
            layer(c_in, width, stride), *bn(width), nn.ReLU(), layer(width, width, 1), *bn(width)
        )  # fmt: skip
        self.stride = stride

    def forward(self, x):
        kept = x[..., :: self.stride, :: self.stride] if x.dim() == 4 else x
        return torch.relu(torch.cat([kept, self.branch(x)], 1))


def count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("n", [1, 3, 9])
def test_parameters_of_a_concatenating_cifar_net(n):
    def conv(c_in, c_out, stride):
        return nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False)

    parts, width = [conv(3, 16, 1), nn.BatchNorm2d(16), nn.ReLU()], 16
    for stage, more in enumerate((16, 32, 64)):
        for i in range(n):
            stride = 2 if stage and not i else 1
            parts.append(Concatenating(conv, width, more, lambda w: [nn.BatchNorm2d(w)], stride))
            width += more
    body = nn.Sequential(*parts)
    assert body(torch.zeros(2, 3, 32, 32)).shape == (2, width, 8, 8)
    assert addition.concatenated(f"cifar_resnet{6 * n + 2}") == count(body) + count(nn.Linear(width, 10))


@pytest.mark.parametrize("n", [1, 4])
def test_parameters_of_a_concatenating_mlp(n):
    parts = [nn.Linear(3072, 64), nn.ReLU()]
    parts += [Concatenating(lambda a, b, _: nn.Linear(a, b), 64 * i, 64, lambda w: []) for i in range(1, n + 1)]
    body = nn.Sequential(*parts, nn.Linear(64 * (n + 1), 10))
    assert body(torch.zeros(2, 3072)).shape == (2, 10)
    assert addition.concatenated(f"mlp_resnet{2 * n + 2}") == count(body)


def test_the_equations_are_the_block():
    assert addition.equations_off() <= addition.ROUNDING


@pytest.fixture
def made(monkeypatch):
    monkeypatch.setattr(addition, "residual_names", lambda: ("cifar_resnet20", "resnet34", "mlp_resnet4"))
    return C9.measurements[0].make(None, None)


def test_figures(made):
    assert made["blocks"] == 9 + 16 + 1
    assert made["adds"] == [1.0, 1.0, 1.0]
    assert made["concatenates"] == [0.0, 0.0, 0.0]
    added = [sum(p.numel() for p in build(n, device="meta").parameters()) for n in addition.COSTED]
    assert made["parameters_added"] == added
    assert made["parameters_added"][3:] == [269722, 853018, 1727962]  # Table 6's nets
    assert all(times > 1 for times in made["times"])


def test_the_verdict_of_the_real_figures(tmp_path, made):
    shelf = Shelf(tmp_path / "study")
    assert shelf.judge(C9).verdict == NOT_RUN
    shelf.measured("addition-widths", made)
    found = shelf.judge(C9)
    assert found.verdict == FAILS
    assert [f.verdict for f in found.findings[1:]] == [HOLDS] * 3
    assert found.sentence.en.startswith("No. It adds:")
    low, high = (f"{times(made['times']):.3g}" for times in (min, max))
    assert f"would need {low} to {high} times the parameters." in found.sentence.en
    assert f"parameter가 {low}–{high}배 필요하다." in found.sentence.ko


@pytest.mark.parametrize(("shares", "verdict"), [([1.0, 1.0], HOLDS), ([1.0, 0.5], FAILS), ([0.0], FAILS)])
def test_verdicts(tmp_path, shares, verdict):
    shelf = Shelf(tmp_path / "study")
    shelf.measured("addition-widths", {"concatenates": shares, "adds": [0.0], "equations_off": 0.0, "times": [2.0]})
    assert shelf.judge(C9).verdict == verdict
