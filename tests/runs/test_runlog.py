"""Whose record it is: older records go on with fields they never had, damaged ones are refused in one line."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reslab.campaign.plan import is_done
from reslab.data.sets.digits import digits
from reslab.data.splits import Data
from reslab.engines.machine import ComputeOptions
from reslab.errors import Interrupted, UserError
from reslab.nets.names import spec_of
from reslab.nets.spec import Spec
from reslab.runs import runlog
from reslab.runs.identity import difference
from reslab.runs.recipe import Recipe, changed, scaled
from reslab.runs.recipes import recipe
from reslab.store.sealed import read_sealed, write_sealed
from reslab.training.job import Job
from reslab.training.loop import train

TINY = spec_of("cifar_resnet8", widths=(4, 4, 8), in_channels=1, image_size=8)
SHORT = changed(recipe("digits"), {"batch": 16, "iterations": 6, "drops": (4,), "save_every": 3, "log_every": 1})
STUDY = Path(__file__).parents[2] / "results" / "cifar10-tenth"


@pytest.fixture(scope="module")
def data() -> Data:
    return digits()


def job(out: Path, **fields: object) -> Job:
    return Job(TINY, "digits", changed(SHORT, fields), 3, out, ComputeOptions("cpu", "fp32", "eager", 1))


def quiet(event: dict) -> None:
    pass


def stopped(out: Path, data: Data) -> Path:
    """A run that has saved iteration 3 and left; its `run.json`."""
    reached = False

    def tell(event: dict) -> None:
        nonlocal reached
        reached |= event.get("iteration") == 3

    with pytest.raises(Interrupted):
        train(job(out), data, tell, lambda: reached)
    return out / runlog.RUN


def rewrite(file: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    run = read_sealed(file)
    change(run)
    write_sealed(file, run)


def weights(out: Path) -> str:
    return hashlib.sha256((out / "checkpoints" / "step-00000006" / "weights.safetensors").read_bytes()).hexdigest()


def without_new_fields(run: dict[str, Any]) -> None:
    """As the record stood before these were fields; TINY and SHORT have them at their defaults."""
    for key in ("probe_every", "decay_on"):
        del run["recipe"][key]
    for key in ("pad_at", "padding", "fan", "dropout"):
        del run["spec"][key]


def test_a_record_older_than_a_field_goes_on_and_counts_as_done(tmp_path, data):
    whole, older = tmp_path / "whole", tmp_path / "older"
    train(job(whole), data, quiet)
    rewrite(stopped(older, data), without_new_fields)
    assert not is_done(job(older))
    assert train(job(older), data, quiet).finished
    assert weights(older) == weights(whole)
    assert is_done(job(older))


@pytest.mark.parametrize(
    ("fields", "words"),
    [({"probe_every": 5}, "probe_every is 5 here and 0 there"), ({"lr": 0.2}, "lr is 0.2 here and")],
)
def test_where_the_field_is_not_at_its_default_it_is_another_run(tmp_path, data, fields, words):
    file = stopped(tmp_path / "run", data)
    rewrite(file, without_new_fields)
    before = file.read_bytes()
    with pytest.raises(UserError, match=words):
        train(job(file.parent, **fields), data, quiet)
    with pytest.raises(UserError, match=words):
        is_done(job(file.parent, **fields))
    other = replace(job(file.parent), spec=replace(TINY, fan="out"))
    with pytest.raises(UserError, match="fan is 'out' here and 'in' there"):
        train(other, data, quiet)
    assert file.read_bytes() == before


def test_records_of_the_published_study_are_still_those_of_its_runs():
    """Written before some fields were there; each must be the record of the run that its own words describe."""
    folders = sorted(f.parent for f in STUDY.glob("*/run.json"))
    assert len(folders) >= 2
    for folder in folders:
        there = runlog.read(folder)
        spec = spec_of(there.model, **there.run["switches"])
        tenth = changed(scaled(recipe("paper-cifar"), 0.1), {"eval_every": 400, "clean_every": 1_600})
        assert "probe_every" not in there.run["recipe"]
        mine = {"spec": spec.to_dict(), "recipe": tenth.to_dict(), "seed": there.seed}
        assert difference(mine, there.run, there.folder / runlog.RUN) is None
        assert "seed" in (difference({**mine, "seed": there.seed + 1}, there.run, there.folder / runlog.RUN) or "")


def damage(part: str, key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda run: run[part].__setitem__(key, value)


@pytest.mark.parametrize(
    "change",
    [
        lambda run: run["spec"].pop("blocks"),
        lambda run: run["spec"].pop("widths"),
        lambda run: run["spec"].pop("family"),
        lambda run: run.update(spec=[]),
        lambda run: run.update(recipe=None),
        lambda run: run.update(recipe="digits"),
        lambda run: run.update(data=[]),
        lambda run: run.update(environment=3),
        lambda run: run.update(settings=[1]),
        damage("spec", "blocks", 3),
        damage("spec", "blocks", [[["basic"]]]),
        damage("spec", "blocks", [[1], [2], [3]]),
        damage("spec", "widths", None),
        damage("spec", "depth", "8"),
        damage("spec", "dropout", "none"),
        damage("spec", "shortcut", ["A"]),
        damage("spec", "later", 1),
        damage("recipe", "later", 1),
        damage("recipe", "lr", 10**400),
        damage("recipe", "lr", None),
        damage("recipe", "batch", "many"),
        damage("recipe", "drops", [[1]]),
        damage("recipe", "augment", {}),
    ],
)
def test_a_damaged_record_is_refused_in_one_line_that_names_the_file(tmp_path, data, study, change):
    out = tmp_path / "run"
    out.mkdir()
    (out / runlog.RUN).write_bytes(study)
    rewrite(out / runlog.RUN, change)
    for ask in (lambda: train(job(out), data, quiet), lambda: is_done(job(out))):
        with pytest.raises(UserError) as told:
            ask()
        assert "\n" not in str(told.value)
        assert str(out / runlog.RUN) in str(told.value)


@pytest.fixture(scope="module")
def study(tmp_path_factory, data) -> bytes:
    return stopped(tmp_path_factory.mktemp("damaged") / "run", data).read_bytes()


def test_spec_and_recipe_have_a_default_for_every_field_but_the_first_ones():
    """What an older record may lack: everything of a recipe, and of a spec all but what a net cannot be without."""
    assert Recipe.from_dict({}) == Recipe()
    least = {"family": "cifar", "depth": 8, "blocks": [["basic"]] * 3, "widths": [16, 32, 64]}
    assert Spec.from_dict(least) == spec_of("cifar_resnet8", shortcut="B")
