"""A training recipe against the paper's: CIFAR-10 (§4.2), or ImageNet (§3.4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from reslab.conformance.row import Row
from reslab.nets.spec import Spec
from reslab.runs.recipe import Recipe
from reslab.runs.schedule import warms_up


class _Setting(NamedTuple):
    """An item of a recipe: the paper's words for CIFAR-10 and for ImageNet, those of a recipe, and whether it fits."""

    cifar: str
    imagenet: str
    found: Callable[[Recipe], str]
    fits: Callable[[Recipe, bool], bool]


def _optimizer(r: Recipe) -> str:
    words = f"{r.optimizer.upper() if r.optimizer == 'sgd' else r.optimizer}, momentum {r.momentum:g}"
    return words + (", Nesterov's form" if r.momentum_form == "nesterov" else "")


def _is_sgd(r: Recipe, is_imagenet: bool) -> bool:
    return r.optimizer == "sgd" and r.momentum == 0.9 and r.momentum_form != "nesterov"


def _schedule(r: Recipe) -> str:
    words = f"{r.lr:g}"
    if r.rise:
        words += f" after a rise over {r.rise:,}"
    if r.schedule != "steps":
        words += f", to 0 by a {'line' if r.schedule == 'linear' else 'cosine'}"
    elif r.drops:
        words += f", times {r.drop_factor:g} at {' and '.join(f'{drop:,}' for drop in r.drops)}"
    words += f"; {r.iterations:,} iterations"
    return words + (f", fewer if val does not improve {r.patience} times" if r.patience else "")


def _is_paper_schedule(r: Recipe, is_imagenet: bool) -> bool:
    if (r.schedule, r.rise, r.lr, r.drop_factor, r.patience) != ("steps", 0, 0.1, 0.1, 0):
        return False
    return r.iterations <= 600_000 if is_imagenet else (r.drops, r.iterations) == ((32_000, 48_000), 64_000)


def _augmentation(r: Recipe) -> str:
    crop = f"{r.pad} pixels padded, random crop"
    words = {"crop-flip": f"{crop} and flip", "crop": crop, "trivial": f"{crop} and flip, TrivialAugment"}
    text = words.get(r.augment, "none")
    if r.augment == "crop-flip" and r.flip != "random":
        text += f" ({r.flip})"
    text += f", mixup {r.mixup:g}" if r.mixup else ""
    text += f", CutMix {r.cutmix:g}" if r.cutmix else ""
    return text + (f"; {r.small_size} pixels until {r.small_until:,}" if r.small_size and r.small_until else "")


def _scaled_augmentation(r: Recipe) -> str:
    resize = "" if r.resize == "crop" else f", of pictures made square by {r.resize}"
    return _augmentation(r).replace(f"{r.pad} pixels padded", "random scale") + f"{resize}, no colour augmentation"


def _is_paper_augmentation(r: Recipe, is_imagenet: bool) -> bool:
    plain = r.augment == "crop-flip" and r.flip == "random" and not (r.small_size and r.small_until)
    plain = plain and not (r.mixup or r.cutmix)
    return plain and r.pad == 4 and not is_imagenet  # colours are not augmented


def _loss(r: Recipe) -> str:
    words = f"softmax, labels smoothed by {r.label_smoothing:g}" if r.label_smoothing else "softmax, no smoothing"
    balance = {
        "none": "",
        "loss": ", classes weighted by inverse frequency",
        "sampling": ", classes drawn equally often",
    }
    return words + balance[r.balance]


SETTINGS: dict[str, _Setting] = {
    "batch": _Setting(
        "mini-batches of 128 (§4.2)",
        "mini-batches of 256 (§3.4)",
        lambda r: f"batches of {r.batch}",
        lambda r, is_imagenet: r.batch == (256 if is_imagenet else 128),
    ),
    "optimizer": _Setting("SGD, momentum 0.9 (§4.2)", "SGD, momentum 0.9 (§3.4)", _optimizer, _is_sgd),
    "decay": _Setting(
        "weight decay 0.0001 (§4.2)",
        "weight decay 0.0001 (§3.4)",
        lambda r: f"weight decay {r.weight_decay:g}",
        lambda r, is_imagenet: r.weight_decay == 1e-4,
    ),
    "schedule": _Setting(
        "0.1, divided by 10 at 32k and 48k; 64k iterations (§4.2)",
        "0.1, divided by 10 when the error plateaus; up to 60×10⁴ iterations (§3.4)",
        _schedule,
        _is_paper_schedule,
    ),
    "augmentation": _Setting(
        "4 pixels padded, random 32x32 crop of the image or its flip (§4.2)",
        "shorter side in [256, 480], random 224x224 crop or its flip, standard colour augmentation (§3.4)",
        _augmentation,
        _is_paper_augmentation,
    ),
    "input": _Setting(
        "the per-pixel mean subtracted (§4.2)",
        "the per-pixel mean subtracted (§3.4)",
        lambda r: f"the mean of each {r.centre} subtracted",
        lambda r, is_imagenet: r.centre == "pixel",
    ),
    "loss": _Setting(
        "softmax, no smoothing of labels (§4.2)",
        "softmax, no smoothing of labels (§3.3)",
        _loss,
        lambda r, is_imagenet: not r.label_smoothing and r.balance == "none",
    ),
    "evaluation": _Setting(
        "a single view of the original image (§4.2)",
        "10-crop testing (§3.4)",
        lambda r: "a single view" + (", averaged weights" if r.average else ""),
        lambda r, is_imagenet: not is_imagenet and not r.average,
    ),
}


def audit_recipe(recipe: Recipe, spec: Spec | None = None) -> tuple[Row, ...]:
    """Return how `recipe` departs from the paper's. What the paper leaves open (`OPEN_CHOICES`) never departs.

    spec   the trained network: its family decides between §4.2 and §3.4, its depth whether the rate starts low; without
           it the recipe is compared with §4.2 for fewer than 110 layers
    """
    is_imagenet = spec is not None and spec.family == "imagenet"
    rows = [
        Row(item, setting.imagenet if is_imagenet else setting.cifar, found, not setting.fits(recipe, is_imagenet))
        for item, setting in SETTINGS.items()
        for found in [_scaled_augmentation(recipe) if is_imagenet and item == "augmentation" else setting.found(recipe)]
    ]
    if spec is not None and not is_imagenet:
        rows.insert(4, _warmup(recipe, spec.depth))
    return tuple(rows)


def _warmup(recipe: Recipe, depth: int) -> Row:
    """Return the row of the first phase: the paper has it for the nets of 110 and 1202 layers."""
    needed, has = depth >= 110, warms_up(recipe, depth)
    paper = (
        "0.01 until the training error is below 80 % (§4.2: 110 layers)" if needed else "none below 110 layers (§4.2)"
    )
    found = f"{recipe.warmup_lr:g} until the training error is below {recipe.warmup_error:g} %" if has else "none"
    fits = (recipe.warmup_lr, recipe.warmup_error) == (0.01, 80.0) if needed and has else needed == has
    return Row("warmup", paper, found, not fits)
