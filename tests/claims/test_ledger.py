"""Rules before runs: a hash of what decides, a ledger with dates, and what a study records when it begins."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from shelf import Shelf

from reslab.claims import evidence as evidences
from reslab.claims import ledger
from reslab.claims.catalogue import catalogue, default_setting
from reslab.claims.evidence import Beginning, net
from reslab.claims.ledger import First, deciding, first, hashes, order
from reslab.claims.overview import overview
from reslab.claims.quantity import final_error, paired, probed
from reslab.claims.rules import Below
from reslab.claims.text import Text
from reslab.version import source_commit

ROOT = Path(__file__).parents[2]
CLAIM = next(claim for claim in catalogue(default_setting("digits")) if claim.id == "C1")


def test_the_ledger_ends_with_the_rules_of_today():
    """Whoever changes a rule enters it: `python -m benchmarks.rules`, in a commit of its own."""
    assert {name: rules[-1].hash for name, rules in ledger.ledger().items()} == hashes()
    for rules in ledger.ledger().values():
        assert [rule.date for rule in rules] == sorted(rule.date for rule in rules)
        assert len({rule.hash for rule in rules}) == len(rules)


def test_words_do_not_decide_and_limits_do():
    first, *others = CLAIM.statements
    reworded = replace(CLAIM, text=Text("x", "x"), statements=(replace(first, text=Text("y", "y")), *others))
    assert deciding(reworded) == deciding(CLAIM)
    for change in ({"rule": Below(123.0)}, {"role": "limit"}, {"unit": "decades"}, {"flat": ()},
                   {"quantity": final_error(net("cifar_resnet8"), "test")}):  # fmt: skip
        assert deciding(replace(CLAIM, statements=(replace(first, **change), *others))) != deciding(CLAIM), change
    assert deciding(replace(CLAIM, statements=tuple(others))) != deciding(CLAIM)


def test_the_same_rule_has_the_same_hash_in_another_process():
    code = "import json; from reslab.claims.ledger import hashes; print(json.dumps(hashes()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == hashes()


def test_a_quantity_says_what_it_reads():
    one = net("cifar_resnet8")
    assert probed(one, "gradients", max).key != probed(one, "gradients", min).key
    assert probed(one, "gradients", max).key != probed(one, "gradients", max, first=True).key
    assert final_error(one, "test").key != final_error(one, "train").key
    with pytest.raises(ValueError, match="needs a name"):
        paired(final_error(one, "test"), final_error(one, "train"), lambda a, b: a - b)


def test_which_came_first():
    date, (rule,) = "2026-12-01", ledger.ledger()["C1"][-1:]
    told = order("C1", Beginning(date, "0123456789abcdef", hashes())).en
    assert rule.at_latest  # C1's rule is older than the ledger
    assert told == f"rule committed {rule.date} at the latest, before the runs, which began {date} (commit 0123456789)"
    changed = order("C1", Beginning(date, None, {**hashes(), "C1": "0" * 16})).en
    assert changed == f"rule committed {rule.date}, after the runs, which began {date}: exploratory"
    unknown = order("C1", Beginning(date, None, {k: v for k, v in hashes().items() if k != "C1"})).en
    assert unknown == changed  # the claim is younger than the study
    assert "not recorded" in order("C1", None).en
    assert "not recorded" in order("C99", Beginning(date, None, hashes())).en
    together = Beginning("2026-11-21", "0123456789abcdef", together=True)
    assert order("C1", together).en.startswith("rule and runs were committed together, 2026-11-21 (commit 0123456789)")
    assert order("C2", together).en == order("C2", None).en == "rule changed 2026-11-27, after the runs: exploratory"
    assert Beginning.from_dict(together.to_dict()) == together


def test_a_study_older_than_the_ledger_is_older_than_a_rule_of_the_ledgers_time():
    """C26 came after the ledger began, C1 before: of a study without a record only C1's order is unknown."""
    assert first("C26", None) is First.RUNS
    assert order("C26", None).en == "rule committed 2026-11-27, after the runs: exploratory"
    assert first("C1", None) is First.UNKNOWN


def test_runs_that_came_after_their_rule_count_before_more_runs_that_did_not(tmp_path):
    """Five seeds of an older study, three of one that began under the rule of today."""
    for name, seeds, began in (("older", 5, None), ("newer", 3, Beginning("2026-12-01", None, hashes()))):
        shelf = Shelf(tmp_path / name, default_setting("digits", seeds))
        evidences.write_study(shelf.folder, shelf.setting, began)
        for seed in range(seeds):
            for depth, end in ((8, 1.0), (20, 2.0), (56, 30.0 + seed)):
                shelf.run(net(f"cifar_plain{depth}"), seed, end)
    (found,) = overview([evidences.read(tmp_path / name) for name in ("older", "newer")], ["C1"])
    assert [len(one.seeds) for one in found.judgements] == [3]
    assert first("C1", found.judgements[0].evidence.beginning) is First.RULE


def test_a_study_keeps_what_it_began_with(tmp_path):
    setting = default_setting("digits", 2, (8, 14))
    began = Beginning("2026-12-01", None, {"C1": "a" * 16})
    evidences.write_study(tmp_path, setting, began)
    assert evidences.read_beginning(tmp_path) == began
    assert evidences.read(tmp_path).beginning == began
    assert evidences.read_setting(tmp_path) == setting
    assert evidences.read(Shelf(tmp_path / "older", setting).folder).beginning is None


def test_the_commit_of_a_checkout():
    git = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True)
    if git.returncode:
        pytest.skip("no checkout")
    assert str(source_commit()).removesuffix("+changes") == git.stdout.strip()
