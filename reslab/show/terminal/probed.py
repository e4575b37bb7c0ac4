"""A probe as plain text: a head, and a table for each measured part."""

from __future__ import annotations

from typing import Any

from reslab.show.format import clean, number

BN_STATISTICS = {
    "running": "BN by its moving averages",
    "samples": "BN by averages over these samples",
    "none": "no BN",
}


def probe_text(probe: dict[str, Any]) -> str:
    """Return a probe (`Probe.to_dict`): a head, and a table for each measured part."""
    unknown = "(imported)" if probe["checkpoint"] else "in memory"
    state = f"at iteration {probe['iteration']:,}" if probe["iteration"] is not None else unknown
    if probe["iteration"] is None and probe["seed"] is not None:
        state = f"at initialisation, seed {probe['seed']}"
    lines = [
        f"{probe['model']} {state}, the first {probe['n']:,} samples of {clean(probe['data'])} {probe['split']}, "
        f"{BN_STATISTICS[probe['bn']]}",
        *([f"  checkpoint  {clean(probe['checkpoint'])}"] if probe["checkpoint"] else []),
        *(f"  note: {clean(note)}" for note in probe["notes"]),
    ]
    if probe["responses"] is not None:
        rank = {layer: i for i, layer in enumerate(probe["responses_sorted"], start=1)}
        rows = [[r["layer"], r["at"], number(r["std"], ".4g"), str(rank[r["layer"]])] for r in probe["responses"]]
        lines += _table("Layer responses (Fig. 7)", ["layer", "read at", "std", "rank"], rows)
    if probe["gradients"] is not None:
        pairs = zip(probe["activations"], probe["gradients"], strict=True)
        rows = [[a["block"], number(a["rms"], ".4g"), number(g["rms"], ".3e")] for a, g in pairs]
        loss = f"loss {number(probe['loss'], '.4f')} over {probe['gradient_batch']} samples, BN as in training"
        lines += _table(f"Block outputs x ({loss})", ["block", "rms of x", "rms of dL/dx"], rows)
        rows = [
            [x["layer"], x["at"], number(x["activation"], ".4g"), *(number(v, ".3e") for v in slopes)]
            for x, w in zip(probe["layers"], probe["weight_gradients"], strict=True)
            for slopes in [(x["gradient"], w["norm"], w["rms"])]
        ]
        head = ["layer", "x read at", "rms of x", "rms of dL/dx", "‖dL/dW‖", "rms of dL/dW"]
        lines += _table("Layers: their outputs x and weights W", head, rows)
    if probe["residuals"]:
        rows = [[r["block"], r["line"], number(r["ratio"], ".4g")] for r in probe["residuals"]]
        lines += _table("Residual ratios", ["block", "shortcut", "‖F(x)‖/‖x‖"], rows)
    for block in probe["jacobians"] or []:
        rows = [
            [name, *(number(part[key], ".4g") for key in ("min", "median", "max")), f"{part['below']} of {part['n']}"]
            for name, part in (
                ("J_F", block["branch"]),
                ("J_H before the last ReLU", block["before"]),
                ("J_H after it", block["after"]),
            )
            if part is not None
        ]
        title = f"Singular values, {block['block']} at the first sample ({block['outputs']:,} x {block['inputs']:,})"
        lines += _table(title, ["Jacobian", "min", "median", "max", "below 0.1"], rows)
        if block["gap"] is not None:
            shortcut = "I" if block["line"] == "solid" else "J of the shortcut"
            lines.append(
                f"  largest entry of J_H - (J_F + {shortcut}) before the last ReLU: {number(block['gap'], '.1e')}"
            )
        if block["inactive"] is not None:
            lines.append(f"  outputs whose derivative is 0 after the last ReLU: {block['inactive']:,}")
    for word, lines_of in {"lesions": _lesions, "similarity": _similarity, "surface": _surface}.items():
        lines += lines_of(probe[word]) if probe.get(word) is not None else []
    if probe.get("pictures"):
        lines += ["", *(f"picture  {clean(file)}" for file in probe["pictures"])]
    return "\n".join(lines)


def _lesions(lesions: dict[str, Any]) -> list[str]:
    """Return the tables of errors without blocks, and with two blocks swapped."""
    rows = [[x["block"], number(x["error"], ".2f")] for x in lesions["without"]]
    lines = _table(
        f"Top-1 error in %: {number(lesions['error'], '.2f')}, and without one block", ["block", "error"], rows
    )
    rows = [
        [str(x["k"]), str(len(x["draws"])), *(number(x[key], ".2f") for key in ("mean", "low", "high"))]
        for x in lesions["several"]
    ]
    lines += _table("Without k random blocks", ["k", "sets", "mean error", "least", "largest"], rows)
    rows = [[f"{x['first']}, {x['second']}", number(x["error"], ".2f")] for x in lesions["swaps"]]
    return lines + (_table("With two neighbours swapped", ["blocks", "error"], rows) if rows else [])


def _similarity(similarity: dict[str, Any]) -> list[str]:
    """Return a table of each output's CKA with its predecessor, the first and the last output."""
    cka = similarity["cka"]
    rows = [
        [name, *("" if i == 0 else number(cka[i][j], ".3f") for j in (i - 1, 0)), number(cka[i][-1], ".3f")]
        for i, name in enumerate(similarity["names"])
    ]
    head = ["output", "with the one before", "with the first", "with the last"]
    return _table("Linear CKA of outputs (flattened maps; --json has every pair)", head, rows)


def _surface(surface: dict[str, Any]) -> list[str]:
    """Return a table of loss and error: eleven steps along one direction, or the extremes over two."""
    steps, loss, error = surface["steps"], surface["loss"], surface["error"]
    kept = "BN keeps the statistics of the weights" if surface["bn"] != "none" else "no BN"
    if surface["directions"] == 1:
        shown = range(0, len(steps), (len(steps) - 1) // 10)
        rows = [[f"{steps[i]:.2f}", number(loss[i], ".4g"), number(error[i], ".2f")] for i in shown]
        title = f"Loss along a filter-normalised random direction ({kept})"
        return _table(title, ["step", "loss", "error in %"], rows)
    middle, n = len(steps) // 2, len(steps)
    finite = [(loss[i][j], i, j) for i in range(n) for j in range(n) if loss[i][j] is not None]
    places = {"the weights": (middle, middle)}
    if finite:
        places |= {"the least loss": min(finite)[1:], "the largest loss": max(finite)[1:]}
    rows = [
        [name, f"{steps[i]:.2f}", f"{steps[j]:.2f}", number(loss[i][j], ".4g"), number(error[i][j], ".2f")]
        for name, (i, j) in places.items()
    ]
    title = f"Loss along two filter-normalised random directions, {n} x {n} points ({kept})"
    return _table(title, ["at", "first step", "second step", "loss", "error in %"], rows)


def _table(title: str, head: list[str], rows: list[list[str]]) -> list[str]:
    """Return a title, a head, and rows; the first column is aligned left, the others right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [
        "  " + "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        for row in [head, *rows]
    ]
    return ["", title, *lines]
