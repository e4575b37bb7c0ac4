"""What the examination of a run's data found, in the page's language."""

from __future__ import annotations

from collections.abc import Sequence

from reslab.data.check.finding import KINDS, Finding, merged
from reslab.runs.runlog import Record
from reslab.show.format import clean

BEARING = ("missing-class", "case-twins")  # notes that bear on a result, as all faults do
KOREAN = {
    "damaged": "손상된 이미지", "empty": "빈 파일", "no-image": "이미지가 아닌 파일",
    "format": "읽지 않는 형식의 이미지",
    "unreadable": "읽을 수 없는 폴더나 링크", "lopsided": "파일의 절반 이상을 잃는 클래스",
    "across-splits": "val이나 test에도 있는 train 이미지(바이트까지 같음)",
    "two-classes": "두 클래스에 있는 이미지(바이트까지 같음)", "dark": "검게 나오는 16비트 이미지",
    "refused": "학습을 막는 문제", "layout": "다른 이름으로 읽은 폴더",
    "unlabelled": "클래스 폴더가 없어 채점하지 않은 이미지",
    "litter": "뺀 것: 시스템이나 도구가 남긴 파일과 폴더", "headers": "헤더만 읽은 파일",
    "not-read": "split 옆에 있어 읽지 않은 폴더", "missing-class": "다른 split에 이미지가 없는 train 클래스",
    "case-twins": "대소문자만 다른 클래스", "tiny-class": "수백 장짜리 클래스들 옆의 한 장짜리 클래스",
    "duplicates": "같은 클래스에 또 있는 이미지(바이트까지 같음)",
    "near-duplicates": "train 이미지와 닮은 val·test 이미지",
    "clips": "train에 있는 영상의 프레임처럼 번호가 붙은 val·test 이미지",
    "ungrouped": "--group의 어느 그룹에도 맞지 않아 하나씩 나눈 이미지",
    "both-sides": "한 클래스에서는 train에, 다른 클래스에서는 val에 있는 그룹 이름",
    "extension": "확장자가 다른 형식을 가리키는 파일(내용대로 읽음)", "cropped": "넓이의 절반도 보이지 않는 이미지",
    "small": "네트워크 입력의 절반보다 작은 이미지", "blank": "한 가지 색인 이미지",
    "grey": "회색조 이미지(R = G = B로 읽음)", "deep": "16비트 이미지", "turned": "EXIF로 돌린 이미지",
    "cmyk": "RGB로 바꾼 CMYK 이미지",
}  # fmt: skip


def found_rows(records: Sequence[Record], language: str = "en") -> list[list[str]]:
    """Return a row for each kind of finding on the data of the records: what, how many, where and which.

    Records of the same data are counted once; a damaged record has none.
    """
    rows = []
    for found in sorted(merged(_recorded(records)), key=lambda finding: finding.level):
        place = "/".join(part for part in (found.split, found.cls) if part)
        rest = "; ".join(part for part in (place, found.format, found.detail, ", ".join(found.examples[:3])) if part)
        rows.append([clean(text) for text in (_what(found, language), _count(found), rest)])
    return rows


def bearing_words(records: Sequence[Record], language: str = "en") -> list[str]:
    """Return a few words for each finding that bears on a result: files left out, missing classes, leakage."""
    found = (finding for finding in merged(_recorded(records)) if finding.level == "fault" or finding.kind in BEARING)
    return [f"{_what(finding, language)}: {_count(finding)}" for finding in found]


def _recorded(records: Sequence[Record]) -> list[Finding]:
    """Return the findings of the records' data, those of the same data once."""
    by_data = {str(record.run["data"].get("fingerprint")): record.run["data"].get("findings") for record in records}
    findings: list[Finding] = []
    for recorded in by_data.values():
        try:
            findings += [found for found in map(Finding.from_dict, recorded or ()) if found.kind in KINDS]
        except (AttributeError, KeyError, TypeError):
            continue
    return findings


def _what(finding: Finding, language: str) -> str:
    return KOREAN[finding.kind] if language == "ko" else KINDS[finding.kind].what


def _count(finding: Finding) -> str:
    return f"{finding.count:,} / {finding.of:,}" if finding.of else f"{finding.count:,}"
