"""What stands on axes, in legends and in tables, in both languages; the field's terms stay English, as in the notes."""

from __future__ import annotations

import textwrap
import unicodedata

from reslab.claims.rules import CONDITION, FAILS, HOLDS, NOT_RUN, UNDECIDED
from reslab.claims.text import Text

COLUMNS = 46  # characters of a line: what 330 pixels hold

TRAIN_ERROR = Text("training error", "training error")
TEST_ERROR = Text("test error", "test error")
MEASURES = {"train": TRAIN_ERROR, "test": TEST_ERROR}

ERROR = Text("error (%)", "error (%)")
ITERATIONS = Text("iterations", "반복 횟수")
LAYERS = Text("layers", "층 수")
NET = Text("net", "네트워크")
SEEDS = Text("seeds", "seed 수")
MEAN = Text("mean", "평균")
LOWEST, HIGHEST = Text("lowest", "최솟값"), Text("highest", "최댓값")
STD_BELOW, STD_ABOVE = Text("mean − std", "평균 − 표준편차"), Text("mean + std", "평균 + 표준편차")
MACS = Text("multiply-adds (MACs)", "곱셈-덧셈 수 (MACs)")
BLOCK = Text("block, first to last", "block, 입력 쪽부터")
LAYER = Text("layer", "층")
LOSS = Text("training loss", "training loss")
RATE = Text("learning rate", "learning rate")
STEPS = Text("steps", "학습 step")
OUR, PAPER = Text("ours", "우리 값"), Text("paper", "논문")

NOT_RUN_WORD = Text("not run", "실행하지 않음")

VERDICT = {
    HOLDS: Text("holds", "성립한다"),
    CONDITION: Text("holds with a condition", "조건부로 성립한다"),
    FAILS: Text("does not hold", "성립하지 않는다"),
    UNDECIDED: Text("undecided", "결정할 수 없다"),
    NOT_RUN: NOT_RUN_WORD,
}


def wide(text: str) -> int:
    """Columns that a text takes: a Korean letter takes two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def wrapped(text: str, columns: int = COLUMNS) -> list[str]:
    """Lines of at most so many columns, broken at spaces where there are any."""
    lines: list[str] = []
    for word in (part for w in text.split() for part in (textwrap.wrap(w, columns) if wide(w) > columns else [w])):
        if lines and wide(lines[-1]) + 1 + wide(word) <= columns:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines or [""]
