"""One update against slow twins: SGD by hand, Caffe's momentum, ghost batches, which parameters decay."""

import copy
import getpass
import os
import re
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from reslab.engines.machine import Settings
from reslab.nets.model import build
from reslab.runs.recipe import Recipe, changed
from reslab.training.step import Step

SETTINGS = Settings("cpu", "fp32", "channels_last", "eager", 1)
RATES = (0.1, 0.1, 0.01, 0.01, 0.001)


def batches(count, size=8):
    generator = torch.Generator().manual_seed(5)
    for _ in range(count):
        yield torch.randn(size, 1, 8, 8, generator=generator), torch.randint(0, 10, (size,), generator=generator)


def small():
    return build("cifar_resnet8", in_channels=1, image_size=8, seed=1).double()


def by_hand(recipe: Recipe, parts: int = 1):
    """Forward, backward and the update written out, in float64."""
    net = small().train()
    velocity = {k: torch.zeros_like(p) for k, p in net.named_parameters()}
    for (images, labels), lr in zip(batches(len(RATES)), RATES, strict=True):
        net.zero_grad()
        size = len(images) // parts
        for i in range(parts):
            share = slice(i * size, (i + 1) * size)
            smooth = recipe.label_smoothing
            log_p = net(images[share].double()).log_softmax(1)
            right = log_p[torch.arange(size), labels[share]]
            (-((1 - smooth) * right + smooth * log_p.mean(1)).mean() / parts).backward()
        with torch.no_grad():
            for k, p in net.named_parameters():
                decays = recipe.decay_on == "all" or p.dim() > 1
                g = p.grad + (recipe.weight_decay if decays else 0) * p
                if recipe.momentum_form == "caffe":
                    velocity[k] = recipe.momentum * velocity[k] + lr * g
                    p -= velocity[k]
                else:
                    velocity[k] = recipe.momentum * velocity[k] + g
                    nesterov = recipe.momentum_form == "nesterov"
                    p -= lr * (g + recipe.momentum * velocity[k] if nesterov else velocity[k])
    return net


@pytest.mark.parametrize(
    "choice",
    [
        {},
        {"momentum_form": "caffe"},
        {"decay_on": "weights"},
        {"momentum_form": "nesterov"},
        {"label_smoothing": 0.2},
        {"bn_batch": 4},
        {"bn_batch": 2, "momentum_form": "caffe"},
    ],
)
def test_update_against_the_formula(choice):
    recipe = changed(Recipe(), {"batch": 8, "weight_decay": 0.01, **choice})
    net = small().train()
    step = Step(net, recipe, SETTINGS)
    # the step computes its loss in fp32; the twin does so in float64, hence the bound
    for (images, labels), lr in zip(batches(len(RATES)), RATES, strict=True):
        step(images.double(), labels, lr)
    expected = by_hand(recipe, 8 // recipe.bn_batch if recipe.bn_batch else 1)
    for (key, a), (_, b) in zip(net.state_dict().items(), expected.state_dict().items(), strict=True):
        assert torch.allclose(a.double(), b.double(), rtol=1e-4, atol=1e-5), key


def test_a_lone_image_goes_with_its_neighbours():
    """17 images in ghost batches of 8: one alone has no batch statistics (torch refuses), so there are 8 and 9."""
    net = build("mlp_resnet8", batch_norm=True, in_channels=1, image_size=8, seed=1).train()
    twin = copy.deepcopy(net)
    images, labels = next(batches(1, size=17))
    step = Step(net, changed(Recipe(), {"batch": 17 * 8, "bn_batch": 8, "weight_decay": 0.0}), SETTINGS)
    loss, _ = step(images, labels, 0.1)
    parts = [F.cross_entropy(twin(images[a:b]), labels[a:b]) * (b - a) / 17 for a, b in ((0, 8), (8, 17))]
    sum(parts).backward()
    assert loss.item() == pytest.approx(sum(parts).item(), rel=1e-5)
    for mine, other in zip(net.parameters(), twin.parameters(), strict=True):
        assert torch.allclose(mine, other - 0.1 * other.grad, rtol=1e-4, atol=1e-6)


def test_the_two_momentum_forms_differ():
    """The comparison above bites: after a drop of the rate the two forms part."""
    ends = []
    for form in ("torch", "caffe"):
        net = small().train()
        step = Step(net, changed(Recipe(), {"batch": 8, "momentum_form": form}), SETTINGS)
        for (images, labels), lr in zip(batches(len(RATES)), RATES, strict=True):
            step(images.double(), labels, lr)
        ends.append(net.head.fc.weight.detach().clone())
    assert (ends[0] - ends[1]).abs().max() > 1e-4


def test_momentum_survives_a_round_trip():
    recipe = changed(Recipe(), {"batch": 8, "momentum_form": "caffe"})
    whole, parted = small().train(), small().train()
    step = Step(whole, recipe, SETTINGS)
    first = Step(parted, recipe, SETTINGS)
    for number, ((images, labels), lr) in enumerate(zip(batches(len(RATES)), RATES, strict=True)):
        step(images.double(), labels, lr)
        first(images.double(), labels, lr)
        if number == 1:  # just before the rate drops
            kept, rate = copy.deepcopy(first.descent.momentum()), first.descent.rate
            first = Step(parted, recipe, SETTINGS)
            first.descent.restore(kept, rate)
    for (key, a), (_, b) in zip(whole.state_dict().items(), parted.state_dict().items(), strict=True):
        assert torch.equal(a, b), key


def test_returned_loss_and_wrong_are_of_the_batch_before_the_update():
    net = small().train()
    twin = copy.deepcopy(net)
    images, labels = next(batches(1))
    loss, wrong = Step(net, changed(Recipe(), {"batch": 8}), SETTINGS)(images.double(), labels, 0.1)
    logits = twin(images.double())
    assert loss.item() == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-6)
    assert int(wrong) == int((logits.argmax(1) != labels).sum())


@pytest.mark.slow
def test_a_failing_compiler_leaves_a_slower_working_step(monkeypatch):
    """CXX pointing at a program that fails: the first call falls back, the update is the eager one."""
    monkeypatch.setenv("CXX", "false")
    torch._dynamo.reset()
    net = small().float().train()
    twin = small().float().train()
    images, labels = next(batches(1))
    recipe = changed(Recipe(), {"batch": 8})
    step = Step(net, recipe, Settings("cpu", "fp32", "channels_last", "compiled", 1))
    with torch._inductor.config.patch({"cpp.cxx": ("false",), "force_disable_caches": True}):
        loss, _ = step(images, labels, 0.1)
    expected, _ = Step(twin, recipe, SETTINGS)(images, labels, 0.1)
    assert step.fallback is not None
    assert "slower, not broken" in step.fallback
    assert loss.item() == expected.item()
    for (key, a), (_, b) in zip(net.state_dict().items(), twin.state_dict().items(), strict=True):
        assert torch.equal(a, b), key


@pytest.mark.slow
def test_a_way_back_that_does_not_compile_is_told_before_anything_has_changed(monkeypatch):
    """torch compiles it inside `backward` unless it is asked to do so before: BN's statistics have moved by then."""
    import torch._inductor.compile_fx as compiling

    def broken(*a, **k):
        raise RuntimeError("no way back")

    torch._dynamo.reset()
    monkeypatch.setattr(compiling, "compile_fx_backward", broken)
    net, twin = small().float().train(), small().float().train()
    images, labels = next(batches(1))
    recipe = changed(Recipe(), {"batch": 8})
    step = Step(net, recipe, Settings("cpu", "fp32", "channels_last", "compiled", 1))
    with torch._inductor.config.patch(force_disable_caches=True):
        step(images, labels, 0.1)
    Step(twin, recipe, SETTINGS)(images, labels, 0.1)
    assert "slower, not broken" in str(step.fallback)
    for (key, a), (_, b) in zip(net.state_dict().items(), twin.state_dict().items(), strict=True):
        assert torch.equal(a, b), key


def test_an_error_of_the_eager_engine_is_raised_and_nothing_is_computed_twice(monkeypatch):
    step = Step(build("cifar_resnet8", in_channels=1, image_size=8), Recipe(), SETTINGS)
    calls = list[int]()

    def short_of_memory(images):
        calls.append(len(images))
        raise MemoryError("none left")

    monkeypatch.setattr(step, "_forward", short_of_memory)
    with pytest.raises(MemoryError, match="none left"):
        step(torch.zeros(4, 1, 8, 8), torch.zeros(4, dtype=torch.int64), 0.1)
    assert calls == [4]
    assert step.fallback is None


@pytest.mark.skipif(os.name != "posix", reason="no owners of files")
@pytest.mark.parametrize("variable", [pytest.param("TMPDIR", marks=pytest.mark.slow), "TORCHINDUCTOR_CACHE_DIR"])
@pytest.mark.parametrize("compiles", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.slow
def test_torch_compiles_only_in_private_folders(tmp_path, variable, compiles):
    """A folder that others can write, under the name that torch takes: nothing is read from it or written to it."""
    default = tmp_path / f"torchinductor_{getpass.getuser()}"
    planted = default if variable == "TMPDIR" else tmp_path / "named"
    planted.mkdir()
    planted.chmod(0o777)
    tmp_path.chmod(0o1777)
    names = {"TMPDIR": str(tmp_path)} if variable == "TMPDIR" else {"TMPDIR": str(tmp_path), variable: str(planted)}
    update = "step(torch.randn(8, 1, 8, 8), torch.zeros(8, dtype=torch.int64), 0.1)" if compiles else ""
    code = f"""
import torch
from reslab.nets.model import build
from reslab.engines.choose import uncached_reasons
from reslab.engines.machine import Settings
from reslab.runs.recipe import Recipe
from reslab.training.step import Step
net = build("cifar_resnet8", in_channels=1, image_size=8)
step = Step(net, Recipe(), Settings("cpu", "fp32", "", "compiled", 1))
{update}
import torch._inductor.codecache as code
print(code.cache_dir(), code._HEADER_DIR, step.fallback)
print(*uncached_reasons("compiled"))
"""
    every = {name: value for name, value in os.environ.items() if name != "TORCHINDUCTOR_CACHE_DIR"} | names
    done = subprocess.run([sys.executable, "-c", code], env=every, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    places, reason = done.stdout.splitlines()
    assert re.fullmatch(rf"({tmp_path}/reslab-\w+/torchinductor_\w+) \1/precompiled_headers None", places)
    assert reason == (
        f"{planted} is writable by others, so torch compiles for this process alone: chmod go-w {planted}"
    )
    assert [*planted.iterdir()] == []
    assert not [*tmp_path.glob("reslab-*")]  # removed at the end
