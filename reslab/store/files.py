"""Files and folders that are complete or absent: written aside, synced, published by one rename, checked by SHA-256."""

from __future__ import annotations

import errno
import glob
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
ASIDE = ".writing-"  # prefix of names that are not yet published; `sweep` removes them at the next start
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # the disk is full, the user's quota, the limit of a file's size
LARGEST_JSON = 64 << 20  # bytes; far larger than any file of reslab, and still refused quickly
LARGEST_TENSORS = 16 << 30  # bytes; 200 times the weights of the 1,202-layer net


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache() -> Path | None:
    """Return the cache folder, or None if the user has no home folder.

    It is $XDG_CACHE_HOME/reslab, or ~/.cache/reslab. A relative $XDG_CACHE_HOME is ignored, as the XDG specification
    demands. Without $HOME, the home folder comes from the system's list of users.
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
    """Return the path in the same folder that this process writes before it is renamed to `path`."""
    return path.with_name(f"{ASIDE}{os.getpid()}-{path.name}")


def sync(path: Path) -> None:
    """Force a file, or the entries of a folder, to the disk; a no-op if the system cannot sync folders."""
    if path.is_dir() and os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the path of a temporary file in the folder of `path`; at the end sync it and rename it to `path`.

    If anything fails, the temporary file is removed and `path` is unchanged. An OSError names `path`, not the temporary
    file, which the user does not know.
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
    """Replace a text file in one step: a reader sees the old or the new one, never a part."""
    with replacing(path) as aside:
        # A file name that is not UTF-8 contains lone surrogates: written as \\udcff, which JSON reads back.
        aside.write_text(text, encoding="utf-8", errors="backslashreplace")


def read_bounded(path: Path, limit: int) -> bytes:
    """Return the content of `path`.

    Raises UserError if it has more than `limit` bytes, without reading the rest; OSError as `open` does.
    """
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise UserError(f"{path}: more than {limit:,} bytes, so it is no file of reslab")
    return content


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file in one step."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Return the value in a JSON file. Raises UserError if the file is missing or damaged."""
    try:
        return json.loads(read_bounded(path, LARGEST_JSON).decode("utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, ValueError, RecursionError) as error:  # RecursionError: brackets nested by the thousand
        raise UserError(f"{path}: cannot be read as JSON ({error})") from None


def aside_folder(target: Path) -> Path:
    """Create and return an empty folder beside `target`, to be filled before `publish_folder`."""
    aside = aside_of(target)
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    return aside


def publish_folder(aside: Path, target: Path, form: int) -> None:
    """Write the manifest of `aside` (format `form` and the SHA-256 of each file), sync all, and rename it to `target`.

    Synced before the rename: after a power failure the folder is either complete or absent.
    """
    hashes = {f.name: sha256(f) for f in sorted(aside.iterdir())}
    (aside / MANIFEST).write_text(json.dumps({"format": form, "sha256": hashes}, indent=2), encoding="utf-8")
    for file in aside.iterdir():
        sync(file)
    sync(aside)
    os.replace(aside, target)
    sync(target.parent)


def verified_manifest(folder: Path, form: int | None = None) -> dict[str, Any]:
    """Return the manifest of a published folder after checking the hash of each file in it; other files are ignored.

    Raises RunError for a file that is missing, different or unreadable. Raises UserError if the folder's format is
    later than `form`, which is no damage.
    """
    try:
        manifest = json.loads(read_bounded(folder / MANIFEST, LARGEST_JSON).decode("utf-8"))
        folder_form = manifest.get("format")
    except FileNotFoundError:
        raise RunError(f"{folder}: no {MANIFEST}, so this is no checkpoint of reslab") from None
    except (OSError, ValueError, AttributeError, RecursionError, UserError) as error:
        raise RunError(f"{folder / MANIFEST}: damaged ({_reason(error)})") from None
    # Checked first: the manifest of a later format may have another structure.
    if form is not None and type(folder_form) is int and folder_form > form:
        raise UserError(
            f"{folder}: checkpoint format {folder_form}, this reslab reads {form}; use the newer reslab that wrote it"
        )
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
            digest = sha256(file)
        except (OSError, ValueError) as error:
            raise RunError(f"{file}: cannot be read ({_reason(error)})") from None
        if digest != expected:
            raise RunError(f"{file}: its SHA-256 is not the manifest's, so it is damaged")
    return dict(manifest)


def _reason(error: Exception) -> str:
    """Return the system's message, or the type of the error."""
    return (isinstance(error, OSError) and error.strerror) or type(error).__name__


def expanded(path: str | Path, prefix: str) -> Path:
    """Return `path` with a leading ~ or ~name replaced. Raises UserError (`prefix` first) for an unknown user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise UserError(f"{prefix}{path}: no such user here; write the path out") from None


def sweep(folder: Path) -> None:
    """Remove unpublished files and folders that an interrupted writer left in `folder`."""
    for orphan in folder.glob(f"{ASIDE}*"):
        if orphan.is_dir():
            shutil.rmtree(orphan, ignore_errors=True)
        else:
            orphan.unlink(missing_ok=True)


def sweep_leftovers(target: Path) -> None:
    """Remove what killed processes of this machine left of `target`: their names hold the number of the process."""
    for orphan in target.parent.glob(f"{ASIDE}*-{glob.escape(target.name)}"):
        number = orphan.name.removeprefix(ASIDE).partition("-")[0]
        if number.isdigit() and not _is_running(int(number)):
            shutil.rmtree(orphan, ignore_errors=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it belongs to another user
        return True
    return True


def writable_folder(path: Path, option: str = "--out") -> Path:
    """Create the folder `path` if needed and return it. Raises UserError if files cannot be written to it."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = aside_of(path / "probe")
        probe.touch()
        probe.unlink(missing_ok=True)  # a run in this folder may have swept it
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"{option} {path}: is a file, not a folder; choose another folder") from None
    except OSError as error:
        raise UserError(f"{option} {path}: not writable ({error.strerror}); choose another folder") from None
    except ValueError:
        raise UserError(f"{option} {str(path)!r}: a name cannot contain a zero byte; choose another folder") from None
    return path
