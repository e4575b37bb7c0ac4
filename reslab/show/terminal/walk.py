"""A network in words: the study notes' way of reading Table 1, from RGB to softmax, in one fixed form.

`[conv2_x] 64 → (64 → 64 → 64 → 256) dotted → (256 → 64 → 64 → 256) solid …`: a block's parentheses give the channels
that come in and those after each of its weight layers; dotted and solid are the shortcuts of Fig. 3. Every number is
read from the plan's rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

from reslab.nets.cost import by_part, cost, cost_of, shown
from reslab.nets.kinds import sizes, square
from reslab.nets.names import name_of, spec_of, switches_of
from reslab.nets.paper import WORDS, published
from reslab.nets.plan import plan
from reslab.nets.row import Row
from reslab.nets.spec import Spec

COLOURS = {3: "RGB", 1: "grey"}
MOST_PERIOD = 4  # the longest pattern of mixed blocks that is folded


def describe_text(spec: Spec) -> str:
    """The walk through `spec`, its totals, the paper's figures where it prints any, and what the words mean."""
    parts = by_part(spec)
    name = COLOURS.get(spec.in_channels, "input")
    lines = [_title(spec), "", f"[{name}] {spec.in_channels}, {square(spec.image_size)}"]
    for part, rows in parts.items():
        lines += [_stage(part, rows)] if any(r.block for r in rows) else _single(rows)
    last = plan(spec)[-1]
    lines += [f"[softmax] {last.c_out}", "", *_totals(spec), *_paper(spec), "", *_legend(plan(spec), spec.activation)]
    return "\n".join(lines)


def describe_json(spec: Spec) -> dict[str, Any]:
    """The same as plain types: name, depth, parameters, macs, switches (those that differ from the name's own values),
    spec, paper ({figure: {printed, source}}) and rows, each a dict of a plan's `Row` with its parameters and macs."""
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
    """One dict for each name: name, depth, residual, in_channels, image_size, classes, parameters, macs."""
    found = []
    for name in names:
        spec = spec_of(name)
        total = cost(spec)
        found.append(
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
    return found


def list_text(rows: Sequence[dict[str, Any]]) -> str:
    """The rows of `list_rows` as a table of plain text."""
    lines = [f"{'name':<18} {'depth':>5} {'image':>11} {'classes':>7} {'parameters':>12} {'MACs':>9}"]
    for r in rows:
        image = f"{r['in_channels']}x{r['image_size']}x{r['image_size']}"
        figures = f"{r['classes']:>7} {r['parameters']:>12,} {shown(r['macs']):>9}"
        lines.append(f"{r['name']:<18} {r['depth']:>5} {image:>11} {figures}")
    return "\n".join(lines)


def _title(spec: Spec) -> str:
    told = ", ".join(f"{key} {_plainly(value)}" for key, value in switches_of(spec).items())
    return f"{name_of(spec)}{f' ({told})' if told else ''}: one image from pixels to classes, channels as they change"


def _plainly(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return ",".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def _costs(rows: Sequence[Row]) -> str:
    """A line's end: `, 9,536 parameters, 118.01M MACs`, or nothing for rows without weights."""
    total = cost_of(list(rows))
    found = f", {total.parameters:,} parameters" if total.parameters else ""
    return found + (f", {shown(total.macs)} MACs" if total.macs else "")


def _single(rows: Sequence[Row]) -> list[str]:
    """Stem and head: a line for each layer, which takes along the BN, activation and dropout that follow it."""
    groups: list[list[Row]] = []
    for row in rows:
        if groups and row.facts.is_appended:
            groups[-1].append(row)
        else:
            groups.append([row])
    return [group[0].facts.line(group[0]) + _costs(group) for group in groups]


def _stage(part: str, rows: Sequence[Row]) -> str:
    """A stage: its blocks, its map size, where its stride sits, its cost."""
    links = _fold([_block(list(group)) for block, group in groupby(rows, key=lambda r: r.block) if block])
    links += [
        f"{r.facts.word} {square(r.kernel)}" for r in rows if not r.block and r.facts.is_pool
    ]  # VGG's end of a stage
    strided = [r.name for r in rows if r.stride > 1]
    where = f" (/2 in {' and '.join(strided)})" if strided else ""
    chain = " → ".join([str(rows[0].c_in), *links])
    flat = all(r.kind != "conv" for r in rows)  # an MLP has no maps
    maps = "" if flat else f", {sizes(rows[0].size_in, rows[-1].size_out)}{where}"
    return f"[{part}] {chain}{maps}{_costs(rows)}"


def _block(rows: Sequence[Row]) -> str:
    """`(256 → 64 → 64 → 256) solid`: channels in, after each weight layer of the branch, and the shortcut's line."""
    branch = [r for r in rows if r.path == "branch" and r.is_weight_layer]
    channels = " → ".join(str(c) for c in (branch[0].c_in, *(r.c_out for r in branch)))
    line = next((r.line for r in rows if r.kind == "add"), "plain")
    return f"({channels}) {line}"


def _fold(blocks: Sequence[str]) -> list[str]:
    """Runs beyond two of equal blocks as `(…) solid ×3`, of an equal pattern of mixed blocks as `[(…) → (…)] ×3`."""
    found, at = [], 0
    while at < len(blocks):
        for period in range(1, MOST_PERIOD + 1):
            pattern = list(blocks[at : at + period])
            times = 1
            while list(blocks[at + times * period : at + (times + 1) * period]) == pattern:
                times += 1
            if times > 2:
                found.append(f"{pattern[0]} ×{times}" if period == 1 else f"[{' → '.join(pattern)}] ×{times}")
                at += times * period
                break
        else:
            found.append(blocks[at])
            at += 1
    return found


def _totals(spec: Spec) -> list[str]:
    total = cost(spec)
    return [
        f"layers      {sum(r.is_weight_layer and r.path != 'shortcut' for r in plan(spec)):,} with weights",
        f"parameters  {total.parameters:,} ({shown(total.parameters)})",
        f"MACs        {total.macs:,} ({shown(total.macs)}) for one image",
    ]


def _paper(spec: Spec) -> list[str]:
    """The paper's figures; the counts among them stand beside ours, the errors alone (a plan has no error)."""
    total = cost(spec)
    ours = {"parameters": shown(total.parameters), "macs": shown(total.macs)}
    lines: list[str] = []
    for key, (text, source) in published(spec).items():
        beside = f"; ours {ours[key]}" if key in ours else ""
        lines.append(f"{'paper' if not lines else '':<11} {WORDS[key]}: {text} ({source}){beside}")
    return lines


def _legend(rows: Sequence[Row], activation: str) -> list[str]:
    """What a block does, in order, where a bottleneck's stride is, and what its shortcut is: read from the rows."""
    forms: dict[str, None] = {}
    shortcuts: dict[tuple[str, ...], list[Row]] = {}
    strided: dict[int, None] = {}
    counts: dict[tuple[str, ...], int] = {}
    plain = 0
    for block, group in groupby(rows, key=lambda r: r.block):
        if not block:
            continue
        inside = list(group)
        main = [r for r in inside if r.path != "shortcut" and not r.facts.is_pool]
        forms[" → ".join(r.word(activation) for r in main)] = None
        if {r.kernel for r in main if r.kind == "conv"} == {1, 3}:
            strided |= dict.fromkeys(r.kernel for r in main if r.stride > 1)
        if not any(r.kind == "add" for r in inside):
            plain += 1
            continue
        beside = [r for r in inside if r.path == "shortcut"]
        key = tuple(r.kind for r in beside)
        counts[key] = counts.get(key, 0) + 1
        shortcuts.setdefault(key, []).extend(beside)
    lines = [f"block   {form}" for form in forms]
    for kernel in strided:
        lines.append(f"stride  in a bottleneck's {square(kernel)}" + (" (the paper)" if kernel == 1 else ' ("v1.5")'))
    if plain:
        lines.append(f"plain   {plain} without a shortcut")
    for key, beside in shortcuts.items():
        lines.append(f"{'dotted' if key else 'solid':<7} {counts[key]} {_shortcut(beside)}")
    return lines


def _shortcut(rows: Sequence[Row]) -> str:
    """What shortcuts made of these rows do, in words."""
    if not rows:
        return "identity: the input itself is added"
    kinds = {r.kind for r in rows}
    strided = any(r.stride > 1 and not r.facts.is_pool for r in rows)
    pools = dict.fromkeys(f"{square(r.kernel)} {r.facts.word}-pooling" for r in rows if r.facts.is_pool)
    pooled = "".join(f"{pool} where the map shrinks, " for pool in pools)
    if "pad" in kinds:
        every = "every 2nd pixel, " if strided else ""
        return f"padded (option A): {pooled}{every}zeros for the channels that are missing; no parameters"
    what = "W_s" if "linear" in kinds else "a 1x1 convolution W_s"
    bn = " and BN" if "bn" in kinds else ""
    return f"projected: {pooled}{what}{bn}{', of stride 2 where the map shrinks' if strided else ''}"
