"""Check the terminal, the fonts and the variables of the environment that change what reslab does."""

from __future__ import annotations

import codecs
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

from reslab.checkup.result import NOTE, OK, Finding

SYMBOLS = "→×−잔차"  # on pages of the terminal, in English and Korean
# What each of the variables changes; those that begin with RESLAB_ are in `inputs`.
VARIABLES = {
    "OMP_NUM_THREADS": "threads", "MKL_NUM_THREADS": "threads", "CUDA_VISIBLE_DEVICES": "GPUs that torch sees",
    "CXX": "compiler", "XDG_CACHE_HOME": "cache", "TMPDIR": "temporary files",
    "TORCHINDUCTOR_CACHE_DIR": "cache of torch.compile", "PYTHONIOENCODING": "encoding of the output",
    "COLUMNS": "width of the output", "NO_COLOR": "colours",
}  # fmt: skip


def terminal() -> Iterator[Finding]:
    """Yield encoding and width of standard output."""
    stream = sys.stdout
    encoding = getattr(stream, "encoding", None) or "ascii"
    is_terminal = bool(stream is not None and not stream.closed and stream.isatty())
    width = shutil.get_terminal_size().columns
    kind = f"a terminal of {width} columns" if is_terminal else "no terminal: plain lines"
    values = {"encoding": encoding, "width": width, "is_terminal": is_terminal}
    missing = "".join(c for c in SYMBOLS if not _encodes(encoding, c))
    if missing:
        text = f"{kind}, {encoding}, which lacks {' '.join(f'U+{ord(c):04X}' for c in missing)}: replaced by ASCII"
        yield Finding("output", NOTE, text, "PYTHONIOENCODING=utf-8, if the terminal shows it", values=values)
    else:
        yield Finding("output", OK, f"{kind}, {encoding}", values=values)


def _encodes(encoding: str, character: str) -> bool:
    try:
        codecs.encode(character, encoding)
    except (UnicodeError, LookupError):
        return False
    return True


def fonts() -> Iterator[Finding]:
    """Yield whether a Korean font is installed, which PNG figures with --lang ko need; pages use the reader's fonts."""
    program = shutil.which("fc-list")
    if program is None:
        text = "fontconfig's fc-list is missing, so it is unknown whether figures with `--lang ko --out X.png` have one"
        yield Finding("Korean font", OK, text, values={"families": None})
        return
    done = subprocess.run(
        [program, ":lang=ko", "family"], capture_output=True, stdin=subprocess.DEVNULL, timeout=30, check=True
    )
    families = sorted(
        {line.split(",")[0] for line in done.stdout.decode(errors="replace").splitlines() if line.strip()}
    )
    values = {"families": families}
    if families:
        more = f" and {len(families) - 1} more" if len(families) > 1 else ""
        yield Finding("Korean font", OK, f"{families[0]}{more}", values=values)
    else:
        text = "none is installed: figures with `--lang ko --out X.png` lack letters; SVG and HTML do not"
        yield Finding("Korean font", NOTE, text, "install one, such as fonts-noto-cjk", values=values)


def variables() -> Iterator[Finding]:
    """Yield the variables that are set and change what reslab does."""
    names = [*VARIABLES, *sorted(name for name in os.environ if name.startswith("MALLOC_"))]
    for name in names:
        if (value := os.environ.get(name)) is not None:
            changes = VARIABLES.get(name, "freed memory is not kept between updates")
            yield Finding(name, OK, f"{value!r}: {changes}", values={"value": value})
    if os.name == "posix" and not os.path.isabs(os.environ.get("HOME", "")):
        yield Finding("HOME", OK, "not set: the home folder is that of the system's list of users")
