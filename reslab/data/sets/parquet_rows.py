"""Find the parquet files of a set of images, and read their rows.

The split is in the name of a file (train-00000-of-00001.parquet) or of a folder above it (train/0000.parquet).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from reslab.data.check.finding import Finding
from reslab.data.encoded import Encoded, EncodedImages
from reslab.data.images.decode import BadImage, mode_of
from reslab.data.images.pixels import is_deep
from reslab.data.paths import Paths
from reslab.data.sets.indexing import check_options
from reslab.data.sets.parquet import UNCHECKED, Form, opened, rows_of
from reslab.data.splits import SPLITS
from reslab.errors import UserError
from reslab.store.files import expanded

_FORM = Form(("image", "img"), ("label", "labels"), has_texts=True, is_large=True)
_SYNONYMS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val",
             "test": "test", "testing": "test"}  # fmt: skip
_LEAD = "parquet:"
_MEMORY = 0.7  # largest share of the memory that the images may take


@dataclass
class Part:
    """The rows of a split, as they are read."""

    names: list[str] = field(default_factory=list)
    block: bytearray = field(default_factory=bytearray)
    ends: list[int] = field(default_factory=list)
    labels: list[str | None] = field(default_factory=list)

    def images(self, lead: str) -> EncodedImages:
        ends = np.array(self.ends, np.int64)
        names = Paths(lead, os.fsencode("".join(f"{name}\0" for name in self.names)))
        return EncodedImages(names, self.block, np.concatenate([np.zeros(1, np.int64), ends])[: len(ends)], ends)


@dataclass
class Read:
    """The content of all files: parts by split, the names that the files declare, what the fingerprint is over, the
    number of 16-bit images."""

    root: Path
    lead: str
    parts: dict[str, Part]
    declared: tuple[str, ...]
    hashes: list[bytes]
    notes: list[str]
    deep: int = 0
    findings: list[Finding] = field(default_factory=list)


def root_of(path: str | Path, size: int, bad_images: str) -> Path:
    check_options(size, bad_images)
    root = expanded(path, _LEAD)
    if not root.exists():
        raise UserError(f"{_LEAD}{path}: no such file or folder")
    return root


def splits_of(root: Path, otherwise: str) -> dict[str, list[Path]]:
    """Return the files by split; `otherwise` if none has a split in its name. Raises UserError if only some have."""
    inside = (file for file in root.rglob("*.parquet") if not any(p[0] == "." for p in file.relative_to(root).parts))
    files = [root] if root.is_file() else sorted(inside)
    if not files:
        raise UserError(f"{root}: no *.parquet in this folder")
    splits: dict[str, list[Path]] = {}
    for file in files:
        folders = [] if file == root else file.relative_to(root).parts[:-1]
        words = (
            _SYNONYMS.get(name.replace("_", "-").partition("-")[0].casefold()) for name in (file.stem, *folders[::-1])
        )
        splits.setdefault(next((word for word in words if word), ""), []).append(file)
    if unknown := splits.pop("", None):
        if splits:
            raise UserError(f"{unknown[0]}: its split is not in its name; begin it with train-, val- or test-")
        splits[otherwise] = unknown
    return {split: splits[split] for split in SPLITS if split in splits}


def read(path: str | Path, size: int, bad_images: str, otherwise: str) -> Read:
    """Read all files. Raises UserError if one cannot be read, or for the first row that holds no image."""
    root = root_of(path, size, bad_images)
    folder = root.parent if root.is_file() else root
    content = Read(root, str(folder / "x")[:-1], {}, (), [], [])
    bad: list[BadImage] = []
    is_checked = True
    try:
        splits = splits_of(root, otherwise)
        _check_memory(root, sum(file.stat().st_size for files in splits.values() for file in files))
        for split, paths in splits.items():
            part = content.parts[split] = Part()
            for file_path in paths:
                declared = _read_file(file_path, split, part, content, bad)
                is_checked = is_checked and declared
    except OSError as error:
        raise UserError(f"{_LEAD}{error.filename or path}: {error.strerror or error}") from None
    if bad and bad_images != "skip":
        raise UserError(f"{bad[0]} (bad images: {len(bad):,}); leave them out with --bad-images skip")
    if bad:
        names = tuple(image.name[len(content.lead) :] for image in bad)
        content.findings.append(Finding("no-image", len(bad), examples=names, detail=bad[0].reason))
    if not is_checked:
        content.notes.append(UNCHECKED)
    for split, part in list(content.parts.items()):
        if part.labels and not any(label is not None for label in part.labels):
            del content.parts[split]
            content.notes.append(f"{split} has no labels and is left out")
        elif not part.labels:
            raise UserError(f"{root}: no images of the split {split}")
    return content


def _check_memory(root: Path, size: int) -> None:
    """Raise UserError if the files are larger than the memory that their images would be kept in."""
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        if size > _MEMORY * memory:
            raise UserError(
                f"{root}: {size / 1e9:.1f} GB of images, which are kept in memory, but this machine has "
                f"{memory / 1e9:.1f} GB; write them into class folders"
            )


def _read_file(path: Path, split: str, part: Part, read: Read, bad: list[BadImage]) -> bool:
    """Add the rows of a file to `part`; return whether its content was checked. Raises UserError."""
    with opened(path, _LEAD, _FORM) as (file, stream):
        if read.hashes and read.declared != file.names:
            raise UserError(f"{path}: its class names are not those of the other files")
        read.declared = file.names
        read.hashes += [split.encode(), file.digest]
        relative = str(path)[len(read.lead) :]
        for row, (content, label) in enumerate(rows_of(file, stream)):
            name = f"{relative} row {row}"
            try:
                image = Encoded(b"" if content is None else content.to_pybytes(), read.lead + name)
                read.deep += is_deep(mode_of(image))
            except BadImage as error:
                bad.append(error)
                continue
            part.labels.append(_label(label, file.names, f"{path} row {row}"))
            part.names.append(name)
            part.block += image
            part.ends.append(len(part.block))
        return file.is_checked


def _label(label: int | str | None, names: tuple[str, ...], at: str) -> str | None:
    """Return the name of a label, None for an unlabelled row (null, or -1)."""
    if label is None or label == -1:
        return None
    if not names or isinstance(label, str):
        return str(label)
    if not 0 <= label < len(names):
        raise UserError(f"{at}: label {label} is not one of 0..{len(names) - 1}")
    return names[label]
