"""`--to onnx`: a network as an ONNX file, published once onnxruntime gives the answers of torch with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from reslab.convert.publish import check_out, published
from reslab.errors import RunError, UserError
from reslab.models.trained import TrainedModel
from reslab.nets.flow import IMAGES
from reslab.version import VERSION

if TYPE_CHECKING:
    import onnx

    from reslab.engines.quantise import Quantised

ENDINGS = (".onnx",)
CLOSE = 1e-4  # largest difference of a logit, relative to the largest logit
BATCHES = (1, 2, 5)
LEAST = 100  # pictures that are compared
Run = Callable[[Mapping[str, np.ndarray]], list[np.ndarray]]


@dataclass(frozen=True)
class Sample:
    """Pictures to compare answers on, as they are before resizing, and where they come from, in words.

    labels   classes of the first of them, int64; none of made pictures
    """

    pictures: Sequence[Image.Image]
    source: str
    labels: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))


@dataclass(frozen=True)
class Check:
    """How far the file's answers are from the network's.

    pictures    number of pictures that were compared, and their `source`
    difference  largest difference of a logit, relative to the largest logit, from the same input
    equal       pictures with the same highest class
    resize      with preprocessing: largest difference of a resized pixel from Pillow's, of 255
    as_pillow   with preprocessing: pictures with the same highest class as after Pillow's resizing
    """

    pictures: int
    source: str
    difference: float
    equal: int
    resize: int | None = None
    as_pillow: int | None = None

    def lines(self) -> list[str]:
        """Return what was measured, a line each."""
        found = [
            f"checked on {self.pictures} pictures ({self.source}): {self.equal} answers equal torch's, largest "
            f"relative difference of a logit {self.difference:.1e}"
        ]
        if self.resize is not None:
            found.append(
                f"resizing in the graph differs from Pillow's by at most {self.resize} of 255; {self.as_pillow} of "
                f"{self.pictures} answers are those after Pillow's"
            )
        return found


def exported_onnx(model: TrainedModel, out: Path, sample_of: Callable[[], Sample], preprocessing: bool) -> Check:
    """Write the model to `out` as ONNX and return how it was checked.

    sample_of      called for the pictures once all else is there
    preprocessing  the input is decoded pixels, uint8 [batch, height, width, C], of any size; else the network's own
                   input, float32 [batch, C, S, S]
    Raises UserError if onnx or onnxruntime is missing or `out` cannot be written; RunError if answers differ, in which
    case nothing is written.
    """
    check_out(out, "onnx", ENDINGS)
    file = file_of(model, preprocessing)
    check = compared(model, file, sample_of(), preprocessing).check
    if not check.difference <= CLOSE or check.equal < check.pictures:
        raise RunError(
            f"--to onnx: onnxruntime gives other answers ({check.equal} of {check.pictures} are equal, relative "
            f"difference {check.difference:.2g}); nothing written"
        )
    write(model, file, check, out)
    return check


def write(model: TrainedModel, file: onnx.ModelProto, check: Check, out: Path) -> None:
    """Write a file with what is known of the model and its check. Raises UserError if it cannot be written."""
    described = model.to_dict()
    facts = {
        "reslab": VERSION, "classes": described["classes"], "check": asdict(check), "model": described,
        "input": {**described["input"], **{key: v.tolist() for key, v in model.statistics().items()}},
    }  # fmt: skip
    for key, value in facts.items():
        entry = file.metadata_props.add()
        entry.key, entry.value = key, value if isinstance(value, str) else json.dumps(value)
    with published(out) as aside:
        aside.write_bytes(file.SerializeToString())


def file_of(
    model: TrainedModel, preprocessing: bool, in_bytes: Quantised | None = None, sums: bool = False
) -> onnx.ModelProto:
    """Return the model as ONNX; `in_bytes` and `sums` as `add_network`. Raises UserError if onnx is not installed."""
    try:
        from onnx import TensorProto, helper
    except ImportError:
        raise _missing("onnx") from None
    from reslab.convert.runtimes.onnx_nodes import Nodes, add_network
    from reslab.convert.runtimes.onnx_view import PIXELS, add_preprocessing

    nodes, size, channels = Nodes(), model.spec.image_size, model.spec.in_channels
    graph = model.graph if in_bytes is None else in_bytes.graph
    if preprocessing:
        shape = ["batch", "height", "width", channels]
        first = helper.make_tensor_value_info(PIXELS, TensorProto.UINT8, shape)
        add_network(nodes, graph, add_preprocessing(nodes, model.transform), in_bytes, sums)
    else:
        first = helper.make_tensor_value_info(IMAGES, TensorProto.FLOAT, ["batch", channels, size, size])
        add_network(nodes, graph, in_bytes=in_bytes, sums=sums)
    return nodes.model(graph, first)


def _missing(package: str) -> UserError:
    return UserError(f"--to onnx: needs {package}; pip install 'reslab[onnx]'")


def session(content: bytes) -> Run:
    """Return a function that runs an ONNX model with onnxruntime on the CPU. Raises UserError if it is missing."""
    try:
        import onnxruntime
    except ImportError:
        raise _missing("onnxruntime") from None
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # it would take the cores from others
    opened = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in opened.get_outputs()]
    return lambda inputs: opened.run(names, dict(inputs))


@dataclass(frozen=True, eq=False)
class Compared:
    """The logits of torch and of a file on the same inputs, float32 [N, classes] each, and the `check` of them."""

    ours: np.ndarray
    theirs: np.ndarray
    check: Check


def compared(model: TrainedModel, file: onnx.ModelProto, sample: Sample, preprocessing: bool) -> Compared:
    """Return how far the file's answers are from the network's."""
    pixels = [model.transform.pixels(picture) for picture in sample.pictures]
    inputs = model.transform.inputs(pixels).numpy()
    resize = as_pillow = None
    if preprocessing:
        seen, theirs = _from_pictures(model, file, sample.pictures)
        squares = np.stack([square.transpose(2, 0, 1) for square in pixels]).astype(np.float32)
        transform = model.transform.statistics
        mean, scale = transform.mean.transpose(2, 0, 1), transform.scale.reshape(-1, 1, 1)
        resize = round(float(np.abs((seen * scale + mean) - squares).max()))
        as_pillow = int((logits_of(model, inputs).argmax(1) == theirs.argmax(1)).sum())
        inputs = seen
    else:
        theirs = run_in_batches(session(file.SerializeToString()), inputs)
    ours = logits_of(model, inputs)
    difference = float(np.abs(ours - theirs).max() / np.abs(ours).max())
    equal = int((ours.argmax(1) == theirs.argmax(1)).sum())
    return Compared(ours, theirs, Check(len(ours), sample.source, difference, equal, resize, as_pillow))


def run_in_batches(run: Run, inputs: np.ndarray) -> np.ndarray:
    """Return the logits of inputs, in batches of BATCHES in turn."""
    parts: list[np.ndarray] = []
    start = 0
    while start < len(inputs):
        count = BATCHES[len(parts) % len(BATCHES)]
        parts.append(run({IMAGES: np.ascontiguousarray(inputs[start : start + count])})[0])
        start += count
    return np.concatenate(parts)


def _from_pictures(
    model: TrainedModel, file: onnx.ModelProto, pictures: Sequence[Image.Image]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the network's input as the graph computes it, and the logits, of pictures of any sizes."""
    import onnx
    from onnx import TensorProto, helper

    from reslab.convert.runtimes.onnx_view import PIXELS

    shown = onnx.ModelProto()
    shown.CopyFrom(file)
    side = model.spec.image_size
    shape = ["batch", model.spec.in_channels, side, side]
    shown.graph.output.append(helper.make_tensor_value_info(IMAGES, TensorProto.FLOAT, shape))
    run = session(shown.SerializeToString())
    arrays: list[Any] = []
    for picture in pictures:
        array = np.asarray(picture)
        arrays.append(array.reshape(1, *array.shape[:2], -1))
    logits, seen = zip(*(run({PIXELS: array}) for array in arrays), strict=True)
    batch = [np.roll(arrays[0], shift, axis=2) for shift in range(BATCHES[-1])]
    together = run({PIXELS: np.concatenate(batch)})[0]
    alone = np.concatenate([run({PIXELS: array})[0] for array in batch])
    if np.abs(together - alone).max() > CLOSE * np.abs(alone).max():
        raise RunError("--to onnx: a batch gives other answers than its pictures one by one; nothing written")
    return np.concatenate(seen), np.concatenate(logits)


@torch.no_grad()
def logits_of(model: TrainedModel, inputs: np.ndarray) -> np.ndarray:
    """Return the logits of the network's own forward in fp32, float32 [N, classes]."""
    net = model.network.cpu().eval()
    parts = [net(part) for part in torch.from_numpy(inputs).split(BATCHES[-1])]
    logits: np.ndarray = torch.cat(parts).numpy()
    return logits
