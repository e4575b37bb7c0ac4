"""Check what can be read: image formats, and the known data sets."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator

from reslab.checkup.guard import attempted
from reslab.checkup.result import FAULT, NOTE, OK, Finding
from reslab.data.known import KNOWN, variable_of
from reslab.errors import suggest

PHOTOGRAPHS = ("JPEG", "PNG")  # without these formats a folder of photographs cannot be read
TURBO = "libjpeg_turbo"  # Pillow's name of it


def formats() -> Iterator[Finding]:
    """Yield the image formats that reslab takes and this Pillow decodes; each is tried on an image."""
    from PIL import features

    from reslab.data.images.decode import FORMATS

    problems = {name: problem for name in FORMATS if (problem := _undecodable(name))}
    works, turbo = [name for name in FORMATS if name not in problems], features.check(TURBO)
    shown = [f"{name} (libjpeg-turbo)" if name == "JPEG" and turbo else name for name in works]
    values = {"works": works, "libjpeg_turbo": bool(turbo)}
    text = f"{', '.join(shown) or 'none'}; others, such as AVIF and HEIC, are not read"
    yield Finding("formats", OK, text, values=values)
    for name, problem in problems.items():
        status = FAULT if name in PHOTOGRAPHS else NOTE
        yield Finding(name, status, f"this Pillow cannot decode it: {problem}", "install pillow again")


def _undecodable(name: str) -> str:
    """Return the reason a small image of the format `name` cannot be written and read again, or ""."""
    from PIL import Image

    from reslab.data.images.decode import read_rgb

    def tried() -> None:
        file = io.BytesIO()
        Image.new("RGB", (8, 8), (200, 100, 50)).save(file, name)
        read_rgb(file.getvalue())

    return attempted(tried)[1]


def sets() -> Iterator[Finding]:
    """Yield for each known data set whether it can be read; one that needs a path is opened, not decoded."""
    for word, known_set in KNOWN.items():
        yield _in_file(word) if known_set.takes_path else _included(word)


def _included(word: str) -> Finding:
    from reslab.data.sources import load

    data, problem = attempted(lambda: load(word, splits=("train",)))
    if problem:
        return Finding(word, FAULT, f"cannot be read: {problem}", "install scikit-learn again")
    return Finding(word, OK, f"{len(data.train):,} training images, included")


def _in_file(word: str) -> Finding:
    from reslab.data.sources import load

    variable = variable_of(word)
    path = os.environ.get(variable)
    values = {"variable": variable, "path": path}
    if not path:
        text = f"{variable} is not set, so `--data {word}` needs a path"
        download = f", or `--data {word} --download`" if KNOWN[word].downloads else ""
        return Finding(word, NOTE, text, f"write `--data {word}:PATH`{download}", values=values)
    _, problem = attempted(lambda: load(word, splits=()))
    if problem:
        return Finding(word, FAULT, f"{variable}={path}: {problem}", f"correct or unset {variable}", values=values)
    return Finding(word, OK, f"{path}, from {variable}", values=values)


def unread_variables() -> Iterator[Finding]:
    """Yield the variables of the environment whose name begins with RESLAB_ and that nothing reads."""
    known = [variable_of(word) for word, known_set in KNOWN.items() if known_set.takes_path]
    for name in sorted(os.environ):
        if name.startswith("RESLAB_") and name not in known:
            yield Finding(name, NOTE, f"is set and read by nothing{suggest(name, known)}")
