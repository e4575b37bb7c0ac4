"""Files and folders that are whole or absent: written aside, synced, published by one rename, checked by SHA-256."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from reslab.errors import RunError, UserError

MANIFEST = "manifest.json"
ASIDE = ".writing-"  # prefix of what is not yet published; swept at the next start
LARGEST_JSON = 64 << 20  # bytes; far beyond any file of ours, and still quickly refused
LARGEST_TENSORS = 16 << 30  # bytes; 200 times the weights of the 1,202-layer net


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache() -> Path | None:
    """Return the folder for files kept from run to run, or None if the user has no home folder.

    It is $XDG_CACHE_HOME/reslab, or ~/.cache/reslab. A relative variable is ignored, as the XDG specification demands;
    a home that $HOME does not name comes from the system's list of users.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(base):
        return Path(base) / "reslab"
    home = os.path.expanduser("~")
    if os.name == "posix" and not os.path.isabs(os.environ.get("HOME", "")):  # expanduser makes "/" of an empty HOME
        import pwd

        try:
            home = pwd.getpwuid(os.geteuid()).pw_dir
        except KeyError:
            return None
    return Path(home, ".cache", "reslab") if os.path.isabs(home) else None


def aside_of(path: Path) -> Path:
    """Where this process writes what will be `path`: beside it, under a name that `sweep` knows."""
    return path.with_name(f"{ASIDE}{os.getpid()}-{path.name}")


def sync(path: Path) -> None:
    """Force a file's or a folder's entries to the disk (a no-op where the system cannot sync folders)."""
    if path.is_dir() and os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the path of a file to write beside `path`, then sync it and rename it to `path`.

    If anything fails, the unfinished file is removed and `path` is as it was. An OSError names `path`, not the
    unfinished file, which the user never asked for.
    """
    aside = aside_of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield aside
        sync(aside)
        os.replace(aside, path)
        sync(path.parent)
    except BaseException as error:
        with suppress(OSError):
            aside.unlink()
        if isinstance(error, OSError) and error.filename in (None, str(aside), os.fsencode(aside)):
            error.filename, error.filename2 = str(path), None
        raise


def write_text(path: Path, text: str) -> None:
    """Replace a text file in one step: a reader sees the old one or the new one, never a part."""
    with replacing(path) as aside:
        # A file name that is not UTF-8 reaches here as lone surrogates: written as \\udcff, which JSON reads back.
        aside.write_text(text, encoding="utf-8", errors="backslashreplace")


def read_bounded(path: Path, most: int) -> bytes:
    """Return the content of `path`.

    Raises UserError if it has more than `most` bytes, which are then not read; OSError as `open` does.
    """
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise UserError(f"{path}: more than {most:,} bytes, so it is no file of reslab")
    return content


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file in one step."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """A JSON file's value. Raises UserError naming the file where it is missing or damaged."""
    try:
        return json.loads(read_bounded(path, LARGEST_JSON).decode("utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, ValueError, RecursionError) as error:  # RecursionError: brackets nested by the thousand
        raise UserError(f"{path}: cannot be read as JSON ({error})") from None


def aside_folder(target: Path) -> Path:
    """A fresh folder beside `target` to fill before `publish_folder`."""
    aside = aside_of(target)
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    return aside


def publish_folder(aside: Path, target: Path, form: int) -> None:
    """Hash every file of `aside` into its manifest (beside the format's number), sync all, rename to `target`."""
    hashes = {f.name: sha256(f) for f in sorted(aside.iterdir())}
    (aside / MANIFEST).write_text(json.dumps({"format": form, "sha256": hashes}, indent=2), encoding="utf-8")
    for file in aside.iterdir():
        sync(file)
    sync(aside)
    os.replace(aside, target)
    sync(target.parent)


def verified_manifest(folder: Path, form: int | None = None) -> dict[str, Any]:
    """The manifest of a published folder whose files all have the hashes it states; files it does not name are let be.

    Raises RunError that names the file which is missing, different or cannot be read, and UserError where the folder's
    format is a later one than `form`: that is no damage.
    """
    try:
        manifest = json.loads(read_bounded(folder / MANIFEST, LARGEST_JSON).decode("utf-8"))
        there = manifest.get("format")
    except FileNotFoundError:
        raise RunError(f"{folder}: no {MANIFEST}, so this is no checkpoint of reslab") from None
    except (OSError, ValueError, AttributeError, RecursionError, UserError) as error:
        raise RunError(f"{folder / MANIFEST}: damaged ({_reason(error)})") from None
    if form is not None and type(there) is int and there > form:  # before all else: its manifest may have another shape
        raise UserError(f"{folder}: checkpoint format {there}, this reslab reads {form}; use the newer reslab it is of")
    try:
        hashes = {str(name): str(expected) for name, expected in dict(manifest["sha256"]).items()}
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{folder / MANIFEST}: damaged ({_reason(error)})") from None
    for name, expected in hashes.items():
        file = folder / name
        try:
            if not file.is_file():
                raise RunError(f"{file}: missing, though the manifest lists it")
            if file.stat().st_size > LARGEST_TENSORS:
                raise RunError(f"{file}: more than {LARGEST_TENSORS:,} bytes, so it is no file of reslab")
            found = sha256(file)
        except (OSError, ValueError) as error:
            raise RunError(f"{file}: cannot be read ({_reason(error)})") from None
        if found != expected:
            raise RunError(f"{file}: its SHA-256 is not the manifest's, so it is damaged")
    return dict(manifest)


def _reason(error: Exception) -> str:
    """In a few words: what the system says, or the error's kind."""
    return (isinstance(error, OSError) and error.strerror) or type(error).__name__


def expanded(path: str | Path, what: str) -> Path:
    """`path` with a leading ~ or ~name replaced; `what` says whose it is. Raises UserError for an unknown user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UserError(f"{what}{path}: no such user here; write the path out") from None


def sweep(folder: Path) -> None:
    """Remove what an interrupted writer left unpublished."""
    for orphan in folder.glob(f"{ASIDE}*"):
        if orphan.is_dir():
            shutil.rmtree(orphan, ignore_errors=True)
        else:
            orphan.unlink(missing_ok=True)


def writable_folder(path: Path, what: str = "--out") -> Path:
    """`path` as a folder that exists and takes files. Raises UserError that says why it does not."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = aside_of(path / "probe")
        probe.touch()
        probe.unlink(missing_ok=True)  # whoever holds the folder may have swept it
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"{what} {path}: a file stands where a folder is needed; choose another folder") from None
    except OSError as error:
        raise UserError(f"{what} {path}: not writable ({error.strerror}); choose another folder") from None
    except ValueError:
        raise UserError(f"{what} {str(path)!r}: a zero byte cannot stand in a name; choose another folder") from None
    return path
