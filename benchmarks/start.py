"""Start-up times: the list of verbs, the description of a network, the first update of a second run.

`python -m benchmarks.start [--quick] [--pairs N] [--threads N] [--record]`. Each figure is the wall clock of a whole
process, from its start to its exit.

Peers  `python -c pass`, twice; and a process that imports torch, builds the same network and makes one eager update.
Ours   `reslab --help`, `reslab describe resnet152`, and `reslab train` of one iteration with built kernels: it reads
       the data, makes the folder, measures the test split and the clean pass, and writes the checkpoint.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.side import Bar, BenchmarkOptions, Row, in_turn, main, timed

HELP, DESCRIBE, STEP = Bar(most=15), Bar(most=20), Bar(most=4)
REPEAT = 5  # processes in one figure of a row that takes a fraction of a second
BATCH = 128
# The peer's update is by hand: torch.optim would import torch._dynamo, which is as slow as torch itself.
EAGER = f"""
import torch
from reslab.nets.model import build
net = build("cifar_resnet20", in_channels=1, image_size=8)
loss = torch.nn.functional.cross_entropy(net(torch.randn({BATCH}, 1, 8, 8)), torch.randint(0, 10, ({BATCH},)))
loss.backward()
with torch.no_grad():
    for p in net.parameters():
        p -= 0.1 * p.grad
"""
TRAIN = (
    "train", "cifar_resnet20", "--data", "digits", "--iterations", "1", "--device", "cpu", "--engine", "fused",
    "--precision", "bf16", "--set", f"batch={BATCH}",
)  # fmt: skip


def process(*words: str, environment: dict[str, str]) -> None:
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(words)}: exit {done.returncode}\n{done.stderr}")


def rows(options: BenchmarkOptions) -> Iterator[Row]:
    environment = dict(os.environ) | ({"OMP_NUM_THREADS": str(options.threads)} if options.threads else {})
    script = Path(sys.executable).with_name("reslab")
    ours = [str(script)] if script.exists() else [sys.executable, "-m", "reslab"]
    repeat = 1 if options.quick else REPEAT

    def side(*words: str, repeat: int = repeat) -> Callable[[], float]:
        process(*words, environment=environment)  # compiles the Python files
        return lambda: timed(lambda: process(*words, environment=environment), repeat)

    nothing = side(sys.executable, "-c", "pass")
    for words, bar in ((("--help",), HELP), (("describe", "resnet152"), DESCRIBE)):
        yield in_turn(
            f"reslab {' '.join(words)}", "s", side(*ours, *words), nothing, options, bar, ("peer: `python -c pass`",)
        )
    with tempfile.TemporaryDirectory() as work:
        number = iter(range(10**6))

        def train() -> None:
            process(*ours, *TRAIN, "--out", f"{work}/{next(number)}", environment=environment)

        train()  # builds the kernels if they are not cached
        yield in_turn(
            "first step of a second run", "s", lambda: timed(train), side(sys.executable, "-c", EAGER, repeat=1),
            options, STEP,
            ("peer: torch imported, one eager fp32 step", f"ours: the whole of `reslab {' '.join(TRAIN)}`"),
        )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main("start", "Start", rows))
