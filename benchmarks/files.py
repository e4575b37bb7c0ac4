"""Writes the list of files into docs/design.md from their first lines: `python -m benchmarks.files`.

`tests/test_architecture.py` fails if the list is not what is there.
"""

from __future__ import annotations

import ast
from pathlib import Path

from benchmarks.marked import Marks

ROOT = Path(__file__).resolve().parent.parent
DESIGN, PACKAGE = ROOT / "docs" / "design.md", ROOT / "reslab"
MARKS = Marks("<!-- files: from their first lines -->", "<!-- files end -->")


def listing() -> str:
    """Return a Markdown list: a heading a folder, a line a file with what its docstring or first comment says."""
    lines = []
    for folder in [PACKAGE, *sorted(p.parent for p in PACKAGE.rglob("__init__.py") if p.parent != PACKAGE)]:
        name = folder.relative_to(ROOT).as_posix()
        lines += ["", f"**{name}/** {_summary(folder / '__init__.py')}", ""]
        files = (p for p in folder.iterdir() if p.suffix in (".py", ".cpp") and p.name != "__init__.py")
        lines += [f"- `{file.name}` {_summary(file)}" for file in sorted(files)]
    return "\n".join(lines[1:])


def _summary(file: Path) -> str:
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".py":
        return (ast.get_docstring(ast.parse(text)) or "").partition("\n\n")[0].replace("\n", " ")
    return text.partition("\n")[0].removeprefix("//").strip()


def filled(page: str) -> str:
    """Return `page` with the list between the two marks renewed."""
    return MARKS.fill(page, listing())


def main() -> None:
    DESIGN.write_text(filled(DESIGN.read_text(encoding="utf-8")), encoding="utf-8")
    print(DESIGN.name)


if __name__ == "__main__":
    main()
