"""Options that several verbs have, each described once. Each call returns a field for one class. Torch-free."""

from __future__ import annotations

from typing import Any, Literal

from reslab.data.known import downloadable
from reslab.options.option import option
from reslab.options.texts import pairs

Language = Literal["en", "ko"]

LONGEST = 1e9  # epochs, or the factor of a schedule: far beyond any run, and every count of it is still a number


def recipe(text: str, *, common: bool = False) -> Any:
    """Return the option --recipe; `text` names the default."""
    return option(None, "a name from `reslab recipe list`", "Training", text=text, common=common)


def scale(text: str = "1", *, common: bool = False) -> Any:
    """Return the option --scale; `text` is the default."""
    return option(
        None, "length of the schedule: 0.25 is a quarter of it", "Training", text=text, most=LONGEST, common=common
    )


def changes(help: str = "change a recipe field, such as lr=0.05", *, common: bool = False) -> Any:
    """Return the option --set: changes to fields of the recipe."""
    return option(None, help, "Training", text="none", read=pairs, metavar="KEY=VALUE", common=common)


def lang(help: str) -> Any:
    """Return the option --lang: the language of what `help` names."""
    return option("en", help, "Output", common=True)


def download() -> Any:
    """Return the option --download: whether a data set may be downloaded."""
    return option(False, f"download the archive for {downloadable()}", "Data")


def on(text: str) -> Any:
    """Return the option --on: where the runs of a study are trained; `text` is the default in words."""
    return option(
        None,
        "where the runs are trained: local; folder: by every machine on which this command runs with the same --out; "
        "ray[:ADDRESS]; slurm[:KEY=VALUE,…], such as slurm:partition=gpu",
        "Machine", text=text, metavar="WHERE",
    )  # fmt: skip


def cores_per_run() -> Any:
    """Return the option --cores-per-run: the threads of each run of a study."""
    return option(
        None, "threads of each run; equal ones give equal bits wherever the run is trained", "Machine",
        text="local: as suits the nets; elsewhere 1", least=1,
    )  # fmt: skip


def gpus_per_run() -> Any:
    """Return the option --gpus-per-run: 0 or 1."""
    return option(0, "with --on: 1 trains each run on a GPU of its own", "Machine", least=0, most=1)


def lease() -> Any:
    """Return the option --lease: when a run is taken over from a machine that shows no sign of life."""
    return option(
        120.0, "with --on folder, ray or slurm: seconds without a sign of life after which a run is taken over",
        "Machine", least=1,
    )  # fmt: skip


def val_share(text: str) -> Any:
    """Return the option --val-share: the share of a folder or list that is held out for validation."""
    return option(None, "share of a folder or list without val that is held out for it", "Data", text=text)


def group() -> Any:
    """Return the option --group: which files a cut by --val-share keeps together."""
    return option(
        None,
        "with --val-share: files with an equal first group of this regular expression, searched in the path inside the "
        "class folder, are cut together: the frames of a clip",
        "Data", text="each file on its own", metavar="REGEX",
    )  # fmt: skip


def bad_images() -> Any:
    """Return the option --bad-images: what happens to damaged files."""
    return option("error", "error: stop at damaged files; skip: leave them out and count them", "Data")


def workers() -> Any:
    """Return the option --workers: the number of processes that decode images."""
    return option(None, "processes that decode image files", "Data", text="one per core")


def device(*, common: bool = True) -> Any:
    """Return the option --device: where the computation runs."""
    return option("auto", "auto, cpu, cuda, cuda:1", "Machine", common=common)


def threads() -> Any:
    """Return the option --threads: the number of CPU threads."""
    return option(0, "CPU threads; 0 uses all", "Machine")


def calibration() -> Any:
    """Return the option --calibration: training images for int8."""
    return option(
        None, "int8: data whose training images its ranges are measured on", "Data", text="the model's training data",
    )  # fmt: skip
