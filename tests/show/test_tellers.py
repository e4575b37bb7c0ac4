"""What training tells: plain lines with no control character, a live line on a terminal."""

from __future__ import annotations

import io

from reslab.show.format import clean, duration, number
from reslab.show.terminal.console import Teller, teller
from reslab.show.terminal.plain import PlainTeller


def start(**more):
    return {"kind": "start", "name": "a", "model": "cifar_resnet20", "iterations": 1000, "from": 0,
            "settings": "cpu, fp32", "out": "runs/a", "resumed": False, **more}  # fmt: skip


def step(iteration, **more):
    return {"kind": "train", "iteration": iteration, "iterations": 1000, "epoch": 1.5, "loss": 1.25, "error": 50.0,
            "lr": 0.1, "rate": 1234.5, "data_wait": 0.02, "left": 125.0, **more}  # fmt: skip


EVAL = {"kind": "eval", "split": "test", "iteration": 100, "top1_error": 12.344, "loss": 0.5, "n": 500}


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_plain_lines_come_every_ten_seconds_evaluations_at_once():
    out, clock = io.StringIO(), Clock()
    tell = PlainTeller(out, clock=clock)
    tell(start())
    for i in range(1, 31):
        clock.now = float(i)
        tell(step(i))
    tell(EVAL)
    tell({"kind": "checkpoint", "iteration": 100})
    tell({"kind": "end", "text": "finished 1,000 iterations: runs/a"})
    assert out.getvalue().splitlines() == [
        "a: from iteration 0 to 1,000, cpu, fp32, in runs/a",
        *(
            f"iteration {i}/1,000, epoch 1.5: loss 1.2500, train error 50.00 %, lr 0.1, 1,234 img/s, "
            "data wait 2 %, 2:05 left"
            for i in (1, 11, 21)
        ),
        "iteration 100: test error 12.34 %, loss 0.5000, n = 500",
        "finished 1,000 iterations: runs/a",
    ]


def test_the_last_iteration_is_always_told():
    out = io.StringIO()
    tell = PlainTeller(out, clock=Clock())
    tell(start())
    tell(step(999))
    tell(step(1000))
    assert len(out.getvalue().splitlines()) == 3


def test_runs_side_by_side_have_names():
    out = io.StringIO()
    tell = PlainTeller(out, clock=Clock())
    tell(start())
    tell(start(name="b", resumed=True, **{"from": 500}))
    tell({**EVAL, "name": "a"})
    assert out.getvalue().splitlines()[1:] == [
        "b: resumed at iteration 500 of 1,000, cpu, fp32, in runs/a",
        "a: iteration 100: test error 12.34 %, loss 0.5000, n = 500",
    ]


def test_hostile_text_cannot_steer_a_terminal():
    assert clean("a\x1b[31mb\nc\u202ed") == "a\ufffd[31mb c\ufffdd"
    for made in (PlainTeller, lambda s: Teller(s, terminal=False)):
        out = io.StringIO()
        with made(out) as tell:
            tell(start(name="\x1b]0;x\x07", out="[red]runs\x1b[2J"))
            tell({"kind": "warning", "text": "loss\x1b[31m\nis [bold]high"})
        assert "\x1b" not in out.getvalue()
        assert "[red]runs" in out.getvalue()
        assert "[bold]high" in out.getvalue()


def test_a_terminal_has_a_live_line_and_keeps_evaluations():
    out = io.StringIO()
    with Teller(out, terminal=True) as tell:
        tell(start())
        tell(step(500))
        tell(EVAL)
        tell({"kind": "note", "text": "the rate is 0.1 now"})
        assert tell.progress is not None
        tell.progress.refresh()
        tell({"kind": "end", "text": "finished"})
        assert tell.progress is None
    shown = out.getvalue()
    assert "500/1000" in shown
    assert "1,234 img/s" in shown
    for line in ("iteration 100: test error 12.34 %", "the rate is 0.1 now", "finished"):
        assert line in shown


def test_training_events_before_any_start_and_unknown_kinds_do_no_harm():
    with Teller(io.StringIO(), terminal=True) as tell:
        tell(step(3))
        tell({"kind": "new in a later version"})
    PlainTeller(io.StringIO())({"kind": "new in a later version"})


def test_the_teller_fits_the_stream():
    assert type(teller(io.StringIO())) is PlainTeller
    out = io.StringIO()
    quiet = teller(out, quiet=True)
    quiet(start())
    quiet(EVAL)
    quiet({"kind": "warning", "text": "slow"})
    assert out.getvalue() == "warning: slow\n"


def test_figures():
    assert [duration(s) for s in (0, 59.6, 185, 7385, float("nan"), None)] == [
        "0 s",
        "1:00",
        "3:05",
        "2:03:05",
        "–",
        "–",
    ]
    assert [number(v, ".1f", " %") for v in (1, 2.25, float("inf"), None, True)] == ["1.0 %", "2.2 %", "–", "–", "–"]


def test_the_claims_of_a_page_are_counted():
    out = io.StringIO()
    tell = PlainTeller(out, clock=lambda: 0.0)
    for done in range(4):
        tell({"kind": "page", "iteration": done, "iterations": 3})
    assert out.getvalue().splitlines() == ["page: 0 of 3 claims drawn", "page: 3 of 3 claims drawn"]
    terminal = io.StringIO()
    with Teller(terminal, terminal=True) as live:
        for done in range(4):
            live({"kind": "page", "iteration": done, "iterations": 3})
    assert "3/3" in terminal.getvalue()
    assert "claims drawn" in terminal.getvalue()
