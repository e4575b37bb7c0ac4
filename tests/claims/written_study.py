"""A study's folder written as a real one is, from figures made up by a test, and read back by `evidence.read`."""

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from reslab.claims.claim import LIMIT, MAIN, Claim
from reslab.claims.evidence import Evidence, Net, Setting, read
from reslab.claims.rules import HOLDS, NOT_RUN, VERDICTS, combined
from reslab.nets.names import name_of, switches_of
from reslab.training.naming import FROM_DATA
from reslab.training.recipes import recipe

SETTING = Setting("digits", recipe("digits-study"), (0, 1, 2), (8, 20, 56))


class Study:
    """Writes runs with probe lines, and measurements."""

    def __init__(self, folder: Path, setting: Setting = SETTING) -> None:
        self.folder, self.setting = folder, setting
        (folder / "measured").mkdir(parents=True)
        (folder / "study.json").write_text(json.dumps(setting.to_dict()))

    def run(self, of: Net, seed: int, train: float = 5.0, probes: Sequence[Mapping[str, Any]] = ()) -> None:
        """A finished run whose training error is flat at `train` percent; the first of `probes` is of iteration 0."""
        end = self.setting.recipe.iterations
        spec, out = of.spec(), self.folder / f"{of} s{seed}".replace(" ", "-")
        out.mkdir()
        told = {"model": of.model, "switches": dict(of.switches), "spec": spec.to_dict(), "seed": seed}
        about = {"recipe": self.setting.recipe.to_dict(), "data": {}, "settings": {}, "environment": {}}
        (out / "run.json").write_text(json.dumps({"format": 1, **told, **about}))
        lines = [{"kind": "probe", "iteration": 100 * i, "n": 128, **p} for i, p in enumerate(probes)]
        for at, split in product((int(0.95 * end), end), ("test", "train")):
            lines.append({"kind": "eval", "iteration": at, "split": split, "n": 1297, "top1_error": train})
        lines.append({"kind": "end", "iteration": end})
        (out / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    def measured(self, name: str, figures: Mapping[str, Any], seed: int | None = None) -> None:
        path = self.folder / "measured" / f"{name}{'' if seed is None else f'-s{seed}'}.json"
        path.write_text(json.dumps({"format": 1, "name": name, "seed": seed, "figures": dict(figures)}))

    def evidence(self) -> Evidence:
        found = read(self.folder)
        assert found.problems == ()
        return found


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
    figures = {f"s{i}": "1" for i in range(len(roles))}
    missing = []
    for verdict in possible - {NOT_RUN}:
        text = claim.answers.get(verdict)
        if text is None or "{" in text.filled(**figures).en + text.filled(**figures).ko:
            missing.append(verdict)
    return missing
