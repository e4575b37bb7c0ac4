"""Notes on data and on runs, such as images that are not exact: in the page's language, for pages and captions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from reslab.claims.text import Text
from reslab.runs.runlog import Record
from reslab.show.format import clean
from reslab.show.found import bearing_words

OUR_DATA = Text("data: {note}", "데이터: {note}")
# The notes that `reslab.data` and `reslab.runs` write, and the same in Korean. Files left out, missing classes and
# twins are notes in older records only; they are findings now.
KOREAN = tuple(
    (re.compile(pattern), korean)
    for pattern, korean in (
        (r"([\d,]+) of ([\d,]+) training samples held out as val \(seed (\d+)\)",
         "학습 이미지 {1}장 중 {0}장을 validation용으로 떼어 놓았다(seed {2})"),
        (r"([\d,]+) of ([\d,]+) images held out as val by a hash of their paths",
         "이미지 {1}장 중 {0}장을 경로의 hash에 따라 validation용으로 떼어 놓았다"),
        (r"([\d,]+) of ([\d,]+) images held out as val by a hash of their groups",
         "이미지 {1}장 중 {0}장을 그룹의 hash에 따라 validation용으로 떼어 놓았다"),
        (r"--group (.+): val has ([\d,]+) of ([\d,]+) groups", "--group {0}: 그룹 {2}개 중 {1}개가 val에 있다"),
        (r"16-bit pixels: levels ([\d,]+) to ([\d,]+) become 0 to 255", "16비트 픽셀: {0}~{1}을 0~255로 옮겼다"),
        (r"the parquet files have no checksums, so damaged pixels would not be noticed",
         "parquet 파일에 checksum이 없어 픽셀이 손상되어도 알 수 없다"),
        (r"(\d+) folders that cannot be read were left out, the first is (.+)",
         "읽을 수 없는 폴더 {0}개를 뺐다(첫 번째: {1})"),
        (r"(\d+) files that are no images were left out, the first is (.+)",
         "이미지가 아닌 파일 {0}개를 뺐다(첫 번째: {1})"),
        (r"(\w+) has no images of class (.+) and (\d+) more",
         "{0} split에 클래스 {1} 외 {2}개의 이미지가 없다"),
        (r"(\w+) has no images of class (.+)", "{0} split에 클래스 {1}의 이미지가 없다"),
        (r"began from the weights of (.+) \(SHA-256 (\w+)\), (\w+) head; frozen: (.+)",
         "{0}의 가중치(SHA-256 {1})에서 학습을 시작했다(head: {2}, 고정: {3})"),
        (r"began from the weights of (.+) \(SHA-256 (\w+)\), (\w+) head",
         "{0}의 가중치(SHA-256 {1})에서 학습을 시작했다(head: {2})"),
        (r"extended from ([\d,]+) to .+ iterations: not the same as one run of ([\d,]+)",
         "{0}회에서 {1}회로 연장했다. 처음부터 {1}회로 학습한 것과 같지 않다"),
        (r"classes (.+) and (.+) differ in upper and lower case only; they are kept apart",
         "클래스 {0}, {1}은 대소문자만 다르며, 서로 다른 클래스로 두었다"),
    )
)  # fmt: skip
INEXACT = re.compile(r"^(?P<parts>[\d,]+ of [\d,]+ \w+(?: and [\d,]+ of [\d,]+ \w+)*) images are not bit-exact$")


def own_notes(records: Iterable[Record], language: str = "en") -> list[str]:
    """Return the notes that the records have on their data; each once."""
    notes: list[Any] = []
    for record in records:
        recorded = record.run["data"].get("notes")
        notes += recorded if isinstance(recorded, list) else [recorded] if recorded else []
    return [translated(note, language) for note in dict.fromkeys(clean(note) for note in notes)]


def data_notes(records: Iterable[Record], language: str = "en") -> list[str]:
    """Return the notes on the records' data, then the findings that bear on a result."""
    records = list(records)
    return [*own_notes(records, language), *bearing_words(records, language)]


def run_notes(record: Record, language: str = "en") -> list[str]:
    """Return what sets a run apart from one of its recipe alone: a trained model that it began from, an extension."""
    return [translated(clean(note), language) for note in record.notes]


def translated(note: str, language: str) -> str:
    """Return a note in that language; one that reslab does not write stays as it is."""
    if language == "en":
        return note
    if match := INEXACT.match(note):
        parts = re.findall(r"([\d,]+) of ([\d,]+) (\w+)", match["parts"])
        counts = ", ".join(f"{split} 이미지 {every}장 중 {n}장" for n, every, split in parts)
        return f"{counts}은 원본과 비트 단위로 같지 않다"
    for pattern, korean in KOREAN:
        if match := pattern.fullmatch(note):
            return korean.format(*match.groups())
    return note


def beside(records: Iterable[Record], language: str = "en") -> str:
    """Return the notes as a sentence for a caption, with a space before it; "" without any."""
    notes = data_notes(records, language)
    return f" {_sentence('; '.join(notes), language)}" if notes else ""


def data_words(records: Iterable[Record], language: str = "en", others: Iterable[str] = ()) -> str:
    """Return the data of the records, with their notes, as a sentence with a space before it; "" without any.

    others   names of data that are drawn without a record
    """
    by_data: dict[str, list[Record]] = {clean(name): [] for name in others}
    for record in records:
        by_data.setdefault(clean(record.run["data"].get("name", "?")), []).append(record)
    notes = {name: data_notes(group, language) for name, group in by_data.items()}
    named = [f"{name} ({'; '.join(lines)})" if lines else name for name, lines in notes.items()]
    return f" {_sentence(', '.join(named), language)}" if named else ""


def _sentence(note: str, language: str) -> str:
    sentence = OUR_DATA.filled(note=note)(language)
    return f"{sentence[:1].upper()}{sentence[1:]}."
