"""What axes, legends, tables and pages say, in both languages; the field's terms stay English, as in the notes.

First words that several places share, then `PAGE`, what the templates print, by name, the heads of tables, and the
ledger's remarks in Korean beside `OPEN_CHOICES`. Words that one figure alone says stand beside its code.
"""

from __future__ import annotations

import textwrap
import unicodedata

from reslab.claims.claim import BESIDE, LIMIT
from reslab.claims.rules import CONDITION, FAILS, HOLDS, NOT_RUN, UNDECIDED
from reslab.claims.text import Text

COLUMNS = 46  # characters of a line: what 330 pixels hold

TRAIN_ERROR = Text("training error", "training error")
TEST_ERROR = Text("test error", "test error")
VAL_ERROR = Text("validation error", "validation error")
MEASURES = {"train": TRAIN_ERROR, "val": VAL_ERROR, "test": TEST_ERROR}

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

PARAMETERS = Text("{n} parameters", "parameter {n}")
OUTPUT_SIZE = Text("output size", "출력 크기")
INTERVAL, BAR, JUDGED = Text("95 % interval", "95 % 구간"), Text("bar", "기준"), Text("verdict", "판정")
NOT_RUN_WORD = Text("not run", "실행하지 않음")

VERDICT = {
    HOLDS: Text("holds", "성립한다"),
    CONDITION: Text("holds with a condition", "조건부로 성립한다"),
    FAILS: Text("does not hold", "성립하지 않는다"),
    UNDECIDED: Text("undecided", "결정할 수 없다"),
    NOT_RUN: NOT_RUN_WORD,
}

ROLES = {BESIDE: Text("beside", "참고"), LIMIT: Text("limit", "한계")}

PAGE: dict[str, Text] = {
    # around everything
    "skip": Text("Skip to the contents", "본문으로 건너뛰기"),
    "contents": Text("Contents", "목차"),
    "top": Text("Back to the contents", "목차로 돌아가기"),
    "no_script": Text(
        "Charts need JavaScript; their figures stand in the tables.",
        "그림을 그리려면 JavaScript가 필요하다. 값은 표에 있다.",
    ),
    "not_drawn": Text(
        "This chart could not be drawn; its figures stand in the tables.", "이 그림은 그릴 수 없었다. 값은 표에 있다."
    ),
    "menu": Text("Save this chart", "그림 저장하기"),
    "as_svg": Text("Save as SVG", "SVG로 저장"),
    "as_png": Text("Save as PNG", "PNG로 저장"),
    "in_figures": Text("The same in figures", "같은 내용을 값으로"),
    "same": Text("The same picture as at", "다음과 같은 그림:"),
    # a study's page
    "study_title": Text("Residual networks: claims, run and judged", "Residual network: 주장을 실행하고 판정하다"),
    "study_about": Text(
        "The study notes on “Deep Residual Learning for Image Recognition” (He, Zhang, Ren, Sun 2015) and the paper "
        "itself make the claims below. Each is judged on records of runs by a rule: a 95 % interval over seeds, shown "
        "as [low, high], against a bar. A claim is undecided if its interval lies on both sides of the bar. Each study "
        "says which came first, the rule or the runs.",
        "아래는 “Deep Residual Learning for Image Recognition”(He, Zhang, Ren, Sun 2015)의 학습 노트와 논문에 나오는 "
        "주장이다. 주장마다 규칙에 따라 여러 seed의 95 % 구간([하한, 상한])을 기준과 비교했다. 구간 안에 기준이 들어 "
        "있으면 결정할 수 없다고 적는다. 실험마다 규칙과 실행 가운데 무엇이 먼저였는지 밝힌다.",
    ),
    "answer": Text("The answer at a glance", "한눈에 보는 답"),
    "number": Text("no.", "번호"),
    "claim": Text("claim", "주장"),
    "verdict": JUDGED,
    "measured": Text("what was measured", "측정한 것"),
    "claims": Text("The claims", "주장별 결과"),
    "by_notes": Text("The notes’ words", "노트의 말"),
    "where": Text("said in", "출처"),
    "statements": Text("What is measured, against its bar", "측정한 값과 기준"),
    "runs": Text("The runs", "실행 목록"),
    "errors_at_end": Text(
        "Errors in percent at the last iteration; no checkpoint was chosen by any of them.",
        "error는 마지막 반복에서의 값(%)이며, 이 값으로 checkpoint를 고르지 않았다.",
    ),
    "no_runs": Text("Computed; nothing had to be trained.", "계산한 것이며, 학습이 필요 없다."),
    "command": Text("Command", "명령"),
    "data_note": Text("About these data", "이 데이터에 대하여"),
    "paper_tables": Text("The paper’s tables beside ours", "논문의 표와 우리 값"),
    "nets": Text("The nets, drawn", "네트워크 그림"),
    "fig3": Text("VGG-19, plain-34 and residual-34 (Fig. 3)", "VGG-19, plain-34, residual-34 (Fig. 3)"),
    "fig3_about": Text(
        "Drawn from the nets’ own definitions. Solid: identity shortcut; dotted: the shape changes.",
        "네트워크 정의에서 그렸다. 실선: identity shortcut, 점선: 크기가 바뀌는 shortcut.",
    ),
    "fig5": Text("Basic and bottleneck block (Fig. 5)", "기본 block과 bottleneck block (Fig. 5)"),
    "fig5_about": Text(
        "With their parameters and multiply-adds, counted from the definitions.",
        "parameter 수와 곱셈-덧셈 수는 정의에서 센 것이다.",
    ),
    "recipe": Text("Recipe, and what the paper leaves open", "학습 recipe와 논문이 정하지 않은 것"),
    "all_fields": Text("Every field of the recipe", "recipe의 모든 항목"),
    "choices": Text("What the paper leaves open, and what was chosen here", "논문이 정하지 않은 것과 여기서 고른 것"),
    "field": Text("field", "항목"),
    "value": Text("value", "값"),
    "chosen": Text("chosen", "고른 값"),
    "paper_says": Text("what the paper says", "논문의 설명"),
    "machine": Text("Data, hardware, versions, settings", "데이터, 하드웨어, 버전, 설정"),
    "as_recorded": Text(
        "As the runs recorded it; a bar separates values where runs differ.",
        "실행이 기록한 그대로이며, 실행마다 다르면 세로줄로 나누었다.",
    ),
    "what": Text("what", "무엇"),
    "departures": Text("Departures from the paper", "논문과 다른 점"),
    "no_departures": Text("None is known but for the open choices above.", "위에서 고른 것 말고는 알려진 차이가 없다."),
    "not_run": Text("What was not run", "실행하지 않은 것"),
    "claims_not_run": Text("Claims without a verdict", "판정이 없는 주장"),
    "rows_not_run": Text("Rows of Table 6 without a run of ours", "우리 실행이 없는 Table 6의 행"),
    "nets_not_run": Text("Nets with seeds that have no finished run", "끝난 실행이 없는 seed가 있는 네트워크"),
    "problems": Text("Records that could not be read", "읽을 수 없었던 기록"),
    "all_run": Text("Everything was run.", "모두 실행했다."),
    "not_here": Text("Claims that this page is not about", "이 페이지에서 다루지 않는 주장"),
    "net": NET,
    "finished_of": Text("finished seeds", "끝난 seed"),
    "nothing": Text("No claim was judged here.", "판정한 주장이 없다."),
    # a page of runs
    "run_about": Text(
        "One training run as its record tells it: how the errors went, where they ended, under which recipe and on "
        "which machine. No checkpoint was chosen by the test error.",
        "학습 실행 하나를 기록에 있는 그대로 보인다. error의 변화와 마지막 값, recipe와 기기를 담았다. test error로 "
        "checkpoint를 고르지 않았다.",
    ),
    "runs_about": Text(
        "Training runs beside each other as their records tell them: final errors, curves, and in what they differ. "
        "Nothing is judged here; runs of different recipes are compared as they are.",
        "여러 학습 실행을 기록 그대로 나란히 놓았다. 마지막 error, 곡선, 서로 다른 점을 보인다. "
        "여기서는 판정하지 않으며, recipe가 다른 실행도 그대로 견준다.",
    ),
    "scores": Text("Final scores", "마지막 점수"),
    "scores_about": Text(
        "Errors in percent at the last iteration, with Wilson’s 95 % interval over the n images of the split.",
        "마지막 반복의 error(%)와 그 split의 이미지 n장에 대한 Wilson 95 % 구간.",
    ),
    "differences": Text("In what the runs differ", "실행끼리 다른 점"),
    "differences_about": Text(
        "Whatever does not stand here is equal in all of them.", "여기에 없는 것은 모든 실행에서 같다."
    ),
    "no_differences": Text("In their seeds alone, if at all.", "다르다면 seed뿐이다."),
    "charts": Text("Pictures", "그림"),
    "no_charts": Text("No run has a measured error yet.", "아직 측정한 error가 없다."),
    "incomplete": Text("What is missing", "빠진 것"),
}

ERRORS = {
    "train": Text("training error", "training error (%)"), "val": Text("validation error", "validation error (%)"),
    "test": Text("test error", "test error (%)"),
}  # fmt: skip
HEADS: dict[str, tuple[Text, ...]] = {
    "statements": (
        Text("what is measured", "측정한 것"), Text("mean ± std", "평균 ± 표준편차"),
        INTERVAL, Text("n", "n (개)"), BAR, JUDGED,
    ),
    "runs": (
        Text("model", "모델"), Text("switches", "옵션"), Text("seed", "seed 번호"), *ERRORS.values(),
        ITERATIONS, Text("time", "시간"),
    ),
    "scores": (
        Text("run", "실행"), Text("split", "데이터 split"), Text("top-1 error", "top-1 error (%)"),
        INTERVAL, Text("top-5 error", "top-5 error (%)"), Text("loss", "loss 값"),
        Text("n", "n (장)"),
    ),
    "differences": (Text("field", "항목"), Text("values, and the runs that have them", "값과 그 값을 가진 실행")),
}  # fmt: skip

TITLE_RUN = Text("{model}, seed {seed}, on {data}", "{model}, seed {seed}, 데이터 {data}")
TITLE_RUNS = Text("{n} training runs compared", "학습 실행 {n}개의 비교")
ONE_SEED, N_SEEDS, COMPUTED = Text("1 seed", "seed 1개"), Text("{n} seeds", "seed {n}개"), Text("computed", "계산값")
COMMITTED = Text(
    "the records of {names} are the committed results of the reslab project",
    "{names}의 기록은 reslab 프로젝트에 들어 있는 결과이다",
)
N_ITERATIONS = Text("{n} iterations", "{n}회 반복")
UNFINISHED = Text("{n}, unfinished", "{n}, 미완료")
OF_SEEDS = Text("{done} of {n}", "{n}개 중 {done}개")
EACH = Text(", each", ", 모두")
LIMIT_ROLE, BESIDE_ROLE = Text("a limit", "한계"), Text("beside, no say", "참고, 판정에 쓰지 않음")
ON, OFF, NONE = Text("on", "켬"), Text("off", "끔"), Text("none", "없음")
PARTS = {
    "data": Text("data", "데이터"), "environment": Text("environment", "환경"), "settings": Text("settings", "설정"),
}  # fmt: skip
NOT_DRAWN = Text("the figures of {id} could not be drawn: {why}", "{id}의 그림은 그릴 수 없었다: {why}")
BROKEN = Text("{n} records do not say which net they are of", "어느 네트워크의 기록인지 알 수 없는 기록 {n}개")
NOT_ENDED = Text("{name}: not finished", "{name}: 끝나지 않음")

OTHER_DATA = Text("the data are {data}, not CIFAR-10", "데이터가 CIFAR-10이 아니라 {data}이다")
OTHER_DEPTHS = Text("nets of {depths} layers are not in the paper", "{depths}층 네트워크는 논문에 없다")
OTHER_SWITCH = Text("the switch {key} is {value} in {nets}", "옵션 {key}: {value} ({nets})")
OTHER_FIELD = Text("{key} is {here}, in the paper {said}", "{key}: 여기서는 {here}, 논문에서는 {said}")

CHOICES_KO = {
    "holdout": "최종 네트워크를 'training set'에서 학습했다고만 하며, 50,000장인지 45,000장인지 쓰지 않았다",
    "bn_batch": "GPU 두 개에 64장씩, BN을 동기화하지 않아 BN batch는 64이다. 0은 batch 전체",
    "bn_momentum": "쓰지 않았다. BN 이동 통계에서 새 batch의 비중",
    "bn_statistics": "쓰지 않았다. 'moving'은 이동 평균, 'precise'는 마지막 weight로 다시 구한 값",
    "decay_on": "weight decay를 BN의 γ, β와 bias에도 주는지('all') 아닌지('weights') 쓰지 않았다",
    "momentum_form": "쓰지 않았다. 'caffe'는 학습률이 떨어진 뒤에도 속도에 옛 학습률이 남고 'torch'는 남지 않는다",
    "last_batch": "쓰지 않았다. 다음 epoch에서 채우거나('fill') 짧게 두거나('keep') 버린다('drop')",
    "scale": "평균을 뺀다고만 하고 나눗셈은 쓰지 않았다. 'std'는 training split 전체의 표준편차 하나로 나눈다",
    "warmup_window": "'training error 80 % 미만'을 어느 구간에서 재는지 쓰지 않았다. 여기서는 반복 횟수",
    "clean_every": "training error를 언제 어떻게 재는지 쓰지 않았다. 여기서는 evaluation mode로 전체를 다시 평가",
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
