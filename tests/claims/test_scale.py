"""C20 and C21: idle on every setting that is not the paper's; the figures of Table 6; every verdict by way of files."""

from dataclasses import replace

import pytest
from shelf import DIGITS, Shelf, canonical, unanswered

from reslab.claims.catalogue import default_setting
from reslab.claims.evidence import Setting, net
from reslab.claims.experiments import scale
from reslab.claims.rules import CONDITION, FAILS, HOLDS, NOT_RUN, UNDECIDED
from reslab.nets.paper import TABLE_6
from reslab.runs.recipe import scaled
from reslab.runs.recipes import recipe

WHOLE = Setting("cifar10", recipe("paper-cifar"), (0, 1, 2), (20, 56))
DEEP = replace(WHOLE, depths=(20, 110, 1202))


def test_the_papers_errors():
    """Table 6 as it is printed; of 110 layers the mean of five runs, not their best."""
    for depth, (_, error) in TABLE_6.items():
        wanted = "6.61" if depth == 110 else error.removesuffix(" %")
        assert f"{scale.PAPER[depth]:.2f}" == wanted
        assert wanted in error
    assert list(scale.PAPER) == list(TABLE_6)


@pytest.mark.parametrize(
    "setting",
    [
        DIGITS,
        replace(DIGITS, depths=(20, 110, 1202)),
        default_setting("cifar10"),  # a quarter of the schedule
        replace(DEEP, data="folder"),
        replace(DEEP, recipe=scaled(DEEP.recipe, 2.0)),
        replace(DEEP, recipe=replace(DEEP.recipe, lr=0.05)),
        replace(DEEP, recipe=replace(DEEP.recipe, drops=(32_000,))),
    ],
)
def test_on_another_setting_nothing_is_trained(tmp_path, setting):
    shelf = Shelf(tmp_path / "study", setting)
    for depth in (20, 110, 1202):  # even where such runs are there
        shelf.run(net(f"cifar_resnet{depth}"), setting.seeds[0], 0.0, 7.0)
    for claim in scale.claims(setting):
        assert claim.statements
        assert claim.nets == claim.measurements == claim.charts == ()
        found = shelf.judge(claim)
        assert found.verdict == NOT_RUN
        assert found.sentence == scale.NOT_THE_PAPERS
        assert all(f.figure is None for f in found.findings)


def test_depths_that_are_not_there():
    deepest, table = scale.claims(WHOLE)
    assert deepest.nets == ()
    assert "110, 1202 layers" in deepest.why_not_run.en
    assert "110, 1202층" in deepest.why_not_run.ko
    assert table.nets == (net("cifar_resnet20"), net("cifar_resnet56"))
    assert table.why_not_run is None
    other = scale.claims(replace(WHOLE, depths=(8, 14)))[1]
    assert other.nets == ()
    assert "20, 32, 44, 56, 110, 1202 layers" in other.why_not_run.en


def test_what_the_paper_leaves_open_and_when_is_measured_may_differ():
    free = replace(WHOLE.recipe, name="mine", bn_batch=64, holdout=5000, eval_every=500, probe_every=4000)
    assert scale.is_the_papers(replace(WHOLE, recipe=free))


@pytest.mark.parametrize(
    ("at20", "at56", "verdict"),
    [
        ((8.75, 8.85, 8.65), (6.97, 7.07, 6.87), CONDITION),  # the other depths of Table 6 are missing
        ((8.75, 8.85, 8.65), (7.97, 8.07, 7.87), CONDITION),
        ((9.75, 9.85, 9.65), (7.97, 8.07, 7.87), FAILS),
        ((8.11, 8.17, 8.5), (5.97, 6.07, 5.87), CONDITION),  # better than the paper
        ((8.75, 8.85, 8.65), (6.0, 7.0, 8.0), UNDECIDED),
        ((8.75,), (6.97,), UNDECIDED),
        ((8.75, 8.85, 8.65), (), NOT_RUN),
    ],
)
def test_table_6(tmp_path, at20, at56, verdict):
    shelf = Shelf(tmp_path / "study", WHOLE)
    for depth, errors in ((20, at20), (56, at56)):
        for seed, error in enumerate(errors):
            shelf.run(net(f"cifar_resnet{depth}"), seed, 0.5, error)
    found = shelf.judge(scale.claims(WHOLE)[1])
    assert found.verdict == verdict
    assert found.findings[0].figure.mean == pytest.approx(sum(at20) / len(at20) - 8.75)
    assert found.findings[-1].figure.values == (4.0,)
    if verdict != NOT_RUN:
        assert "Not run: 32, 44, 110, 1202 layers." in found.sentence.en
        assert "32, 44, 110, 1202층은 실행하지 않았다." in found.sentence.ko


@pytest.mark.parametrize(("off", "verdict"), [(-0.1, HOLDS), (0.5, UNDECIDED), (0.9, CONDITION)])
def test_the_whole_of_table_6(tmp_path, off, verdict):
    """No depth is missing; one of them is `off`, the others are as in the paper."""
    whole = replace(WHOLE, depths=tuple(scale.PAPER))
    shelf = Shelf(tmp_path / "study", whole)
    for depth, error in scale.PAPER.items():
        for seed in range(3):
            shelf.run(net(f"cifar_resnet{depth}"), seed, 0.5, error + 0.1 * (seed - 1) + (off if depth == 44 else 0.0))
    found = shelf.judge(scale.claims(whole)[1])
    assert found.verdict == verdict
    assert (found.findings[-1].figure.values, found.findings[-1].verdict) == ((0.0,), FAILS)
    assert "Not run" not in found.sentence.en
    assert f"44 layers {off:g} points".replace("-", "−") in found.sentence.en


@pytest.mark.parametrize(
    ("train", "gap", "verdict"),
    [
        ((0.05, 0.04, 0.06), 1.3, HOLDS),
        ((0.5, 0.4, 0.6), 1.3, CONDITION),
        ((0.05, 0.04, 0.06), -1.3, CONDITION),
        ((0.5, 0.4, 0.6), -1.3, FAILS),
        ((0.01, 0.1, 0.2), 1.3, UNDECIDED),
        ((), 1.3, NOT_RUN),
    ],
)
def test_1202_layers(tmp_path, train, gap, verdict):
    shelf = Shelf(tmp_path / "study", DEEP)
    for seed, error in enumerate(train):
        test = 6.61 + seed  # paired: what the seeds have in common does not count
        shelf.run(net("cifar_resnet110"), seed, 0.2, test)
        shelf.run(net("cifar_resnet1202"), seed, error, test + gap + 0.01 * seed)
    assert shelf.judge(scale.claims(DEEP)[0]).verdict == verdict


@pytest.mark.parametrize("setting", [DIGITS, WHOLE, DEEP, replace(DEEP, depths=(20, 32, 44, 56, 110, 1202))])
def test_form(setting):
    for claim in scale.claims(setting):
        assert canonical(claim.nets)
        assert unanswered(claim) == []
