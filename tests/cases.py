"""Parameters of tests of which some run in `make test` and all in `make reliability`."""

from collections.abc import Iterable
from typing import Any

import pytest


def some(values: Iterable[Any], quick: int, names: int = 1) -> list[Any]:
    """Return `values` for `parametrize`; those after the first `quick` are slow tests.

    names   number of the parameters; each value is a tuple of as many if there are several
    """
    return [
        pytest.param(*(value if names > 1 else (value,)), marks=[] if i < quick else [pytest.mark.slow])
        for i, value in enumerate(values)
    ]
