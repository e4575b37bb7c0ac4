"""The rules of docs/design.md ("Rooms and arrows"), and what the source does: read, not run."""

import ast
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = "reslab"
TORCH = ("torch", "torchvision", "safetensors.torch")


# -- the rules


@dataclass(frozen=True)
class House:
    """`floors`: rooms, the top line first; `torch`: the rooms, or files and folders of a room, that import torch."""

    floors: tuple[tuple[str, ...], ...]
    torch: frozenset[str]

    def floor(self, room: str) -> int:
        return next(i for i, rooms in enumerate(self.floors) if room in rooms)

    def may_use_torch(self, name: str) -> bool:
        """Whether a module may import torch when it is imported."""
        parts = name.split(".")[1:]
        return any(".".join(parts[:n]) in self.torch for n in range(1, len(parts) + 1))


def house(design: str) -> House:
    """Read the code block under "Rooms and arrows".

    A line is one room, or several divided by "|", then two spaces or more, then prose. "(torch)" behind a room allows
    torch in all of it, "(torch in a b)" in its files or folders a and b.
    """
    block = re.search(r"## Rooms and arrows.*?```\n(.*?)```", design, re.DOTALL)
    assert block, "docs/design.md has no table of rooms"
    floors, torch = [], set[str]()
    for line in block[1].splitlines():
        rooms = []
        for text in re.split(r"\s{2,}", line.strip())[0].split(" | "):
            entry = re.fullmatch(r"(\w+)(?: \(torch(?: in ([\w ]+))?\))?", text)
            assert entry, f"docs/design.md: {text!r} is no room"
            rooms.append(entry[1])
            if "(torch" in text:
                torch |= {f"{entry[1]}.{part}" for part in entry[2].split()} if entry[2] else {entry[1]}
        floors.append(tuple(rooms))
    return House(tuple(floors), frozenset(torch))


# -- the facts


def modules(root: Path) -> dict[str, Path]:
    """Every module of the package by its dotted name; a room's __init__ has the room's own name."""
    found = {}
    for path in sorted((root / PACKAGE).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@dataclass(frozen=True)
class Arrow:
    """One import: `early` if it happens when the importing file is imported."""

    target: str
    line: int
    early: bool


def imported(name: str, path: Path, known: dict[str, Path]) -> list[Arrow]:
    """What a file imports, wherever in it: inside functions, under TYPE_CHECKING, relatively, by import_module."""
    return list(_imported(name, path.name == "__init__.py", path.read_text(encoding="utf-8"), frozenset(known)))


@cache
def _imported(name: str, is_room: bool, source: str, known: frozenset[str]) -> tuple[Arrow, ...]:
    tree = ast.parse(source)
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
                here = name.split(".") if is_room else name.split(".")[:-1]
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
    return tuple(found)


def arrows_of(known: dict[str, Path]) -> dict[str, list[Arrow]]:
    return {name: imported(name, path, known) for name, path in known.items()}


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


def reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    """The nodes to which one or more arrows lead from `start`."""
    seen, ahead = set[str](), [start]
    while ahead:
        new = graph.get(ahead.pop(), set()) - seen
        seen |= new
        ahead += new
    return seen
