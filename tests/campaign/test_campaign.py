"""Many runs in real processes: finished ones left alone, killed ones gone on with, failing ones named.

This file is also the child that is killed: `python -c "import test_campaign; test_campaign.child()" FOLDER BASE`.
"""

import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from cases import some
from machines import workers

from reslab.campaign.executor import Where
from reslab.campaign.layout import attempt_of
from reslab.campaign.plan import is_done, iterations_in, parallelism
from reslab.campaign.progress import Progress
from reslab.campaign.runs import run_all, train_all
from reslab.engines.machine import ComputeOptions
from reslab.errors import Interrupted, ReslabError, RunError, UserError
from reslab.nets.names import spec_of
from reslab.runs.recipe import Recipe, changed
from reslab.runs.recipes import recipe
from reslab.runs.runlog import Record
from reslab.show.terminal.plain import PlainTeller
from reslab.store import jsonl
from reslab.store.lock import locked
from reslab.training.job import Job

LENGTH = 100
RECIPE = changed(
    recipe("digits"),
    {
        "batch": 16,
        "iterations": LENGTH,
        "drops": (50,),
        "eval_every": 50,
        "clean_every": 50,
        "log_every": 1,
        "save_every": 40,
    },
)


def jobs(folder: Path, base=RECIPE, seeds: tuple[int, ...] = (0, 1)) -> list[Job]:
    """Plain and residual, seed by seed."""
    return [
        Job(spec_of(f"cifar_{kind}8", widths=(4, 4, 8), in_channels=1, image_size=8), "digits", base, seed,
             folder / f"{kind}-{seed}", ComputeOptions("cpu"), command="the command")
        for seed in seeds for kind in ("plain", "resnet")
    ]  # fmt: skip


def slow(folder: Path) -> list[Job]:
    """Two runs whose single update takes about a second."""
    return jobs(folder, changed(RECIPE, {"batch": 16_000, "iterations": 8, "drops": ()}), seeds=(0,))


BASES = {"local": (jobs, "local"), "slow": (slow, "local"), "folder": (jobs, "folder")}


def child() -> None:
    """The campaign in a process of its own, told to end as the command line would."""
    try:
        found, on = BASES[sys.argv[2]]
        run_all(found(Path(sys.argv[1])), PlainTeller(), Where(on, processes=2))
    except Interrupted as error:
        sys.exit(error.exit_code)


def lines(out: Path) -> list[dict]:
    return list(jsonl.read(out / "metrics.jsonl", checked=True).records)


def steps(out: Path) -> list[int]:
    return [int(f.name[5:]) for f in sorted((out / "checkpoints").glob("step-*"))]


def weights(job: Job) -> str:
    folder = job.out / "checkpoints" / f"step-{job.recipe.iterations:08d}"
    return hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()


def files(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {str(f): (f.stat().st_mtime_ns, f.read_bytes()) for f in sorted(folder.rglob("*")) if f.is_file()}


class Events(list):
    def __call__(self, event: dict) -> None:
        self.append(event)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[list[Job], list[Record], Events]:
    """An uninterrupted campaign of four runs, two side by side."""
    found, told = jobs(tmp_path_factory.mktemp("whole")), Events()
    return found, run_all(found, told, Where(processes=2)), told


def test_every_run_is_finished_and_told_in_order(whole):
    found, records, told = whole
    assert [r.folder for r in records] == [p.out for p in found]
    assert [(r.residual, r.seed) for r in records] == [(False, 0), (True, 0), (False, 1), (True, 1)]
    assert all(
        r.finished and is_done(p) and iterations_in(p.out) == LENGTH for r, p in zip(records, found, strict=True)
    )
    assert len({weights(p) for p in found}) == 4
    assert {r.run["settings"]["threads"] for r in records} == {1}
    assert {r.run["command"] for r in records} == {"the command"}
    assert told[0]["text"] == "4 runs: 0 finished already, 4 to do"
    shares = [e["done"] for e in told if e["kind"] == "campaign"]
    assert shares == sorted(shares)
    assert all(0 <= s <= 1 for s in shares)


def test_again_trains_nothing(whole):
    found, records, _ = whole
    before, told = files(found[0].out.parent), Events()
    assert [r.metrics for r in run_all(found, told, Where(processes=2))] == [r.metrics for r in records]
    assert [e["text"] for e in told] == ["4 runs: 4 finished already, 0 to do"]
    assert files(found[0].out.parent) == before


def test_alone_a_run_ends_as_in_company(whole, tmp_path, monkeypatch):
    """The last run that is missing goes by itself: it still computes on one thread, as it would have beside others."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    (found,) = jobs(tmp_path)[:1]
    (record,) = run_all([found], Events(), Where(processes=2))
    assert record.run["settings"]["threads"] == 1
    assert weights(found) == weights(whole[0][0])


@pytest.mark.parametrize(
    ("count", "cores", "free", "processes", "expected"),
    [
        (9, 2, 64e9, None, (2, 1)),  # as many as cores
        (1, 2, 64e9, None, (1, 0)),  # alone: on all of them
        (4, 16, 64e9, None, (4, 4)),  # cores that are left over become threads
        (9, 16, 5e9, None, (2, 8)),  # as many as memory holds, and never none
        (9, 16, 1e6, None, (1, 0)),
        (9, 16, 1e6, 3, (3, 5)),  # the user's word counts
        (9, 2, 64e9, 1, (1, 0)),
    ],
)
def test_how_many_side_by_side(monkeypatch, count, cores, free, processes, expected):
    """Large nets: cifar_resnet56, batch 128."""
    monkeypatch.setattr("reslab.engines.host.cores", lambda: cores)
    monkeypatch.setattr("reslab.engines.host.available", lambda: int(free))
    found = [Job(spec_of("cifar_resnet56"), "cifar10:x", Recipe(), seed, Path("x"), ComputeOptions("cpu"))
             for seed in range(count)]  # fmt: skip
    assert parallelism(found, processes) == expected


def test_small_nets_keep_to_one_thread(tmp_path, monkeypatch):
    monkeypatch.setattr("reslab.engines.host.cores", lambda: 8)
    monkeypatch.setattr("reslab.engines.host.available", lambda: 10**12)
    assert parallelism(jobs(tmp_path)[:1]) == (8, 1)  # of which one is at work
    assert parallelism(jobs(tmp_path), processes=3) == (3, 1)
    assert parallelism([]) == (1, 0)


# -- stopped


@contextmanager
def campaign(folder: Path, which: str = "local") -> Iterator[subprocess.Popen[str]]:
    """The child in a process group of its own, which is gone at the end whatever happens."""
    process = subprocess.Popen(
        [sys.executable, "-c", "import test_campaign; test_campaign.child()", str(folder), which],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=60)


def wait_until(process: subprocess.Popen[str], reached: Callable[[], bool]) -> None:
    until = time.monotonic() + 240
    while not reached():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until, "the moment never came"
        time.sleep(0.002)


def midway(found: list[Job]) -> bool:
    """At least one run is finished, and another is on its way past its first lines."""
    done = [is_done(p) for p in found]
    return any(done) and any(4 < iterations_in(p.out) < LENGTH - 10 for p in found)


@pytest.mark.slow
def test_killed_with_all_its_processes_it_goes_on(whole, tmp_path):
    found = jobs(tmp_path)
    with campaign(tmp_path) as process:
        wait_until(process, lambda: midway(found))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)
    finished = [p for p in found if is_done(p)]
    assert 1 <= len(finished) < 4
    before = {p.out: files(p.out) for p in finished}
    told = Events()
    records = run_all(found, told, Where(processes=2))
    assert told[0]["text"] == f"4 runs: {len(finished)} finished already, {4 - len(finished)} to do"
    assert {p.out: files(p.out) for p in finished} == before
    assert all(r.finished for r in records)
    assert [weights(p) for p in found] == [weights(p) for p in whole[0]]


def saved_where_it_was(process: subprocess.Popen[str], found: list[Job]) -> None:
    """Exit 75 without a traceback, and of every run that had begun a checkpoint of its very last step."""
    _, told = process.communicate(timeout=120)
    assert process.returncode == 75, told
    assert "Traceback" not in told
    begun = [p for p in found if lines(p.out)]
    assert len(begun) >= 2
    assert {p.out.name: steps(p.out)[-1:] for p in begun} == {p.out.name: [iterations_in(p.out)] for p in begun}
    assert not all(is_done(p) for p in found)


@pytest.mark.slow
def test_sigterm_to_the_campaign_lets_every_run_save(tmp_path):
    found = jobs(tmp_path)
    with campaign(tmp_path) as process:
        wait_until(process, lambda: sum(iterations_in(p.out) > 5 for p in found) >= 2)
        process.terminate()
        saved_where_it_was(process, found)


@pytest.mark.parametrize("sign", some([signal.SIGTERM, signal.SIGINT], quick=0))
def test_a_signal_to_all_processes_lets_every_run_save(tmp_path, sign):
    """As a terminal's Ctrl-C and a batch system's end do it: the runs hear it once more from the campaign."""
    found = slow(tmp_path)
    with campaign(tmp_path, "slow") as process:
        wait_until(process, lambda: all(iterations_in(p.out) for p in found))
        os.killpg(process.pid, sign)
        saved_where_it_was(process, found)


# -- failing


def test_a_failing_run_is_named_and_the_others_are_kept(whole, tmp_path):
    found = jobs(tmp_path)[:3]
    found[0].out.mkdir()
    (found[0].out / "holiday.txt").write_text("not a run")
    with pytest.raises(RunError, match="1 of 3 runs failed") as told:
        run_all(found, Events(), Where(processes=2))
    assert str(found[0].out) in str(told.value)
    assert "holiday.txt" in str(told.value)
    assert "\n" not in str(told.value)
    assert [is_done(p) for p in found] == [False, True, True]
    assert [weights(p) for p in found[1:]] == [weights(p) for p in whole[0][1:3]]
    before = files(found[1].out)
    with locked(found[0].out), pytest.raises(RunError, match="in use by process") as told:
        run_all(found, Events(), Where(processes=2))
    assert str(found[0].out) in str(told.value)
    assert files(found[1].out) == before


@pytest.mark.slow
def test_many_failures_with_long_words_end_all_the_same(tmp_path):
    """More than a pipe holds: the processes must be able to end while nobody has read their words yet."""
    (one,) = jobs(tmp_path)[:1]
    found = [replace(one, seed=seed, out=tmp_path / f"{'long' * 50}-{seed}") for seed in range(300)]
    for job in found:
        job.out.mkdir()
        (job.out / "holiday.txt").write_text("not a run")
    with pytest.raises(RunError, match="300 of 300 runs failed"):
        run_all(found, Events(), Where(processes=2))


def test_a_run_of_other_data_is_not_taken_for_its_own(whole):
    """The same net, recipe and seed, trained on data of the same name that have changed since."""
    found, records, _ = whole
    print_ = records[0].run["data"]["fingerprint"]
    assert is_done(replace(found[0], fingerprint=print_))
    with pytest.raises(ReslabError, match="fingerprint is another"):
        is_done(replace(found[0], fingerprint="0" * len(print_)))


def test_time_left_is_of_this_sittings_pace(tmp_path):
    """Half done before, then a hundredth in a minute: 49 minutes are left, whatever was done earlier."""
    (one,) = jobs(tmp_path, changed(RECIPE, {"iterations": 1000}))[:1]
    one.out.mkdir()
    (one.out / "metrics.jsonl").write_text('{"kind": "train", "iteration": 500}\n')
    now = [0.0]
    progress = Progress([one], clock=lambda: now[0])
    assert progress.event()["left"] is None
    with (one.out / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "train", "iteration": 510}\n')
    now[0] = 60.0
    told = progress.event()
    assert told["left"] == pytest.approx(49 * 60)
    assert told["done"] == pytest.approx(0.51)
    assert [(row["name"], row["iteration"], row["iterations"]) for row in told["running"]] == [
        (one.out.name, 510, 1000)
    ]
    assert told["running"][0]["left"] == pytest.approx(49 * 60)


def test_another_run_in_a_plans_folder_is_not_taken_for_its_own(whole):
    """Finished, but from another seed: it is refused by name, not handed back as what was asked for."""
    found, _, _ = whole
    other = replace(found[0], seed=7)
    with pytest.raises(ReslabError, match="holds another run") as told:
        run_all([found[1], other], Events(), Where(processes=2))
    assert str(other.out) in str(told.value)


@pytest.mark.slow
def test_a_plan_is_computed_in_the_precision_it_asks_for(tmp_path):
    short = changed(RECIPE, {"iterations": 2, "drops": ()})
    both = [
        replace(jobs(tmp_path, short)[0], out=tmp_path / precision, options=ComputeOptions("cpu", precision))
        for precision in ("bf16", "fp32")
    ]
    assert [record.run["settings"]["precision"] for record in run_all(both, lambda event: None)] == ["bf16", "fp32"]
    assert weights(both[0]) != weights(both[1])


def test_an_unforeseen_error_of_a_process_is_told_as_on_the_command_line(tmp_path):
    """Its kind, its text, the line of reslab that raised it; the traceback is a note, which --debug prints."""
    (job,) = jobs(tmp_path, seeds=(0,))[:1]
    with pytest.raises(RunError) as told:
        run_all([replace(job, command={3})], lambda event: None, Where(processes=1))  # type: ignore[arg-type]
    text = str(told.value)
    assert text.startswith(f"1 of 1 runs failed; the first: {job.out}: ")
    assert re.search(r"Error: .+ \(in reslab/[a-z/]+\.py:\d+\): this is a fault of reslab", text)
    assert "\n" not in text
    (note,) = told.value.__notes__
    assert note.startswith("Traceback (most recent call last):")


# -- by several commands on one folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_under_leases_the_runs_are_the_same(whole, tmp_path):
    found, told = jobs(tmp_path), Events()
    records = run_all(found, told, Where("folder", processes=2))
    assert [weights(job) for job in found] == [weights(job) for job in whole[0]]
    assert [record.run["settings"] for record in records] == [record.run["settings"] for record in whole[1]]
    assert names(tmp_path) == sorted(job.out.name for job in found)  # no lease is left
    host = socket.gethostname()
    ends = {f"{job.out.name}: finished on {host}" for job in found}
    assert {event["text"] for event in told if " finished on " in event.get("text", "")} == ends
    seen = [row for event in told if event["kind"] == "campaign" for row in event["running"]]
    assert {row["where"] for row in seen} <= {host}


@pytest.mark.slow
def test_a_dead_machine_is_followed_from_its_checkpoints(whole, tmp_path):
    """All its processes are killed with no chance to say so; the next command waits for the lease, and goes on."""
    found = jobs(tmp_path)
    attempts = [job.out for job in found]
    with campaign(tmp_path, "folder") as process:
        wait_until(process, lambda: sum((f := attempt_of(out)) is not None and steps(f) != [] for out in attempts) >= 2)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)
    left = {out: steps(attempt)[-1] for out in attempts if (attempt := attempt_of(out)) is not None}
    assert len(left) == 2
    with pytest.raises(UserError, match="go on with --on folder"):
        run_all(found, Events(), Where(processes=2))
    told = Events()
    run_all(found, told, Where("folder", processes=2, lease=1.0))
    assert [weights(job) for job in found] == [weights(job) for job in whole[0]]
    assert sum("no sign of life" in event.get("text", "") for event in told) == 2
    for out, step in left.items():
        resumed = [line for line in lines(out) if line["kind"] == "resume"]
        assert [line["iteration"] for line in resumed] == [step], lines(out)[:3]
    assert names(tmp_path) == sorted(job.out.name for job in found)


@pytest.mark.slow
@pytest.mark.parametrize("on", ["folder", "local"])
def test_a_killed_process_is_replaced_and_its_run_resumed(whole, tmp_path, on):
    found = jobs(tmp_path)
    with campaign(tmp_path, on) as process:
        wait_until(process, lambda: len(workers(process.pid)) == 2 and any(map(begun, found)))
        os.kill(workers(process.pid)[0], signal.SIGKILL)
        _, told = process.communicate(timeout=240)
    assert process.returncode == 0, told
    assert [weights(job) for job in found] == [weights(job) for job in whole[0]]
    assert re.search(r"its process was ended by SIGKILL; tried again from its newest checkpoint", told)


def begun(job: Job) -> bool:
    folder = attempt_of(job.out) or job.out
    return iterations_in(folder) > 4


@pytest.mark.slow
@pytest.mark.parametrize("on", some(["local", "folder"], quick=1))
def test_a_run_that_fails_each_time_is_given_up_and_the_others_go_on(tmp_path, on):
    """Its loss is not finite after the same update, however often it is tried."""
    found = jobs(tmp_path)
    bad = replace(found[1], recipe=changed(RECIPE, {"lr": 1e30, "name": "diverges"}))
    told = Events()
    failures = train_all([found[0], bad, found[2]], told, Where(on, processes=2))
    assert set(failures) == {bad.out}
    assert "loss" in failures[bad.out].message
    assert ".leases" not in failures[bad.out].message
    assert [is_done(job) for job in (found[0], found[2])] == [True, True]
    again = [event for event in told if "tried again from its newest checkpoint" in event.get("text", "")]
    assert 2 <= len(again) <= 3  # the first attempt may have got further than none
    assert (bad.out / "run.json").is_file()  # to be looked at, under leases too


@pytest.mark.slow
def test_a_signal_leaves_runs_under_leases_for_anyone(whole, tmp_path):
    found = jobs(tmp_path)
    with campaign(tmp_path, "folder") as process:
        wait_until(process, lambda: sum(map(begun, found)) >= 2)
        process.terminate()
        saved_where_it_was(process, found)
    assert not list(tmp_path.glob(".leases/[!.]*"))
    run_all(found, Events(), Where(processes=2))  # here, without leases
    assert [weights(job) for job in found] == [weights(job) for job in whole[0]]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"on": "rya"}, "--on rya: is none of local, folder, ray, slurm; did you mean ray?"),
        ({"on": "folder:x"}, "--on folder:x: write folder"),
        ({"on": "slurm:"}, "--on slurm:: write slurm:KEY=VALUE,…, or slurm"),
        ({"processes": 0}, "--processes: 0 must be at least 1"),
        ({"gpus": 2}, "--gpus-per-run 2: a run of a study trains on one GPU at most; give 0 or 1"),
    ],
)
def test_places_that_do_not_exist(words, told):
    with pytest.raises(UserError) as error:
        Where(**words)
    assert str(error.value) == told


def test_the_device_does_not_depend_on_the_machine():
    assert Where("ray").device("auto") == "cpu"
    assert Where("ray", gpus=1).device("auto") == "cuda"
    assert Where().device("auto") == "auto"
    for where, device in ((Where("ray"), "cuda"), (Where("ray", gpus=1), "cpu")):
        with pytest.raises(UserError, match=f"--device {device}: with --gpus-per-run {where.gpus}"):
            where.device(device)


@pytest.mark.parametrize(
    ("on", "package", "told"),
    [
        ("ray", "ray", "--on ray: needs ray; install reslab with its extra: pip install 'reslab[ray]'"),
        ("slurm", "submitit", "--on slurm: needs submitit; install reslab with its extra: pip install 'reslab[slurm]'"),
    ],
)
def test_an_extra_that_is_missing(tmp_path, monkeypatch, on, package, told):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError) as error:
        run_all(jobs(tmp_path), Events(), Where(on))
    assert str(error.value) == told


@pytest.mark.parametrize("detail", ["partition", "=x", "time=soon", "cluster=local,time="])
def test_options_of_slurm_that_cannot_be(tmp_path, detail):
    with pytest.raises(UserError, match=f"--on slurm:{detail}"):
        run_all(jobs(tmp_path), Events(), Where(f"slurm:{detail}"))


@pytest.mark.skipif(shutil.which("srun") is not None, reason="there is a Slurm here")
def test_no_slurm(tmp_path):
    with pytest.raises(UserError, match=r"--on slurm: .*srun"):
        run_all(jobs(tmp_path), Events(), Where("slurm"))


def test_data_that_differ_where_the_run_is_trained(tmp_path):
    (job,) = jobs(tmp_path, seeds=(0,))[:1]
    failures = train_all([replace(job, fingerprint="0" * 64)], Events(), Where("folder"))
    message = failures[job.out].message
    assert message.startswith("--data digits: holds other images here than where the command was given (on ")


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9", "no-host.invalid:6379", "127.0.0.1:99999"])
def test_no_cluster_answers(tmp_path, address):
    with pytest.raises(UserError, match=f"--on ray:{address}: no Ray cluster answers there .+; `ray status` shows one"):
        run_all(jobs(tmp_path), Events(), Where(f"ray:{address}"))
