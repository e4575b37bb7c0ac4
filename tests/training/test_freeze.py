"""Frozen parts: no gradient, no momentum, no decay, BN as it was; the others learn as an autograd twin says."""

import copy
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import reslab
from reslab.engines import fused, memory, winograd
from reslab.engines.machine import Settings
from reslab.errors import UserError
from reslab.measure.evaluate import precise_statistics
from reslab.models import checkpoints
from reslab.nets.model import Network, build
from reslab.nets.names import spec_of
from reslab.nets.parts import frozen_parts, part_names
from reslab.runs.recipe import Recipe, changed
from reslab.runs.recipes import recipe
from reslab.training.room import check_update
from reslab.training.step import Step

SPEC = spec_of("cifar_resnet8", in_channels=3, image_size=16)  # 16, 32, 64 channels: the engine fused takes them
PARTS = ("conv2_x",), ("stem", "conv2_x"), ("stem", "conv2_x", "conv3_x", "conv4_x")


# -- the names of parts


def test_parts_are_those_of_the_plan():
    assert part_names(SPEC) == ("stem", "conv2_x", "conv3_x", "conv4_x", "head")
    assert part_names(spec_of("mlp_resnet10", widths=(16, 8))) == ("stem", "fc2_x", "fc3_x", "head")
    assert part_names(spec_of("vgg19"))[:2] == ("conv1_x", "conv2_x")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("stem", ("stem",)),
        ("stem..conv3_x", ("stem", "conv2_x", "conv3_x")),
        ("conv3_x..conv3_x", ("conv3_x",)),
        (" conv4_x , stem .. conv2_x", ("stem", "conv2_x", "conv4_x")),
    ],
)
def test_a_text_names_parts_in_network_order(text, parts):
    assert frozen_parts(SPEC, text) == parts


@pytest.mark.parametrize("text", ["stem..", "..stem", "stem...conv2_x", ",", "conv2_1", "stem..conv2_x..conv3_x"])
def test_a_text_that_names_no_part(text):
    with pytest.raises(UserError, match="is no part of cifar_resnet8"):
        frozen_parts(SPEC, text)


@pytest.mark.parametrize("name", ["cifar_resnet8", "resnet50", "vgg19", "mlp_resnet10"])
def test_every_layer_of_a_part_is_frozen_and_no_other(name):
    net = build(spec_of(name, **({"widths": (16, 8)} if "mlp" in name else {})), device="meta")
    for part in part_names(net.spec)[:-1]:
        net.freeze([part])
        frozen = {p for n, p in net.named_parameters() if not p.requires_grad}
        for row in net.rows:
            if row.is_weight_layer:
                assert (net.get_parameter(f"{_path(row)}.weight") in frozen) == (row.part == part), row.name
        for parameter in net.parameters():
            parameter.requires_grad_(True)


def _path(row):
    from reslab.nets.row import path_of

    return path_of(row)


# -- an update


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def trained_before(spec=SPEC) -> Network:
    """A net whose BN statistics are no longer those of a fresh one."""
    net = build(spec, seed=1)
    torch.manual_seed(0)
    net.train()
    with torch.no_grad():
        for _ in range(3):
            net(torch.randn(8, spec.in_channels, spec.image_size, spec.image_size) * 2 + 1)
    return net


def batch(count: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(5)
    images = torch.randn(count, 3, 16, 16).to(memory_format=torch.channels_last)
    return images, torch.randint(0, 10, (count,))


def twin_of(net: Network, parts: tuple[str, ...]) -> tuple[Network, list[nn.Parameter]]:
    """A copy in which each module is set by hand, and its parameters that learn."""
    twin = copy.deepcopy(net).to(memory_format=torch.channels_last)
    twin.train()
    learning = []
    for row in twin.rows:
        if not row.facts.is_weight_layer and row.kind != "bn":
            continue
        module = twin.get_submodule(_path(row))
        if row.part in parts:
            module.eval()
            module.requires_grad_(False)
        else:
            learning += list(module.parameters())
    return twin, learning


ENGINES = [
    ("eager", "fp32", False),
    ("eager", "fp32", True),
    ("fused", "fp32", False),
    ("fused", "fp32", True),
    ("fused", "bf16", False),
    ("winograd", "bf16", False),
    ("winograd", "bf16", True),
    pytest.param("compiled", "fp32", False, marks=pytest.mark.slow),
]


def skip_if_unavailable(engine: str) -> None:
    from reslab.engines import choose
    from reslab.store.native import compiler

    if engine != "eager" and compiler() is None:
        pytest.skip("no C++ compiler")
    if reason := choose.unavailable_reason(engine):
        pytest.skip(reason)
    assert not fused.unsuitable_reason(SPEC)
    assert engine != "winograd" or not winograd.unavailable_reason()


@pytest.mark.parametrize("parts", PARTS, ids=lambda parts: f"{parts[0]}-{parts[-1]}")
@pytest.mark.parametrize(("engine", "precision", "recompute"), ENGINES)
def test_updates_are_those_of_an_autograd_twin(engine, precision, recompute, parts):
    skip_if_unavailable(engine)
    wanted = Recipe(batch=16, weight_decay=1e-2, iterations=10)
    net = trained_before()
    twin, learning = twin_of(net, parts)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    net.freeze(parts)
    step = Step(net, wanted, Settings("cpu", precision, "channels_last", engine, 2, recompute=recompute))
    net.train()
    optimizer = torch.optim.SGD(learning, 0.05, momentum=0.9, weight_decay=1e-2, fused=True)
    images, labels = batch()
    for _ in range(2):
        loss, _ = step(images, labels, 0.05)
        optimizer.zero_grad()
        twin_loss = F.cross_entropy(twin(images), labels)
        twin_loss.backward()
        optimizer.step()
    assert step.fallback is None
    for row in net.rows:
        if row.part in parts and (row.is_weight_layer or row.kind == "bn"):
            for name, value in net.get_submodule(_path(row)).state_dict(prefix=f"{_path(row)}.").items():
                assert torch.equal(value, before[name]), name
    allowed = 0.0 if engine == "eager" else 0.01 if precision == "fp32" else 0.2  # of the change of a tensor
    theirs = twin.state_dict()
    for name, value in net.state_dict().items():
        change, difference = (theirs[name] - before[name]).double().norm(), (value - theirs[name]).double().norm()
        assert difference <= allowed * change, name
    assert float(loss) == pytest.approx(float(twin_loss.detach()), rel=allowed / 10)
    changed_names = {name for name, value in net.named_parameters() if not torch.equal(value, before[name])}
    assert changed_names == {name for name, p in net.named_parameters() if p.requires_grad}
    assert step.descent.momentum().keys() == changed_names


def test_no_gradient_is_kept_for_frozen_weights():
    net = trained_before()
    net.freeze(("stem", "conv2_x"))
    step = Step(net, Recipe(batch=16), Settings("cpu", "fp32", "channels_last", "eager", 1))
    net.train()
    step(*batch(), 0.1)
    assert all((p.grad is None) == (not p.requires_grad) for p in net.parameters())
    weights, rate = step.descent.momentum(), step.descent.rate
    step.descent.restore(weights, rate)
    with pytest.raises(ValueError, match="its momentum does not fit the network: stem"):
        step.descent.restore({**weights, "stem.conv1.weight": net.get_parameter("stem.conv1.weight")}, rate)


@pytest.mark.parametrize("optimizer", ["sgd", "muon"])
@pytest.mark.parametrize("decay_on", ["all", "weights"])
def test_every_optimizer_leaves_frozen_weights_alone(optimizer, decay_on):
    net = trained_before()
    net.freeze(part_names(SPEC)[:-1])
    before = {name: value.clone() for name, value in net.state_dict().items()}
    wanted = Recipe(batch=16, weight_decay=1e-2, optimizer=optimizer, decay_on=decay_on)
    step = Step(net, wanted, Settings("cpu", "fp32", "channels_last", "eager", 1))
    net.train()
    step(*batch(), 0.1)
    differing = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    assert differing == {"head.fc.weight", "head.fc.bias"}


def test_the_mode_of_a_net_does_not_thaw_its_parts():
    net = trained_before()
    net.freeze(("stem",))
    norms = {name: m for name, m in net.named_modules() if isinstance(m, nn.BatchNorm2d)}
    for set_mode in (net.train, net.eval, lambda: net.train(True), lambda: copy.deepcopy(net).train()):
        set_mode()
        assert not norms["stem.bn1"].training
    net.train()
    assert all(norm.training for name, norm in norms.items() if name != "stem.bn1")


def test_precise_statistics_leave_frozen_bn_alone():
    net = trained_before()
    net.freeze(("stem", "conv2_x"))
    before = {name: value.clone() for name, value in net.named_buffers()}
    precise_statistics(net, [batch()[0]])
    for name, value in net.named_buffers():
        assert torch.equal(value, before[name]) == name.startswith(("stem", "conv2_")), name


# -- a whole run


SHORT = changed(
    recipe("digits"),
    {"batch": 16, "iterations": 8, "drops": (6,), "log_every": 1, "save_every": 3, "eval_every": 4, "clean_every": 4},
)
MACHINE = {"device": "cpu", "engine": "eager", "threads": 1, "tell": lambda event: None}


@pytest.fixture(scope="module")
def first(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("first") / "run"
    reslab.train("cifar_resnet8", "digits", recipe=SHORT, out=out, widths=(4, 4, 8), **MACHINE)
    return out


@pytest.mark.parametrize("fields", [{}, {"bn_statistics": "precise", "bn_batch": 8, "weight_decay": 0.01}])
def test_frozen_tensors_are_the_model_s_at_the_end_of_a_run(first, tmp_path, fields):
    out = tmp_path / "run"
    reslab.train(None, "digits", recipe=SHORT, set=fields, out=out, init_from=first, freeze="stem..conv3_x", **MACHINE)
    before, checkpoint = checkpoints.find(first).weights, checkpoints.find(out)
    for name, value in checkpoint.weights.items():
        is_frozen = name.startswith(("stem", "conv2_", "conv3_"))
        assert torch.equal(value, before[name]) == is_frozen, name
        assert f"momentum.{name}" not in checkpoint.state or not is_frozen
    assert checkpoint.facts["init"]["frozen"] == ["stem", "conv2_x", "conv3_x"]


def test_a_probe_changes_no_bit_and_sees_frozen_bn_as_it_is(first, tmp_path):
    options = {"recipe": SHORT, "init_from": first, "freeze": "stem..conv2_x", **MACHINE}
    record = reslab.train(None, "digits", set={"probe_every": 4}, out=tmp_path / "probed", **options)
    reslab.train(None, "digits", out=tmp_path / "plain", **options)
    ours, theirs = (checkpoints.find(tmp_path / name).weights for name in ("probed", "plain"))
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    probes = [line for line in record.metrics if line["kind"] == "probe"]
    assert [line["iteration"] for line in probes] == [0, 4, 8]
    assert probes[0]["weight_gradients"]["conv1"] > 0  # the slope of the loss, whether or not it is followed


# -- memory


def test_frozen_parts_keep_no_activations_gradients_or_momentum():
    spec, wanted = spec_of("resnet18", classes=10), Recipe(batch=32)
    frozen = ("stem", "conv2_x", "conv3_x", "conv4_x")
    whole, part = memory.need(spec, wanted, "fp32"), memory.need(spec, wanted, "fp32", frozen=frozen)
    assert part.activations < whole.activations / 5
    assert part.weights < whole.weights
    assert memory.need(spec, wanted, "fp32", frozen=("conv3_x",)).activations == whole.activations
    for parts in (frozen, ("conv3_x",)):
        least = memory.least(spec, wanted, "fp32", frozen=parts)
        assert least < memory.least(spec, wanted, "fp32")
        assert least <= memory.update(spec, wanted, "fp32", frozen=parts)


def test_a_frozen_run_that_fits_is_not_refused(monkeypatch):
    spec, wanted = spec_of("resnet18", classes=10), Recipe(batch=32)
    settings = Settings("cpu", "fp32", "channels_last", "eager", 1)
    monkeypatch.setattr("reslab.training.room.free_bytes", lambda device: 500_000_000)
    with pytest.raises(UserError, match="batch = 32"):
        check_update(spec, wanted, settings)
    check_update(spec, wanted, settings, frozen=("stem", "conv2_x", "conv3_x", "conv4_x"))
