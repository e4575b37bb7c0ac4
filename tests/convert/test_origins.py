"""Imported weights give the logits and gradients of the net they come from: each layout, both modes, two precisions."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch

from benchmarks.origins import ORIGINS, differences, randomised
from reslab.convert.files import read
from reslab.convert.importing import imported
from reslab.models.checkpoints import network
from reslab.options.converting import ImportOptions

BOUNDS = {torch.float32: 1e-5, torch.float64: 1e-12}
# Deep nets take long: their cases are left to `make reliability`, but for one of each layout.
QUICK = {"torchvision-resnet18", "torchvision-resnet50", "timm-resnet18", "transformers-resnet18", "akamaster-20",
         "akamaster-20-B", "kuangliu-18"}  # fmt: skip
OFTEN = {("evaluation", torch.float32), ("training", torch.float64)}
CASES = [
    pytest.param(name, mode, dtype, marks=[] if name in QUICK and (mode, dtype) in OFTEN else [pytest.mark.slow])
    for name, mode, dtype in itertools.product(ORIGINS, ("evaluation", "training"), BOUNDS)
]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """The origin's net and the imported one, made once for each name."""
    made = {}

    def pair(name):
        if name not in made:
            made.clear()  # one large net at a time
            layout, make, _ = ORIGINS[name]
            torch.manual_seed(0)
            theirs = randomised(make())
            file = tmp_path_factory.mktemp("weights") / "weights.pt"
            torch.save(theirs.state_dict(), file)
            model = imported(read(file), ImportOptions(layout=layout), name)
            assert model.origin.imported.layout == layout
            made[name] = theirs, model
        return made[name]

    return pair


@pytest.mark.parametrize(("name", "mode", "dtype"), CASES)
def test_logits_and_gradients_are_the_origins(pairs, name, mode, dtype):
    theirs, model = pairs(name)
    assert max(differences(theirs, model.network, ORIGINS[name][2], mode, dtype)) <= BOUNDS[dtype]


def test_the_comparison_can_fail(pairs):
    """With the stride in the 1x1 the same weights are another function."""
    theirs, model = pairs("torchvision-resnet50")
    moved = network(replace(model.spec, stride_in="1x1"), model.weights, "moved").eval()
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        a, b = theirs.eval()(images), moved(images)
    assert float((a - b).abs().max() / a.abs().max()) > 1e-2
