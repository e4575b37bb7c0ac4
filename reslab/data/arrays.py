"""Convert arrays, tensors, Pillow images and map-style datasets to numpy arrays of pixels and labels.

Torch and Pillow are not imported: an object can be of their types only if the caller has imported them. In all
functions `context` is the beginning of an error message, such as "data: train".
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from reslab.errors import UserError


def images_of(value: Any, context: str) -> np.ndarray:
    """Return images as uint8 [N, H, W, C]. Raises UserError for anything else."""
    pixels = _pixels(value, context)
    if pixels.ndim == 3:
        return pixels[..., None]
    if pixels.ndim != 4:
        raise UserError(
            f"{context}: images are {kind_of(value)} of {[*pixels.shape]}; give uint8 [N, H, W, C] or [N, H, W], or a "
            "tensor [N, C, H, W]"
        )
    return pixels.transpose(0, 2, 3, 1) if is_of(value, "torch", "Tensor") else pixels


def _pixels(value: Any, context: str) -> np.ndarray:
    """Return an array or tensor of images as an array, axes unchanged. Raises UserError unless it is uint8."""
    if not isinstance(value, np.ndarray) and not is_of(value, "torch", "Tensor"):
        raise UserError(f"{context}: images are {kind_of(value)}; give an array or a tensor of uint8")
    dtype = str(value.dtype).removeprefix("torch.")
    if dtype != "uint8":
        raise UserError(f"{context}: images are {dtype}; give pixels as uint8, 0..255: a run centres and scales them")
    return np.asarray(value if isinstance(value, np.ndarray) else value.detach().cpu())


def labels_of(value: Any, context: str) -> np.ndarray:
    """Return labels as an integer array [N]. Raises UserError for anything else."""
    try:
        array = np.asarray(value.detach().cpu() if is_of(value, "torch", "Tensor") else value)
    except (TypeError, ValueError):  # lists of unequal lengths, bfloat16
        raise UserError(f"{context}: labels are {kind_of(value)}; give one whole number for each image") from None
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise UserError(f"{context}: labels are {array.dtype} {[*array.shape]}; give one whole number for each image")
    return array


def items_of(dataset: Any, context: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the items of a map-style dataset, read once in order: images uint8 [N, H, W, C], labels int64 [N]."""
    try:
        count = len(dataset)
    except TypeError:
        raise UserError(f"{context}: {kind_of(dataset)} has no length; give a dataset with __len__") from None
    images, labels = np.empty((count, 0, 0, 1), np.uint8), np.empty(count, np.int64)
    for index in range(count):
        item = dataset[index]
        if not isinstance(item, tuple | list) or len(item) != 2:
            raise UserError(f"{context}: item {index} is {kind_of(item)}; give a dataset of pairs (image, label)")
        pixels = _image(item[0], f"{context}: item {index}")
        if index == 0:
            images = np.empty((count, *pixels.shape), np.uint8)
        elif pixels.shape != images.shape[1:]:
            raise UserError(
                f"{context}: image {index} is {shape_of(pixels.shape)}, image 0 is {shape_of(images.shape[1:])}; give "
                "images of one size (resize them in the dataset), or a folder of class folders"
            )
        images[index] = pixels
        try:
            labels[index] = operator.index(item[1])
        except (TypeError, ValueError, OverflowError):
            raise UserError(f"{context}: label {index} is {kind_of(item[1])}; give a whole number") from None
    return images, labels


def _image(value: Any, context: str) -> np.ndarray:
    """Return one image as uint8 [H, W, C]. Raises UserError for anything else."""
    if is_of(value, "PIL.Image", "Image"):
        if value.mode not in ("L", "RGB"):
            raise UserError(f"{context}: the image's mode is {value.mode}; convert it to RGB or L")
        value = np.asarray(value)
    pixels = _pixels(value, context)
    if pixels.ndim == 2:
        return pixels[..., None]
    if pixels.ndim != 3:
        raise UserError(f"{context}: an image of {[*pixels.shape]}; give [H, W, C] or [H, W], or a tensor [C, H, W]")
    return pixels.transpose(1, 2, 0) if is_of(value, "torch", "Tensor") else pixels


def is_dataset(value: Any) -> bool:
    return is_of(value, "torch.utils.data", "Dataset") and not is_of(value, "torch.utils.data", "IterableDataset")


def is_of(value: Any, module: str, name: str) -> bool:
    """Return whether `value` is an instance of `module.name`; False if that module is not imported."""
    kind = getattr(sys.modules.get(module), name, None)
    return isinstance(kind, type) and isinstance(value, kind)


def kind_of(value: Any) -> str:
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def shape_of(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
