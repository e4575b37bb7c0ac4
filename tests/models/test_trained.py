"""A trained model on its own: what `load` gives, and what scoring with it costs."""

import json
import subprocess
import sys

import pytest
import torch
from torch import nn

import reslab
from reslab.data.batches.loader import evaluation_batches
from reslab.data.batches.views import whole
from reslab.data.sets.digits import digits
from reslab.errors import UserError
from reslab.models import checkpoints

SHORT = {"batch": 16, "iterations": 6, "drops": (), "eval_every": 6, "clean_every": 6, "log_every": 3}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("models") / "run"
    reslab.train(
        "cifar_resnet8", "digits", recipe="digits", set=SHORT, out=out, threads=1, device="cpu", engine="eager",
        widths=(4, 4, 8), tell=lambda event: None,
    )  # fmt: skip
    return out


def test_a_run_is_loaded(run):
    model = reslab.load(run)
    found = checkpoints.find(run)
    assert isinstance(model.network, nn.Module)
    assert not model.network.training
    assert model.spec == found.spec
    assert model.classes == tuple(map(str, range(10)))
    assert model.network.state_dict().keys() == found.weights.keys()
    assert all(torch.equal(value, found.weights[name]) for name, value in model.network.state_dict().items())
    assert (model.origin.path, model.origin.iteration, model.origin.seed) == (found.folder, 6, 0)
    assert model.origin.data["source"] == "digits"
    assert (model.transform.channels, model.transform.view) == (1, whole(8))
    assert str(found.folder) in repr(model)
    assert len(repr(model)) < 500


def test_a_checkpoint_folder_is_the_same_model(run):
    one, other = reslab.load(run), reslab.load(checkpoints.folders(run)[-1])
    assert one.origin == other.origin
    assert all(torch.equal(one.weights[name], other.weights[name]) for name in one.weights)


def test_a_model_is_scored_as_its_folder_is(run):
    model = reslab.load(run)
    folder, loaded = (reslab.evaluate(source, threads=1, device="cpu")[0] for source in (run, model))
    assert folder.to_dict() == loaded.to_dict()
    with torch.no_grad():  # a slow twin
        batches = evaluation_batches(digits().split("test"), model.transform.statistics, 100, 0)
        wrong = sum(int((model.network(b.images).argmax(1) != b.labels).sum()) for b in batches)
    assert folder.scores.top1_wrong == wrong
    probes = [reslab.probe(source, samples=8, only="responses", threads=1) for source in (run, model)]
    assert probes[0].to_dict() == probes[1].to_dict()


@pytest.mark.parametrize("name", ["nothing", "weights.pth", "empty"])
def test_what_is_no_model_is_refused(tmp_path, name):
    (tmp_path / "weights.pth").write_bytes(b"\x80\x04N.")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=name):
        reslab.load(tmp_path / name)


def test_weights_of_another_net_are_refused(run):
    model = reslab.load(run)
    other = checkpoints.network
    with pytest.raises(UserError, match="do not fit"):
        other(reslab.spec("cifar_resnet14", in_channels=1, image_size=8, widths=(4, 4, 8)), model.weights, "here")


MEASURED = """
import gc, json, sys, warnings
import torch
import reslab
from reslab.engines.machine import scoring
model = reslab.load(sys.argv[1])
model.logits(scoring("cpu", 1))(torch.zeros(1, 1, 8, 8))
warnings.simplefilter("ignore")
tensors = [value for value in gc.get_objects() if isinstance(value, torch.Tensor)]
stores = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
print(json.dumps({
    "modules": [name for name in sys.modules if name.startswith("reslab.training")],
    "gradients": sum(p.grad is not None for p in model.network.parameters()),
    "bytes": sum(stores.values()),
    "weights": sum(v.untyped_storage().nbytes() for v in model.weights.values()),
}))
"""


@pytest.mark.slow
def test_scoring_makes_no_optimizer_and_no_gradients(run):
    """Two copies of the weights are held, the checkpoint's and the network's; momentum and gradients are not."""
    done = subprocess.run([sys.executable, "-c", MEASURED, str(run)], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["modules"] == []
    assert found["gradients"] == 0
    assert found["bytes"] < 2.2 * found["weights"]
