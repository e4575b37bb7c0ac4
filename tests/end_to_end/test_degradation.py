"""The main job, small: four runs, interrupted and gone on with, one page; and again."""

from pathlib import Path

from reslab.store import jsonl

from .shell import begin, end, run, wait_until


def words(out: Path) -> list[object]:
    iterations = 60
    fields = (f"iterations={iterations}", "drops=10", "batch=32", "clean_every=60", "eval_every=30", "log_every=1")
    settings = [w for f in fields for w in ("--set", f)]
    return ["reproduce", "degradation", "--depths", "8,14", "--seeds", 1, *settings, "--processes", 2, "--out", out]


def lines(run_folder: Path) -> list[dict]:
    path = run_folder / "metrics.jsonl"
    return list(jsonl.read(path, checked=True).records)


def runs(out: Path) -> list[Path]:
    return sorted(p.parent for p in out.glob("*/run.json"))


def state(out: Path) -> dict[Path, tuple[int, bytes]]:
    kept = [f for folder in runs(out) for f in sorted(folder.rglob("*")) if f.is_file()]
    return {f: (f.stat().st_mtime_ns, f.read_bytes()) for f in kept}


def test_interrupted_it_exits_75_then_completes_and_once_more_trains_nothing(tmp_path):
    out = tmp_path / "study"
    process = begin(*words(out))
    try:
        wait_until(process, lambda: sum(len(lines(f)) > 3 for f in runs(out)) >= 2)
        process.terminate()
        told, err = process.communicate(timeout=120)
    finally:
        end(process)
    assert process.returncode == 75, err
    assert "Traceback" not in err
    assert told == ""
    assert not (out / "report.html").exists()
    reached = {f: lines(f)[-1]["iteration"] for f in runs(out) if lines(f)}
    assert not all(lines(f)[-1]["kind"] == "end" for f in reached)
    told, err = run(*words(out))
    page = Path(told.split()[-1])
    assert page == (out / "report.html").resolve()
    text = page.read_text(encoding="utf-8")
    assert "From 8 to 14 layers the plain net" in text
    for folder, iteration in reached.items():
        marks = [m["iteration"] for m in lines(folder) if m["kind"] == "resume"]
        assert marks in ([iteration], [])  # it went on from its very last step, or had finished before the signal
    assert any(m["kind"] == "resume" for f in reached for m in lines(f))
    found = runs(out)
    assert sorted(f.name.split("-")[0] for f in found) == [
        "cifar_plain14", "cifar_plain8", "cifar_resnet14", "cifar_resnet8",
    ]  # fmt: skip
    assert all(lines(f)[-1]["kind"] == "end" for f in found)
    before = state(out)
    told, err = run(*words(out))
    assert Path(told.split()[-1]) == page
    assert "4 runs: 4 finished already, 0 to do" in err
    assert state(out) == before
    assert page.read_text(encoding="utf-8") == text
