"""`audit`: hold any module against a network of the paper, item by item."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from torch import nn
from torch.nn.parameter import is_lazy

from reslab.conformance import reference as references
from reslab.conformance.form import FORM
from reslab.conformance.init import init
from reslab.conformance.layers import LAYERS
from reslab.conformance.net import MAC_CAUSES, PARAMETER_CAUSES, Net, differing_roles, net_of, planned, reference_net
from reslab.conformance.row import Row
from reslab.conformance.trace import Trace, trace
from reslab.errors import LONGEST_TEXT, UserError, shortened
from reslab.nets.model import Network
from reslab.nets.names import name_of
from reslab.nets.spec import Spec

NO_CONVOLUTION = "{} has no convolution; an audit compares convolutional networks"
ITEMS = (*FORM, *LAYERS, "init", "parameters", "macs")  # in the order of the rows
SIZES = (32, 224, 64, 28, 96, 128, 256, 299, 48, 160, 384, 512, 16, 8)  # sides of images to try, in pixels


@dataclass(frozen=True)
class Audit:
    """A network against its reference.

    name       of the module's class
    reference  the reference's name and switches, as `--reference` takes it
    was_given  the reference was named; otherwise it is the nearest
    image      channels and side of the images of both nets
    classes    of both nets
    """

    name: str
    reference: str
    was_given: bool
    image: tuple[int, int]
    classes: int
    rows: tuple[Row, ...]

    @property
    def departures(self) -> tuple[str, ...]:
        """The items that depart."""
        return tuple(row.item for row in self.rows if row.departs)

    def __getitem__(self, item: str) -> Row:
        """Return the row of an item of ITEMS."""
        return self.rows[ITEMS.index(item)]

    def with_rows(self, rows: Iterable[Row]) -> Audit:
        """Return the audit with more rows at its end: those of a recipe."""
        return replace(self, rows=(*self.rows, *rows))

    def to_dict(self) -> dict[str, Any]:
        """Return everything in plain types."""
        return {
            "name": self.name,
            "reference": self.reference,
            "reference_was_given": self.was_given,
            "in_channels": self.image[0],
            "image_size": self.image[1],
            "classes": self.classes,
            "departures": list(self.departures),
            "rows": [row.to_dict() for row in self.rows],
        }


def audit(module: nn.Module, reference: str | Spec | None = None) -> Audit:
    """Return how `module` departs from a network of the paper. A copy of it is traced; the module is not changed.

    reference   a name with switches ("resnet34,shortcut=C") or a `Spec`; by default the nearest net of the paper.
                Its image size and classes follow the module's
    Raises UserError if the module is no network for images, or the reference is unknown.
    """
    module = getattr(module, "_orig_mod", module)  # of torch.compile
    spec = _given(reference)
    _check(module)
    traced, on_meta = _first_trace(module, [spec.image_size] if spec else [])
    if not any(node.kind == "conv" for node in traced.nodes):
        raise UserError(NO_CONVOLUTION.format(type(module).__name__))
    if spec is None:
        spec = references.nearest(traced)
        if spec.image_size != traced.image[1]:
            at_size = next(_attempts(module, [spec.image_size], [traced.image[0]], on_meta), None)
            traced = at_size if isinstance(at_size, Trace) else traced
    spec = planned(spec, traced)
    paper = reference_net(spec)
    found = net_of(module, traced, _training_trace(module, traced.image, on_meta), spec)
    return Audit(
        module.name if isinstance(module, Network) else type(module).__name__,
        references.text_of(spec),
        reference is not None,
        traced.image,
        traced.classes,
        tuple(_rows(module, found, paper, spec)),
    )


def _given(reference: str | Spec | None) -> Spec | None:
    if isinstance(reference, Spec):
        return references.checked(reference)
    return references.parse(reference) if reference is not None else None


def _check(module: nn.Module) -> None:
    name = type(module).__name__
    if not isinstance(module, nn.Module):
        raise UserError(f"{name} is no torch.nn.Module; give a network, or a function that returns one")
    tensors = [*module.parameters(), *module.buffers()]
    if any(is_lazy(tensor) for tensor in tensors):
        raise UserError(f"{name} has lazy layers without weights; run it on one batch of images first")
    if any(tensor.device.type == "meta" for tensor in tensors):
        raise UserError(f"{name} is on the meta device and has no weights; build it on the CPU")
    if not any(parameter.dim() == 4 for parameter in module.parameters()):
        raise UserError(NO_CONVOLUTION.format(name))


def _first_trace(module: nn.Module, sizes: list[int]) -> tuple[Trace, bool]:
    """Return the trace of the first image that fits, and whether the meta device was enough."""
    sizes = [*dict.fromkeys((*sizes, *SIZES))]
    kernel = next(parameter for parameter in module.parameters() if parameter.dim() == 4)
    channels = [*dict.fromkeys((kernel.shape[1], 3, 1))]
    errors: list[Exception] = []
    for on_meta in (True, False):
        errors.clear()  # those of a run on real images are the clearer ones
        for attempt in _attempts(module, sizes, channels, on_meta):
            if isinstance(attempt, Trace):
                return attempt, on_meta
            errors.append(attempt)
            if on_meta and "meta" in str(attempt):
                break  # the module needs values, at any size
    for error in errors:
        if isinstance(error, UserError):
            raise error
    first = errors[0]
    lines = str(first).strip().splitlines() or [""]
    raise UserError(
        f"{type(module).__name__} cannot be run on images of any tried size ({', '.join(map(str, sizes))}): "
        f"{type(first).__name__}: {shortened(lines[0], LONGEST_TEXT)}; give a net that takes one batch [B, C, H, W]"
    ) from first


def _attempts(module: nn.Module, sizes: list[int], channels: list[int], on_meta: bool) -> Iterator[Trace | Exception]:
    """Yield the trace of each image, or the error that it raises."""
    for c in channels:
        for size in sizes:
            try:
                yield trace(module, (c, size), on_meta=on_meta)
            except Exception as error:  # the module's own code runs here
                yield error


def _training_trace(module: nn.Module, image: tuple[int, int], on_meta: bool) -> Trace | None:
    """Return the trace in training mode; None if the module cannot be run in it."""
    for meta in (True, False) if on_meta else (False,):
        try:
            return trace(module, image, training=True, on_meta=meta)
        except Exception:  # some nets return a loss, or nothing
            continue
    return None


def _rows(module: nn.Module, found: Net, paper: Net, spec: Spec) -> Iterator[Row]:
    findings = {item: compare(found, paper, spec) for item, compare in (FORM | LAYERS).items()}
    findings["init"] = init(module, found, spec)
    for item, finding in findings.items():
        yield Row(item, *finding)
    departing = [item for item, finding in findings.items() if finding.departs]
    roles = differing_roles(found.parameters_by_role(), paper.parameters_by_role())
    yield _total("parameters", found.parameters, paper.parameters, roles, PARAMETER_CAUSES, departing, spec)
    roles = differing_roles(found.macs_by_role(), paper.macs_by_role())
    yield _total("macs", found.macs, paper.macs, roles, MAC_CAUSES, departing, spec)


def _total(
    item: str,
    found: int,
    paper: int,
    roles: set[str],
    causes: dict[str, tuple[str, ...]],
    departing: list[str],
    spec: Spec,
) -> Row:
    """Return the row of a total. It departs only if a role differs that no departing item explains."""
    expected = f"{paper:,} ({name_of(spec)}, {spec.classes} classes, {spec.image_size}x{spec.image_size})"
    if found == paper:
        return Row(item, expected, f"{found:,}", False)
    explained = {
        role: [cause for cause in causes[role] if cause in departing]
        or [cause for cause in departing if cause == "extra"]  # a concatenation changes the channels of a branch
        for role in roles
    }
    because = tuple(sorted({cause for found_causes in explained.values() for cause in found_causes}))
    unexplained = sorted(role for role, found_causes in explained.items() if not found_causes)
    text = f"{found:,}" + (f" (unexplained: {', '.join(unexplained)})" if unexplained else "")
    return Row(item, expected, text, bool(unexplained), because)
