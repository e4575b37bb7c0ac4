"""The words of axes, legends, tables and pages in both languages; Korean keeps the field's loan words.

First the words that several places share, then `PAGE`, the words of the templates by name, and the heads of tables.
Words of a single figure are in its module, those of the paper's open choices in `choices`.
"""

from __future__ import annotations

import textwrap
import unicodedata

from reslab.claims.claim import BESIDE, LIMIT
from reslab.claims.rules import CONDITION, FAILS, HOLDS, NOT_RUN, UNDECIDED, VERDICTS
from reslab.claims.text import Text

COLUMNS = 46  # characters of a line: what 330 pixels hold

TRAIN_ERROR = Text("training error", "training error")
TEST_ERROR = Text("test error", "test error")
VAL_ERROR = Text("validation error", "validation error")
MEASURES = {"train": TRAIN_ERROR, "val": VAL_ERROR, "test": TEST_ERROR}

ERROR = Text("error (%)", "error (%)")
ITERATIONS = Text("iterations", "반복 횟수")
LAYERS = Text("layers", "층수")
NET = Text("net", "네트워크")
SEEDS = Text("seeds", "seed 수")
MEAN = Text("mean", "평균")
LOWEST, HIGHEST = Text("lowest", "최솟값"), Text("highest", "최댓값")
INTERVAL_FROM = Text("95 % interval from", "95 % 신뢰구간 하한")
INTERVAL_TO = Text("95 % interval to", "95 % 신뢰구간 상한")
MACS = Text("multiply-adds (MACs)", "곱셈-덧셈 수 (MACs)")
BLOCK = Text("block, first to last", "block, 입력 쪽부터")
LAYER = Text("layer", "층")
LOSS = Text("training loss", "training loss")
RATE = Text("learning rate", "learning rate")
STEPS = Text("steps", "학습 step")
OUR, PAPER = Text("ours", "우리 값"), Text("paper", "논문")

PARAMETERS = Text("{n} parameters", "parameter {n}")
OUTPUT_SIZE = Text("output size", "출력 크기")
INTERVAL, BAR, JUDGED = Text("95 % interval", "95 % 신뢰구간"), Text("threshold", "기준값"), Text("verdict", "판정")
NOT_RUN_WORD = Text("not run", "실행하지 않음")

VERDICT = {
    HOLDS: Text("holds", "성립"),
    CONDITION: Text("holds with a condition", "조건부 성립"),
    FAILS: Text("does not hold", "성립하지 않음"),
    UNDECIDED: Text("undecided", "보류"),
    NOT_RUN: NOT_RUN_WORD,
}
# A verdict is recognised without colour too: by its sign and its word.
SIGNS = dict(zip(VERDICTS, "●◐✕?–", strict=True))

ROLES = {
    BESIDE: Text("for information", "참고"),
    LIMIT: Text("limits the claim if it holds", "성립하면 주장을 제한"),
}

PAGE: dict[str, Text] = {
    # every page
    "skip": Text("Skip to the contents", "본문으로 건너뛰기"),
    "no_script": Text("The charts need JavaScript; the tables have their figures.",
                      "그림을 그리려면 JavaScript가 필요하다. 값은 표에 있다."),
    "not_drawn": Text("This chart could not be drawn; the table has its figures.",
                      "이 그림은 그릴 수 없었다. 값은 표에 있다."),
    "menu": Text("Save this chart", "그림 저장하기"),
    "as_svg": Text("Save as SVG", "SVG로 저장"),
    "as_png": Text("Save as PNG", "PNG로 저장"),
    "in_figures": Text("These figures as a table", "이 그림의 값을 표로 보기"),
    "data_note": Text("About these data", "이 데이터에 대하여"),
    "command": Text("Command", "명령"),
    "run_networks": Text("Run these networks in the browser: draw or drop a picture, switch blocks off",
                         "이 신경망을 브라우저에서 돌려 보기: 이미지를 그리거나 끌어다 놓고, 블록을 꺼 본다"),
    "scored": Text("What it gets wrong", "무엇을 틀리는가"),
    "confusion": Text("Confusion matrix", "confusion matrix"),
    "reliability": Text("Confidence against accuracy", "확신과 정확도"),
    "worst": Text("The images with the highest loss", "loss가 가장 큰 이미지"),
    # the page of studies
    "study_title": Text("Residual networks: every claim of the notes and the paper, judged",
                        "Residual 네트워크: 노트와 논문의 주장을 하나씩 판정한 결과"),
    "study_about": Text(
        "The claims are those of the study notes on “Deep Residual Learning for Image Recognition” (He, Zhang, Ren, "
        "Sun 2015) and of the paper. Open one for its answer, its picture and its figures.",
        "“Deep Residual Learning for Image Recognition”(He, Zhang, Ren, Sun 2015)과 이 논문을 공부한 노트에 나오는 "
        "주장이다. 주장을 펼치면 답, 그림, 값이 나온다.",
    ),
    "rule": Text(
        "A verdict compares the 95 % interval of the mean over seeds, [low, high], with a threshold. Undecided: the "
        "interval contains the threshold.",
        "판정은 여러 seed의 평균에 대한 95 % 신뢰구간([하한, 상한])을 기준값과 비교한 것이다. 구간 안에 기준값이 "
        "있으면 판정을 보류한다.",
    ),
    "claims": Text("The claims", "주장과 판정"),
    "other_study": Text("Also on", "다른 실험:"),
    "by_notes": Text("The notes’ words", "노트 원문"),
    "where": Text("source", "출처"),
    "statements": Text("Measured values and thresholds", "측정값과 기준값"),
    "for_information": Text("For information, not judged", "참고(판정에 쓰지 않음)"),
    "runs": Text("The runs", "실행 목록"),
    "errors_at_end": Text("Errors in percent at the last iteration; they chose no checkpoint.",
                          "마지막 반복의 error(%)이다. 이 값으로 checkpoint를 고르지 않았다."),
    "no_runs": Text("Computed; this needs no training.", "계산한 값이며 학습이 필요 없다."),
    "background": Text("Source, rule, runs and command", "출처, 규칙, 실행, 명령"),
    "not_measured": Text("Not measured here", "여기서 측정하지 않은 주장"),
    "paper_tables": Text("The paper’s tables with our figures", "논문의 표와 우리 값"),
    "nets": Text("The networks, drawn", "네트워크 그림"),
    "fig3": Text("VGG-19, plain-34 and residual-34 (Fig. 3)", "VGG-19, plain-34, residual-34 (Fig. 3)"),
    "fig3_about": Text(
        "Drawn from the networks’ own definitions. Solid: identity shortcut; dotted: the shape changes.",
        "네트워크 정의에서 그렸다. 실선: identity shortcut, 점선: 크기가 바뀌는 shortcut.",
    ),
    "fig5": Text("Basic and bottleneck block (Fig. 5)", "basic block과 bottleneck block (Fig. 5)"),
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
    "found": Text("What was found in the data", "데이터에서 찾은 것"),
    "found_about": Text(
        "Before training, faults first; number of images, files or classes",
        "학습 전에 검사한 결과. 문제부터 적고, 수는 이미지·파일·클래스의 수",
    ),
    "found_count": Text("number", "개수"),
    "found_where": Text("where", "어디"),
    "machine": Text("Data, hardware, versions, settings", "데이터, 하드웨어, 버전, 설정"),
    "as_recorded": Text("As the runs recorded them; “|” separates values that differ between runs.",
                        "실행할 때 기록된 값이다. 실행마다 다르면 “|”로 나누었다."),
    "what": Text("what", "이름"),
    "departures": Text("Departures from the paper", "논문과 다른 점"),
    "no_departures": Text("None is known besides the choices that the paper leaves open.",
                          "논문이 정하지 않은 것 말고는 알려진 차이가 없다."),
    "not_run": Text("What was not run", "실행하지 않은 것"),
    "partly": Text("Only a part of it was run.", "일부만 실행했다."),
    "rows_not_run": Text("Rows of Table 6 without a run of ours", "Table 6에서 우리가 실행하지 않은 행"),
    "nets_not_run": Text("Networks with seeds that have no finished run", "아직 끝나지 않은 seed가 있는 네트워크"),
    "problems": Text("Problems of the records", "기록의 문제"),
    "net": NET,
    "finished_of": Text("finished seeds", "끝난 seed"),
    "nothing": Text("These records judge no claim.", "이 기록으로 판정할 수 있는 주장이 없다."),
    # the page of runs
    "runs_about": Text(
        "Nothing is judged here. Runs of different recipes are compared as they are.",
        "여기서는 판정하지 않는다. recipe가 다른 실행도 그대로 비교한다.",
    ),
    "scores": Text("Final scores", "마지막 점수"),
    "scores_about": Text(
        "At the last iteration, errors in percent, with the binomial (Wilson) 95 % interval of n images.",
        "마지막 반복의 error(%)와 이미지 n장에 대한 이항(Wilson) 95 % 신뢰구간.",
    ),
    "by_class": Text("Error by class", "클래스별 error"),
    "by_class_about": Text("The worst class first.", "error가 큰 클래스부터."),
    "more_classes": Text("The other classes", "나머지 클래스"),
    "differences": Text("Differences between the runs", "실행끼리 다른 점"),
    "differences_about": Text("All other fields are equal.", "나머지 항목은 모두 같다."),
    "no_differences": Text("Only the seeds differ.", "seed만 다르다."),
    "more_charts": Text("More pictures", "다른 그림"),
    "no_charts": Text("No run has a measured error yet.", "아직 측정한 error가 없다."),
    "incomplete": Text("What is missing", "빠진 것"),
}  # fmt: skip

ERRORS = {
    "train": Text("training error", "training error (%)"), "val": Text("validation error", "validation error (%)"),
    "test": Text("test error", "test error (%)"),
}  # fmt: skip
HEADS: dict[str, tuple[Text, ...]] = {
    "statements": (
        Text("what is measured", "측정한 것"), Text("mean", "평균값"),
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
    "classes": (
        Text("class", "클래스"), Text("error (%)", "error(%)"), INTERVAL, Text("wrong", "틀린 수"),
        Text("n", "n (장)"),
    ),
    "differences": (Text("field", "항목"), Text("values, and the runs that have them", "값과 해당 실행")),
}  # fmt: skip

ABOUT_RUN = Text("{model}, seed {seed}, on {data}", "{model}, seed {seed}, 데이터 {data}")
TITLE_RUNS = Text("{n} training runs compared", "학습 실행 {n}개의 비교")
SCORE = Text("{measure} {error} % (95 % interval {low} to {high}, {n} images)",
             "{measure} {error} % (95 % 신뢰구간 {low} ~ {high}, 이미지 {n}장)")  # fmt: skip
BEST_IS_LAST = Text(
    "The last weights are also the best on val ({error} %).", "마지막 가중치가 val에서도 가장 좋다({error} %)."
)
BEST_ON_VAL = Text(
    "Best on val: {error} % at iteration {n}{place}. The scores here are of the last weights.",
    "val에서 가장 좋은 가중치: 반복 {n}회의 {error} %{place}. 여기의 점수는 마지막 가중치의 것이다.",
)
STUDY_SCORE = Text(
    "{depth} layers after {n} updates on {data}: {plain} {measure} without shortcuts, {residual} with them ({seeds}).",
    "{data}, {depth}층, 반복 {n}회 뒤 {measure}: shortcut이 없으면 {plain}, 있으면 {residual} ({seeds}).",
)
UNDER = Text("under {limit}", "{limit} 미만")
ONE_SEED, N_SEEDS = Text("1 seed", "seed 1개"), Text("{n} seeds", "seed {n}개")
UNTRAINED = Text("no training", "학습 없음")
COMMITTED = Text(
    "the records of {names} are the committed results of the reslab project",
    "{names}의 기록은 reslab 저장소에 커밋된 결과다",
)
N_ITERATIONS = Text("{n} iterations", "{n}회 반복")
UNFINISHED = Text("{n}, unfinished", "{n}, 미완료")
OF_SEEDS = Text("{done} of {n}", "{n}개 중 {done}개")
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
OTHER_FIELD = Text("{key} is {here}, in the paper {printed}", "{key}: 여기서는 {here}, 논문에서는 {printed}")


def count_of_seeds(n: int, language: str = "en") -> str:
    """Return "5 seeds"; of 0, what was counted from the nets or timed, "no training"."""
    return (UNTRAINED if n == 0 else ONE_SEED if n == 1 else N_SEEDS.filled(n=n))(language)


def wide(text: str) -> int:
    """Return the columns that a text takes: a Korean letter takes two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def wrapped(text: str, columns: int = COLUMNS) -> list[str]:
    """Return lines of at most so many columns, broken at spaces if there are any."""
    lines: list[str] = []
    for word in (part for w in text.split() for part in (textwrap.wrap(w, columns) if wide(w) > columns else [w])):
        if lines and wide(lines[-1]) + 1 + wide(word) <= columns:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines or [""]
