"""The plan as a graph: layer by layer along it every output is bit for bit that of the torch module."""

import pytest
import torch
from cases import some
from nets.test_counts import VARIANTS

from reslab.nets.flow import IMAGES, reads
from reslab.nets.model import build
from reslab.nets.row import path_of


@pytest.mark.parametrize(("name", "switches"), some(VARIANTS[::-1], quick=9, names=2))
def test_every_output_along_the_graph(name, switches):
    net = build(name, seed=1, **switches).eval()
    spec = net.spec
    images = torch.randn(2, spec.in_channels, spec.image_size, spec.image_size)
    inputs = reads(net.rows)
    assert list(inputs) == [row.name for row in net.rows]
    with torch.no_grad():
        logits, seen = net(images, names="all")
        outputs = {IMAGES: images}
        for row in net.rows:
            values = [outputs[source] for source in inputs[row.name]]
            layer = net.get_submodule(path_of(row)) if row.kind != "add" else torch.add
            outputs[row.name] = layer(*values)
            assert torch.equal(outputs[row.name], seen[row.name]), row.name
    assert torch.equal(outputs[net.rows[-1].name], logits)
