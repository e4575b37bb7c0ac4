"""What the examination of a folder found: kinds of findings, how grave each is, and what to do about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Level = Literal["fault", "note"]
EXAMPLES = 3  # names that a finding shows
CLASSES = 6  # classes that a finding shows


@dataclass(frozen=True)
class Kind:
    """A kind of finding.

    level    "fault": training or its score would go wrong; "note": worth knowing
    what     what was found, followed by its number
    remedy   what to do, "" if nothing
    """

    level: Level
    what: str
    remedy: str = ""


LEAVE_OUT = "leave them out with --bad-images skip"
CLIP = r"(.*?)\d+\D*\.\w+$"  # captures what is before the last number of a file's name, see `duplicates.clip_of`
MEND = f"mend or remove them, or {LEAVE_OUT}"
KINDS = {
    "damaged": Kind("fault", "damaged images", MEND),
    "empty": Kind("fault", "empty files", MEND),
    "no-image": Kind("fault", "files that are no images", MEND),
    "format": Kind("fault", "images of formats that are not read", f"convert them to JPEG or PNG, or {LEAVE_OUT}"),
    "unreadable": Kind("fault", "folders or links that cannot be read", f"make them readable, or {LEAVE_OUT}"),
    "lopsided": Kind("fault", "classes that lose half of their files or more", "convert or mend these first"),
    "across-splits": Kind(
        "fault", "images of train that are in val or test too, byte for byte", "remove one: the score is too good"
    ),
    "two-classes": Kind("fault", "images that stand in two classes, byte for byte", "remove the wrong one"),
    "dark": Kind("fault", "16-bit images that come out black", "stretch them with `train --range LOW,HIGH`"),
    "refused": Kind("fault", "problems that stop training"),
    "layout": Kind("note", "folders read under another name"),
    "unlabelled": Kind("note", "images without class folders, not scored", "classify them with `reslab predict`"),
    "litter": Kind("note", "files and folders of systems and tools, left out"),
    "headers": Kind("note", "files of which only the header was read", "`reslab check` reads them whole"),
    "not-read": Kind("note", "folders beside the splits, not read"),
    "missing-class": Kind("note", "classes of train without an image in another split"),
    "case-twins": Kind("note", "classes whose names differ in case only; they are kept apart"),
    "tiny-class": Kind("note", "classes with one image beside hundreds", "is it a class?"),
    "duplicates": Kind("note", "images that occur again in the same class, byte for byte"),
    "near-duplicates": Kind("note", "images of val or test that look like one of train", "look at them"),
    "clips": Kind(
        "note", "names in val or test numbered like frames of a clip in train",
        f"keep a clip in one split; a cut by --val-share keeps clips whole with --group '{CLIP}'",
    ),
    "ungrouped": Kind("note", "images that match no group of --group, cut one by one"),
    "both-sides": Kind(
        "note", "names of groups in train and, in another class, in val", "make folders train and val if none may be"
    ),
    "extension": Kind("note", "files whose extension names another format; read as what they are"),
    "cropped": Kind(
        "note", "images of which the view shows less than half of the area",
        "`train --set resize=letterbox` (or squash) shows all of them",
    ),
    "small": Kind("note", "images smaller than half the network's input", "a smaller --image-size costs less time"),
    "blank": Kind("note", "images of one colour"),
    "grey": Kind("note", "grey images, read as red = green = blue"),
    "deep": Kind("note", "16-bit images"),
    "turned": Kind("note", "images that are turned by their EXIF orientation"),
    "cmyk": Kind("note", "CMYK images, converted to RGB"),
}  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """Something found in a folder.

    kind       a key of KINDS
    count      of files, folders or classes
    of         of how many, 0 if that says nothing
    split      train, val or test; "" of several
    cls        the class; "" of several
    format     of the files, "" if that says nothing
    examples   names relative to the folder
    detail     what else is known, "" if nothing
    """

    kind: str
    count: int
    of: int = 0
    split: str = ""
    cls: str = ""
    format: str = ""
    examples: tuple[str, ...] = ()
    detail: str = ""

    @property
    def level(self) -> Level:
        return KINDS[self.kind].level

    def to_dict(self, examples: int | None = None) -> dict[str, Any]:
        """Return the fields, and the level, in plain types; with at most so many examples."""
        return {"level": self.level, **asdict(self), "examples": list(self.examples[:examples])}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Finding:
        """Return the finding that `to_dict` wrote."""
        known = {key: value for key, value in values.items() if key != "level"}
        return Finding(**{**known, "examples": tuple(values["examples"])})


def line_of(finding: Finding, shown: int = EXAMPLES) -> str:
    """Return a finding in one line, with at most `shown` examples, without the remedy."""
    what = KINDS[finding.kind].what
    if finding.kind == "refused":
        return finding.detail
    count = f"{finding.count:,}{f' of {finding.of:,}' if finding.of else ''}"
    place = "/".join(part for part in (finding.split, finding.cls) if part)
    names = ", ".join(finding.examples[:shown]) + (" …" if len(finding.examples) > shown else "")
    return "".join((
        f"{what}: {count}", f" in {place}" if place else "", f" ({finding.format})" if finding.format else "",
        f", {finding.detail}" if finding.detail else "", f"; {names}" if names and shown else "",
    ))  # fmt: skip


def merged(findings: Sequence[Finding]) -> list[Finding]:
    """Return one finding for each kind, in the order of KINDS; `detail` tells how many each class has."""
    whole = []
    for kind in KINDS:
        some = [finding for finding in findings if finding.kind == kind]
        if len(some) < 2:
            whole += some
            continue
        places = Counter[str]()
        sizes = dict[str, int]()
        for finding in some:
            place = "/".join(part for part in (finding.split, finding.cls) if part)
            places[place] += finding.count
            sizes[place] = finding.of
        shown = [
            f"{place} {count:,}{f' of {sizes[place]:,}' if sizes[place] else ''}{_kept(some, place)}"
            for place, count in places.most_common(CLASSES)
        ]
        formats = sorted({finding.format for finding in some if finding.format})
        whole.append(
            Finding(
                kind, sum(places.values()), format=", ".join(formats),
                examples=tuple(name for finding in some for name in finding.examples),
                detail=", ".join(shown) + (f" and {len(places) - CLASSES} more" if len(places) > CLASSES else ""),
            )
        )  # fmt: skip
    return whole


def _kept(findings: Sequence[Finding], place: str) -> str:
    """Return what a class keeps, of the kind that says so."""
    details = [f.detail for f in findings if f.kind == "lopsided" and place == f"{f.split}/{f.cls}"]
    return f" {details[0]}" if details else ""


def told(findings: Sequence[Finding], examples: int = EXAMPLES, skipped: bool = False) -> list[tuple[Level, str]]:
    """Return a line for each kind of finding, with its remedy and at most so many names; faults first.

    skipped   files that cannot be read were left out
    """
    lines = []
    for finding in sorted(merged(findings), key=lambda finding: finding.level):
        remedy = KINDS[finding.kind].remedy
        if skipped and remedy.endswith(LEAVE_OUT):
            remedy = "left out"
        what_to_do = f". {remedy[0].upper()}{remedy[1:]}" if remedy else ""
        lines.append((finding.level, line_of(finding, examples) + what_to_do))
    return lines


def faults(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings for which training or its score would go wrong."""
    return [finding for finding in findings if finding.level == "fault"]
