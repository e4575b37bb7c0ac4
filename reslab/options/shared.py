"""Options that several verbs have, each described once. Each call returns a field for one class. Torch-free."""

from __future__ import annotations

from typing import Any

from reslab.options.option import option
from reslab.options.texts import pairs

LONGEST = 1e9  # epochs, or the factor of a schedule: far beyond any run, and every count of it is still a number


def recipe(text: str, *, common: bool = False) -> Any:
    """The named recipe; `text` says which one is taken without it."""
    return option(None, "see `reslab recipe list`", "Training", text=text, common=common)


def scale(text: str = "1", *, common: bool = False) -> Any:
    """The length of the schedule."""
    return option(
        None, "the schedule's length: 0.25 is a quarter of it", "Training", text=text, most=LONGEST, common=common
    )


def changes(help: str = "change a field of the recipe, as in --set lr=0.05", *, common: bool = False) -> Any:
    """Changes to fields of the recipe."""
    return option(None, help, "Training", text="none", read=pairs, metavar="KEY=VALUE", common=common)


def download() -> Any:
    """Whether a data set may be downloaded."""
    return option(False, "let --data cifar10 download the archive", "Data")


def val_share(text: str) -> Any:
    """The share of a folder that is held out."""
    return option(None, "share held out from a folder that has no val/", "Data", text=text)


def bad_images() -> Any:
    """What happens to damaged files."""
    return option("error", "error: refuse damaged files; skip: leave them out and count them", "Data")


def workers() -> Any:
    """Processes that decode images."""
    return option(None, "processes that decode image files", "Data", text="one a core")


def device(*, common: bool = True) -> Any:
    """What the computation runs on."""
    return option("auto", "auto, cpu, cuda, cuda:1", "Machine", common=common)


def threads() -> Any:
    """CPU threads."""
    return option(0, "CPU threads; 0 is all", "Machine")
