"""What cannot fit is refused before it starts, and what is refused does not fit: against real processes and limits."""

import itertools
import platform
import subprocess
import sys
from dataclasses import replace

import pytest
from cases import some

import reslab
from reslab.api.runs import rehearse
from reslab.engines import host, memory
from reslab.engines.machine import ComputeOptions, Settings, settle
from reslab.engines.ranks import Ranks
from reslab.errors import UserError
from reslab.models import capacity
from reslab.nets.names import spec_of
from reslab.runs.recipe import Recipe, changed
from reslab.training import room

SPEC = spec_of("cifar_resnet20")
EAGER = Settings("cpu", "fp32", "channels_last", "eager", 1)
linux = pytest.mark.skipif(platform.system() != "Linux", reason="limits of a process are read from /proc")


@pytest.fixture
def free(monkeypatch):
    """Sets what the machine has free; None: unknown."""

    def to(size):
        monkeypatch.setattr(host, "available", lambda swap=False: size)

    return to


@pytest.mark.parametrize(("batch", "bn_batch"), [(512, 0), (500, 0), (1, 0), (4096, 64), (960, 96)])
def test_the_batch_named_fits_and_the_next_does_not(batch, bn_batch):
    recipe = changed(Recipe(), {"batch": batch, "bn_batch": bn_batch})
    for recompute, size in itertools.product((False, True), (10**7, 10**8, 4 * 10**8, 10**9, 10**11)):
        found = room.largest_batch(SPEC, recipe, replace(EAGER, recompute=recompute), size)

        def fits(count, recompute=recompute, size=size):
            return memory.update(SPEC, changed(recipe, {"batch": count}), "fp32", recompute) <= 0.8 * size

        part = bn_batch or 1
        candidates = {batch, *(part * 2**k for k in range(30) if part * 2**k <= batch)}
        assert found == max(filter(fits, candidates), default=0), (recompute, size)


def test_refused_by_a_clear_margin_alone(free):
    """What an update holds at once, and a tenth more: below it runs are left to try."""
    recipe = changed(Recipe(), {"batch": 1024})
    least = memory.least(SPEC, recipe, "fp32")
    assert least < memory.update(SPEC, recipe, "fp32")
    free(least / 1.09)
    room.check_update(SPEC, recipe, EAGER)
    free(None)
    room.check_update(SPEC, changed(recipe, {"batch": 2**22}), EAGER)
    free(round(least / 1.11))
    with pytest.raises(UserError) as told:
        room.check_update(SPEC, recipe, EAGER)
    assert str(told.value).startswith(
        f"recipe: batch = 1024: an update of cifar_resnet20 takes at least {memory.shown(least)} and "
        f"{memory.shown(round(least / 1.11))} are free; --set batch="
    )


@pytest.mark.parametrize("ranks", [1, 2, 3, 7])
@pytest.mark.parametrize(("batch", "bn_batch"), [(128, 0), (130, 0), (128, 64), (960, 96)])
def test_of_several_ranks_the_largest_share_counts(monkeypatch, ranks, batch, bn_batch):
    """The share that `Ranks.share` gives, and on the CPU that many ranks' memory of one machine."""
    recipe = changed(Recipe(), {"batch": batch, "bn_batch": bn_batch})
    spans = [Ranks(rank, ranks).share(batch, bn_batch) for rank in range(ranks)]
    share = memory.share_of(recipe, ranks)
    assert share.batch == max(span.stop - span.start for span in spans)
    assert (share.bn_batch or share.batch) == (bn_batch if bn_batch and batch // bn_batch >= ranks else share.batch)
    needed = memory.need(SPEC, share, "fp32").total
    for name, value in (("WORLD_SIZE", ranks), ("RANK", 0), ("LOCAL_WORLD_SIZE", ranks)):
        monkeypatch.setenv(name, str(value))
    options = ComputeOptions("cpu", "fp32", "eager", 1, ranks=ranks)
    for free, is_recomputed in ((needed / 0.79, False), (needed / 0.81, True)):
        monkeypatch.setattr(host, "available", lambda swap=False, free=free: round(free * ranks))
        settings = settle(SPEC, recipe, options)
        assert (settings.ranks, settings.recompute) == (ranks, is_recomputed)
        room.check_update(SPEC, recipe, settings)
    monkeypatch.setattr(host, "available", lambda swap=False: round(0.5 * memory.least(SPEC, share, "fp32") * ranks))
    each = f"in each of {ranks} processes and" if ranks > 1 else "and"
    with pytest.raises(UserError, match=rf"batch = {batch}: an update of \S+ takes at least \S+ \S+ {each}"):
        room.check_update(SPEC, recipe, replace(settings, recompute=False))


@pytest.mark.parametrize(
    ("batch", "bn_batch", "size"),
    [(2**20, 0, 10**9), (2**20, 0, 10**10), (256, 0, 10**9), (2**20, 2**18, 10**10), (2**20, 0, 10**6)],
)
def test_the_remedy(free, batch, bn_batch, size):
    """In words: the largest batch, the largest with recompute if that is more, or that there is none."""
    spec = spec_of("cifar_resnet110")
    recipe = changed(Recipe(), {"batch": batch, "bn_batch": bn_batch})
    plain, shared = (room.largest_batch(spec, recipe, replace(EAGER, recompute=on), size) for on in (False, True))
    free(size)
    with pytest.raises(UserError, match="takes at least") as told:
        room.check_update(spec, recipe, EAGER)
    words = str(told.value).split("are free; ")[1]
    if plain:
        other = "" if shared == batch else f" with batch={shared}"
        assert words == f"--set batch={plain} fits (or --recompute on{other})"
        assert shared > plain
    else:
        assert words.startswith("no multiple of bn_batch = 262144 fits" if bn_batch else "no batch fits")
        assert shared == 0


def test_a_batch_beyond_the_split_counts_as_the_split_if_the_last_one_is_kept(free):
    recipe = changed(Recipe(), {"batch": 2**20, "last_batch": "keep"})
    free(10**9)
    room.check_update(SPEC, recipe, EAGER, samples=100)
    with pytest.raises(UserError, match="batch = 100000"):
        room.check_update(SPEC, recipe, EAGER, samples=100_000)


def test_a_run_is_checked_with_the_settings_it_began_with(free, tmp_path):
    out = tmp_path / "run"
    choices = {"iterations": 4, "set": {"save_every": 1}, "widths": (4, 4, 8), "out": out, "threads": 1}

    def leave(event):
        if event["kind"] == "checkpoint":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reslab.train("cifar_resnet8", "digits", precision="bf16", recompute="on", tell=leave, **choices)
    record = rehearse("cifar_resnet8", "digits", **choices).settings
    spec, recipe = spec_of("cifar_resnet8"), Recipe()
    assert room.settings_of(out, spec, recipe, ComputeOptions()) == record
    assert (record.precision, record.recompute) == ("bf16", True)
    assert not room.settings_of(out, spec, recipe, ComputeOptions(recompute="off")).recompute
    free(10**4)
    with pytest.raises(UserError, match="takes at least"):
        reslab.train("cifar_resnet8", "digits", tell=lambda event: None, **choices)
    free(10**10)
    reslab.train("cifar_resnet8", "digits", tell=lambda event: None, **choices)
    free(10**4)
    assert room.settings_of(out, spec, recipe, ComputeOptions()) is None
    reslab.train("cifar_resnet8", "digits", tell=lambda event: None, **choices)  # finished: nothing to compute


UPDATE = """
import sys, torch
from reslab.nets.model import build
from reslab.nets.names import spec_of
from reslab.engines import host, memory
from reslab.engines.machine import Settings, prepare
from reslab.runs.recipe import Recipe, changed
from reslab.training.step import Step
spec, recipe = spec_of(sys.argv[1]), changed(Recipe(), {"batch": int(sys.argv[2])})
precision, recompute = sys.argv[3], sys.argv[4] == "on"
settings = Settings("cpu", precision, "channels_last", "eager", 1, "", recompute)
prepare(settings)
before = host.resident()[0]
images = torch.zeros(recipe.batch, 3, 32, 32).contiguous(memory_format=torch.channels_last)
Step(build(spec), recipe, settings)(images, torch.zeros(recipe.batch, dtype=torch.int64), 1e-3)
print(memory.least(spec, recipe, precision, recompute), host.resident()[1] - before)
"""


@linux
@pytest.mark.parametrize(
    ("model", "batch", "precision", "recompute"),
    some([("cifar_plain20", 256, "bf16", "on"), ("cifar_resnet8", 512, "fp32", "off")], quick=0, names=4),
)
def test_no_update_takes_less_than_the_least(model, batch, precision, recompute):
    """The peak of a real process: were it below, runs that fit would be refused."""
    words = [sys.executable, "-c", UPDATE, model, str(batch), precision, recompute]
    least, peak = map(int, subprocess.run(words, capture_output=True, text=True, check=True).stdout.split())
    assert 0.3 * peak < least < room.MEASURED * peak


@linux
def test_the_limits_of_a_process_count_as_memory():
    """`ulimit -v` and `ulimit -d`, of which a part is used."""
    code = (
        "import resource; from reslab.engines import host; free = host.available();"
        "resource.setrlimit(getattr(resource, NAME), (3 * 10**9,) * 2); print(free, host.available())"
    )
    for name in ("RLIMIT_AS", "RLIMIT_DATA"):
        words = [sys.executable, "-c", code.replace("NAME", repr(name))]
        free, left = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
        assert 0 < int(left) < min(3 * 10**9, int(free) + 1)


LIMIT = (
    "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (8 * 10**9,) * 2); from reslab.cli.main import main;"
)


def verb(words: list[str]) -> tuple[int, list[str]]:
    """(exit status, lines of standard error) of a command line that may have 8 GB of address space."""
    code = f"{LIMIT} sys.exit(main({words!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return done.returncode, done.stderr.splitlines()


@linux
@pytest.mark.parametrize("more", some([[], ["--dry-run"]], quick=1))
def test_train_under_a_limit_refuses_a_hopeless_batch_in_one_line(tmp_path, more):
    """Before CIFAR-10 is read: the folder that is named holds none."""
    words = ["train", "cifar_resnet20", "--data", f"cifar10:{tmp_path}", "--set", "batch=100000", "--device", "cpu"]
    status, lines = verb([*words, "--out", str(tmp_path / "run"), *more])
    assert (status, len(lines)) == (2, 1), lines
    assert lines[0].startswith("reslab: recipe: batch = 100000: an update of cifar_resnet20 takes at least ")
    assert "fits" in lines[0]
    assert not (tmp_path / "run" / "run.json").exists()


@pytest.mark.slow
@linux
@pytest.mark.parametrize(
    ("words", "start"),
    some(
        [
            ("probe cifar_resnet8 --widths 65536,65536,65536", "probe: cifar_resnet8 would take about"),
            ("reproduce C3 --seeds 1 --set batch=4000000 --out OUT", "recipe: batch = 4000000: an update of"),
        ],
        quick=1,
        names=2,
    ),
)
def test_other_verbs_under_a_limit(tmp_path, words, start):
    status, lines = verb([str(tmp_path / "study") if word == "OUT" else word for word in words.split()])
    assert (status, len(lines)) == (2, 1), lines
    assert lines[0].startswith(f"reslab: {start}")
    assert not (tmp_path / "study").exists()


def test_evaluations_and_predictions_are_refused_with_a_batch_that_fits(free):
    free(10**9)
    capacity.check_evaluation(SPEC, 250, "cpu")
    with pytest.raises(UserError, match=r"--batch 1000000: cifar_resnet20 would take .* --batch 2048 fits"):
        capacity.check_evaluation(SPEC, 10**6, "cpu")
    capacity.check_evaluation(SPEC, 100_000, "cpu", at_once=392)
    with pytest.raises(UserError, match="no batch fits"):
        capacity.check_evaluation(spec_of("resnet152"), 1, "cpu", nets=100)


@pytest.mark.parametrize("model", ["cifar_resnet20", "resnet50"])
def test_a_probe_is_refused_only_if_it_needs_more(free, model):
    """Half of what the net, its copy and their gradients take is too little; the peak of one batch's maps is enough."""
    spec = spec_of(model)
    least = memory.least(spec, Recipe(batch=128), "fp32")
    free(least)
    capacity.check_probe(spec, 128, True, "cpu")
    free(least // 3)
    with pytest.raises(UserError, match=f"probe: {model} would take about"):
        capacity.check_probe(spec, 128, True, "cpu")
    capacity.check_probe(spec, 2, False, "cpu")


def test_batches_are_made_of_the_largest_parts_that_fit(monkeypatch):
    spec, options = spec_of("resnet18"), ComputeOptions(device="cpu", precision="fp32", engine="eager", threads=1)
    whole = Recipe(batch=96)
    needs = {size: memory.update(spec, replace(whole, bn_batch=size), "fp32") for size in (0, 48, 32, 24, 2)}
    for free, size in ((needs[0] + 1, 0), (needs[48] + 1, 48), (needs[32] + 1, 32), (needs[24] + 1, 24)):
        monkeypatch.setattr(room, "free_bytes", lambda device, free=free: free / room.ROOM)
        assert room.in_parts(spec, whole, options).bn_batch == size
    monkeypatch.setattr(room, "free_bytes", lambda device: 1e6)
    with pytest.raises(UserError, match="are free"):
        room.in_parts(spec, whole, options)
