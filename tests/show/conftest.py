"""Fixtures of synthetic runs and studies, written once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from browsers import browser  # noqa: F401  a fixture of this folder
from written_runs import COMMAND, INEXACT, judged, write_run, write_study

from reslab.api.verdicts import committed_studies
from reslab.claims.catalogue import catalogue, default_setting
from reslab.claims.evidence import net
from reslab.claims.evidence import read as read_study
from reslab.claims.judging import Judgement, judge
from reslab.claims.text import LANGUAGES
from reslab.runs.runlog import Record, read
from reslab.show.pages.report import study_page


@pytest.fixture
def study(tmp_path: Path) -> Callable[..., list[Record]]:
    """`study(depths=…, seeds=…, **data)`: the records of a finished degradation study."""

    def made(
        depths: tuple[int, ...] = (8, 20, 32, 44), seeds: tuple[int, ...] = (0, 1, 2), *, hostile: str = "", **data: Any
    ) -> list[Record]:
        return [
            read(write_run(tmp_path / "runs" / f"{kind}{depth}-{seed}", f"cifar_{kind}{depth}", seed,
                           shown=f"cifar_{kind}{depth}{hostile}", **data))
            for seed in seeds for depth in depths for kind in ("plain", "resnet")
        ]  # fmt: skip

    return made


@pytest.fixture(scope="session")
def digits_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole study of digits, five seeds, everything run."""
    return write_study(tmp_path_factory.mktemp("whole") / "digits", default_setting("digits"))


@pytest.fixture(scope="session")
def cifar_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole study of CIFAR-10 beside it, one seed, with a note on its images."""
    setting = default_setting("cifar10:somewhere")
    return write_study(tmp_path_factory.mktemp("whole") / "cifar", setting, notes=[INEXACT])


@pytest.fixture(scope="session")
def study_pages(digits_study: Path, cifar_study: Path) -> tuple[list[Judgement], dict[str, str]]:
    """Every claim on both studies, and their page in each language."""
    told = judged(digits_study, cifar_study)
    return told, {language: study_page(told, language, COMMAND, ["a note"]) for language in LANGUAGES}


@pytest.fixture(scope="session")
def demo() -> list[Judgement]:
    """Every claim judged as `reslab reproduce degradation` does: on the twins of the committed study of digits."""
    study = next(one for folder in committed_studies() if (one := read_study(folder)).folder.name == "digits")
    twins = [net(f"cifar_{kind}{depth}").key for kind in ("plain", "resnet") for depth in study.setting.depths]
    part = replace(study, records={key: study.records[key] for key in twins}, measured={})
    return [judge(claim, part) for claim in catalogue(part.setting)]


@pytest.fixture(scope="session")
def whole_report() -> tuple[list[Judgement], dict[str, str]]:
    """Every claim on all committed studies, and the page of `reslab report` in each language."""
    told = judged(*committed_studies())
    return told, {language: study_page(told, language, "reslab report") for language in LANGUAGES}
