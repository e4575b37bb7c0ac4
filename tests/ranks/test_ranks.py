"""Several ranks against one process: real processes that meet over gloo."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import reslab
from reslab.engines import choose
from reslab.engines.ranks import Ranks
from reslab.engines.shares import part_ends, sizes
from reslab.models import checkpoints
from reslab.runs import runlog

SCRIPT = Path(__file__).with_name("one_rank.py")
LENGTH = {"iterations": 20, "eval_every": 10, "clean_every": 20, "log_every": 5, "save_every": 10}
ALL = {
    "optimizer": "muon", "mixup": 0.2, "cutmix": 1.0, "average": 0.9, "bn_statistics": "precise", "augment": "trivial",
    "probe_every": 10, "warmup_from_depth": 1, "warmup_error": 85.0, "warmup_window": 2,
}  # fmt: skip

VGG = {"widths": [4, 4, 8], "switches": {"batch_norm": True}}


def started(count: int, out: Path, choices: dict, package: Path | None = None) -> list[subprocess.CompletedProcess]:
    """Run the ranks and return what they said, rank after rank; `package`: a folder with the last rank's own reslab."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    place = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    words = [sys.executable, str(SCRIPT), str(out), json.dumps(choices)]
    own = [{}] * (count - 1) + [{"PYTHONPATH": str(package)} if package else {}]
    running = [
        subprocess.Popen(
            words, env={**os.environ, **place, "RANK": str(rank), "LOCAL_RANK": str(rank), **own[rank]}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for rank in range(count)
    ]  # fmt: skip
    said = [process.communicate(timeout=300) for process in running]
    return [
        subprocess.CompletedProcess(words, process.returncode, *texts)
        for process, texts in zip(running, said, strict=True)
    ]


def trained(count: int, out: Path, recipe: dict, **choices) -> list[str]:
    """Train, and return the warnings."""
    ends = started(count, out, {"recipe": {**LENGTH, **recipe}, **choices})
    assert [end.returncode for end in ends] == [0] * count, ends
    return json.loads(ends[0].stdout)


def distance(one: Path, other: Path) -> dict[str, float]:
    """The largest relative difference of a tensor of the newest checkpoints, by kind of tensor."""
    first, second = checkpoints.newest(one), checkpoints.newest(other)
    assert first.iteration == second.iteration
    found: dict[str, float] = {}
    for part in ("weights", "state"):
        mine, its = getattr(first, part), getattr(second, part)
        assert mine.keys() == its.keys()
        for name, values in mine.items():
            kind = "running" if "running" in name else name.partition(".")[0] if part == "state" else "weight"
            size = values.double().norm().clamp_min(1e-30)
            found[kind] = max(found.get(kind, 0.0), float((values.double() - its[name].double()).norm() / size))
    return found


def losses(out: Path) -> list[float]:
    return [line["loss"] for line in runlog.read(out).metrics if line["kind"] in ("train", "eval", "probe")]


@pytest.mark.parametrize(
    ("count", "recipe", "choices"),
    [
        (2, {}, {}),
        pytest.param(3, ALL, {}, marks=pytest.mark.slow),
        pytest.param(3, {"optimizer": "muon", "label_smoothing": 0.1}, {"net": "cifar_plain8"}, marks=pytest.mark.slow),
        pytest.param(3, {}, {"net": "vgg19", **VGG}, marks=pytest.mark.slow),  # has dropout
        pytest.param(2, {"small_size": 6, "small_until": 10}, {}, marks=pytest.mark.slow),
        pytest.param(2, {"balance": "sampling"}, {"switches": {"order": "pre"}}, marks=pytest.mark.slow),
    ],
)
def test_ranks_equal_parts_of_a_batch_in_one_process(tmp_path, count, recipe, choices):
    """In float64, with own BN statistics: weights, velocities, averages, BN's moving statistics and all losses."""
    trained(1, tmp_path / "one", {**recipe, "batch": 60, "bn_batch": 60 // count}, double=True, **choices)
    trained(count, tmp_path / "many", {**recipe, "batch": 60}, double=True, **choices)
    found = distance(tmp_path / "one", tmp_path / "many")
    assert found["weight"] > 0 or count == 2
    assert max(found.values()) < 1e-10, found
    assert losses(tmp_path / "many") == pytest.approx(losses(tmp_path / "one"), rel=1e-5)  # probes have six digits


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["eager", "fused", "winograd"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_two_ranks_have_the_bits_of_two_parts(tmp_path, engine, precision):
    """a + b has no order, so two ranks round as one process does; BN's moving statistics are summed in another way."""
    if engine == "winograd" and (precision == "fp32" or choose.unavailable_reason(engine)):
        pytest.skip("winograd computes in bf16, on CPUs with its units")
    for count, out in ((1, "one"), (2, "two")):
        trained(count, tmp_path / out, {"batch": 64, "bn_batch": 32}, engine=engine, precision=precision)
    found = distance(tmp_path / "one", tmp_path / "two")
    assert {kind for kind, far in found.items() if far} <= {"running"}
    assert found["running"] < 1e-6  # float32 has 6e-8


@pytest.mark.slow
def test_weights_that_drift_apart_are_noticed_and_made_equal(tmp_path):
    said = trained(2, tmp_path / "run", {"batch": 60, "save_every": 5}, drifts=3)
    assert said == ["the ranks' weights differ, as their machines round differently; all go on with those of rank 0"]
    told = [line for line in runlog.read(tmp_path / "run").metrics if line["kind"] == "warning"]
    assert [line["iteration"] for line in told] == [5]  # and not at 10, 15 and 20


@pytest.mark.parametrize(
    ("count", "recipe", "choices"),
    [
        pytest.param(3, {"batch": 64, "optimizer": "muon", "bn_statistics": "precise"}, {}, marks=pytest.mark.slow),
        pytest.param(2, {"batch": 61, "mixup": 0.2, "average": 0.9}, {}, marks=pytest.mark.slow),
        pytest.param(2, {"batch": 61}, {"net": "vgg19", **VGG}, marks=pytest.mark.slow),  # has dropout
        pytest.param(4, {"batch": 61, "last_batch": "keep", "probe_every": 10}, {}, marks=pytest.mark.slow),
    ],
)
def test_synchronised_ranks_of_uneven_shares_equal_one_process(tmp_path, count, recipe, choices):
    trained(1, tmp_path / "one", recipe, double=True, **choices)
    trained(count, tmp_path / "many", recipe, double=True, sync_bn=True, **choices)
    assert max(distance(tmp_path / "one", tmp_path / "many").values()) < 1e-10
    assert losses(tmp_path / "many") == pytest.approx(losses(tmp_path / "one"), rel=1e-5)


@pytest.mark.slow
def test_the_order_of_samples_does_not_depend_on_the_number_of_ranks(tmp_path):
    """Without BN the number of ranks is a matter of rounding: 4, then 2, 3 and 1 ranks end where one process does."""
    choices = {"double": True, "switches": {"batch_norm": False}}
    recipe = {"batch": 60, "lr": 0.01, "save_every": 5}
    trained(1, tmp_path / "one", recipe, **choices)
    warnings = []
    for count, stop in ((4, 5), (2, 10), (3, 15), (1, 20)):
        # a run that ends at `stop` and is then a checkpoint of the longer one
        ends = started(
            count, tmp_path / "many", {"recipe": {**LENGTH, **recipe}, "stop": stop if stop < 20 else 99, **choices}
        )
        assert {end.returncode for end in ends} == {75 if stop < 20 else 0}, ends
        warnings += json.loads(ends[0].stdout) if ends[0].stdout else []
    assert max(distance(tmp_path / "one", tmp_path / "many").values()) < 1e-10
    told = [line["text"] for line in runlog.read(tmp_path / "many").metrics if line["kind"] == "warning"]
    assert sum("the number of ranks is" in text for text in told) == 3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["precise_statistics", "evaluate"])
def test_all_ranks_leave_a_pass_that_one_is_told_to_stop_in(tmp_path, name):
    """They save, record no scores, and go on to the bits of a run that was not stopped."""
    recipe = {"batch": 60, "bn_statistics": "precise"}
    trained(2, tmp_path / "whole", recipe)
    ends = started(2, tmp_path / "run", {"recipe": {**LENGTH, **recipe}, "halts": name})
    assert [end.returncode for end in ends] == [75, 75], ends
    assert checkpoints.newest(tmp_path / "run").iteration == 10
    assert not [line for line in runlog.read(tmp_path / "run").metrics if line["kind"] == "eval"]
    trained(2, tmp_path / "run", recipe)
    assert set(distance(tmp_path / "whole", tmp_path / "run").values()) == {0.0}
    assert losses(tmp_path / "run") == losses(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 3, 4])
def test_scores_are_exact_for_any_number_of_images(tmp_path, count):
    alone, many = (started(n, tmp_path, {"scores": True}) for n in (1, count))
    assert [end.returncode for end in many] == [0] * count, many
    assert json.loads(many[0].stdout) == json.loads(alone[0].stdout)


@pytest.mark.parametrize(
    ("choices", "line"),
    [
        ({"other": 1}, "UserError: rank 1 has another data than rank 0"),
        pytest.param({"faster": 1}, "UserError: rank 1 has another command than rank 0", marks=pytest.mark.slow),
        pytest.param(
            {"recipe": {"batch": 1}},
            "UserError: --processes 2: a batch has 1 images, fewer than ranks",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_ranks_that_do_not_fit_together(tmp_path, choices, line):
    recipe = {**LENGTH, **choices.pop("recipe", {})}
    ends = started(2, tmp_path / "run", {"recipe": recipe, **choices})
    assert [end.returncode for end in ends] in ([2, 1], [2, 2])
    assert ends[0].stderr.startswith(line)
    assert "Traceback" not in ends[0].stderr + ends[1].stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_ranks_with_different_code(tmp_path):
    shutil.copytree(Path(reslab.__file__).parent, tmp_path / "other" / "reslab")
    with (tmp_path / "other" / "reslab" / "nets" / "cost.py").open("a") as file:
        file.write("# one line more\n")
    ends = started(2, tmp_path / "run", {"recipe": LENGTH}, tmp_path / "other")
    assert [end.returncode for end in ends] == [2, 1]
    assert ends[0].stderr.startswith("UserError: rank 1 has another version of reslab's code than rank 0")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("samples", "part"), [(7, 0), (60, 20), (61, 20), (64, 16), (5, 2), (9, 9)])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_shares_are_all_of_the_batch_in_order_and_keep_parts_whole(samples, part, count):
    spans = [Ranks(rank, count).share(samples, part) for rank in range(count)]
    assert [row for span in spans for row in range(samples)[span]] == [*range(samples)]
    ends = part_ends(samples, part)
    if len(ends) >= count:
        assert {span.stop for span in spans} <= {*ends} if part else True
    else:
        taken = [span.stop - span.start for span in spans]
        assert max(taken) - min(taken) <= 1
    taken = [span.stop - span.start for span in spans]
    assert min(taken) > 0
    assert sizes(samples, count, part) == taken
