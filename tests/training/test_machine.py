"""What `auto` becomes: by the size of the net, by what the machine has, by what was said outright."""

import pytest
import torch

from reslab.errors import UserError
from reslab.nets.names import spec_of
from reslab.training import machine
from reslab.training.machine import Settings, Wish, compiler, cpu_has_bf16, prepare, resolve_device, settle
from reslab.training.recipe import changed
from reslab.training.recipes import recipe

SMALL = spec_of("cifar_resnet8", in_channels=1, image_size=8)
LARGE = spec_of("cifar_resnet20")
DIGITS, PAPER = recipe("digits"), recipe("paper-cifar")
needs_compiler = pytest.mark.skipif(compiler() is None, reason="no C++ compiler on this machine")
needs_no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")


def on_cpu(**wish: object) -> Wish:
    return Wish(**{"device": "cpu", "threads": 1, **wish})


@pytest.fixture
def no_compiler(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)


def test_a_small_net_runs_plainly():
    found = settle(SMALL, DIGITS, on_cpu())
    assert (found.device, found.precision, found.layout, found.compile) == ("cpu", "fp32", "channels_last", False)
    assert "the net is small" in found.why
    assert "\n" not in found.why


def test_small_means_the_work_of_one_update():
    """The same net with a batch a hundred times as large is no longer small."""
    assert "the net is small" not in settle(SMALL, changed(DIGITS, {"batch": 6400}), on_cpu()).why


@needs_compiler
def test_a_large_net_takes_what_the_machine_has():
    found = settle(LARGE, PAPER, on_cpu())
    assert found.compile
    assert found.precision == ("bf16" if cpu_has_bf16() else "fp32")
    assert found.why.startswith(f"cpu, {found.precision}, channels_last, compiled, 1 threads")


@pytest.mark.parametrize(("units", "precision"), [(True, "bf16"), (False, "fp32")])
def test_bf16_where_the_cpu_has_the_units(monkeypatch, units, precision):
    monkeypatch.setattr(machine, "cpu_has_bf16", lambda: units)
    found = settle(LARGE, PAPER, on_cpu())
    assert found.precision == precision
    assert ("no bf16 units" in found.why) is not units


@needs_compiler
@pytest.mark.parametrize(
    ("model", "iterations", "compiled", "why"),
    [
        ("cifar_resnet20", 999, False, "999 iterations are too few"),
        ("cifar_resnet20", 1000, True, ""),
        ("cifar_resnet110", 64_000, True, ""),
        ("cifar_resnet1202", 64_000, False, "layers compile too long"),
    ],
)
def test_compiled_where_it_pays(model, iterations, compiled, why):
    found = settle(spec_of(model), changed(PAPER, {"iterations": iterations}), on_cpu())
    assert found.compile is compiled
    assert why in found.why
    assert ("not compiled" in found.why) is not compiled


def test_without_a_compiler_auto_says_so_and_runs_eagerly(no_compiler):
    found = settle(LARGE, PAPER, on_cpu())
    assert not found.compile
    assert "not compiled, as there is no C++ compiler" in found.why
    assert "eager" in found.why


def test_without_a_compiler_compile_on_is_refused(no_compiler):
    with pytest.raises(UserError, match="no C\\+\\+ compiler found"):
        settle(LARGE, PAPER, on_cpu(compile="on"))
    assert not settle(LARGE, PAPER, on_cpu(compile="off")).compile


def test_cxx_names_the_compiler(no_compiler, monkeypatch, tmp_path):
    program = tmp_path / "my-compiler"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert compiler() is None
    monkeypatch.setenv("CXX", str(program))
    assert compiler() == str(program)
    assert settle(LARGE, PAPER, on_cpu()).compile


@needs_compiler
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("compile", ["on", "off"])
@pytest.mark.parametrize(("spec", "base"), [(SMALL, DIGITS), (LARGE, PAPER)])
def test_what_is_said_outright_holds(spec, base, precision, compile):
    found = settle(spec, base, on_cpu(precision=precision, compile=compile, threads=3))
    assert (found.precision, found.compile, found.threads) == (precision, compile == "on", 3)
    assert ", as " not in found.why  # nothing was decided, so there are no reasons


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"device": "gpu"}, "none of auto, cpu, cuda"),
        ({"device": "cuad"}, "did you mean cuda"),
        ({"device": "cuda:99"}, "cuda:99 asked for"),
        ({"precision": "fp16"}, "none of auto, fp32, bf16"),
        ({"compile": "yes"}, "none of auto, on, off"),
        ({"threads": -1}, "threads"),
    ],
)
def test_refused(wish, words):
    with pytest.raises(UserError, match=words) as told:
        settle(SMALL, DIGITS, Wish(**wish))
    assert "\n" not in str(told.value)


@needs_no_gpu
def test_without_a_gpu_auto_is_the_cpu_and_cuda_is_refused():
    assert resolve_device("auto") == "cpu"
    for wanted in ("cuda", "cuda:0"):
        with pytest.raises(UserError, match="torch sees 0 GPUs here; use --device cpu"):
            settle(SMALL, DIGITS, Wish(device=wanted))


def test_prepare_sets_threads_and_determinism():
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        torch.use_deterministic_algorithms(False)
        for count in (2, 1):
            prepare(Settings("cpu", "fp32", "channels_last", False, count))
            assert torch.get_num_threads() == count
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(strict, warn_only=warn_only)


def test_settings_and_environment_are_plain():
    found = settle(SMALL, DIGITS, on_cpu())
    assert Settings(**found.to_dict()) == found
    told = machine.environment()
    assert told["torch"] == torch.__version__
    assert told["cores"] >= 1
    assert all(v is None or isinstance(v, str | int | bool) for v in told.values())
