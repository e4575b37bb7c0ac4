"""The steps of a network as nodes of ONNX."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from reslab.engines.quantise import Quantised, Scale
from reslab.nets.flow import IMAGES
from reslab.nets.graph import Graph, Step

OPSET = 19  # the first with circular padding
IR_VERSION = 9  # of the first onnx with that opset, so that older runtimes read the file
LOGITS = "logits"
ACTIVATIONS = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid"}
PADDINGS = {"circular": "wrap"}
ROUNDED = ("add", "pad", "gap")  # kinds that can read 8 bits


class Nodes:
    """Nodes and constants so far. Every method returns the name of its output."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}

    def constant(self, name: str, value: Any, dtype: Any = None) -> str:
        self.constants[name] = np.asarray(value, dtype, order="C")
        return name

    def add(self, operation: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operation, list(inputs), [name], name, **attributes))
        return name

    def model(self, graph: Graph, first: onnx.ValueInfoProto) -> onnx.ModelProto:
        """Return the checked model from the input `first` to logits [batch, classes]."""
        last = helper.make_tensor_value_info(LOGITS, TensorProto.FLOAT, ["batch", graph.spec.classes])
        constants = [numpy_helper.from_array(value, name) for name, value in self.constants.items()]
        model = helper.make_model(
            helper.make_graph(self.nodes, "reslab", [first], [last], constants),
            opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="reslab",
        )  # fmt: skip
        onnx.checker.check_model(model, full_check=True)
        return model


def add_network(
    nodes: Nodes, graph: Graph, images: str = IMAGES, in_bytes: Quantised | None = None, sums: bool = False
) -> None:
    """Add the steps of a network; `images` is the name of its input, float32 [batch, C, S, S].

    in_bytes   the network in 8 bits, to be written as QDQ: a map that an 8-bit layer reads or writes is rounded and
               turned back (QuantizeLinear, DequantizeLinear), and a runtime computes what lies between them in 8 bits
    sums       additions and what else reads maps are 8-bit layers too: faster, with larger errors in deep networks
    """
    outputs = {IMAGES: images, **{step.name: step.name for step in graph.steps}, graph.steps[-1].name: LOGITS}
    rounded: dict[str, str] = {}
    readers = {name: step for step in graph.steps for name in step.inputs}

    def rounded_name(name: str) -> str:
        assert in_bytes is not None
        if name not in rounded:
            rounded[name] = _add_rounding(nodes, outputs[name], in_bytes.scales[name])
        return rounded[name]

    for step in graph.steps:
        is_int8 = in_bytes is not None and in_bytes.is_int8(step)
        rounds = is_int8 or (sums and step.kind in ROUNDED)
        inputs = [rounded_name(name) if rounds else outputs[name] for name in step.inputs]
        weights = _add_weights(nodes, step, in_bytes) if in_bytes is not None and is_int8 else []
        _add_step(nodes, graph, step, inputs, outputs[step.name], weights)
        if is_int8 and readers[step.name].kind != "act":  # else the activation's output is rounded
            outputs[step.name] = rounded_name(step.name)


def _add_rounding(nodes: Nodes, x: str, scale: Scale) -> str:
    """Add the rounding of a map to 8 bits and back."""
    step, zero = np.float32(scale.step), np.uint8(scale.zero)
    ends = [nodes.constant(f"{x}.scale", step), nodes.constant(f"{x}.zero_point", zero)]
    quantised = nodes.add("QuantizeLinear", [x, *ends], f"{x}.bytes")
    return nodes.add("DequantizeLinear", [quantised, *ends], f"{x}.rounded")


def _add_weights(nodes: Nodes, step: Step, in_bytes: Quantised) -> list[str]:
    """Add the weights of a layer in 8 bits, and its bias in units of weight times input; return their names."""
    weight, reads = in_bytes.weights[step.name], in_bytes.scales[step.inputs[0]]
    name = f"{step.name}.weight"
    scales = nodes.constant(f"{name}.scales", weight.scales)
    values = [nodes.constant(f"{name}.bytes", weight.values), scales]
    units = weight.scales.astype(np.float64) * np.float32(reads.step)
    assert step.bias is not None
    whole = np.clip(np.rint(step.bias / units), -(2**31), 2**31 - 1).astype(np.int32)
    unit = nodes.constant(f"{step.name}.bias.units", units, np.float32)
    bias = [nodes.constant(f"{step.name}.bias.whole", whole), unit]
    return [
        nodes.add("DequantizeLinear", values, f"{name}.rounded", axis=0),
        nodes.add("DequantizeLinear", bias, f"{step.name}.bias.rounded", axis=0),
    ]


def _add_step(
    nodes: Nodes, graph: Graph, step: Step, inputs: list[str], name: str, weights: Sequence[str] = ()
) -> None:
    """Add one step, whose output is `name`; `weights` names its weight and bias if they are there already."""
    row, spec = step.row, graph.spec
    if weights:
        inputs += weights
    elif step.kind in ("conv", "linear"):
        inputs += [nodes.constant(f"{step.name}.weight", step.weight), nodes.constant(f"{step.name}.bias", step.bias)]
    if step.kind == "conv":
        pads = [row.padding] * 4
        if spec.padding != "zeros" and row.padding:
            around = nodes.constant(f"{name}.around", [0, 0, *pads[:2], 0, 0, *pads[2:]], np.int64)
            inputs[0] = nodes.add("Pad", [inputs[0], around], f"{name}.padded", mode=PADDINGS[spec.padding])
            pads = [0] * 4
        nodes.add("Conv", inputs, name, kernel_shape=[row.kernel] * 2, strides=[row.stride] * 2, pads=pads)
    elif step.kind == "linear":
        nodes.add("Gemm", inputs, name, transB=1)
    elif step.kind == "bn":
        shape = (-1,) if spec.family == "mlp" else (-1, 1, 1)
        assert step.weight is not None
        assert step.bias is not None
        scale = nodes.constant(f"{name}.scale", step.weight.reshape(shape))
        offset = nodes.constant(f"{name}.offset", step.bias.reshape(shape))
        nodes.add("Add", [nodes.add("Mul", [inputs[0], scale], f"{name}.scaled"), offset], name)
    elif step.kind == "act":
        nodes.add(ACTIVATIONS[spec.activation], inputs, name)
    elif step.kind == "maxpool":
        # the border that a rounded-up map needs; written out, as runtimes differ in ceil_mode
        end = (row.size_out - 1) * row.stride + row.kernel - row.size_in - row.padding
        pads = [row.padding, row.padding, max(0, end), max(0, end)]
        nodes.add("MaxPool", inputs, name, kernel_shape=[row.kernel] * 2, strides=[row.stride] * 2, pads=pads)
    elif step.kind == "pad":
        _add_option_a(nodes, graph, step, inputs[0], name)
    elif step.kind == "gap":
        nodes.add("Flatten", [nodes.add("GlobalAveragePool", inputs, f"{name}.mean")], name)
    elif step.kind == "flatten":
        nodes.add("Flatten", inputs, name)
    elif step.kind == "add":
        nodes.add("Add", inputs, name)
    else:
        raise ValueError(f"{step.name}: no ONNX for {step.kind!r} layers; add it to runtimes/onnx_nodes.py")


def _add_option_a(nodes: Nodes, graph: Graph, step: Step, x: str, name: str) -> None:
    """Add option A's shortcut (§4.1): every stride-th pixel, padded with zero channels."""
    row, spec = step.row, graph.spec
    missing = row.c_out - row.c_in
    before = missing // 2 if spec.pad_at == "both" else 0
    is_map = spec.family != "mlp"
    if is_map and row.stride > 1:
        start = nodes.constant(f"{name}.start", [0, 0], np.int64)
        end = nodes.constant(f"{name}.end", [row.size_in] * 2, np.int64)
        axes = nodes.constant(f"{name}.axes", [2, 3], np.int64)
        step_ = nodes.constant(f"{name}.step", [row.stride] * 2, np.int64)
        x = nodes.add("Slice", [x, start, end, axes, step_], f"{name}.sampled")
    maps = [0, 0] if is_map else []
    around = nodes.constant(f"{name}.around", [0, before, *maps, 0, missing - before, *maps], np.int64)
    nodes.add("Pad", [x, around], name)
