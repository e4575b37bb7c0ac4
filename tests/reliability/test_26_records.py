"""Rows 26 and 27: torn metrics, and pages of odd runs in a real browser without a network."""

from __future__ import annotations

import json
from pathlib import Path

from browsers import browser  # noqa: F401
from counts import some
from damage import Tally, copied, crash, outcome
from test_browser import HOSTILE
from trained import TINY, end_of, same_end, sets
from written_runs import write_run

TRAIN = (*TINY, "--iterations", "12", *sets("save_every=4", "log_every=2", "eval_every=4", "clean_every=6"))
MOST = 3 << 20  # bytes of a page


def test_fault_26_metrics_cut_at_each_byte(reslab, count):
    """Of the last lines: the run resumes and writes them anew, and readers leave a torn line out, by name or unseen."""
    reslab(*TRAIN, "--out", "whole").good()
    whole = reslab.here / "whole"
    end, tally, read = end_of(whole), Tally(), Tally()
    content = (whole / "metrics.jsonl").read_bytes()
    at = content.rindex(b'{"kind": "eval"')
    for length in some(range(at - 2, len(content))):
        run = copied(whole, reslab.here / "run")
        (run / "metrics.jsonl").write_bytes(content[:length])
        if length % 3 == 0:
            shown = reslab("report", run, "--out", "page.html") if length % 30 == 0 else reslab("evaluate", run)
            read.add(f"cut to {length}", crash(shown))
        ended = reslab(*TRAIN, "--out", run)
        steps = [
            line["iteration"]
            for line in map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
            if line["kind"] == "train"
        ]
        wrong = outcome(ended, same_end(run, end), (str(run), "metrics.jsonl")) or (
            "" if len(set(steps)) == len(steps) else "steps twice"
        )
        tally.add(f"cut to {length} of {len(content)}", wrong)
    tally.told(count, 26, "metrics cut at each byte of the last two lines, resumed")
    read.told(count, 26, "metrics cut within the last two lines, evaluate and report")


def lines_of(run: Path) -> list[str]:
    return (run / "metrics.jsonl").read_text().splitlines()


def odd_runs(root: Path) -> dict[str, Path]:
    """Runs that a page must take: empty, partial, without numbers, very long, hostile names."""
    runs = {
        name: write_run(root / name, "cifar_resnet20", 0)
        for name in ("empty", "partial", "null", "long", "one", "huge")
    }
    (runs["empty"] / "metrics.jsonl").write_text("")
    (runs["partial"] / "metrics.jsonl").write_text("\n".join(lines_of(runs["partial"])[:7]) + '\n{"kind": "ev')
    nothing = [json.loads(line) for line in lines_of(runs["null"])]
    nothing = [
        {k: None if k in ("loss", "top1_error", "top5_error", "error") else v for k, v in line.items()}
        for line in nothing
    ]
    (runs["null"] / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in nothing))
    clock = {"seconds": 1.0, "rate": 1.0, "data_wait": 0.0, "left": 1.0}
    long = [
        {"kind": "train", "iteration": i, "loss": 1 / i, "error": 90 / i**0.1, "lr": 0.1, "clock": clock}
        for i in range(1, 100_001)
    ]
    for i in range(1000, 100_001, 1000):
        long += [
            {
                "kind": "eval",
                "iteration": i,
                "split": s,
                "n": 9,
                "top1_error": 90 / i**0.2,
                "top5_error": 1.0,
                "loss": 1.0,
            }
            for s in ("test", "train")
        ]
    (runs["long"] / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in long))
    (runs["one"] / "metrics.jsonl").write_text(lines_of(runs["one"])[0] + "\n")
    huge = [json.loads(line) for line in lines_of(runs["huge"])]
    huge = [{k: 1e308 if k in ("loss", "top1_error") else v for k, v in line.items()} for line in huge]
    (runs["huge"] / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in huge))
    for number, name in enumerate((HOSTILE, "\"quoted\" & 'twice'", "{{7*7}}${x}`", "]]>--><!--", "\u202eabc\u2028")):
        runs[f"hostile {number}"] = write_run(
            root / f"hostile{number}", "cifar_resnet20", 0, shown=name, name=name, classes=[name] * 10
        )
    return runs


def test_fault_27_pages_in_a_browser(reslab, tmp_path, count, browser):  # noqa: F811
    """A page for each, or one line: no error in the console, no request, no injected element, at most 3 MB."""
    tally = Tally()
    runs = odd_runs(tmp_path / "runs")
    cases = {name: (run,) for name, run in runs.items()} | {"all together": tuple(runs.values())}
    for name, sources in some(cases.items()):
        file = reslab.here / f"{name.replace(' ', '-')}.html"
        ended = reslab("report", *sources, "--out", file, seconds=120)
        wrong = crash(ended)
        if not wrong and ended.code == 0:
            wrong = looked_at(browser, file) or (
                "" if file.stat().st_size <= MOST else f"{file.stat().st_size:,} bytes"
            )
        tally.add(name, wrong)
    tally.told(count, 27, "pages of empty, partial, number-free, 100,000-step and hostile runs in Chromium, offline")


def looked_at(browser, file: Path) -> str:  # noqa: F811
    """What a page does that it may not."""
    context = browser.new_context(offline=True)
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    page.wait_for_timeout(300)
    images, title = page.evaluate("document.querySelectorAll('img').length"), page.title()
    context.close()
    if said:
        return f"console: {said[0][:120]}"
    if asked != [file.as_uri()]:
        return f"requests: {asked[:3]}"
    return "injected" if images or title == "broken" else ""
