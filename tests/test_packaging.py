"""What is shipped and what repeats it: the files of the package, and its version."""

import re
import shutil
import subprocess

import pytest
from house import PACKAGE, ROOT

from reslab.version import VERSION


def test_no_file_of_the_package_is_ignored():
    """The build leaves out what .gitignore matches, and git does not show a new file that it matches."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: .gitignore cannot be asked")
    files = [path.relative_to(ROOT) for path in (ROOT / PACKAGE).rglob("*") if path.is_file()]
    names = "\n".join(path.as_posix() for path in files if "__pycache__" not in path.parts)
    done = subprocess.run(
        ["git", "check-ignore", "--no-index", "--stdin"], cwd=ROOT, input=names, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")  # 1: none of them is ignored


def test_types_are_shipped():
    assert (ROOT / PACKAGE / "py.typed").is_file()


def test_every_folder_with_code_is_a_package():
    folders = {path.parent for path in (ROOT / PACKAGE).rglob("*.py")}
    assert [folder for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []


def test_the_citation_has_the_version():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.findall(r"^version: (\S+)$", citation, re.MULTILINE) == [VERSION]


def test_the_changelog_has_a_section_for_the_version():
    sections = re.findall(r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sections[0] in ("Unreleased", VERSION)
    assert len(sections) == len(set(sections))
