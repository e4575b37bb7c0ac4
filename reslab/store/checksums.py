"""A folder's list of SHA-256: `checksums.json` covers every file below it, such as the committed records."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from reslab.errors import UserError
from reslab.store.files import ASIDE, sha256
from reslab.store.sealed import read_sealed, write_sealed

LIST = "checksums.json"
ABOVE = 2  # levels: results/STUDY/RUN is covered by the list of results/


@dataclass(frozen=True)
class Checksums:
    """The list of `root`: SHA-256 (hex) by path below it, parts divided by "/"; empty if there is no list."""

    root: Path
    files: dict[str, str]

    def problem(self, file: Path) -> str:
        """Return why `file` is not the listed one, or "" if it is, or if it is not listed."""
        expected = self.files.get(self._name(file))
        if expected is None:
            return ""
        if not file.is_file():
            return f"{file}: missing, though {self.root / LIST} lists it; put a whole copy back"
        if sha256(file) != expected:
            return f"{file}: damaged (its SHA-256 is not the one in {self.root / LIST}); put a whole copy back"
        return ""

    def verify(self, *files: Path) -> None:
        """Raise UserError for the first of `files` that is not the listed one."""
        for file in files:
            if problem := self.problem(file):
                raise UserError(problem)

    def covers(self, file: Path) -> bool:
        """Whether `file` is listed."""
        return self._name(file) in self.files

    def _name(self, file: Path) -> str:
        return file.absolute().relative_to(self.root).as_posix()

    def missing(self, folder: Path) -> list[Path]:
        """Return the listed files below `folder` that are not there."""
        inside = "" if folder.absolute() == self.root else f"{self._name(folder)}/"
        return [self.root / name for name in self.files if name.startswith(inside) and not (self.root / name).is_file()]


def write_checksums(root: Path) -> Path:
    """Write the list of every file below `root` (hidden ones left out) and return its path."""
    files = {
        path.relative_to(root).as_posix(): sha256(path)
        for path in sorted(root.rglob("*"))
        if path.is_file() and path != root / LIST and not path.name.startswith((".", ASIDE))
    }
    write_sealed(root / LIST, {"files": files})
    return root / LIST


def covering(folder: Path) -> Checksums:
    """Return the list that covers `folder`: its own or the nearest above it; an empty one if there is none.

    Raises UserError if the list is damaged.
    """
    here = folder.absolute()
    for root in (here, *list(here.parents)[:ABOVE]):
        try:
            found = (root / LIST).stat()
        except OSError:
            continue
        return _read(root, found.st_mtime_ns, found.st_size)
    return Checksums(here, {})


@lru_cache(maxsize=4)  # one list covers the hundred runs of a study
def _read(root: Path, _changed: int, _size: int) -> Checksums:
    files = read_sealed(root / LIST).get("files")
    return Checksums(root, {str(k): str(v) for k, v in files.items()} if isinstance(files, dict) else {})
