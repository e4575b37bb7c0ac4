"""A study's folder with records of chosen figures, written as the loop and the benches write them; forms of claims."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from reslab.claims.catalogue import default_setting
from reslab.claims.claim import LIMIT, MAIN, Claim
from reslab.claims.evidence import Evidence, Net, Setting, read
from reslab.claims.judging import Judgement, judge
from reslab.claims.rules import HOLDS, NOT_RUN, VERDICTS, combined
from reslab.nets.names import name_of, switches_of
from reslab.runs.naming import FROM_DATA
from reslab.store import jsonl
from reslab.store.sealed import write_sealed

DIGITS = default_setting("digits")
FORMS = ("", "a", "m", "n", "l")  # the letters by which an answer asks for a form of a figure


class Shelf:
    """`run` and `measured` add files; `evidence` reads them all back from disk."""

    def __init__(self, folder: Path, setting: Setting = DIGITS) -> None:
        self.folder, self.setting, self.count = folder, setting, 0
        folder.mkdir(exist_ok=True)
        write_sealed(folder / "study.json", setting.to_dict())

    def run(
        self, net: Net, seed: int, train: float = 5.0, test: float = 5.0, *, late: Sequence[float] | None = None,
        finished: bool = True, probes: Sequence[Mapping[str, Any]] = (), **changes: Any,
    ) -> Path:  # fmt: skip
        """A run that ends at `train` and `test` percent, with a probe every 100 iterations from the start on.

        late  training errors before the end, in the last tenth of the schedule; default: flat
        """
        self.count += 1
        out = self.folder / f"run{self.count}"
        out.mkdir()
        end = self.setting.recipe.iterations
        spec = replace(net.spec(), in_channels=1, image_size=8)
        told = {
            "model": name_of(spec), "switches": switches_of(spec), "spec": spec.to_dict(),
            "recipe": self.setting.recipe.to_dict(), "seed": seed, "settings": {}, "environment": {}, "command": "",
            "data": {"name": self.setting.data, "source": self.setting.data, "fingerprint": "f00d", "notes": []},
        } | changes  # fmt: skip
        write_sealed(out / "run.json", told)
        late = [train] if late is None else late
        values = [90.0, *late, train]
        moments = [40, *range(end - 10 * len(late), end + 1, 10)]
        lines = [
            {"kind": "eval", "iteration": i, "split": s, "n": 1297, "top1_error": e, "top5_error": 0.0, "loss": 1.0}
            for i, v in zip(moments, values, strict=True)
            for s, e in (("test", test), ("train", v))
        ]
        lines += [{"kind": "probe", "iteration": 100 * i, "n": 128, **probe} for i, probe in enumerate(probes)]
        if finished:
            lines.append({"kind": "end", "iteration": end, "clock": {"seconds": 1.0}})
        for line in lines:
            jsonl.append(out / "metrics.jsonl", line)
        return out

    def measured(self, name: str, figures: Mapping[str, Any], seed: int | None = None) -> Path:
        """A measurement's file."""
        (self.folder / "measured").mkdir(exist_ok=True)
        path = self.folder / "measured" / f"{name}{'' if seed is None else f'-s{seed}'}.json"
        write_sealed(path, {"name": name, "seed": seed, "figures": dict(figures)})
        return path

    def evidence(self) -> Evidence:
        return read(self.folder)

    def judge(self, claim: Claim) -> Judgement:
        found = self.evidence()
        assert found.problems == ()
        return judge(claim, found)


def canonical(nets: Iterable[Net]) -> bool:
    """Whether each net's switches are those that its spec derives: the key that its records will have."""
    return all(
        {k: v for k, v in switches_of(n.spec()).items() if k not in FROM_DATA} == dict(n.switches)
        and name_of(n.spec()) == n.model
        for n in nets
    )


def unanswered(claim: Claim) -> list[str]:
    """Verdicts that the statements can combine to, and for which there is no sentence, or one that cannot be filled."""
    roles = [s.role for s in claim.statements]
    mains, limits = roles.count(MAIN), roles.count(LIMIT)
    possible = {
        combined(main, limit)
        for main in product(VERDICTS, repeat=mains)
        for limit in product([HOLDS, "does not hold", NOT_RUN], repeat=limits)
    }
    figures = {f"s{i}{form}": "1" for i in range(len(roles)) for form in FORMS}
    missing = []
    for verdict in possible - {NOT_RUN}:
        text = claim.answers.get(verdict)
        if text is None or "{" in text.filled(**figures).en + text.filled(**figures).ko:
            missing.append(verdict)
    return missing
