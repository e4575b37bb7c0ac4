"""Record a forward pass: one node for each operation whose result depends on the image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

from reslab.conformance.call import Call, Facts
from reslab.conformance.ops import LIKE, RANDOM, WHOLE, ZEROS, read


@dataclass(frozen=True)
class Node:
    """One operation on the image.

    index     its place in the trace; 0 is the image
    facts     what it does
    inputs    nodes whose results it reads, each once
    shape     of its result, with the batch
    names     of parameters and buffers, by argument
    computed  its weight is computed from parameters in the forward pass
    """

    index: int
    facts: Facts
    inputs: tuple[int, ...]
    shape: tuple[int, ...]
    names: Mapping[str, frozenset[str]]
    computed: bool = False

    @property
    def kind(self) -> str:
        return self.facts.kind

    @property
    def name(self) -> str:
        return self.facts.name

    @property
    def is_weight_layer(self) -> bool:
        return self.kind in ("conv", "linear")

    @property
    def size(self) -> int:
        """Side of its map in pixels; 1 without a map."""
        return self.shape[2] if len(self.shape) > 2 else 1


@dataclass(frozen=True)
class Source:
    """What a tensor is made of: a node's result (`node` >= 0), or else parameters, random numbers or constants.

    names    of parameters and buffers
    learned  parameters are among them
    """

    node: int = -1
    names: frozenset[str] = frozenset()
    learned: bool = False
    zeros: bool = False
    random: bool = False

    @property
    def role(self) -> str:
        if self.node >= 0:
            return "data"
        return "random" if self.random else "weight" if self.learned else "zeros" if self.zeros else "constant"


class Recorder(TorchDispatchMode):
    """Record the operations that depend on `image`. Tensors are followed by identity, views by what they show."""

    def __init__(self, module: nn.Module, image: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.nodes = [Node(0, Facts("input", "image"), (), tuple(image.shape), {})]
        self.sources = WeakTensorKeyDictionary()
        self.bases = WeakTensorKeyDictionary()  # from a view to the tensor that it shows
        self.direct = WeakTensorKeyDictionary()
        self.storages: dict[int, Source] = {}
        named = ((name, tensor, False) for name, tensor in module.named_buffers())
        for name, tensor, learned in (*named, *((name, tensor, True) for name, tensor in module.named_parameters())):
            source = Source(names=frozenset([name]), learned=learned)
            self.sources[tensor] = source
            self.direct[tensor] = name
            if tensor.device.type != "meta":  # `.data` of a parameter is another tensor
                self.storages[tensor.untyped_storage().data_ptr()] = source
        self.sources[image] = Source(node=0)

    def source(self, tensor: Tensor) -> Source:
        """Return what `tensor` is made of; a tensor of unknown origin is a constant."""
        if tensor in self.sources:
            known: Source = self.sources[tensor]
            return known
        if tensor.device.type == "meta":
            return Source()
        return self.storages.get(tensor.untyped_storage().data_ptr()) or Source(zeros=not tensor.any())

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__.removesuffix("_")
        if name not in WHOLE and torch._C._dispatch_has_kernel_for_dispatch_key(
            func.name(), "CompositeImplicitAutograd"
        ):
            with self:
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        if func.overloadpacket.__name__ in ("batch_norm", "relu") and args[0].device.type == "meta":
            result = torch.empty_like(args[0])  # torch would compose them of many operations: most of a trace's time
        else:
            result = func(*args, **kwargs)
        outputs = [t for t in tree_leaves(result) if isinstance(t, Tensor)]
        if outputs:
            schema = func._schema.arguments
            values = {a.name: a.default_value for a in schema if a.has_default_value()}
            values |= {a.name: value for a, value in zip(schema, args, strict=False)} | kwargs
            written = [a.name for a in schema if a.alias_info is not None and a.alias_info.is_write]
            self._record(name, values, written, outputs, is_view=self._is_view(func))
        return result

    @staticmethod
    def _is_view(func: Any) -> bool:
        return any(r.alias_info is not None and not r.alias_info.is_write for r in func._schema.returns)

    def _record(
        self, name: str, values: dict[str, Any], written: list[str], outputs: list[Tensor], is_view: bool
    ) -> None:
        overwritten = {w for w in written if w == "out" or name == "copy"}
        tensors = [
            (key, t)
            for key, value in values.items()
            if key not in overwritten
            for t in tree_leaves(value)
            if isinstance(t, Tensor)
        ]
        sources = [(key, self.source(t)) for key, t in tensors]
        if is_view:
            for output in outputs:
                self.bases[output] = tensors[0][1]
        if name in LIKE or not any(s.node >= 0 for _, s in sources):
            self._keep(outputs[:1] if written else outputs, self._constant(name, sources))
            return
        call = Call(name, values, tuple((key, s.role) for key, s in sources), outputs[0])
        facts = read(call)
        if facts.kind == "zeros":
            self._keep(outputs, Source(zeros=True))
            return
        first = next(s.node for _, s in sources if s.node >= 0)
        if facts.kind == "view":
            self._keep(outputs, Source(node=first))
            return
        weight = values.get("weight")
        computed = isinstance(weight, Tensor) and weight not in self.direct and bool(self.source(weight).names)
        for output in outputs if facts.kind == "slice" else outputs[:1]:
            self._keep([output], self._node(facts, sources, output, computed))
        if facts.kind != "slice":
            for output in outputs[1:]:
                self.sources[output] = self.sources[outputs[0]]

    @staticmethod
    def _constant(name: str, sources: list[tuple[str, Source]]) -> Source:
        if name in LIKE or not sources:
            return Source(zeros=name in ZEROS, random=name in RANDOM)
        return Source(
            names=frozenset().union(*(s.names for _, s in sources)),
            learned=any(s.learned for _, s in sources),
            zeros=all(s.zeros for _, s in sources),
            random=name in RANDOM or any(s.random for _, s in sources),
        )

    def _node(self, facts: Facts, sources: list[tuple[str, Source]], output: Tensor, computed: bool) -> Source:
        names: dict[str, frozenset[str]] = {}
        for key, source in sources:
            if source.names:
                names[key] = names.get(key, frozenset()) | source.names
        inputs = tuple(dict.fromkeys(s.node for _, s in sources if s.node >= 0))
        node = Node(len(self.nodes), facts, inputs, tuple(output.shape), names, computed)
        self.nodes.append(node)
        return Source(node=node.index)

    def _keep(self, outputs: list[Tensor], source: Source) -> None:
        """Set the source of `outputs`, and of what they show if they are views that were written to."""
        for output in outputs:
            was_known = output in self.sources
            self.sources[output] = source
            while was_known and output in self.bases:
                base: Tensor = self.bases[output]
                if base.numel() != output.numel() and source.node >= 0:
                    source = self._written(base, output, source)
                self.sources[base] = source
                output = base

    def _written(self, base: Tensor, part: Tensor, source: Source) -> Source:
        """Return the source of `base` after one part of it was replaced: zeros around it are option A's padding."""
        before = self.source(base)
        whole_map = base.dim() == 4 and base.shape[2:] == part.shape[2:]
        facts = Facts("pad", "zero channels") if before.zeros and whole_map else Facts("other", "assignment to a part")
        return self._node(facts, [("self", before), ("part", source)], base, computed=False)
