"""The list of checksums over a folder: what is changed, missing or new below it; and the committed one."""

import subprocess
from pathlib import Path

import pytest

from reslab.errors import UserError
from reslab.store.checksums import LIST, covering, write_checksums

ROOT = Path(__file__).parents[2]


@pytest.fixture
def root(tmp_path):
    for name in ("a/one/run.json", "a/one/metrics.jsonl", "a/study.json", "b.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    write_checksums(tmp_path)
    return tmp_path


def test_whole_files_have_no_problem(root):
    for folder in (root, root / "a", root / "a" / "one"):
        found = covering(folder)
        assert found.files
        assert found.missing(folder) == []
    assert all(found.covers(f) and not found.problem(f) for f in root.rglob("*.js*") if f.name != LIST)
    assert covering(root / "a" / "one" / "deeper").files == {}, "three levels up is another folder's business"


def test_what_is_changed_missing_or_new(root):
    changed, gone, new = root / "a" / "study.json", root / "a" / "one" / "run.json", root / "a" / "new.json"
    changed.write_text("A/study.json")
    gone.unlink()
    new.write_text("")
    found = covering(root / "a")
    assert "study.json: damaged (its SHA-256 is not the one in" in found.problem(changed)
    assert "run.json: missing, though" in found.problem(gone)
    assert (found.problem(new), found.covers(new)) == ("", False)
    assert found.missing(root / "a") == [gone]
    assert found.missing(root / "b") == []


def test_a_damaged_list_is_refused(root):
    raw = bytearray((root / LIST).read_bytes())
    raw[len(raw) // 2] ^= 1
    (root / LIST).write_bytes(raw)
    with pytest.raises(UserError, match=r"checksums\.json"):
        covering(root)


def test_relative_paths(root, monkeypatch):
    monkeypatch.chdir(root / "a")
    assert covering(Path("one")).problem(Path("one/run.json")) == ""
    assert covering(Path(".")).missing(Path(".")) == []


def test_the_committed_list_covers_every_committed_record():
    """`python -m benchmarks.evidence --checksums` renews it."""
    results = ROOT / "results"
    asked = subprocess.run(["git", "ls-files", "results"], cwd=ROOT, capture_output=True, text=True)
    if asked.returncode or not asked.stdout:
        pytest.skip("no git checkout here")
    files = [ROOT / name for name in asked.stdout.splitlines() if not name.endswith(LIST)]
    found = covering(results)
    assert [f for f in files if not found.covers(f)] == []
    assert [p for f in files if (p := found.problem(f))] == []
    assert len(found.files) == len(files)
