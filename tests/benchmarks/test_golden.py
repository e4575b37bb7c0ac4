"""The comparison of two trees is equal for equal trees, and reports a change of one bit in the row it belongs to."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from cases import some

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.golden import compare, values  # noqa: E402
from benchmarks.golden.compare import Permit  # noqa: E402
from benchmarks.golden.rows import ROWS  # noqa: E402
from benchmarks.golden.trees import Failed  # noqa: E402

LIMIT = 1_500  # seconds; the slow tests compile and train


def git(*words: str, cwd: Path = ROOT) -> str:
    return subprocess.run(["git", *words], cwd=cwd, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """The committed tree with today's comparison: HEAD against HEAD, whatever is being edited here."""
    if not shutil.which("git") or not (ROOT / ".git").exists():
        pytest.skip("no git checkout here: two revisions cannot be compared")
    tree = tmp_path_factory.mktemp("checkout") / "tree"
    git("worktree", "add", "--detach", str(tree), "HEAD")
    shutil.rmtree(tree / "benchmarks" / "golden", ignore_errors=True)
    shutil.copytree(ROOT / "benchmarks" / "golden", tree / "benchmarks" / "golden")
    yield tree
    git("worktree", "remove", "--force", str(tree))


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks.golden", *words]


def environment(tree: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key != "RESLAB_CIFAR10"}
    return {**kept, "PYTHONPATH": str(tree)}


def golden(tree: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*words), cwd=tree, env=environment(tree) | more, capture_output=True, text=True, timeout=LIMIT,
        check=False,
    )  # fmt: skip


def left_in(folder: Path) -> list[str]:
    """What a comparison whose temporary folder is `folder` left there, or among the worktrees of the repository."""
    registered = git("worktree", "list", "--porcelain").splitlines()
    return [*map(str, folder.iterdir()), *(line for line in registered if str(folder) in line)]


def differing(done: subprocess.CompletedProcess[str]) -> set[str]:
    """The rows that the last line reports; the exit status agrees with it."""
    last = done.stdout.splitlines()[-1]
    assert done.returncode == (0 if last.endswith(": equal") else 1), (done.stdout, done.stderr)
    return set() if done.returncode == 0 else set(last.partition("differ: ")[2].split(", "))


class Edited:
    """A file of the checkout with one text replaced, for a while."""

    def __init__(self, tree: Path, name: str, before: str, after: str) -> None:
        self.file, self.before, self.after = tree / name, before, after

    def __enter__(self) -> None:
        self.content = self.file.read_text(encoding="utf-8")
        assert self.content.count(self.before) == 1, (self.file, self.before)
        self.file.write_text(self.content.replace(self.before, self.after), encoding="utf-8")

    def __exit__(self, *error: object) -> None:
        self.file.write_text(self.content, encoding="utf-8")


# -- values


def test_a_value_tells_every_bit():
    assert values.exact({"a": 0.1 + 0.2}) != values.exact({"a": 0.3})
    assert values.exact(0.0) != values.exact(-0.0)
    assert values.exact(1) != values.exact(1.0) != values.exact("1")
    assert values.exact([1, 2]) == values.exact((1, 2))
    numbers = np.arange(6, dtype=np.float32)
    flipped = numbers.copy()
    flipped.view(np.uint32)[3] ^= 1
    same_bytes = [numbers.reshape(2, 3), numbers.view(np.int32), flipped, -0.0 * numbers[:1], 0.0 * numbers[:1]]
    assert len({values.of_array(one) for one in [numbers, *same_bytes]}) == 6
    assert values.of_array(numbers) == values.of_array(np.arange(12, dtype=np.float32)[:6])


def test_clocks_and_hashes_are_left_out_at_any_depth():
    told = {"loss": 1.5, "clock": {"seconds": 1}, "rows": [{"sha256": "a", "n": 1}], "check": "b"}
    assert values.compared(told) == {"loss": 1.5, "rows": [{"n": 1}]}


def test_flat_has_an_entry_for_each_leaf():
    told = {"a": {"b": [1, 2], "c": [{"d": 0.5}, {"d": None}]}, "e": {}}
    assert values.flat(told, "x") == {
        "x/a/b": "[1, 2]", "x/a/c/000/d": '"0x1.0000000000000p-1"', "x/a/c/001/d": "null", "x/e": "{}",
    }  # fmt: skip


# -- comparison


def collection(**rows: dict[str, str]) -> dict:
    return {"entries": rows, "seconds": dict.fromkeys(rows, 1.0), "notes": []}


def test_every_kind_of_difference_is_reported_once():
    base = collection(one={"a": "1", "b": "2", "c": "3"}, two={"a": "1"})
    here = collection(one={"a": "1", "b": "x", "d": "4"}, two={"a": "1"})
    one, two = compare.compare(base, here, [])
    assert (one.entries, one.equal, two.entries, two.equal) == (4, 1, 1, 1)
    assert [(d.change, d.name, d.base, d.present) for d in one.differences] == [
        ("differs", "one/b", "2", "x"), ("gone", "one/c", "3", ""), ("new", "one/d", "", "4"),
    ]  # fmt: skip
    assert not two.differences
    text = "\n".join([*compare.table([one, two]), *compare.details([one, two])])
    for fragment in ("differs: one/b", "base  2", "here  x", "gone: one/c", "new: one/d"):
        assert fragment in text


def test_the_part_of_a_long_value_that_differs_is_shown():
    base, here = f"{'a' * 500}1{'b' * 500}", f"{'a' * 500}2{'b' * 500}"
    (row,) = compare.compare(collection(one={"x": base}), collection(one={"x": here}), [])
    _, before, after = compare.details([row])
    assert before != after
    assert max(map(len, (before, after))) < 2 * compare.WIDTH


def test_the_same_fault_in_both_trees_is_no_equality():
    broken = values.fault("it did not end as the whole run")
    (row,) = compare.compare(collection(one={"a": broken}), collection(one={"a": broken}), [])
    assert [d.change for d in row.differences] == ["differs"]
    (row,) = compare.compare(collection(one={}), collection(one={"a": broken}), [Permit("one/*", "new", "why")])
    assert row.differences, "no reason permits a fault"


def test_a_renamed_or_removed_key_is_a_difference_and_an_added_one_needs_its_reason():
    before = values.key_paths({"kind": "eval", "loss": 1.0, "classes": [{"n": 1}]}, "line")
    after = values.key_paths({"kind": "eval", "losses": 1.0, "classes": [{"n": 1}], "chain": "a"}, "line")
    permits = [Permit("interface/line.chain", "new", "lines are chained")]
    (row,) = compare.compare(collection(interface=before), collection(interface=after), permits)
    assert [(d.change, d.entry) for d in row.differences] == [("gone", "line.loss"), ("new", "line.losses")]
    assert [d.entry for d, _ in row.permitted] == ["line.chain"]


def test_a_permit_covers_its_change_alone_and_is_stale_without_one():
    permits = [Permit("one/a*", "differs", "why"), Permit("one/c", "gone", "why"), Permit("two/*", "new", "why")]
    results = compare.compare(collection(one={"a1": "1", "b": "1"}), collection(one={"a1": "2"}), permits)
    assert [d.entry for d in results[0].differences] == ["b"]
    assert compare.unmatched(permits, results) == [permits[1]], "a row that was not compared says nothing"


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ('[[difference]]\nentry = "a/*"\nchange = "new"', "needs an entry and a reason"),
        ('[[difference]]\nentry = "a/*"\nchange = "new"\nreason = " "', "needs an entry and a reason"),
        ('[[difference]]\nentry = "a/*"\nchange = "other"\nreason = "b"', "change is one of"),
        ('[[difference]]\nentry = "a/*"\nchange = "new"\nreason = "b"\nwhy = 1', "unknown key 'why'"),
        ("[[difference", "cannot be read"),
    ],
)
def test_a_list_without_reasons_is_refused(tmp_path, text, fragment):
    file = tmp_path / "differences.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(Failed, match=fragment):
        compare.read_permits(file)


def test_the_committed_list_names_rows_that_exist():
    permits = compare.read_permits()
    assert {one.entry.partition("/")[0] for one in permits.permits} <= set(ROWS)


# -- the command line, on two real trees


def test_equal_trees_are_equal_and_nothing_is_left_behind(checkout, tmp_path):
    file, temporary = tmp_path / "golden.json", tmp_path / "temporary"
    temporary.mkdir()
    status = git("status", "--porcelain", cwd=checkout)
    words = ("--against", "HEAD", "--only", "orders,plans", "--quick", "--json", str(file))
    done = golden(checkout, *words, TMPDIR=str(temporary))
    assert differing(done) == set()
    told = json.loads(file.read_text(encoding="utf-8"))
    assert [row["row"] for row in told["rows"]] == ["plans", "orders"]
    assert all(row["entries"] == row["equal"] > 50 for row in told["rows"])
    assert not left_in(temporary)
    assert git("status", "--porcelain", cwd=checkout) == status


@pytest.mark.parametrize("row", some(["plans", "orders"], quick=1))
@pytest.mark.slow
def test_one_planted_bit_is_reported_in_its_row(checkout, row):
    done = golden(checkout, "--against", "HEAD", "--only", "orders,plans", "--quick", "--plant", row)
    assert differing(done) == {row}


@pytest.mark.slow
def test_a_changed_constant_of_the_source_is_reported(checkout):
    with Edited(checkout, "reslab/data/order.py", "0x94D049BB133111EB", "0x94D049BB133111EA"):
        done = golden(checkout, "--against", "HEAD", "--only", "orders,plans", "--quick")
    assert differing(done) == {"orders"}


@pytest.mark.parametrize(
    ("words", "fragments"),
    [
        (["--against", "no-such-revision"], ["--against no-such-revision", "give a branch, a tag or a hash"]),
        (["--against", "HEAD", "--only", "weights,nothing"], ["--only nothing", "there are weights"]),
        (["--against", "HEAD", "--only", ","], ["--only: no row given"]),
        (["--against", "HEAD", "--json", "no/such/folder/file.json"], ["--json no/such", "does not exist"]),
        ([], ["which revision?"]),
    ],
)
def test_bad_input_is_one_line(checkout, words, fragments):
    done = golden(checkout, *words)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("golden: ")
    for fragment in fragments:
        assert fragment in line


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("number", some([signal.SIGTERM, signal.SIGINT], quick=1))
def test_an_interrupt_removes_the_worktree(checkout, tmp_path, number):
    with subprocess.Popen(
        command("--against", "HEAD", "--only", "traces"), cwd=checkout, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=environment(checkout) | {"TMPDIR": str(tmp_path)}, text=True,
    ) as process:  # fmt: skip
        begin = time.monotonic()
        while not list(tmp_path.glob("*/request.json")):  # the collector of the first tree is about to start
            assert process.poll() is None, process.communicate()
            assert time.monotonic() - begin < 120
            time.sleep(0.02)
        process.send_signal(number)
        _, message = process.communicate(timeout=60)
    assert (process.returncode, message.count("\n")) == (130, 1), message
    assert not left_in(tmp_path)


# -- the whole matrix


@pytest.mark.slow
@pytest.mark.timeout(2 * LIMIT)
@pytest.mark.parametrize("parity", [0, 1])
def test_every_row_reports_its_planted_bit_and_no_other_does(checkout, parity):
    planted = list(ROWS)[parity::2]
    done = golden(checkout, "--against", "HEAD", "--quick", "--plant", ",".join(planted))
    assert differing(done) == set(planted)


# file, text, another text (equal but for rounding if it can be), rows that are run, rows that differ
CHANGES = {
    "gain off by an ulp of float32": (
        "reslab/nets/modules.py", "normal * math.sqrt(variance)", "normal * (math.sqrt(variance) * (1 + 2**-23))",
        "weights,orders", {"weights"},
    ),
    "bar of a rule": (
        "reslab/claims/rules.py", "HOLDS if found.low > self.bar", "HOLDS if found.low > self.bar + 0.5",
        "claims,orders", {"claims"},
    ),
    "rounding in the kernels": (
        "reslab/engines/kernels.cpp", "1.0 / std::sqrt(variance + eps)", "1.0f / (float)std::sqrt(variance + eps)",
        "traces,orders", {"traces"},
    ),
    "order of products in Muon": (
        "reslab/training/descent.py", "turns * (self.lr * norms)[:, None, None]",
        "turns * self.lr * norms[:, None, None]", "traces,orders", {"traces"},
    ),
    "a renamed key": (
        "reslab/measure/evaluate.py", '"top1_error":', '"top_1_error":', "interface,orders", {"interface"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_fits_the_source_it_changes(name):
    """Quick, so that a renamed variable is noticed before the slow test below fails for want of its text."""
    file, before, *_ = CHANGES[name]
    assert (ROOT / file).read_text(encoding="utf-8").count(before) == 1


@pytest.mark.slow
@pytest.mark.timeout(2 * LIMIT)
@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_the_source_is_reported(checkout, name):
    file, before, after, rows, expected = CHANGES[name]
    with Edited(checkout, file, before, after):
        done = golden(checkout, "--against", "HEAD", "--quick", "--only", rows)
    assert differing(done) == expected
