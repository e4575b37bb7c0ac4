"""Every claim of the notes and the paper, in the order of their numbers, for a setting."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from reslab.claims.claim import Claim
from reslab.claims.evidence import Setting
from reslab.claims.experiments import (
    addition,
    architecture,
    bottleneck,
    copying,
    deeper,
    degradation,
    ensembles,
    explosion,
    gradients,
    identity,
    jacobians,
    mixing,
    removal,
    residuals,
    responses,
    scale,
    shortcuts,
    skips,
    strides,
)
from reslab.claims.text import Text
from reslab.data.source import source_of
from reslab.errors import UserError, suggest
from reslab.runs.recipe import changed, scaled
from reslab.runs.recipes import recipe

EXPERIMENTS = (
    degradation, gradients, explosion, jacobians, residuals, identity, deeper, copying, addition, architecture,
    bottleneck, strides, shortcuts, skips, mixing, responses, ensembles, scale, removal,
)  # fmt: skip
# These compare depths, so they cannot be judged on a setting of one depth.
OF_DEPTHS = (degradation, gradients, explosion, residuals, deeper, responses)
ONE_DEPTH = Text(
    "Not run: it compares depths, and this study has one.",
    "실행하지 않음: 깊이를 비교하는데 이 실험에는 깊이가 하나뿐이다.",
)


def catalogue(setting: Setting) -> tuple[Claim, ...]:
    """All claims, C1 first."""
    every = []
    for experiment in EXPERIMENTS:
        idle = len(setting.depths) < 2 and experiment in OF_DEPTHS
        for claim in experiment.claims(setting):
            empty = replace(claim, statements=(), measurements=(), why_not_run=ONE_DEPTH)
            every.append(empty if idle else claim)
    return tuple(sorted(every, key=lambda claim: int(claim.id[1:])))


def names() -> tuple[str, ...]:
    """The experiments' names, in the order of their files."""
    return tuple(experiment.NAME for experiment in EXPERIMENTS)


def chosen(setting: Setting, wanted: Iterable[str]) -> tuple[Claim, ...]:
    """The claims that are asked for by id ("C3"), by experiment ("degradation") or as "all". Raises UserError."""
    every = catalogue(setting)
    words = list(wanted)
    known = [*names(), *(c.id for c in every), "all"]
    for word in words:
        if word not in known and word.upper() not in known:
            raise UserError(f"reproduce: {word!r} is not known{suggest(word, known)}; there are {', '.join(known)}")
    either_case = {w for word in words for w in (word, word.upper())}
    return tuple(c for c in every if "all" in either_case or c.id in either_case or c.name in either_case)


def default_setting(
    data: str,
    seeds: int | None = None,
    depths: tuple[int, ...] | None = None,
    scale: float | None = None,
    first_seed: int = 0,
) -> Setting:
    """A study's setting by its data: minutes on digits; §4.2 and Fig. 6 at a quarter of the schedule elsewhere.

    scale  of the whole schedule (default: 1 on digits, a quarter elsewhere). Raises UserError if it is not positive.
    """
    source = source_of(data)
    if source.given is not None:
        raise UserError("reproduce: a study records its data by name; give a word or a folder, not images")
    name = source.name
    if name == "digits":
        length = recipe("digits-study") if scale is None else scaled(recipe("digits-study"), scale)
        return Setting(name, length, seeds_from(first_seed, seeds or 5), depths or (8, 20, 56))
    length = changed(scaled(recipe("paper-cifar"), 0.25 if scale is None else scale), {"probe_every": 1_000})
    return Setting(name, length, seeds_from(first_seed, seeds or 1), depths or (20, 56))


def seeds_from(first: int, count: int) -> tuple[int, ...]:
    return tuple(range(first, first + count))
