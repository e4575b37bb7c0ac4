"""Which file may import which: read from docs/design.md, held against every import in reslab/."""

import shutil
import sys
from pathlib import Path

import pytest
from cases import some
from house import (
    PACKAGE,
    ROOT,
    Arrow,
    House,
    arrows_of,
    house,
    imported,
    is_own,
    is_torch,
    modules,
    reachable,
    torch_using,
)  # fmt: skip

from benchmarks.files import DESIGN, filled

NOT_FOR_CLAIMS = {
    f"{PACKAGE}.{name}" for name in ("training.loop", "training.step", "training.saving", "campaign.runs")
}


# -- the judgement


def room_of(name: str) -> str:
    """The room of a module: "" for the package's own file."""
    return [*name.split("."), ""][1]


def violations(root: Path) -> list[str]:
    """Every arrow that docs/design.md forbids, every circle, every room that it does not name."""
    rules = house((root / "docs" / "design.md").read_text(encoding="utf-8"))
    known = modules(root)
    arrows = arrows_of(known)
    rooms = {room for floor in rules.floors for room in floor}
    unknown = sorted({room_of(name) for name in known} - rooms - {"", "__main__"})
    gone = sorted(room for room in rooms if f"{PACKAGE}.{room}" not in known)
    if unknown or gone:
        return [f"{PACKAGE}/{room} is no room of docs/design.md" for room in unknown] + [
            f"{PACKAGE}/{room} is a room of docs/design.md and not there" for room in gone
        ]
    heavy = torch_using(arrows)
    wrong = _circles(arrows)
    for name, out in arrows.items():
        for arrow in out:
            if is_own(arrow.target) and (why := _forbidden(name, known[name], arrow, rules, known, heavy)):
                wrong.append((name, arrow, why))
            if arrow.early and (arrow.target in heavy or is_torch(arrow.target)) and not rules.may_use_torch(name):
                wrong.append((name, arrow, "imports torch, which docs/design.md does not allow here"))
    return [
        f"{known[name].relative_to(root).as_posix()}:{arrow.line} -> {arrow.target}: {why}"
        for name, arrow, why in wrong
    ]


def _forbidden(
    name: str, path: Path, arrow: Arrow, rules: House, known: dict[str, Path], heavy: set[str]
) -> str | None:
    target = arrow.target
    room, room_there = room_of(name), room_of(target)
    if name == PACKAGE:
        if target == f"{PACKAGE}.version":
            return None
        if room_there != "api":
            return "the package's own file shows api alone"
        return "api is imported when it is asked for, not before" if arrow.early else None
    if name == f"{PACKAGE}.__main__":
        return None if target == f"{PACKAGE}.cli.main" else "__main__ is cli.main"
    if room_there not in {r for floor in rules.floors for r in floor}:
        return "no room of docs/design.md (what the package's face shows belongs to api)"
    if path.name == "__init__.py":
        return "a room's __init__ imports nothing"
    if target not in known:
        return "no such file"
    if known[target].name == "__init__.py":
        return "a file is imported, not a whole room"
    if room != room_there and rules.floor(room_there) <= rules.floor(room):
        return f"{room_there} is not below {room}"
    if room == "claims" and target in NOT_FOR_CLAIMS:
        return "claims judge records; they do not train"
    if room == "show" and target in heavy:
        return "show reads records without torch"
    return None


def _circles(arrows: dict[str, list[Arrow]]) -> list[tuple[str, Arrow, str]]:
    """The arrows that close a circle within a folder, each folder in it taken as one."""
    wrong = []
    folders = {name.rpartition(".")[0] for name in arrows} - {"", PACKAGE}
    for folder in sorted(folders):
        depth = folder.count(".") + 2

        def node(name: str, folder: str = folder, depth: int = depth) -> str | None:
            return ".".join(name.split(".")[:depth]) if name.startswith(f"{folder}.") else None

        inside = [
            (name, arrow, a, b)
            for name, out in arrows.items()
            for arrow in out
            if (a := node(name)) and (b := node(arrow.target)) and a != b
        ]
        graph: dict[str, set[str]] = {}
        for _, _, a, b in inside:
            graph.setdefault(a, set()).add(b)
        wrong += [(name, arrow, f"{b} leads back to {a}") for name, arrow, a, b in inside if a in reachable(graph, b)]
    return wrong


# -- the tests


def test_no_forbidden_arrow():
    assert violations(ROOT) == []


def test_the_list_of_files_is_what_is_there():
    """`python -m benchmarks.files` renews it."""
    assert DESIGN.read_text(encoding="utf-8") == filled(DESIGN.read_text(encoding="utf-8"))


def test_the_table_is_read():
    """The checker's own premises: every room is found, with what may use torch in it."""
    rules = house(DESIGN.read_text(encoding="utf-8"))
    assert rules.floors[0] == ("cli",)
    assert rules.floors[-1] == ("errors",)
    assert ("nets", "data") in rules.floors
    assert {"training", "nets.model", "data.batches"} <= rules.torch
    assert rules.may_use_torch(f"{PACKAGE}.data.batches.views")
    assert not rules.may_use_torch(f"{PACKAGE}.data.splits")
    assert not rules.may_use_torch(f"{PACKAGE}.data")


def test_torch_is_found_where_it_is():
    heavy = torch_using(arrows_of(modules(ROOT)))
    assert {f"{PACKAGE}.nets.model", f"{PACKAGE}.measure.evaluate", *NOT_FOR_CLAIMS} <= heavy
    assert not heavy & {
        PACKAGE,
        f"{PACKAGE}.api.runs",
        f"{PACKAGE}.cli.main",
        f"{PACKAGE}.nets.plan",
        f"{PACKAGE}.runs.runlog",
    }


def copied(to: Path) -> Path:
    for folder in (PACKAGE, "docs"):
        shutil.copytree(ROOT / folder, to / folder, ignore=shutil.ignore_patterns("__pycache__", "*.j2"))
    return to


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the tree in which all is well."""
    root = copied(tmp_path_factory.mktemp("tree"))
    assert violations(root) == []
    return root


LATE = "\n\ndef late():\n    {}\n"
TYPING = "\nif TYPE_CHECKING:\n    {}\n"
NOW = "\n{}\n"


@pytest.mark.parametrize(
    ("file", "form", "line"),
    some([
        ("nets/spec.py", NOW, "from reslab.data.splits import Data"),  # twins on one floor
        ("data/splits.py", NOW, "from reslab.nets.spec import Spec"),
        ("store/files.py", NOW, "from reslab.runs.recipe import Recipe"),  # upwards
        ("store/files.py", LATE, "from reslab.nets.plan import plan"),  # inside a function
        ("nets/plan.py", TYPING, "from reslab.nets.model import Network"),  # for the type checker alone
        ("errors.py", NOW, "from reslab import store"),
        ("engines/host.py", NOW, "from reslab.training import job"),  # a file named as an attribute of its room
        ("engines/host.py", NOW, "import reslab.training.job"),
        ("engines/host.py", NOW, "from ..training.job import Job"),  # relative
        ("runs/recipe.py", NOW, "from . import recipes"),
        ("runs/recipe.py", LATE, "import importlib; importlib.import_module('reslab.training.loop')"),
        ("runs/recipe.py", NOW, "from reslab.runs.schedule import rate"),  # a circle of two files
        ("store/files.py", LATE, "from reslab.store.checksums import covering"),  # a circle, in a function
        ("nets/names.py", NOW, "from reslab.nets.plan import plan"),
        ("claims/experiments/degradation.py", LATE, "from reslab.training.loop import train"),
        ("claims/experiments/degradation.py", NOW, "from reslab.campaign import runs"),
        ("claims/experiments/degradation.py", NOW, "from reslab.show.tables import value"),
        ("claims/claim.py", LATE, "from reslab.claims.experiments.skips import C17"),  # a circle of a file and a folder
        ("data/images/png.py", NOW, "from reslab.data.sets.folder import folder"),  # a circle of folders
        ("show/charts/chart.py", LATE, "from reslab.show.pages.page import page"),
        ("show/terminal/walk.py", NOW, "from reslab.nets.model import Network"),  # torch by the back door
        ("show/terminal/walk.py", LATE, "from reslab.nets.model import build"),
        ("show/pages/report.py", NOW, "from reslab.measure.evaluate import wilson"),
        ("show/format.py", NOW, "from reslab.show.pages.report import study_page"),
        ("data/sets/digits.py", NOW, "import torch"),  # in a room without torch
        ("runs/naming.py", NOW, "from torch import nn"),
        ("data/splits.py", NOW, "from reslab.data.batches.views import whole"),
        ("api/runs.py", NOW, "from reslab.cli.main import main"),
        ("engines/machine.py", LATE, "import reslab; reslab.train"),  # upwards through the package's face
        ("engines/machine.py", NOW, "from reslab import train"),
        ("store/__init__.py", NOW, "from reslab.store.files import sha256"),
        ("__init__.py", NOW, "from reslab.api.networks import build"),  # not lazily
        ("__init__.py", LATE, "from reslab.nets.spec import Spec"),
        ("__main__.py", NOW, "from reslab.api.runs import train"),
        ("store/lock.py", NOW, "from reslab.data import *"),
        ("training/job.py", NOW, "from reslab.claims import experiments"),  # a folder, not a file
    ], quick=16, names=3),
)  # fmt: skip
def test_a_forbidden_import_is_reported(copy, file, form, line):
    path = copy / PACKAGE / file
    kept = path.read_text(encoding="utf-8")
    path.write_text(kept + form.format(line), encoding="utf-8")
    found = violations(copy)
    path.write_text(kept, encoding="utf-8")
    assert any(v.startswith(f"{PACKAGE}/{file}:") for v in found), found


@pytest.mark.parametrize("change", ["more", "less"])
def test_a_room_without_a_place_is_reported(tmp_path, change):
    copied(tmp_path)
    if change == "more":
        (tmp_path / PACKAGE / "helpers").mkdir()
        (tmp_path / PACKAGE / "helpers" / "__init__.py").write_text("")
    else:
        shutil.rmtree(tmp_path / PACKAGE / "measure")
    assert len(violations(tmp_path)) == 1


def test_no_third_party_beyond_its_file():
    """cyclopts is the command line's, rich the live line's, Altair the charts': nothing below needs them."""
    homes = {
        "cyclopts": {f"cli.{name}" for name in ("app", "options", "runs", "recipes", "main")},
        "rich": {"show.terminal.console"},
        "altair": {
            *(f"show.charts.{n}" for n in ("chart", "copying", "costs", "curves", "findings", "intervals", "rates")),
            *(f"show.charts.{n}" for n in ("probed", "removal", "scores")),
            "show.pages.pictures",
        },
        "sklearn": {"data.sets.digits"},
    }
    known = modules(ROOT)
    seen = {top: set() for top in homes}
    for name, path in known.items():
        for arrow in imported(name, path, known):
            top = arrow.target.partition(".")[0]
            assert top in sys.stdlib_module_names or top not in homes or name[len(PACKAGE) + 1 :] in homes[top], (
                name,
                top,
            )
            if top in homes:
                seen[top].add(name[len(PACKAGE) + 1 :])
    assert seen == homes
