"""Exact scores against a slow direct loop, the interval against scipy, BN statistics against a direct computation."""

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from torch import Tensor, nn

from reslab.errors import Interrupted
from reslab.measure.evaluate import Scores, evaluate, precise_statistics, wilson
from reslab.nets.model import build


@dataclass
class Pair:
    images: Tensor
    labels: Tensor


def batches(images: Tensor, labels: Tensor, size: int) -> list[Pair]:
    return [Pair(images[i : i + size], labels[i : i + size]) for i in range(0, len(labels), size)]


def score(logits: Tensor, labels: Tensor, size: int = 7, expected: int | None = None) -> Scores:
    """The images of these batches are the scores themselves."""
    n = len(labels) if expected is None else expected
    return evaluate(lambda images: images, batches(logits, labels, size), n, logits.shape[1])


def slowly(logits: Tensor, labels: Tensor) -> tuple[int, int, float, list[tuple[int, int]]]:
    """Top-1 wrong, top-5 wrong, summed loss, (samples, wrong) of each class: one sample at a time, in plain Python.

    Equal scores are ranked by their class number, as argmax ranks them.
    """
    top1 = top5 = 0
    losses, classes = [], [[0, 0] for _ in range(logits.shape[1])]
    for row, label in zip(logits.double().tolist(), labels.tolist(), strict=True):
        finite = all(math.isfinite(v) for v in row)
        ranked = sorted(range(len(row)), key=lambda c: (-row[c], c)) if finite else []
        wrong = not finite or ranked[0] != label
        top1 += wrong
        top5 += not finite or label not in ranked[:5]
        classes[label][0] += 1
        classes[label][1] += wrong
        high = max(row) if finite else math.nan
        losses.append(high + math.log(math.fsum(math.exp(v - high) for v in row)) - row[label])
    return top1, top5, math.fsum(losses), [tuple(c) for c in classes]


def draws(seed: int, n: int, classes: int, spread: float = 2.0) -> tuple[Tensor, Tensor]:
    maker = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, classes, generator=maker) * spread
    labels = torch.randint(0, classes, (n,), generator=maker)
    logits[torch.arange(n), labels] += torch.randint(0, 3, (n,), generator=maker)  # some are right
    return logits, labels


@pytest.mark.parametrize("classes", [2, 3, 5, 6, 10, 100])
@pytest.mark.parametrize(("n", "size"), [(1, 1), (50, 50), (50, 7), (51, 50), (49, 50), (203, 20)])
def test_as_the_slow_loop(classes, n, size):
    """Whole batches, a ragged last one, a last one of one sample, one batch larger than the set."""
    logits, labels = draws(classes * 1000 + n, n, classes)
    top1, top5, loss, per_class = slowly(logits, labels)
    found = score(logits, labels, size)
    assert (found.n, found.top1_wrong, found.top5_wrong) == (n, top1, top5)
    assert list(found.per_class) == per_class
    assert found.loss_sum == pytest.approx(loss, rel=1e-12)
    assert found.top1_error == 100 * top1 / n
    assert found.loss == pytest.approx(loss / n, rel=1e-12)
    if n > 100:
        assert 0 < top1 < n  # the comparison says something


@pytest.mark.parametrize("classes", [2, 3, 4, 5])
def test_with_five_classes_or_fewer_top_5_is_never_wrong(classes):
    logits, labels = draws(classes, 100, classes)
    found = score(logits, labels)
    assert found.top1_wrong > 0
    assert found.top5_wrong == 0
    assert found.top5_error == 0.0


@pytest.mark.parametrize("size", [1, 3, 64, 1000])
def test_the_batch_size_changes_no_count(size):
    """Not the mean of batch means: the loss too is one sum, divided once."""
    logits, labels = draws(5, 100, 10)
    one, other = score(logits, labels, 100), score(logits, labels, size)
    assert (one.top1_wrong, one.top5_wrong, one.per_class) == (other.top1_wrong, other.top5_wrong, other.per_class)
    assert other.loss_sum == pytest.approx(one.loss_sum, rel=1e-14)


def test_bf16_scores_are_summed_in_float64():
    """1,000 losses of ln 10 each, added in bf16 or fp32, would not give this sum."""
    logits, labels = torch.zeros(4000, 10, dtype=torch.bfloat16), torch.zeros(4000, dtype=torch.int64)
    assert score(logits, labels, 4000).loss_sum == pytest.approx(4000 * math.log(10), rel=1e-14)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", ["label", "other", "all"])
def test_scores_that_are_not_finite_count_as_wrong(bad, where):
    logits, labels = torch.zeros(20, 10), torch.arange(20) % 10
    logits[torch.arange(20), labels] = 5.0  # all right
    assert score(logits, labels).top1_wrong == 0
    column = {"label": labels[3], "other": (labels[3] + 1) % 10, "all": slice(None)}[where]
    logits[3, column] = bad
    found = score(logits, labels)
    assert (found.top1_wrong, found.top5_wrong) == (1, 1)
    assert found.per_class[3] == (2, 1)
    assert sum(wrong for _, wrong in found.per_class) == 1
    if math.isnan(bad):
        assert math.isnan(found.loss)


def test_equal_scores_are_ranked_as_argmax_ranks_them():
    """A net that answers the same for every class is right by chance alone: 1 of 10, and 5 of 10."""
    logits, labels = torch.zeros(100, 10), torch.arange(100) % 10
    found = score(logits, labels)
    assert (found.top1_error, found.top5_error) == (90.0, 50.0)


@pytest.mark.parametrize("expected", [0, 49, 51])
def test_another_number_of_samples_is_no_score(expected):
    logits, labels = draws(1, 50, 10)
    with pytest.raises(AssertionError, match=f"evaluated 50 samples, expected {expected}"):
        score(logits, labels, expected=expected)


def test_a_stop_between_batches_gives_nothing():
    logits, labels = draws(1, 50, 10)
    seen = []
    with pytest.raises(Interrupted):
        evaluate(lambda x: seen.append(len(x)) or x, batches(logits, labels, 10), 50, 10, lambda: len(seen) == 2)
    assert seen == [10, 10]


def test_no_gradient_is_kept():
    net = nn.Linear(4, 10)
    given = []

    def logits_of(images: Tensor) -> Tensor:
        given.append(net(images))
        return given[-1]

    evaluate(logits_of, batches(torch.ones(8, 4), torch.zeros(8, dtype=torch.int64), 4), 8, 10)
    assert not any(x.requires_grad for x in given)


def test_told_in_plain_types():
    told = score(*draws(2, 60, 10)).to_dict()
    assert set(told) == {"n", "top1_error", "top5_error", "loss", "top1_interval"}
    assert {type(v) for v in told.values()} == {int, float, list}


# -- the interval


@pytest.mark.parametrize("n", [1, 2, 7, 100, 500, 10_000])
def test_wilson_as_scipy(n):
    for wrong in sorted({0, 1, n // 10, n // 3, n // 2, n - 1, n}):
        theirs = binomtest(wrong, n).proportion_ci(confidence_level=0.95, method="wilson")
        low, high = wilson(wrong, n)
        assert low == pytest.approx(100 * theirs.low, abs=1e-10)
        assert high == pytest.approx(100 * theirs.high, abs=1e-10)
        assert 0 <= low <= 100 * wrong / n + 1e-12
        assert 100 * wrong / n - 1e-12 <= high <= 100


# -- precise statistics


def norms(net: nn.Module) -> dict[str, nn.BatchNorm2d]:
    return {k: m for k, m in net.named_modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)}


def directly(net: nn.Module, parts: list[Pair]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Mean and unbiased variance of what each BN reads, by numpy in float64, averaged over the batches."""
    made: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {name: [] for name in norms(net)}
    hooks = []
    for name, module in norms(net).items():

        def look(_module: nn.Module, inputs: tuple[Tensor, ...], name: str = name) -> None:
            x = inputs[0].detach().double().numpy()
            axes = (0, *range(2, x.ndim))
            made[name].append((x.mean(axes), x.var(axes, ddof=1)))

        hooks.append(module.register_forward_pre_hook(look))
    net.train()
    with torch.no_grad():
        for part in parts:
            net(part.images)
    for hook in hooks:
        hook.remove()
    return {k: tuple(np.mean([pair[i] for pair in v], axis=0) for i in (0, 1)) for k, v in made.items()}


@pytest.fixture
def parts():
    images = torch.randn(48, 1, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 3 + 1
    return batches(images, torch.zeros(48, dtype=torch.int64), 16)


@pytest.fixture
def net():
    """In float64, its moving averages spoiled: nothing of them may remain."""
    made = build("cifar_resnet8", in_channels=1, image_size=8).double()
    for module in norms(made).values():
        module.running_mean.fill_(7.0)
        module.running_var.fill_(9.0)
        module.momentum = 0.25
    return made


def test_precise_statistics_of_every_layer(net, parts):
    wanted = directly(net, parts)
    precise_statistics(net, [p.images for p in parts])
    assert len(wanted) == 7
    for name, module in norms(net).items():
        mean, variance = wanted[name]
        np.testing.assert_allclose(module.running_mean.numpy(), mean, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(module.running_var.numpy(), variance, rtol=1e-12)


def test_precise_statistics_that_are_stopped_leave_those_of_before(net, parts):
    before, asked = {k: v.clone() for k, v in net.state_dict().items()}, iter([False, True])
    precise_statistics(net, [p.images for p in parts], lambda: next(asked))
    assert next(asked, "all were asked") == "all were asked"
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert {m.momentum for m in norms(net).values()} == {0.25}


def test_precise_statistics_of_the_whole_set(net, parts):
    """What the first BN reads depends on no other BN: its mean is that of the whole set, its variance too where the
    set is one batch."""
    with torch.no_grad():
        read = net.get_submodule("stem.conv1")(torch.cat([p.images for p in parts])).numpy()
    first = next(iter(norms(net).values()))
    precise_statistics(net, [p.images for p in parts])
    np.testing.assert_allclose(first.running_mean.numpy(), read.mean((0, 2, 3)), rtol=1e-12, atol=1e-13)
    precise_statistics(net, [torch.cat([p.images for p in parts])])
    np.testing.assert_allclose(first.running_mean.numpy(), read.mean((0, 2, 3)), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(first.running_var.numpy(), read.var((0, 2, 3), ddof=1), rtol=1e-12)


def test_precise_statistics_change_nothing_else(net, parts):
    weights = {k: v.clone() for k, v in net.named_parameters()}
    precise_statistics(net, [p.images for p in parts])
    once = {k: v.clone() for k, v in net.state_dict().items()}
    precise_statistics(net, [p.images for p in parts])  # a pure function of weights and batches
    assert all(torch.equal(v, once[k]) for k, v in net.state_dict().items())
    assert all(torch.equal(v, weights[k]) for k, v in net.named_parameters())
    assert {m.momentum for m in norms(net).values()} == {0.25}
    assert all(p.grad is None for p in net.parameters())


def test_a_net_without_bn_is_left_alone(parts):
    plain = build("cifar_resnet8", in_channels=1, image_size=8, batch_norm=False).double()
    before = {k: v.clone() for k, v in plain.state_dict().items()}
    precise_statistics(plain, [p.images for p in parts])
    assert all(torch.equal(v, before[k]) for k, v in plain.state_dict().items())


def test_the_counts_are_exact_fractions():
    found = score(*draws(3, 300, 10))
    assert Fraction(found.top1_wrong, found.n) == Fraction(sum(w for _, w in found.per_class), 300)
    assert sum(n for n, _ in found.per_class) == 300
