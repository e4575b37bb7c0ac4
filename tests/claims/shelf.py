"""A study's folder with records of chosen figures, written as the loop and the benches write them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from reslab.claims.catalogue import default_setting
from reslab.claims.claim import Claim, Judgement, judge
from reslab.claims.evidence import Evidence, Net, Setting, read
from reslab.nets.names import name_of, switches_of

DIGITS = default_setting("digits")


class Shelf:
    """`run` and `measured` add files; `evidence` reads them all back from disk."""

    def __init__(self, folder: Path, setting: Setting = DIGITS) -> None:
        self.folder, self.setting, self.count = folder, setting, 0
        folder.mkdir(exist_ok=True)
        (folder / "study.json").write_text(json.dumps(setting.to_dict()))

    def run(
        self, net: Net, seed: int, train: float, test: float = 5.0, *, late: tuple[float, ...] = (),
        finished: bool = True, probes: list[dict[str, Any]] | None = None, **changes: Any,
    ) -> Path:  # fmt: skip
        """A run that ends at `train` and `test` percent; `late` stands before it, in the last tenth of the schedule."""
        self.count += 1
        out = self.folder / f"run{self.count}"
        out.mkdir()
        end = self.setting.recipe.iterations
        spec = replace(net.spec(), in_channels=1, image_size=8)
        told = {
            "format": 1, "model": name_of(spec), "switches": switches_of(spec), "spec": spec.to_dict(),
            "recipe": self.setting.recipe.to_dict(), "seed": seed, "settings": {}, "environment": {}, "command": "",
            "data": {"name": self.setting.data, "source": self.setting.data, "fingerprint": "f00d", "notes": []},
        } | changes  # fmt: skip
        (out / "run.json").write_text(json.dumps(told))
        values = [90.0, *late, train]
        moments = [40, *range(end - 10 * len(late), end + 1, 10)]
        lines = [
            {"kind": "eval", "iteration": i, "split": s, "n": 1297, "top1_error": e, "top5_error": 0.0, "loss": 1.0}
            for i, v in zip(moments, values, strict=True)
            for s, e in (("test", test), ("train", v))
        ]
        lines += [{"kind": "probe", **probe} for probe in probes or []]
        if finished:
            lines.append({"kind": "end", "iteration": end, "clock": {"seconds": 1.0}})
        (out / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        return out

    def measured(self, name: str, figures: dict[str, Any], seed: int | None = None) -> Path:
        """A measurement's file."""
        (self.folder / "measured").mkdir(exist_ok=True)
        path = self.folder / "measured" / f"{name}{'' if seed is None else f'-s{seed}'}.json"
        path.write_text(json.dumps({"format": 1, "name": name, "seed": seed, "figures": figures}))
        return path

    def evidence(self) -> Evidence:
        return read(self.folder)

    def judge(self, claim: Claim) -> Judgement:
        return judge(claim, self.evidence())
