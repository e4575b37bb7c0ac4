"""The page of studies on the committed records: the answer first, claims that were judged, one picture each."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from statistics import fmean

import pytest
from cases import some
from test_report import Outline
from written_runs import judged, write_run, write_study

from reslab.api.verdicts import committed_studies
from reslab.claims.catalogue import catalogue, default_setting
from reslab.claims.evidence import net, read
from reslab.claims.judging import judge
from reslab.claims.rules import NOT_RUN, VERDICTS
from reslab.show import words
from reslab.show.format import plain_math
from reslab.show.notes import translated
from reslab.show.pages.headline import headline, percent_words
from reslab.show.pages.report import CLASSES, study_page
from reslab.show.words import SIGNS
from reslab.store.sealed import write_sealed

HOLES = re.compile(r"\{|\}|\bs\d\b|\bnan\b|\binf\b| – (?:without|with|in|points)")


@pytest.fixture(scope="module")
def evidence():
    """The committed study of digits."""
    return next(study for folder in committed_studies() if (study := read(folder)).folder.name == "digits")


def test_the_first_line_is_the_answer_with_the_records_figures(evidence):
    deep = evidence.setting.deep
    ends = [
        [r.final("train")["top1_error"] for r in evidence.runs(net(f"cifar_{kind}{deep}")).values()]
        for kind in ("plain", "resnet")
    ]
    plain, residual = map(fmean, ends)
    line = headline(evidence)
    assert line == (
        f"{deep} layers after {evidence.setting.recipe.iterations} updates on digits: {plain:.0f} % training error "
        f"without shortcuts, {residual:.1f} % with them ({len(ends[0])} seeds)."
    )
    assert f"{plain:.0f} %" in headline(evidence, "ko")


@pytest.mark.parametrize(
    ("error", "said"), [(72.4, "72 %"), (9.96, "10.0 %"), (0.46, "0.5 %"), (0.0, "0 %"), (0.02, "under 0.1 %")]
)
def test_an_error_in_prose(error, said):
    assert percent_words(error) == said


def test_without_both_twins_the_first_answer_of_a_claim_leads(evidence, tmp_path):
    one_kind = replace(evidence, records={k: v for k, v in evidence.records.items() if "plain" in k}, measured={})
    assert headline(one_kind) == ""
    judgements = [judge(claim, one_kind) for claim in catalogue(one_kind.setting)]
    told = sorted((j for j in judgements if j.verdict != NOT_RUN), key=lambda j: VERDICTS.index(j.verdict))
    assert Outline(study_page(judgements)).headings[0] == re.sub(r"\s+", " ", told[0].sentence.en)
    write_run(tmp_path / "study" / "run", "cifar_plain8", 0)
    write_sealed(tmp_path / "study" / "study.json", default_setting("digits", 1, (8, 20)).to_dict())
    assert words.PAGE["nothing"].en in Outline(study_page(judged(tmp_path / "study"))).words


@pytest.mark.parametrize("language", ["en", "ko"])
def test_a_study_s_page_has_the_claims_that_it_judges_and_no_others(demo, language):
    page = Outline(study_page(demo, language))
    told = {j.claim.id for j in demo if j.verdict != NOT_RUN}
    assert told
    claims = [a["id"] for tag, a in page.tags if tag == "details" and a.get("class") == "claim"]
    assert set(claims) == told
    others = [j.claim.id for j in demo if j.claim.id not in told]
    assert f"{words.PAGE['not_measured'](language)} : {', '.join(others)}" in page.words  # one line
    for one in demo:
        assert (one.claim.text(language) in page.words) == (one.claim.id in told)


@pytest.mark.parametrize("language", some(["ko", "en"], quick=1))
def test_no_sentence_has_a_hole(demo, whole_report, language):
    for html in (study_page(demo, language), whole_report[1][language]):
        body = html[html.index("<main") : html.index("</main>")]
        answers = re.findall(r'<(?:p|h1) class="answer">(.*?)</(?:p|h1)>', body, re.S)
        assert len(answers) > 3
        assert [a for a in answers if HOLES.search(a)] == []


def test_no_chart_is_shown_twice(demo, whole_report):
    for html in (study_page(demo), *whole_report[1].values()):
        specifications = re.findall(r'data-chart="[^"]+">(.*?)</script>', html, re.S)
        assert len(specifications) > 5
        assert [n for n in Counter(specifications).values() if n > 1] == []


def test_each_claim_opens_to_its_sentence_one_picture_and_its_table(whole_report):
    judgements, pages = whole_report
    for language, html in pages.items():
        folds = re.split(r'<details class="claim" id="', html.partition('<h2 id="paper-tables"')[0])[1:]
        assert [f.partition('"')[0] for f in folds] == list(dict.fromkeys(j.claim.id for j in judgements))
        for fold in folds:
            first = re.split(r'<details class="part">', fold)[0]
            if 'class="part"' not in first:  # not run: its reason
                assert words.VERDICT[NOT_RUN](language) in first
                continue
            order = [first.index(mark) for mark in ('class="answer"', "<figure", 'class="statements"')]
            assert order == sorted(order)
            assert first.count("<figure") == 1


def test_a_verdict_is_told_by_sign_word_and_colour():
    assert len(set(SIGNS.values())) == len(set(CLASSES.values())) == len(VERDICTS)


def test_the_report_is_small_and_its_korean_page_is_korean(whole_report):
    _, pages = whole_report
    assert all(len(html.encode()) < 3 * 2**20 for html in pages.values())
    page = Outline(pages["ko"])
    for english in ("images are not bit-exact", "held out as val", "standard deviation", "$", "\\frac"):
        assert english not in page.words
    assert "±" not in page.words.replace("6.61±0.16", "").replace("± ", "")  # the paper's own figure; a rule's ± 0.5


@pytest.mark.parametrize(
    ("note", "korean"),
    [
        ("82 of 50,000 train and 21 of 10,000 test images are not bit-exact",
         "train 이미지 50,000장 중 82장, test 이미지 10,000장 중 21장은 원본과 비트 단위로 같지 않다"),
        ("5,000 of 50,000 training samples held out as val (seed 0)",
         "학습 이미지 50,000장 중 5,000장을 validation용으로 떼어 놓았다(seed 0)"),
        ("2 files that are no images were left out, the first is a, b.txt",
         "이미지가 아닌 파일 2개를 뺐다(첫 번째: a, b.txt)"),
        ("val has no images of class cat and 3 more", "val split에 클래스 cat 외 3개의 이미지가 없다"),
        ("val has no images of class cat", "val split에 클래스 cat의 이미지가 없다"),
        ("somebody's own note", "somebody's own note"),
    ],
)  # fmt: skip
def test_notes_on_data_are_in_the_page_s_language(note, korean):
    assert translated(note, "ko") == korean
    assert translated(note, "en") == note


def test_formulas_are_plain_text():
    assert plain_math(r"$\frac{\partial H}{\partial x}=\frac{\partial F}{\partial x}+1$") == "∂H/∂x = ∂F/∂x + 1"
    assert plain_math("$H(x)$를 만든다") == "H(x)를 만든다"
    assert plain_math("costs 5 dollars") == "costs 5 dollars"


def test_every_claim_is_counted_while_the_page_is_written(tmp_path):
    told = judged(write_study(tmp_path / "s", default_setting("digits", 1, (8, 20))))
    counts = []
    study_page(told, tell=lambda done, total: counts.append((done, total)))
    total = len({j.claim.id for j in told})
    assert counts == [(i, total) for i in range(total + 1)]
