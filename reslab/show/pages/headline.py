"""The answer of a study in one sentence: the final error of its deepest nets without and with shortcuts."""

from __future__ import annotations

from collections.abc import Sequence

from reslab.claims.evidence import Evidence, net
from reslab.claims.rules import Figure
from reslab.show import words
from reslab.show.format import clean
from reslab.show.series import SPLITS, Runs, by_net, sound

WORTH_READING = 0.05  # percent; a smaller error that is not 0 is written as "under 0.1 %"


def headline(evidence: Evidence, language: str = "en") -> str:
    """Return the sentence, with means over seeds; "" if no depth has finished plain and residual runs."""
    for depth in sorted(evidence.setting.depths, reverse=True):
        plain, residual = (_runs(evidence, f"cifar_{kind}{depth}") for kind in ("plain", "resnet"))
        for split in SPLITS if plain and residual else ():
            ends = [group.final(split) for group in (*plain, *residual)]
            if len(ends) == 2 and ends[0] and ends[1]:
                return words.STUDY_SCORE.filled(
                    depth=depth,
                    n=f"{evidence.setting.recipe.iterations:,}",
                    data=clean(evidence.setting.data),
                    plain=percent_words(ends[0].mean, language),
                    residual=percent_words(ends[1].mean, language),
                    measure=words.MEASURES[split](language),
                    seeds=_seeds([ends[0], ends[1]], language),
                )(language)
    return ""


def percent_words(error: float, language: str = "en") -> str:
    """Return an error in percent as prose has it: "72 %", "0.5 %", "under 0.1 %"."""
    if 0 < error < WORTH_READING:
        return words.UNDER.filled(limit="0.1 %")(language)
    return f"{error:.0f} %" if error >= 10 or error == 0 else f"{error:.1f} %"


def _seeds(finals: Sequence[Figure], language: str) -> str:
    counts = {f.n for f in finals}
    if len(counts) > 1:
        return words.N_SEEDS.filled(n=" / ".join(str(f.n) for f in finals))(language)
    return words.count_of_seeds(counts.pop(), language)


def _runs(evidence: Evidence, model: str) -> list[Runs]:
    return by_net(sound(evidence.records.get(net(model).key, {}).values()).records)
