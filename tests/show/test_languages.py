"""`describe` and the messages of `reproduce` in both languages: the same figures, and Korean that is Korean."""

from __future__ import annotations

import re
from string import Formatter

import pytest

from reslab.claims.text import Text
from reslab.nets.names import spec_of
from reslab.nets.paper import WORDS
from reslab.show.terminal import describing
from reslab.show.terminal.messages import MESSAGES, in_language, note
from reslab.show.terminal.plain import line_of
from reslab.show.terminal.walk import describe_text

DESCRIBING = {name: text for name, text in vars(describing).items() if isinstance(text, Text)}
TEXTS = {**DESCRIBING, **MESSAGES}
SAME = {"N_MACS", "CONV", "LINEAR", "PAPER_MORE", "AND", "STRIDED", "SHORTCUT", "PROJECTED", "judged"}
NETS = [
    ("resnet50", {}),
    ("resnet34", {"order": "pre", "downsample": "pool", "shortcut": "A"}),
    ("cifar_resnet20", {"in_channels": 1}),
    ("mlp_resnet20", {"widths": (64, 32)}),
    ("cifar_plain20", {"batch_norm": False}),
    ("vgg19", {}),
]


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_has_the_same_figures_in_both_languages(name):
    text = TEXTS[name]
    assert fields(text.en) == fields(text.ko)
    assert bool(re.search("[가-힣]", text.ko)) or name in SAME
    assert not re.search("[가-힣]", text.en)


def test_every_figure_of_the_paper_has_a_name():
    assert describing.FIGURES.keys() == WORDS.keys()
    assert all(describing.FIGURES[key].en == WORDS[key] for key in WORDS)


@pytest.mark.parametrize(("name", "switches"), NETS, ids=[name for name, _ in NETS])
def test_describe_has_the_same_lines_and_numbers(name, switches):
    english, korean = (describe_text(spec_of(name, **switches), language).splitlines() for language in ("en", "ko"))
    assert len(english) == len(korean)
    for line, translated in zip(english, korean, strict=True):
        en, ko = (
            sorted(re.findall(r"\d[\d,.]*\d|\d", text.replace("2nd", "").replace("0으로", "")))
            for text in (line, translated)
        )
        assert en == ko
    assert {"parameters", "without", "missing", "shrinks", "paper"}.isdisjoint(re.findall(r"\w+", " ".join(korean)))


def test_a_campaign_in_both_languages():
    progress = {"kind": "campaign", "done": 0.25, "runs_done": 1, "runs": 4, "left": 125.0}
    runs = {"kind": "note", "message": "runs", "runs": 4, "finished": 1, "missing": 3, "text": "untranslated"}
    step = {"kind": "train", "iteration": 3, "loss": 1.0}
    lines: list[str | None] = []
    for language in ("en", "ko"):
        tell = in_language(language, lambda event: lines.append(line_of(event)))
        for event in (progress, runs, step):
            tell(event)
    assert lines == [
        line_of(progress),
        "4 runs: 1 finished already, 3 to do",
        line_of(step),
        "실행 4개 중 1개 완료, 전체의 25 %, 남은 시간 2:05",
        "실행 4개: 1개는 이미 끝났고 3개를 학습한다",
        line_of(step),
    ]


def test_a_note_of_a_study():
    figures = {"name": "derivatives-s0", "number": 2, "n": 5}
    assert note("en", "measuring", **figures) == {"kind": "note", "text": "measuring derivatives-s0 (2 of 5)"}
    assert note("ko", "measuring", **figures)["text"] == "derivatives-s0 측정 중(2/5)"
