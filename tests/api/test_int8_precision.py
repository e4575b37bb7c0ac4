"""`--precision int8`: the answers of fp32, from a run's own training images or others that are named."""

from __future__ import annotations

from dataclasses import replace

import pytest

import reslab
from reslab.data.sets.digits import digits
from reslab.engines import int8
from reslab.errors import UserError
from reslab.models.trained import Origin

pytestmark = pytest.mark.skipif(bool(int8.unsuitable_reason()), reason=int8.unsuitable_reason())


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """A run on the digits whose answers have margins."""
    out = tmp_path_factory.mktemp("learned") / "run"
    return reslab.train("cifar_resnet8", recipe="digits", iterations=100, device="cpu", threads=1, out=out).folder


def test_scores_and_answers_are_those_of_fp32(learned):
    (exact,), (fast,) = (reslab.evaluate(learned, precision=name) for name in ("fp32", "int8"))
    assert fast.scores.per_class == exact.scores.per_class
    assert fast.precision == "int8"
    assert fast.note.endswith("of 500 images computed again")
    assert 0 < int(fast.note.split()[0]) < 250
    images = digits().split("test").images[:60, :, :, 0]
    answers = [reslab.classifier(learned, precision=name)([*images]).argmax(1) for name in ("fp32", "int8")]
    assert answers[0].equal(answers[1])


def test_training_images_that_are_named(learned):
    """Of a model that does not know its data: those of --calibration; of data without a train split every image."""
    other = replace(reslab.load(learned), origin=Origin(learned))
    train = digits().split("train")
    for source, options, message in (
        (other, {}, "int8: needs training images to measure its ranges on; name data with --calibration"),
        (other, {"calibration": learned / "none"}, "name data with --calibration ("),
        (other, {"calibration": (train.images[:30], train.labels[:30])}, "30 training images are too few, 100 needed"),
    ):
        with pytest.raises(UserError) as caught:
            reslab.classifier(source, precision="int8", **options)
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)
    exact, images = reslab.classifier(other, precision="fp32"), [*digits().split("test").images[:40, :, :, 0]]
    for source in ("digits", (train.images[:300], train.labels[:300])):
        fast = reslab.classifier(other, precision="int8", calibration=source)
        assert fast(images).argmax(1).equal(exact(images).argmax(1))
