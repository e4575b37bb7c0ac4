"""`checksums.json`: the SHA-256 of every file below a folder, such as the committed records."""

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
    """The list of the folder `root`: relative path (with "/") → SHA-256 (hex); empty if there is no list."""

    root: Path
    files: dict[str, str]

    def problem(self, file: Path) -> str:
        """Return how `file` differs from the list, or "" if it is equal or not listed."""
        expected = self.files.get(self._name(file))
        if expected is None:
            return ""
        if not file.is_file():
            return f"{file}: missing, though {self.root / LIST} lists it; put a whole copy back"
        if sha256(file) != expected:
            return f"{file}: damaged (its SHA-256 is not the one in {self.root / LIST}); put a whole copy back"
        return ""

    def verify(self, *files: Path) -> None:
        """Raise UserError for the first of `files` that differs from the list."""
        for file in files:
            if problem := self.problem(file):
                raise UserError(problem)

    def covers(self, file: Path) -> bool:
        """Return whether `file` is listed."""
        return self._name(file) in self.files

    def _name(self, file: Path) -> str:
        return file.absolute().relative_to(self.root).as_posix()

    def missing(self, folder: Path) -> list[Path]:
        """Return the listed files below `folder` that do not exist."""
        prefix = "" if folder.absolute() == self.root else f"{self._name(folder)}/"
        return [self.root / name for name in self.files if name.startswith(prefix) and not (self.root / name).is_file()]


def write_checksums(root: Path) -> Path:
    """Write the list of all files below `root`, without hidden ones, and return its path."""
    files = {
        path.relative_to(root).as_posix(): sha256(path)
        for path in sorted(root.rglob("*"))
        if path.is_file() and path != root / LIST and not path.name.startswith((".", ASIDE))
    }
    write_sealed(root / LIST, {"files": files})
    return root / LIST


def covering(folder: Path) -> Checksums:
    """Return the list that covers `folder`: its own or the nearest above it, otherwise an empty one.

    Raises UserError if the list is damaged.
    """
    absolute = folder.absolute()
    for root in (absolute, *list(absolute.parents)[:ABOVE]):
        try:
            status = (root / LIST).stat()
        except OSError:
            continue
        return _read(root, status.st_mtime_ns, status.st_size)
    return Checksums(absolute, {})


@lru_cache(maxsize=4)  # one list covers the hundred runs of a study; time and size in the key notice a new list
def _read(root: Path, _changed: int, _size: int) -> Checksums:
    files = read_sealed(root / LIST).get("files")
    return Checksums(root, {str(k): str(v) for k, v in files.items()} if isinstance(files, dict) else {})
