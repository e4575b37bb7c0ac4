"""A study's folder as evidence: which nets were trained under which recipe, and what was measured in them.

`study.json` holds data, recipe, seeds and depths of the study. Next to it are the run folders and `measured/`,
one JSON file for each measurement. The committed folders in results/ have the same form, without checkpoints.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reslab.errors import UserError
from reslab.nets.names import spec_of
from reslab.nets.spec import Spec
from reslab.runs import runlog
from reslab.runs.naming import FROM_DATA
from reslab.runs.recipe import Recipe
from reslab.runs.runlog import Record
from reslab.store import checksums
from reslab.store.sealed import is_sealed, read_sealed, write_sealed

STUDY, MEASURED = "study.json", "measured"


@dataclass(frozen=True)
class Net:
    """A network that a claim trains: a name and the switches that differ from the name's own values."""

    model: str
    switches: tuple[tuple[str, Any], ...] = ()

    def spec(self) -> Spec:
        return spec_of(self.model, **dict(self.switches))

    @property
    def key(self) -> str:
        """The same for the same network, however its switches are ordered."""
        return f"{self.model} {json.dumps(dict(self.switches), sort_keys=True)}"

    def __str__(self) -> str:
        return " ".join([self.model, *(f"{k}={v}" for k, v in self.switches)])


def net(model: str, **switches: Any) -> Net:
    """`net("cifar_resnet20", shortcut="C")`."""
    return Net(model, tuple(sorted(switches.items())))


@dataclass(frozen=True)
class Setting:
    """On what a study is made: the data's name, one recipe for all runs, the seeds, the depths of the twins."""

    data: str
    recipe: Recipe
    seeds: tuple[int, ...]
    depths: tuple[int, ...]

    @property
    def shallow(self) -> int:
        return self.depths[0]

    @property
    def middle(self) -> int:
        """The depth at which options and blocks are compared: 20 if the setting has it."""
        return 20 if 20 in self.depths else self.depths[0]

    @property
    def deep(self) -> int:
        return self.depths[-1]

    def to_dict(self) -> dict[str, Any]:
        return {
            "data": self.data,
            "recipe": self.recipe.to_dict(),
            "seeds": list(self.seeds),
            "depths": list(self.depths),
        }


@dataclass(frozen=True)
class Beginning:
    """What a study recorded when it began: the day, the commit of the code (None: not known), and claim id → hash.

    together   of a study older than the ledger: date and commit are those that brought its runs and rules together
    """

    date: str
    commit: str | None
    hashes: Mapping[str, str] = field(default_factory=dict)
    together: bool = False

    @staticmethod
    def from_dict(values: Any) -> Beginning | None:
        """Return what `to_dict` made; None for anything else, such as a study older than the ledger."""
        if not isinstance(values, dict):
            return None
        hashes, together = values.get("hashes"), values.get("together") is True
        if not isinstance(hashes, dict) and not together:
            return None
        commit = values.get("commit")
        return Beginning(str(values.get("date")), None if commit is None else str(commit), dict(hashes or {}), together)

    def to_dict(self) -> dict[str, Any]:
        rules = {"together": True} if self.together else {"hashes": dict(self.hashes)}
        return {"date": self.date, "commit": self.commit, **rules}


@dataclass(frozen=True)
class Evidence:
    """What a study's folder holds.

    records    net key → seed → record, finished or not, of the setting's recipe and seeds alone
    measured   measurement name → seed (or None: made once) → its figures
    problems   what could not be read, one line each; such a record counts as not run
    beginning  the rules when it began; None: not recorded
    """

    folder: Path
    setting: Setting
    records: dict[str, dict[int, Record]]
    measured: dict[str, dict[int | None, dict[str, Any]]]
    problems: tuple[str, ...] = ()
    beginning: Beginning | None = None

    def __repr__(self) -> str:
        return f"Evidence({str(self.folder)!r}: {len(self.every_record())} records of {self.setting.data})"

    def runs(self, wanted: Net) -> dict[int, Record]:
        """The finished records of a net, by seed."""
        return {s: r for s, r in sorted(self.records.get(wanted.key, {}).items()) if r.finished}

    def every_record(self) -> list[Record]:
        """All records, finished or not."""
        return [record for runs in self.records.values() for record in runs.values()]

    def every(self, nets: Iterable[Net]) -> list[Record]:
        """All finished records of `nets`."""
        return [record for net in nets for record in self.runs(net).values()]


def key_of(record: Record) -> str:
    """The net of a record, as `Net.key` has it."""
    switches = {k: v for k, v in record.run.get("switches", {}).items() if k not in FROM_DATA}
    return f"{record.model} {json.dumps(switches, sort_keys=True)}"


def is_study(folder: Path) -> bool:
    return (folder / STUDY).is_file()


def read_setting(folder: Path) -> Setting:
    """The setting of a study's folder. Raises UserError if it is none, damaged, or of another version."""
    path = folder / STUDY
    if not path.is_file():
        raise UserError(f"{folder}: holds no study ({STUDY} is missing)")
    checksums.covering(folder).verify(path)
    content = read_sealed(path)
    try:
        return Setting(
            str(content["data"]), Recipe.from_dict(content["recipe"]), tuple(map(int, content["seeds"])),
            tuple(map(int, content["depths"])),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: damaged ({type(error).__name__}: {error}); run `reslab reproduce` again") from None


def read_beginning(folder: Path) -> Beginning | None:
    """Return what a study recorded of its rules when it began, or None. Raises UserError for a damaged file."""
    return Beginning.from_dict(read_sealed(folder / STUDY).get("rules"))


def write_study(folder: Path, setting: Setting, beginning: Beginning | None) -> None:
    """Write a study's `study.json`."""
    rules = {"rules": beginning.to_dict()} if beginning else {}
    write_sealed(folder / STUDY, {**setting.to_dict(), **rules})


def read(folder: Path) -> Evidence:
    """Return what a study's folder holds; what cannot be read, or belongs to another study, is in `problems`."""
    setting = read_setting(folder)
    records: dict[str, dict[int, Record]] = {}
    listed = checksums.covering(folder)
    problems = [f"{path}: missing, though {checksums.LIST} lists it" for path in _missing(folder, listed)]
    unchecked: list[Path] = []
    for path in _folders(folder):
        try:
            record = runlog.read(path)
            problems += record.problems
            unchecked += [] if record.checked else [path]
            if Recipe.from_dict(record.run["recipe"]) != setting.recipe:
                problems.append(f"{path}: another recipe than {STUDY} says; it is left out")
            elif record.notes:  # from a trained model, or extended: not a run of the recipe alone
                problems.append(f"{path}: {'; '.join(record.notes)}; it is left out")
            elif record.seed in setting.seeds:
                records.setdefault(key_of(record), {})[record.seed] = record
        except UserError as error:
            problems.append(str(error))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            problems.append(f"{path}: damaged ({type(error).__name__}: {error}); it is left out")
    problems += _of_other_data(records)
    measured: dict[str, dict[int | None, dict[str, Any]]] = {}
    for path in sorted((folder / MEASURED).glob("*.json")):
        try:
            listed.verify(path)
            content = read_sealed(path)
            unchecked += [] if is_sealed(content) or listed.covers(path) else [path]
            measured.setdefault(str(content["name"]), {})[content["seed"]] = dict(content["figures"])
        except UserError as error:
            problems.append(str(error))
        except (KeyError, TypeError, ValueError) as error:
            problems.append(f"{path}: damaged ({type(error).__name__}: {error}); it is left out")
    if unchecked:
        problems.append(
            f"{folder}: {len(unchecked)} records are of the first format, which had no checksums, so they are used "
            f"unchecked; the first is {unchecked[0].name}"
        )
    return Evidence(folder, setting, records, measured, tuple(problems), read_beginning(folder))


def _missing(folder: Path, listed: checksums.Checksums) -> list[Path]:
    """Return the listed files that are not in `folder`. A copy without any checkpoint, as a wheel has it, is whole."""
    missing = listed.missing(folder)
    weights = [name for name in listed.files if runlog.CHECKPOINTS in name.split("/")]
    if any((listed.root / name).is_file() for name in weights):
        return missing
    return [path for path in missing if runlog.CHECKPOINTS not in path.relative_to(listed.root).parts]


def _of_other_data(records: dict[str, dict[int, Record]]) -> list[str]:
    """Take out the runs of other data than most were trained on: a folder whose files changed keeps its name."""

    def print_of(record: Record) -> str:
        return str(record.run["data"].get("fingerprint"))

    every = Counter(print_of(r) for runs in records.values() for r in runs.values())
    if len(every) < 2:
        return []
    most = every.most_common(1)[0][0]
    others = [(runs, s, r) for runs in records.values() for s, r in runs.items() if print_of(r) != most]
    for runs, seed, _ in others:
        del runs[seed]
    return [f"{r.folder}: trained on other data than most runs of this study; it is left out" for *_, r in others]


def _folders(folder: Path) -> Iterator[Path]:
    return (path.parent for path in sorted(folder.glob(f"*/{runlog.RUN}")))
