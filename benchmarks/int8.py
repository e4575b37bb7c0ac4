"""Classifying with `resnet50` at 224x224 on a CPU in 8 bits, with the answers of fp32.

`python -m benchmarks.int8 [--quick] [--pairs N] [--threads N] [--record]`, after `pip install --group bench`.

Peer    the better of onnxruntime fp32 (see `benchmarks.inference`) and OpenVINO fp32 (the same file, hint f32, as many
        threads), chosen for each batch size. OpenVINO in 8 bits, on the file that `export --to onnx-int8` writes, is
        measured beside them and printed as a note: its answers are not those of fp32.
Ours    `reslab.engines.calibrated.Int8Inference`, calibrated on 768 random crops of training digits; close calls again
        in bf16 and, if still close, in fp32. Each piece takes the next images, so that the figure includes the usual
        share of close calls.
Inputs  as in `benchmarks.inference`: a net trained in minutes on enlarged digits, and crops of held-out digits.
"""

from __future__ import annotations

import itertools
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from onnx import TensorProto, helper
from torch import Tensor

from benchmarks.inference import Classify, Crops, rate, sessions, torchvisions, trained
from benchmarks.side import Bar, BenchmarkOptions, Row, in_turn, main, say
from reslab.convert.runtimes.onnx_nodes import Nodes, add_network
from reslab.engines.calibrated import FEWEST, FITTED, JUDGED, Int8Inference
from reslab.engines.inference import Inference
from reslab.engines.machine import thread_count
from reslab.engines.quantise import quantised
from reslab.nets.flow import IMAGES
from reslab.nets.model import Network

BAR = Bar(least=1.8, aim=3.0)
BATCHES = (1, 32)
COUNT = 1_000


def openvino(file: Path, threads: int) -> Classify:
    """Return the file's network, run by OpenVINO with its convolutions in fp32 (or in 8 bits, if the file has them)."""
    import openvino

    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    compiled: Any = openvino.Core().compile_model(str(file), "CPU", settings)
    return lambda images: torch.from_numpy(compiled({0: images.numpy()})[0])


def in_bytes(net: Network, images: Tensor, file: Path) -> Path:
    """Write the net in 8 bits as `export --to onnx-int8` does, and return the file."""
    made, nodes, shape = quantised(net.graph(), images.split(8)), Nodes(), ["batch", *images.shape[1:]]
    add_network(nodes, made.graph, in_bytes=made, sums=True)
    first = helper.make_tensor_value_info(IMAGES, TensorProto.FLOAT, shape)
    file.write_bytes(nodes.model(made.graph, first).SerializeToString())
    return file


@torch.no_grad()
def rows(options: BenchmarkOptions) -> Iterator[Row]:
    threads = thread_count(options.threads)
    torch.set_num_threads(threads)
    net, count = trained(threads, options.quick), 64 if options.quick else COUNT
    torch.set_num_threads(threads)
    held = Crops("test")(count, 224).images
    lessons = Crops("train")(FEWEST if options.quick else FITTED + JUDGED, 224).images
    ours = Int8Inference(net, [*lessons.numpy()], lambda part: torch.from_numpy(np.stack(part)))
    say(f"calibrated: bound {ours.bound:.3f}{f' ({ours.fallback})' if ours.fallback else ''}")
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        peers = sessions(torchvisions(net), threads, folder)
        peers["OpenVINO"] = openvino(Path(folder) / "resnet50.onnx", threads)
        beside = openvino(in_bytes(net, lessons[:64], Path(folder) / "int8.onnx"), threads)
        exact = torch.cat([Inference(net, "fp32")(part) for part in held.split(32)]).argmax(1)
        answers = [torch.cat([one(part) for part in held.split(32)]).argmax(1) for one in (ours, beside)]
        same, theirs = (float((found == exact).double().mean()) for found in answers)
        share = f"close calls, computed again: {100 * ours.again / ours.seen:.1f} % of {ours.seen:,}"
        yield Row(
            "classify with resnet50 in int8, top-1 agreement with fp32", "share", (same,), (1.0,), Bar(least=1.0),
            (f"n = {count:,}; OpenVINO int8: {theirs:.3f}", share),
        )  # fmt: skip
        for batch in BATCHES:
            full_batches = [part for part in held.split(batch) if len(part) == batch]
            turns, pieces = itertools.cycle(full_batches), (4 if options.quick else 25) if batch == 1 else 1
            medians = {
                name: statistics.median([rate(one, turns, pieces) for _ in range(3 if options.quick else 6)][1:])
                for name, one in {**peers, "OpenVINO int8": beside}.items()
            }
            rate(ours, turns, pieces)
            best = max(peers, key=lambda name: medians[name])
            rates = ", ".join(f"{name}: {median:.1f}" for name, median in medians.items())
            yield in_turn(
                f"classify with resnet50 in int8, batch {batch}", "images/s",
                lambda c=pieces, t=turns: rate(ours, t, c), lambda c=pieces, t=turns, p=peers[best]: rate(p, t, c),
                options, BAR, (f"peer: {best}, fp32; images/s {rates}", share),
            )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main("int8", "Classifying on a CPU in 8 bits", rows))
