"""Wherever between two questions a request to stop comes, the run has saved the iteration that it leaves at."""

import pytest

from reslab.data.digits import digits
from reslab.errors import Interrupted
from reslab.nets.names import spec_of
from reslab.store import jsonl
from reslab.training import checkpoint as checkpoints
from reslab.training.job import Job
from reslab.training.loop import train
from reslab.training.machine import Wish
from reslab.training.recipe import changed
from reslab.training.recipes import recipe


@pytest.mark.parametrize("answers", range(2, 10))
def test_no_request_leaves_without_saving(tmp_path, answers):
    """The first `answers` questions are answered no, every later one yes."""
    asked = 0

    def also() -> bool:
        nonlocal asked
        asked += 1
        return asked > answers

    often = changed(recipe("digits-smoke"), {"log_every": 1, "save_every": 20, "batch": 8})
    spec = spec_of("cifar_resnet8", in_channels=1, image_size=8, widths=(2, 2, 2))
    job = Job(spec, "digits", often, 0, tmp_path / "run", Wish(threads=1))
    with pytest.raises(Interrupted):
        train(job, digits(), lambda event: None, also)
    reached = [m["iteration"] for m in jsonl.read(job.out / "metrics.jsonl").records if m["kind"] == "train"]
    found = checkpoints.newest(job.out)
    assert reached
    assert found is not None
    assert found.iteration == reached[-1]
