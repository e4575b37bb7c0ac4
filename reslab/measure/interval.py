"""The confidence interval of a counted error (E. B. Wilson 1927). Torch-free, as it is also used to read records."""

from __future__ import annotations

import math

Z95 = 1.959963984540054  # two-sided 95 % quantile of the normal distribution


def wilson(wrong: int, n: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of the proportion wrong / n, in percent (E. B. Wilson 1927)."""
    p, z2 = wrong / n, Z95**2
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    low = 0.0 if wrong == 0 else max(0.0, 100 * (centre - half))
    return low, 100.0 if wrong == n else min(100.0, 100 * (centre + half))
