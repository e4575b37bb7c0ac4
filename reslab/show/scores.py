"""The scores of runs as rows of text: errors with the interval of their test images, and errors by class."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from reslab.measure import interval
from reslab.runs.best import BEST, Best
from reslab.runs.runlog import CHECKPOINTS, Record
from reslab.show.format import NB, clean, number
from reslab.show.series import finite
from reslab.show.tables import Table, head
from reslab.show.words import BEST_IS_LAST, BEST_ON_VAL, MEASURES, SCORE

TOP5_COLUMN = 4  # of the scores


def score_table(records: Sequence[Record], names: Sequence[str]) -> Table:
    """Run, split, top-1 error, its 95 % interval, top-5 error (percent), loss, n; finished runs alone.

    Without top-5 errors (`has_top5`) their column is left out.
    """
    rows = []
    for name, r in zip(names, records, strict=True):
        for split in ("test", "val", "train"):
            if (f := r.final(split)) is not None:
                n, error = f.get("n"), f["top1_error"]
                between = "–"
                if isinstance(n, int) and n > 0 and finite(error):
                    low, high = wilson(error, n)
                    between = f"{low:.2f}{NB}…{NB}{high:.2f}"
                top5 = [number(f.get("top5_error") if many_classes(r) else None, ".2f")] if has_top5(records) else []
                rows.append([name, split, number(error, ".2f"), between, *top5, number(f.get("loss"), ".4f"),
                             number(n, ",")])  # fmt: skip
    return rows


def score_head(records: Iterable[Record], language: str = "en") -> list[str]:
    """Return the heads of `score_table`."""
    every = head("scores", language)
    return every if has_top5(records) else [cell for i, cell in enumerate(every) if i != TOP5_COLUMN]


def has_top5(records: Iterable[Record]) -> bool:
    return any(many_classes(r) for r in records)


def many_classes(record: Record) -> bool:
    """Whether a top-5 error means anything: with at most five classes it is always 0."""
    classes = record.run["data"].get("classes")
    return not isinstance(classes, list) or len(classes) > 5


def class_table(record: Record) -> Table:
    """Class, error (percent), its 95 % interval, wrong images, n: the worst class first; [] if not recorded.

    `reslab evaluate` records them with the exact scores; of several splits the held-out one counts.
    """
    for split in ("test", "val"):
        exact = record.exact.get(split)
        classes = exact.get("per_class") if isinstance(exact, dict) else None
        if isinstance(classes, list) and record.final(split) is exact:
            return _class_rows([c for c in classes if isinstance(c, dict)])
    return []


def best_words(record: Record, language: str = "en") -> str:
    """Return a sentence on the best scores of val, and where the weights are; "" if val was not scored on the way."""
    best, scored = Best.of(record.metrics), record.evaluations("val")
    if best.iteration is None or len(scored) < 2:
        return ""
    if best.iteration == scored[-1].get("iteration"):
        return BEST_IS_LAST.filled(error=f"{best.error:.2f}")(language)
    place = f" ({CHECKPOINTS}/{BEST})" if (record.folder / CHECKPOINTS / BEST).is_dir() else ""
    return BEST_ON_VAL.filled(error=f"{best.error:.2f}", n=f"{best.iteration:,}", place=place)(language)


def _class_rows(classes: Iterable[dict[str, Any]]) -> Table:
    rows = []
    for c in sorted(classes, key=lambda c: -c["error"] if finite(c.get("error")) else math.inf):
        n, wrong = c.get("n"), c.get("wrong")
        if isinstance(n, int) and isinstance(wrong, int) and 0 <= wrong <= n > 0:
            low, high = interval.wilson(wrong, n)
            rows.append([clean(c.get("class", "?")), f"{100 * wrong / n:.2f}", f"{low:.2f}{NB}…{NB}{high:.2f}",
                         f"{wrong:,}", f"{n:,}"])  # fmt: skip
    return rows


def wilson(error: float, n: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of an error in percent over n images."""
    return interval.wilson(min(n, max(0, round(error / 100 * n))), n)


def score_words(record: Record, language: str = "en") -> str:
    """Return the final error in one line, "Test error 8.58 % (95 % interval …, 10,000 images)"; "" if not measured.

    The test split counts before "val", and "val" before the training images.
    """
    for split in ("test", "val", "train"):
        final = record.final(split)
        if final is not None and finite(final.get("top1_error")):
            error, n = final["top1_error"], final.get("n")
            low, high = wilson(error, n) if isinstance(n, int) and n > 0 else (math.nan, math.nan)
            line = SCORE.filled(error=f"{error:.2f}", low=number(low, ".2f"), high=number(high, ".2f"),
                                n=number(n, ","), measure=MEASURES[split](language))(language)  # fmt: skip
            return f"{line[:1].upper()}{line[1:]}"
    return ""
