"""C16: an ensemble beats its members (note 002 §4; §4.1, Table 5).

The runs: nets that the study trains for other claims. Two kinds of ensembles: every seed of one net, and, as the
paper's own six, nets of different depth (the residual nets of one seed). A study with one seed and one depth has
neither: there all of its different nets are one ensemble. The measure: test error of the ensemble minus its members'
mean, and minus its best member's; scores averaged as probabilities after the softmax (as the authors' release does; the
paper leaves it open) and, for comparison, as logits.

The rule: the 95 % interval of the difference to the mean member, over the ensembles of a kind, ends at 0 or below. The
difference to the best member is shown: it is harder, as that member is chosen by the test error that is compared.
"""

from __future__ import annotations

from statistics import mean
from typing import Any

from reslab.claims.claim import BESIDE, MAIN, Bench, Claim, Measurement, Statement, kept
from reslab.claims.evidence import Net, Setting, net
from reslab.claims.experiments.degradation import twins
from reslab.claims.experiments.shortcuts import options
from reslab.claims.phrases import answer
from reslab.claims.quantity import measurement
from reslab.claims.rules import Below
from reslab.claims.text import Text

NAME = "ensembles"
HOWS = ("softmax", "logits")
Members = list[tuple[Net, int]]

WORDS = {
    "seeds": Text("Every seed of one net as one", "한 네트워크의 모든 seed를 묶은 앙상블"),
    "depths": Text("Residual nets of different depth as one", "깊이가 다른 residual 네트워크를 묶은 앙상블"),
    "nets": Text("Different nets of the study as one", "서로 다른 네트워크를 묶은 앙상블"),
}


def claims(setting: Setting) -> tuple[Claim, ...]:
    return (_ensemble(setting),)


def members_of(setting: Setting) -> tuple[Net, ...]:
    """The nets that take part: residual ones of all depths, plain ones that are not the deepest, options B and C.

    In a study of one depth no other claim trains plain nets, so they take no part.
    """
    depths = dict.fromkeys((setting.shallow, setting.middle)) if len(setting.depths) > 1 else ()
    plain = [net(f"cifar_plain{depth}") for depth in depths]
    return tuple(dict.fromkeys([*twins(setting, "resnet"), *plain, *options(setting).values()]))


def groups(setting: Setting) -> dict[str, list[Members]]:
    """By kind (see WORDS), the members of each ensemble; a kind that the setting cannot have is left out."""
    nets, seeds = members_of(setting), setting.seeds
    ensembles: dict[str, list[Members]] = {}
    if len(seeds) > 1:
        ensembles["seeds"] = [[(member, seed) for seed in seeds] for member in nets]
    if len(setting.depths) > 1:
        ensembles["depths"] = [[(member, seed) for member in twins(setting, "resnet")] for seed in seeds]
    return ensembles or {"nets": [[(member, seed) for member in nets] for seed in seeds]}


def _together(setting: Setting) -> Measurement:
    def make(bench: Bench, seed: int | None) -> dict[str, Any]:
        """ "seeds_softmax": test errors of the ensembles; "…_mean", "…_best": minus the mean member's, the best's."""
        from reslab.measure.ensemble import average, scored

        every = list(dict.fromkeys(m for kind in groups(setting).values() for members in kind for m in members))
        logits, labels = bench.logits(every)  # of each member once, however many ensembles it is in
        seen = dict(zip(every, logits, strict=True))
        error = {member: scored(seen[member], labels).top1_error for member in every}
        figures: dict[str, Any] = {}
        for kind, ensembles in groups(setting).items():
            alone = [[error[m] for m in members] for members in ensembles]
            for how in HOWS:
                together = [average([seen[m] for m in members], how) for members in ensembles]
                whole = [scored(scores, labels).top1_error for scores in together]
                figures[f"{kind}_{how}"] = [kept(w) for w in whole]
                figures[f"{kind}_{how}_mean"] = [kept(w - mean(a)) for w, a in zip(whole, alone, strict=True)]
                figures[f"{kind}_{how}_best"] = [kept(w - min(a)) for w, a in zip(whole, alone, strict=True)]
            figures[f"{kind}_members"] = [len(members) for members in ensembles]
        return figures

    return Measurement("ensembles-together", make, nets=members_of(setting), seconds=30)


def _ensemble(setting: Setting) -> Claim:
    together, kinds = _together(setting), tuple(groups(setting))

    def gap(kind: str, how: str, against: str, role: str) -> Statement:
        word = WORDS[kind]
        en, ko = (
            ("its mean member", "개별 모델의 평균") if against == "mean" else ("its best member", "가장 좋은 개별 모델")
        )
        return Statement(
            Text(
                f"{word.en} ({how} averaged): test error minus that of {en}",
                f"{word.ko}({how} 평균): test error − {ko}의 test error",
            ),
            measurement(together.name, f"{kind}_{how}_{against}"),
            Below(0.0),
            role=role,
            unit="points",
        )

    return Claim(
        id="C16",
        name=NAME,
        quote="6개의 모델을 앙상블하여 이미지 분류에서 1등 달성.",
        said="002 §4; §4.1, Table 5",
        text=Text("An ensemble beats the mean of its members.", "앙상블은 개별 모델의 평균보다 낫다."),
        statements=(
            *(gap(kind, "softmax", "mean", MAIN) for kind in kinds),
            *(gap(kind, "softmax", "best", BESIDE) for kind in kinds),
            *(gap(kind, "logits", against, BESIDE) for kind in kinds for against in ("mean", "best")),
        ),
        answers=answer(
            Text(
                "Test error minus that of the mean (best) member: "
                + "; ".join(
                    f"{WORDS[kind].en.lower()} {{s{i}n}} ({{s{len(kinds) + i}n}}) points"
                    for i, kind in enumerate(kinds)
                )
                + ".",
                "개별 모델의 평균(괄호 안은 가장 좋은 개별 모델)과 비교한 test error의 차이: "
                + ", ".join(f"{WORDS[kind].ko} {{s{i}n}}({{s{len(kinds) + i}n}})%p" for i, kind in enumerate(kinds))
                + ".",
            )
        ),
        measurements=(together,),
    )
