"""What `auto` becomes: by the size of the net, by what the machine has, by what was said outright."""

import os

import pytest
import torch

from reslab.engines import fused, host, machine, winograd
from reslab.engines.machine import ComputeOptions, Settings, prepare, resolve_device, settle
from reslab.errors import UserError
from reslab.nets.names import spec_of
from reslab.runs.recipe import changed
from reslab.runs.recipes import recipe
from reslab.store.native import compiler

SMALL = spec_of("cifar_resnet8", in_channels=1, image_size=8)
LARGE = spec_of("cifar_resnet20")
DIGITS, PAPER = recipe("digits"), recipe("paper-cifar")
needs_compiler = pytest.mark.skipif(compiler() is None, reason="no C++ compiler on this machine")
needs_no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")


def on_cpu(**wish: object) -> ComputeOptions:
    return ComputeOptions(**{"device": "cpu", "threads": 1, **wish})


@pytest.fixture
def no_compiler(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)


def test_a_small_net_runs_plainly():
    found = settle(SMALL, DIGITS, on_cpu())
    assert (found.device, found.precision, found.layout, found.engine) == ("cpu", "fp32", "channels_last", "eager")
    assert "the net is small" in found.why
    assert "\n" not in found.why


def test_small_means_the_work_of_one_update():
    """The same net with a batch a hundred times as large is no longer small."""
    assert "the net is small" not in settle(SMALL, changed(DIGITS, {"batch": 6400}), on_cpu()).why


@needs_compiler
def test_a_large_net_takes_what_the_machine_has():
    found = settle(LARGE, PAPER, on_cpu())
    assert found.engine == ("fused" if winograd.unavailable_reason() or winograd.no_gain(LARGE) else "winograd")
    assert found.precision == ("bf16" if host.bf16_units() else "fp32")
    assert found.why.startswith(f"cpu, {found.precision}, channels_last, {found.engine}, 1 threads")


@needs_compiler
@pytest.mark.skipif(os.name != "posix", reason="no owners of files")
def test_a_cache_that_others_can_write_is_named_once(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    tmp_path.chmod(0o777)
    line = f"{tmp_path} is writable by others, so kernels are compiled for this process alone: chmod go-w {tmp_path}"
    assert settle(LARGE, PAPER, on_cpu(engine="fused")).why.split("; ").count(line) == 1
    assert line not in settle(SMALL, DIGITS, on_cpu()).why  # which uses none


@needs_compiler
@pytest.mark.parametrize(
    ("units", "wish", "why"),
    [
        ({"amx_bf16"}, {}, "this CPU has no AVX512-BF16"),
        ({"avx512_bf16"}, {"precision": "fp32"}, "it is for bf16"),
    ],
)
def test_our_own_convolutions_only_where_they_can_be(monkeypatch, units, wish, why):
    monkeypatch.setattr(host, "bf16_units", lambda: units)
    found = settle(LARGE, PAPER, on_cpu(**{"precision": "bf16", **wish}))
    assert found.engine == "fused"
    assert f"not winograd, as {why}" in found.why
    with pytest.raises(UserError, match=f"--engine winograd: {why}; use --engine auto"):
        settle(LARGE, PAPER, on_cpu(**{"precision": "bf16", **wish, "engine": "winograd"}))


@needs_compiler
@pytest.mark.skipif("avx512_bf16" not in host.bf16_units(), reason="this CPU has no AVX512-BF16")
def test_beside_amx_our_own_convolutions_are_for_who_asks_for_them(monkeypatch):
    """`auto` passes over them, and they can still be measured."""
    monkeypatch.setattr(host, "bf16_units", lambda: {"avx512_bf16", "amx_bf16"})
    found = settle(LARGE, PAPER, on_cpu())
    assert found.engine == "fused"
    assert "not winograd, as this CPU has AMX" in found.why
    assert settle(LARGE, PAPER, on_cpu(engine="winograd")).engine == "winograd"


def test_a_net_without_such_convolutions(monkeypatch):
    """Of 24, 40 and 56 channels nothing is left to our own convolutions."""
    monkeypatch.setattr(host, "bf16_units", lambda: {"avx512_bf16"})
    assert winograd.no_gain(LARGE) == ""
    why = winograd.no_gain(spec_of("cifar_resnet20", widths=(24, 40, 56)))
    assert why == "the net has no 3x3 convolution of stride 1 with at most 128 channels, in multiples of 16"


@pytest.mark.parametrize(("units", "precision"), [({"arm_bf16"}, "bf16"), (set(), "fp32")])
def test_bf16_where_the_cpu_has_the_units(monkeypatch, units, precision):
    monkeypatch.setattr(host, "bf16_units", lambda: units)
    found = settle(LARGE, PAPER, on_cpu())
    assert found.precision == precision
    assert ("no bf16 units" in found.why) is not bool(units)


@needs_compiler
def test_no_net_is_too_deep_and_no_run_too_short_for_the_fused_engine():
    """What torch.compile needs (minutes for 1,202 layers, a thousand iterations to pay) it does not."""
    found = settle(spec_of("cifar_resnet1202"), changed(PAPER, {"iterations": 10}), on_cpu())
    assert found.engine in fused.ENGINES
    assert "compiled" not in found.why


@needs_compiler
@pytest.mark.parametrize(
    ("model", "switches", "iterations", "engine", "why"),
    [
        ("cifar_resnet20", {"batch_norm": False}, 999, "eager", "999 iterations are too few"),
        ("cifar_resnet20", {"batch_norm": False}, 1000, "compiled", "no batch norm of maps"),
        ("cifar_resnet20", {"widths": (15, 30, 60)}, 1000, "compiled", "no multiples of 16"),
        ("cifar_resnet1202", {"batch_norm": False}, 64_000, "eager", "layers compile too long"),
    ],
)
def test_compiled_where_nothing_can_be_fused_and_it_pays(model, switches, iterations, engine, why):
    found = settle(spec_of(model, **switches), changed(PAPER, {"iterations": iterations}), on_cpu())
    assert found.engine == engine
    assert why in found.why
    assert "not fused, as " in found.why
    assert ("not compiled" in found.why) is (engine == "eager")


def test_without_a_compiler_auto_says_so_and_runs_eagerly(no_compiler):
    found = settle(LARGE, PAPER, on_cpu())
    assert found.engine == "eager"
    assert "not fused, as there is no C++ compiler" in found.why
    assert "not compiled, as there is no C++ compiler" in found.why


@pytest.mark.parametrize(
    ("engine", "words"), [("compiled", "no C\\+\\+ compiler found"), ("fused", "no C\\+\\+ compiler")]
)
def test_without_a_compiler_the_engines_that_need_one_are_refused(no_compiler, engine, words):
    with pytest.raises(UserError, match=words):
        settle(LARGE, PAPER, on_cpu(engine=engine))
    assert settle(LARGE, PAPER, on_cpu(engine="eager")).engine == "eager"


def test_cxx_names_the_compiler_and_one_that_builds_nothing_is_passed_over(no_compiler, monkeypatch, tmp_path):
    program = tmp_path / "my-compiler"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    assert compiler() is None
    monkeypatch.setenv("CXX", str(program))
    assert compiler() == str(program)
    found = settle(LARGE, PAPER, on_cpu())
    assert found.engine == "compiled"
    assert "not fused, as kernels.cpp cannot be compiled" in found.why


@needs_compiler
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("engine", ["fused", "compiled", "eager"])
@pytest.mark.parametrize(("spec", "base"), [(SMALL, DIGITS), (LARGE, PAPER)])
def test_what_is_said_outright_holds(spec, base, precision, engine):
    found = settle(spec, base, on_cpu(precision=precision, engine=engine, threads=3))
    assert (found.precision, found.engine, found.threads) == (precision, engine, 3)
    assert ", as " not in found.why  # nothing was decided, so there are no reasons


@needs_compiler
def test_the_fused_engine_asked_for_outright_where_it_cannot_be():
    with pytest.raises(UserError, match="--engine fused: the net has no batch norm of maps; use --engine auto"):
        settle(spec_of("cifar_resnet20", batch_norm=False), PAPER, on_cpu(engine="fused"))


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"device": "gpu"}, "none of auto, cpu, cuda"),
        ({"device": "cuad"}, "did you mean cuda"),
        ({"device": "cuda:99"}, "cuda:99 is not available"),
        ({"precision": "fp16"}, "none of auto, fp32, bf16"),
        (
            {"engine": "fusd"},
            "graph, compiled, eager; did you mean fused",
        ),
        ({"threads": -1}, "threads"),
    ],
)
def test_refused(wish, words):
    with pytest.raises(UserError, match=words) as told:
        settle(SMALL, DIGITS, ComputeOptions(**wish))
    assert "\n" not in str(told.value)


@needs_no_gpu
def test_without_a_gpu_auto_is_the_cpu_and_cuda_is_refused():
    assert resolve_device("auto") == "cpu"
    for wanted in ("cuda", "cuda:0"):
        with pytest.raises(UserError, match="torch sees 0 GPUs here; use --device cpu"):
            settle(SMALL, DIGITS, ComputeOptions(device=wanted))


def test_prepare_sets_threads_and_determinism():
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        torch.use_deterministic_algorithms(False)
        for count in (2, 1):
            prepare(Settings("cpu", "fp32", "channels_last", "eager", count))
            assert torch.get_num_threads() == count
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(strict, warn_only=warn_only)


def test_threads_do_not_depend_on_what_the_process_did_before(monkeypatch):
    threads = torch.get_num_threads()
    expected = min(machine.THREADS, host.cores())
    try:
        torch.set_num_threads(expected + 3)
        assert machine.thread_count(0) == expected
    finally:
        torch.set_num_threads(threads)
    monkeypatch.setattr(machine, "THREADS", 64)  # a large machine, of which the process may have a part
    monkeypatch.setattr(host, "cores", lambda: 3)
    assert machine.thread_count(0) == 3
    assert machine.thread_count(5) == 5
    monkeypatch.setattr(machine, "THREADS", 2)  # OMP_NUM_THREADS=2
    assert machine.thread_count(0) == 2


def test_settings_and_environment_are_plain():
    found = settle(SMALL, DIGITS, on_cpu())
    assert Settings.from_dict(found.to_dict()) == found
    told = machine.environment()
    assert told["torch"] == torch.__version__
    assert told["cores"] >= 1
    assert all(v is None or isinstance(v, str | int | bool) for v in told.values())


@pytest.mark.parametrize(("compiled", "engine"), [(True, "compiled"), (False, "eager")])
def test_settings_of_an_older_record(compiled, engine):
    """A run begun before engines had names goes on with the same one (results/unfinished holds such runs)."""
    values = {"device": "cpu", "precision": "bf16", "layout": "channels_last", "threads": 2, "why": "as before"}
    found = Settings.from_dict({**values, "compile": compiled})
    assert found == Settings("cpu", "bf16", "channels_last", engine, 2, "as before")
