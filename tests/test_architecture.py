"""Which file may import which: read from docs/design.md, held against every import in reslab/."""

import ast
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "reslab"
TORCH = ("torch", "torchvision", "safetensors.torch")
NOT_FOR_CLAIMS = {f"{PACKAGE}.training.{name}" for name in ("loop", "step", "campaign", "checkpoint", "saving")}


# -- the rules, from docs/design.md


@dataclass(frozen=True)
class House:
    """`floors`: rooms from the top line to the bottom one; `order`: the files of each room in their order."""

    floors: tuple[tuple[str, ...], ...]
    order: dict[str, tuple[str, ...]]

    def floor(self, room: str) -> int:
        return next(i for i, rooms in enumerate(self.floors) if room in rooms)


def house(design: str) -> House:
    """The code block under "Rooms and arrows": room(s), two spaces or more, files, two spaces or more, prose."""
    block = re.search(r"## Rooms and arrows.*?```\n(.*?)```", design, re.DOTALL)
    assert block, "docs/design.md has no table of rooms"
    floors, order = [], {}
    for line in block[1].splitlines():
        rooms, files, *_ = re.split(r"\s{2,}", re.sub(r"\s*\|\s*", "|", line.strip()))
        names = tuple(rooms.split("|"))
        floors.append(names)
        if names[0] not in ("api", "errors", "version"):  # rooms of one file: what follows is prose
            order |= {room: tuple(part.split()) for room, part in zip(names, files.split("|"), strict=True)}
    return House(tuple(floors), order)


# -- the facts, from the source


def modules(root: Path) -> dict[str, Path]:
    """Every module of the package by its dotted name; a room's __init__ has the room's own name."""
    found = {}
    for path in sorted((root / PACKAGE).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@dataclass(frozen=True)
class Arrow:
    """One import: `early` where it happens when the importing file is imported."""

    target: str
    line: int
    early: bool


def imported(name: str, path: Path, known: dict[str, Path]) -> list[Arrow]:
    """What a file imports, wherever in it: inside functions, under TYPE_CHECKING, relatively, by import_module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    late = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
        for inner in ast.walk(node)
    }
    found: list[Arrow] = []

    def add(node: ast.AST, target: str) -> None:
        found.append(Arrow(target, node.lineno, id(node) not in late))  # type: ignore[attr-defined]

    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                add(node, alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                here = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
                kept = here[: len(here) - node.level + 1]
                base = ".".join([*kept, *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                add(node, inner if inner in known or base == PACKAGE else base)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__"):
            if node.args and isinstance(node.args[0], ast.Constant):
                add(node, str(node.args[0].value))
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == PACKAGE:
            add(node, f"{PACKAGE}.{node.attr}")  # `import reslab`, then reslab.train
    return found


def is_own(target: str) -> bool:
    return target == PACKAGE or target.startswith(f"{PACKAGE}.")


def is_torch(target: str) -> bool:
    return any(target == name or target.startswith(f"{name}.") for name in TORCH)


def torch_using(arrows: dict[str, list[Arrow]]) -> set[str]:
    """Files whose import imports torch, directly or through other files of the package."""
    found = {name for name, out in arrows.items() if any(a.early and is_torch(a.target) for a in out)}
    while True:
        more = {name for name, out in arrows.items() if any(a.early and a.target in found for a in out)} - found
        if not more:
            return found
        found |= more


# -- the judgement


def place(name: str) -> tuple[str, str]:
    """(room, file) of a module; a room of one file, and a room's __init__, have no file."""
    _, room, file = [*name.split("."), "", ""][:3]
    return room, file


def violations(root: Path) -> list[str]:
    """Every arrow that docs/design.md forbids, and every file that it does not know."""
    rules = house((root / "docs" / "design.md").read_text(encoding="utf-8"))
    known = modules(root)
    arrows = {name: imported(name, path, known) for name, path in known.items()}
    heavy = torch_using(arrows)
    wrong = [f"{PACKAGE}/{room} is no room of docs/design.md" for room in _unknown_rooms(known, rules)]
    if wrong:
        return wrong
    for room, files in rules.order.items():
        there = {place(name)[1] for name in known if place(name)[0] == room} - {""}
        wrong += [f"{PACKAGE}/{room}/{file}.py: docs/design.md gives it no place" for file in sorted(there - {*files})]
        wrong += [
            f"{PACKAGE}/{room}/{file}.py: docs/design.md names it, it is not there"
            for file in files
            if file not in there
        ]
    if wrong:
        return wrong
    for name, out in arrows.items():
        for arrow in out:
            if is_own(arrow.target):
                why = _forbidden(name, known[name], arrow, rules, known, heavy)
                if why:
                    wrong.append(f"{known[name].relative_to(root).as_posix()}:{arrow.line} -> {arrow.target}: {why}")
    return wrong


def _unknown_rooms(known: dict[str, Path], rules: House) -> list[str]:
    rooms = {room for floor in rules.floors for room in floor} | {"", "__main__"}
    return sorted({place(name)[0] for name in known} - rooms)


def _forbidden(
    name: str, path: Path, arrow: Arrow, rules: House, known: dict[str, Path], heavy: set[str]
) -> str | None:
    target = arrow.target
    (room, file), (room_there, file_there) = place(name), place(target)
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
    if room in rules.order and room == room_there:
        if not file_there:
            return "a file names its neighbours, not its room"
        before = rules.order[room][: rules.order[room].index(file)]
        return None if file_there in before else f"{file} stands before {file_there} in {room}"
    if rules.floor(room_there) <= rules.floor(room):
        return f"{room_there} is not below {room}"
    if room_there in rules.order and not file_there:
        return "a file is imported, not a whole room"
    if room == "claims" and target in NOT_FOR_CLAIMS:
        return "claims judge records; they do not train"
    if room == "show" and target in heavy:
        return "show reads records without torch"
    return None


# -- the tests


def test_no_forbidden_arrow():
    assert violations(ROOT) == []


def test_the_table_is_read():
    """The checker's own premises: every room is found, with the files that are there."""
    rules = house((ROOT / "docs" / "design.md").read_text(encoding="utf-8"))
    assert rules.floors[0] == ("cli",)
    assert rules.floors[-1] == ("errors",)
    assert ("nets", "data") in rules.floors
    assert set(rules.order) == {"store", "nets", "data", "measure", "training", "claims", "show", "calls", "cli"}
    assert rules.order["store"] == ("files", "sealed", "checksums", "jsonl", "lock", "trust", "native")


def test_torch_is_found_where_it_is():
    known = modules(ROOT)
    heavy = torch_using({name: imported(name, path, known) for name, path in known.items()})
    assert {f"{PACKAGE}.nets.model", f"{PACKAGE}.measure.evaluate", *NOT_FOR_CLAIMS} - heavy == {
        f"{PACKAGE}.training.campaign"  # which describes runs, and imports the loop in its worker processes
    }
    assert not heavy & {
        PACKAGE,
        f"{PACKAGE}.api",
        f"{PACKAGE}.cli.main",
        f"{PACKAGE}.nets.plan",
        f"{PACKAGE}.training.runlog",
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
    [
        ("nets/spec.py", NOW, "from reslab.data.splits import Data"),  # twins on one floor
        ("data/splits.py", NOW, "from reslab.nets.spec import Spec"),
        ("store/files.py", NOW, "from reslab.training.recipe import Recipe"),  # upwards
        ("store/files.py", LATE, "from reslab.nets.plan import plan"),  # inside a function
        ("nets/plan.py", TYPING, "from reslab.nets.model import Network"),  # for the type checker alone
        ("errors.py", NOW, "from reslab import store"),
        ("measure/evaluate.py", NOW, "from reslab.training import recipe"),  # a file named as an attribute of its room
        ("measure/evaluate.py", NOW, "import reslab.training.recipe"),
        ("measure/evaluate.py", NOW, "from ..training.recipe import Recipe"),  # relative
        ("training/recipe.py", NOW, "from . import recipes"),
        ("training/recipe.py", LATE, "import importlib; importlib.import_module('reslab.training.loop')"),
        ("training/schedule.py", NOW, "from reslab.training.loop import train"),  # the wrong order in one room
        ("store/jsonl.py", NOW, "from reslab.store.lock import held"),
        ("nets/names.py", NOW, "from reslab.nets.plan import plan"),
        ("claims/degradation.py", LATE, "from reslab.training.loop import train"),
        ("claims/degradation.py", NOW, "from reslab.training import campaign"),
        ("claims/degradation.py", NOW, "from reslab.show.tables import value"),
        ("show/walk.py", NOW, "from reslab.nets.model import Network"),  # torch by the back door
        ("show/walk.py", LATE, "from reslab.nets.model import build"),
        ("show/report.py", NOW, "from reslab.measure.evaluate import wilson"),
        ("show/plain.py", NOW, "from reslab.show.report import page"),
        ("api.py", NOW, "from reslab.cli.main import main"),
        ("training/machine.py", LATE, "import reslab; reslab.train"),  # upwards through the package's face
        ("training/machine.py", NOW, "from reslab import train"),
        ("store/__init__.py", NOW, "from reslab.store.files import sha256"),
        ("__init__.py", NOW, "from reslab.api import build"),  # not lazily
        ("__init__.py", LATE, "from reslab.nets.spec import Spec"),
        ("__main__.py", NOW, "from reslab.api import train"),
        ("store/lock.py", NOW, "from reslab.data import *"),
    ],
)
def test_a_forbidden_import_is_reported(copy, file, form, line):
    path = copy / PACKAGE / file
    kept = path.read_text(encoding="utf-8")
    path.write_text(kept + form.format(line), encoding="utf-8")
    found = violations(copy)
    path.write_text(kept, encoding="utf-8")
    assert len(found) >= 1
    assert all(v.startswith(f"{PACKAGE}/{file}:") for v in found)


@pytest.mark.parametrize("change", ["more", "less", "room"])
def test_a_file_without_a_place_is_reported(tmp_path, change):
    copied(tmp_path)
    if change == "more":
        (tmp_path / PACKAGE / "store" / "utils.py").write_text("")
    elif change == "less":
        (tmp_path / PACKAGE / "store" / "lock.py").unlink()
    else:
        (tmp_path / PACKAGE / "helpers").mkdir()
        (tmp_path / PACKAGE / "helpers" / "__init__.py").write_text("")
    assert len(violations(tmp_path)) == 1


def test_no_third_party_beyond_its_file():
    """cyclopts is the command line's, rich the live line's, Altair the charts': nothing below needs them."""
    homes = {
        "cyclopts": {
            f"cli.{name}" for name in ("app", "options", "nets", "runs", "predictions", "recipes", "studies", "main")
        },
        "rich": {"show.console"},
        "altair": {
            f"show.{name}"
            for name in ("charts", "copying", "costs", "curves", "findings", "intervals", "pictures", "rates")
        },
        "sklearn": {"data.digits"},
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
