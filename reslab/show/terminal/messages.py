"""The messages of `reproduce` in both languages. Error messages are English."""

from __future__ import annotations

from typing import Any

from reslab.claims.judging import Judgement
from reslab.claims.text import Text
from reslab.runs.runlog import Tell
from reslab.show.format import duration, number, percent
from reslab.show.terminal.plain import Event, places
from reslab.show.words import VERDICT

MESSAGES = {
    # of a campaign; the key is the event's `message`
    "runs": Text(
        "{runs} runs: {finished} finished already, {missing} to do",
        "실행 {runs}개: {finished}개는 이미 끝났고 {missing}개를 학습한다",
    ),
    "stopping": Text(
        "stopping: every run finishes its update and saves", "중단: 실행마다 진행 중인 반복을 마치고 저장한다"
    ),
    "progress": Text(
        "{done} of {runs} runs done, {share} of the work, {left} left",
        "실행 {runs}개 중 {done}개 완료, 전체의 {share}, 남은 시간 {left}",
    ),
    "at_work": Text("; at work: {rows}", "; 학습 중: {rows}"),
    # of a study
    "timing": Text(
        "timing a few updates of each net to see which claims fit into the budget",
        "제한 시간 안에 어떤 주장까지 실행할 수 있는지 보려고 네트워크마다 반복 한 번의 시간을 잰다",
    ),
    "fit": Text("{fit} of {n} claims fit, about {minutes} min", "주장 {n}개 중 {fit}개를 실행한다(약 {minutes}분)"),
    "left_out": Text("; not run: {ids}", ". 실행하지 않는 주장: {ids}"),
    "measuring": Text("measuring {name} ({number} of {n})", "{name} 측정 중({number}/{n})"),
    "judged": Text("{id} {verdict}: {sentence}", "{id} {verdict}: {sentence}"),
}


def note(language: str, message: str, **figures: Any) -> Event:
    """Return the event of one of MESSAGES in `language`, with its {names} replaced by `figures`."""
    return {"kind": "note", "text": MESSAGES[message].filled(**figures)(language)}


def judged(language: str, judgement: Judgement) -> Event:
    """Return the event of a claim's verdict in `language`."""
    verdict, sentence = VERDICT[judgement.verdict](language), judgement.sentence(language)
    return note(language, "judged", id=judgement.claim.id, verdict=verdict, sentence=sentence)


def in_language(language: str, tell: Tell) -> Tell:
    """Return `tell` with the events of a campaign in `language`; other events pass unchanged."""

    def translated(event: Event) -> None:
        if event.get("kind") == "campaign":
            done, runs, left = event["runs_done"], event["runs"], duration(event.get("left"))
            share = number(percent(event["done"]), ".0f", " %")
            text = MESSAGES["progress"].filled(done=done, runs=runs, share=share, left=left)(language)
            if rows := places(event):
                text += MESSAGES["at_work"].filled(rows=rows)(language)
            event = {**event, "text": text}
        elif event.get("message") in MESSAGES:
            event = {**event, "text": MESSAGES[event["message"]].filled(**event)(language)}
        tell(event)

    return translated
