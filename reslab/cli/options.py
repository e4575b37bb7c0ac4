"""What options several verbs share: groups of the help page, a network's switches, `key=value`, lists of numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from cyclopts import Group, Parameter

from reslab.errors import UserError

TRAINING = Group("Training", sort_key=1)
DATA = Group("Data", sort_key=2)
NET = Group("Network", sort_key=3)
MACHINE = Group("Machine", sort_key=4)


def whole(type_: Any, tokens: Sequence[Any]) -> int:
    """Return a whole number from the command line; the parser alone would round 1.5 to 2.

    Raises UserError if it is beyond what the option can mean.
    """
    from reslab.runs.config import bounded

    option = tokens[0].keyword or ""
    try:
        value = int(tokens[0].value)
    except ValueError:
        raise ValueError(f"{tokens[0].value!r} is no whole number") from None
    return bounded(f"{option}: ", value)


@Parameter(name="*", group=NET)
@dataclass(frozen=True)
class Switches:
    """What may be changed about a network; None is the paper's value."""

    shortcut: Annotated[Literal["A", "B", "C"] | None, Parameter(help="zero padding, projection where needed, all")] = (
        None
    )
    stride_in: Annotated[Literal["1x1", "3x3"] | None, Parameter(help="bottleneck's stride: the paper, or v1.5")] = None
    block: Annotated[str | None, Parameter(help="basic, bottleneck, single, triple, or a comma list")] = None
    order: Annotated[Literal["post", "pre"] | None, Parameter(help="conv-BN-ReLU, or pre-activation")] = None
    activation: Annotated[Literal["relu", "tanh", "sigmoid", "identity"] | None, Parameter(help="everywhere")] = None
    stem: Annotated[Literal["3x3", "7x7"] | None, Parameter(help="7x7 with max-pooling, or 3x3")] = None
    downsample: Annotated[Literal["stride", "pool"] | None, Parameter(help="stride, or max-pooling")] = None
    batch_norm: Annotated[bool | None, Parameter(help="batch normalisation on or off")] = None
    zero_init: Annotated[bool | None, Parameter(help="last γ of each residual branch starts at 0")] = None
    fan: Annotated[Literal["in", "out"] | None, Parameter(help="of the He initialisation")] = None
    pad_at: Annotated[Literal["end", "both"] | None, Parameter(help="where option A's zeros stand")] = None
    widths: Annotated[str | None, Parameter(help="base width of each stage: 16,32,64")] = None
    classes: Annotated[int | None, Parameter(help="classes of the head", converter=whole)] = None
    in_channels: Annotated[int | None, Parameter(help="3 for RGB, 1 for grey", converter=whole)] = None
    image_size: Annotated[int | None, Parameter(help="side of the square images, pixels", converter=whole)] = None

    def given(self) -> dict[str, Any]:
        """The switches that were given, widths as numbers."""
        values = {k: v for k, v in asdict(self).items() if v is not None}
        if "widths" in values:
            values["widths"] = numbers("--widths", values["widths"])
        return values


NO_SWITCHES = Switches()


@Parameter(name="*")
@dataclass(frozen=True)
class Reading:
    """How the verbs that read a trained network's data reach them, and on what they compute."""

    workers: Annotated[
        int | None,
        Parameter(group=DATA, converter=whole, help="processes that decode image files; default: one a core"),
    ] = None
    download: Annotated[
        bool, Parameter(group=DATA, negative="", help="allow `--data cifar10` to fetch the archive")
    ] = False
    val_share: Annotated[float | None, Parameter(group=DATA, help="as in `reslab train`")] = None
    bad_images: Annotated[
        Literal["error", "skip"],
        Parameter(group=DATA, help="error: refuse; skip: leave damaged files out, counted"),
    ] = "error"
    device: Annotated[str, Parameter(group=MACHINE, help="as in `reslab train`")] = "auto"
    threads: Annotated[int, Parameter(group=MACHINE, converter=whole, help="CPU threads (0: all)")] = 0

    def given(self) -> dict[str, Any]:
        return asdict(self)


AS_TRAINED = Reading()


def numbers(option: str, text: str) -> tuple[int, ...]:
    """Return "16,32,64" as (16, 32, 64). Raises UserError if it is no such list."""
    from reslab.runs.config import bounded

    try:
        values = [int(part) for part in text.split(",")]
    except ValueError:
        raise UserError(f"{option}: {text!r}: whole numbers separated by commas are wanted, such as 16,32,64") from None
    if len(values) > MOST_NUMBERS:
        raise UserError(f"{option}: {len(values):,} numbers are more than {MOST_NUMBERS:,}; give fewer")
    return tuple(bounded(f"{option}: ", value) for value in values)


MOST_NUMBERS = 1000  # in a list: far beyond any net's stages and any study's depths
MOST = 1e9  # epochs, or a schedule lengthened so many times: far beyond any run, and every count of it still a number


def countable(option: str, value: float | None) -> float | None:
    """A length as it was given. Raises UserError where a run of that length could not be counted."""
    if value is not None and MOST < abs(value) < math.inf:  # what is not finite is refused by its own words
        raise UserError(f"{option}: {value:g} is longer than any run; at most {MOST:g} is taken")
    return value


def pairs(texts: list[str]) -> dict[str, str]:
    """Return --set key=value … as a dict. Raises UserError if one is no pair, or a number that nothing can hold."""
    from reslab.runs.config import bounded

    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"--set: {text!r}: key=value is wanted")
        for part in value.strip("[]() ").split(","):
            with suppress(ValueError):  # what is no whole number is for the field's own type to refuse
                bounded(f"--set: {key.strip()}=", int(part.replace("_", "")))
        found[key.strip()] = value.strip()
    return found
