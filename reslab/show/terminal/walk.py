"""A network in words: the study notes' way of reading Table 1, from RGB to softmax, in one fixed form.

`[conv2_x] 64 → (64 → 64 → 64 → 256) dotted → (256 → 64 → 64 → 256) solid …`: a block's parentheses give its input
channels and the channels after each of its weight layers; dotted and solid are the shortcuts of Fig. 3. Every number
is read from the plan's rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

from reslab.nets.cost import by_part, cost, cost_of, shown
from reslab.nets.kinds import sizes, square
from reslab.nets.names import name_of, spec_of, switches_of
from reslab.nets.paper import published
from reslab.nets.plan import plan
from reslab.nets.row import Row
from reslab.nets.spec import Spec
from reslab.show.terminal import describing as texts

MOST_PERIOD = 4  # the longest pattern of mixed blocks that is folded


def describe_text(spec: Spec, language: str = "en") -> str:
    """Return the description of `spec`: its stages, its totals, the paper's figures, and a legend."""
    return "\n".join(_Walk(spec, language).lines())


def describe_json(spec: Spec) -> dict[str, Any]:
    """Return the same as plain types.

    Keys: name, depth, parameters, macs, switches (those that differ from the name's own values), spec, paper ({figure:
    {printed, source}}) and rows, each a dict of a plan's `Row` with its parameters and macs.
    """
    total = cost(spec)
    return {
        "name": name_of(spec),
        "depth": spec.depth,
        "parameters": total.parameters,
        "macs": total.macs,
        "switches": switches_of(spec),
        "spec": spec.to_dict(),
        "paper": {key: {"printed": text, "source": source} for key, (text, source) in published(spec).items()},
        "rows": [{**asdict(row), "parameters": row.parameters, "macs": row.macs} for row in plan(spec)],
    }


def list_rows(names: Iterable[str]) -> list[dict[str, Any]]:
    """Return a dict for each name: name, depth, residual, in_channels, image_size, classes, parameters, macs."""
    rows = []
    for name in names:
        spec = spec_of(name)
        total = cost(spec)
        rows.append(
            {
                "name": name,
                "depth": spec.depth,
                "residual": spec.residual,
                "in_channels": spec.in_channels,
                "image_size": spec.image_size,
                "classes": spec.classes,
                "parameters": total.parameters,
                "macs": total.macs,
            }
        )
    return rows


def list_text(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows of `list_rows` as a table of plain text."""
    lines = [f"{'name':<18} {'depth':>5} {'image':>11} {'classes':>7} {'parameters':>12} {'MACs':>9}"]
    for r in rows:
        image = f"{r['in_channels']}x{r['image_size']}x{r['image_size']}"
        figures = f"{r['classes']:>7} {r['parameters']:>12,} {shown(r['macs']):>9}"
        lines.append(f"{r['name']:<18} {r['depth']:>5} {image:>11} {figures}")
    return "\n".join(lines)


class _Walk:
    """The lines of a network's description in one language."""

    def __init__(self, spec: Spec, language: str) -> None:
        self.spec, self.language, self.rows = spec, language, plan(spec)

    def lines(self) -> list[str]:
        spec, language = self.spec, self.language
        colour = texts.COLOURS.get(spec.in_channels, texts.INPUT)(language)
        lines = [self._title(), "", f"[{colour}] {spec.in_channels}, {square(spec.image_size)}"]
        for part, rows in by_part(spec).items():
            lines += [self._stage(part, rows)] if any(r.block for r in rows) else self._single(rows)
        return [*lines, f"[softmax] {self.rows[-1].c_out}", "", *self._totals(), *self._paper(), "", *self._legend()]

    def _title(self) -> str:
        switches = ", ".join(f"{key} {self._value(value)}" for key, value in switches_of(self.spec).items())
        name = f"{name_of(self.spec)}{f' ({switches})' if switches else ''}"
        return texts.TITLE.filled(name=name)(self.language)

    def _value(self, value: Any) -> str:
        if isinstance(value, bool):
            return (texts.ON if value else texts.OFF)(self.language)
        return ",".join(map(str, value)) if isinstance(value, tuple | list) else str(value)

    def _costs(self, rows: Sequence[Row]) -> str:
        """Return a line's end, `, 9,536 parameters, 118.01M MACs`, or "" for rows without weights."""
        total = cost_of(list(rows))
        parameters = texts.N_PARAMETERS.filled(n=f"{total.parameters:,}")(self.language) if total.parameters else ""
        return parameters + (texts.N_MACS.filled(n=shown(total.macs))(self.language) if total.macs else "")

    def _single(self, rows: Sequence[Row]) -> list[str]:
        """Return stem or head: a line per layer, which includes the BN, activation and dropout that follow it."""
        groups: list[list[Row]] = []
        for row in rows:
            if groups and row.facts.is_appended:
                groups[-1].append(row)
            else:
                groups.append([row])
        return [group[0].facts.line(group[0]) + self._costs(group) for group in groups]

    def _stage(self, part: str, rows: Sequence[Row]) -> str:
        """Return a stage's line: its blocks, its map size, the layers with a stride, its cost."""
        links = _fold([_block(list(group)) for block, group in groupby(rows, key=lambda r: r.block) if block])
        links += [
            f"{r.facts.word} {square(r.kernel)}" for r in rows if not r.block and r.facts.is_pool
        ]  # VGG's end of a stage
        strided = texts.AND(self.language).join(r.name for r in rows if r.stride > 1)
        stride = texts.STRIDED.filled(layers=strided)(self.language) if strided else ""
        chain = " → ".join([str(rows[0].c_in), *links])
        flat = all(r.kind != "conv" for r in rows)  # an MLP has no maps
        maps = "" if flat else f", {sizes(rows[0].size_in, rows[-1].size_out)}{stride}"
        return f"[{part}] {chain}{maps}{self._costs(rows)}"

    def _totals(self) -> list[str]:
        total = cost(self.spec)
        layers = sum(r.is_weight_layer and r.path != "shortcut" for r in self.rows)
        lines = (
            texts.LAYERS.filled(n=f"{layers:,}"),
            texts.PARAMETERS.filled(n=f"{total.parameters:,}", short=shown(total.parameters)),
            texts.MACS.filled(n=f"{total.macs:,}", short=shown(total.macs)),
        )
        return [line(self.language) for line in lines]

    def _paper(self) -> list[str]:
        """Return the paper's figures, its counts next to ours; an error has no counterpart in a plan."""
        total = cost(self.spec)
        ours = {"parameters": shown(total.parameters), "macs": shown(total.macs)}
        lines: list[str] = []
        for key, (text, source) in published(self.spec).items():
            line = texts.PAPER_MORE if lines else texts.PAPER
            what = texts.FIGURES[key](self.language)
            counted = texts.OURS.filled(figure=ours[key])(self.language) if key in ours else ""
            lines.append(line.filled(what=what, figure=text, source=source)(self.language) + counted)
        return lines

    def _legend(self) -> list[str]:
        """Return the order of a block's layers, the place of a bottleneck's stride, and each kind of shortcut."""
        forms: dict[str, None] = {}
        shortcuts: dict[tuple[str, ...], list[Row]] = {}
        strided: dict[int, None] = {}
        counts: dict[tuple[str, ...], int] = {}
        plain = 0
        for block, group in groupby(self.rows, key=lambda r: r.block):
            if not block:
                continue
            inside = list(group)
            main = [r for r in inside if r.path != "shortcut" and not r.facts.is_pool]
            forms[" → ".join(r.word(self.spec.activation) for r in main)] = None
            if {r.kernel for r in main if r.kind == "conv"} == {1, 3}:
                strided |= dict.fromkeys(r.kernel for r in main if r.stride > 1)
            if not any(r.kind == "add" for r in inside):
                plain += 1
                continue
            shortcut = [r for r in inside if r.path == "shortcut"]
            key = tuple(r.kind for r in shortcut)
            counts[key] = counts.get(key, 0) + 1
            shortcuts.setdefault(key, []).extend(shortcut)
        lines = [f"block   {form}" for form in forms]
        for kernel in strided:
            stride = texts.STRIDE_PAPER if kernel == 1 else texts.STRIDE_V15
            lines.append(stride.filled(kernel=square(kernel))(self.language))
        if plain:
            lines.append(texts.PLAIN.filled(n=plain)(self.language))
        for key, rows in shortcuts.items():
            line, what = "dotted" if key else "solid", self._shortcut(rows)
            lines.append(texts.SHORTCUT.filled(line=line, n=counts[key], what=what)(self.language))
        return lines

    def _shortcut(self, rows: Sequence[Row]) -> str:
        """Return what shortcuts made of these rows do."""
        language = self.language
        if not rows:
            return texts.IDENTITY(language)
        kinds = {r.kind for r in rows}
        strided = any(r.stride > 1 and not r.facts.is_pool for r in rows)
        pools = dict.fromkeys(f"{square(r.kernel)} {r.facts.word}-pooling" for r in rows if r.facts.is_pool)
        pooled = "".join(texts.POOLED.filled(pool=pool)(language) for pool in pools)
        if "pad" in kinds:
            every = texts.EVERY_SECOND(language) if strided else ""
            return texts.PADDED.filled(pooled=pooled, every=every)(language)
        what = (texts.LINEAR if "linear" in kinds else texts.CONV)(language)
        bn = texts.WITH_BN(language) if "bn" in kinds else ""
        stride = texts.STRIDE_2(language) if strided else ""
        return texts.PROJECTED.filled(pooled=pooled, what=what, bn=bn, stride=stride)(language)


def _block(rows: Sequence[Row]) -> str:
    """Return `(256 → 64 → 64 → 256) solid`: input channels, those after each weight layer, the shortcut's line."""
    branch = [r for r in rows if r.path == "branch" and r.is_weight_layer]
    channels = " → ".join(str(c) for c in (branch[0].c_in, *(r.c_out for r in branch)))
    line = next((r.line for r in rows if r.kind == "add"), "plain")
    return f"({channels}) {line}"


def _fold(blocks: Sequence[str]) -> list[str]:
    """Fold three or more equal blocks into `(…) solid ×3`, and equal patterns of blocks into `[(…) → (…)] ×3`."""
    links, at = [], 0
    while at < len(blocks):
        for period in range(1, MOST_PERIOD + 1):
            pattern = list(blocks[at : at + period])
            times = 1
            while list(blocks[at + times * period : at + (times + 1) * period]) == pattern:
                times += 1
            if times > 2:
                links.append(f"{pattern[0]} ×{times}" if period == 1 else f"[{' → '.join(pattern)}] ×{times}")
                at += times * period
                break
        else:
            links.append(blocks[at])
            at += 1
    return links
