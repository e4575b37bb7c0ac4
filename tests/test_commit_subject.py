"""The commit-msg hook on real commits in a real repository."""

import os
import shutil
import subprocess

import pytest
from house import ROOT

if shutil.which("git") is None or os.name != "posix":
    pytest.skip("needs git and a POSIX system", allow_module_level=True)


@pytest.fixture
def commit(tmp_path):
    """Return a function that makes an empty commit with a message, in a repository that has the hook."""
    who = {f"GIT_{role}_{key}": "a@b.example" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}
    clean = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    env = clean | who | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    subprocess.run(["git", "init", "-q", tmp_path], check=True, env=env)
    shutil.copy(ROOT / ".ci" / "commit-subject", tmp_path / ".git" / "hooks" / "commit-msg")

    def run(message: str, *options: str) -> subprocess.CompletedProcess[str]:
        command = ["git", "commit", "-q", "--allow-empty", "-F", "-", *options]
        return subprocess.run(command, cwd=tmp_path, env=env, input=message, capture_output=True, text=True)

    return run


@pytest.mark.parametrize("letter", ["a", "é", "각"])
def test_a_subject_may_have_72_characters(commit, letter):
    assert commit(letter * 72 + "\n\n" + "b" * 100).returncode == 0
    refused = commit(letter * 73)
    assert refused.returncode != 0
    assert "the subject has 73 characters; cut it to 72" in refused.stderr


def test_the_subject_is_the_first_line_that_git_keeps(commit):
    editor = ("--cleanup=strip",)  # as if the message came from an editor
    assert commit(f"\n# {'c' * 100}\n\nShort\n", *editor).returncode == 0
    assert "73 characters" in commit(f"\n# a comment\n{'d' * 73}\n", *editor).stderr


@pytest.mark.parametrize("message", ["", "\n\n", "# only a comment\n"])
def test_an_empty_subject_is_refused(commit, message):
    refused = commit(message, "--cleanup=strip", "--allow-empty-message")
    assert refused.returncode != 0
    assert "the message has no subject" in refused.stderr
