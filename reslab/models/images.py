"""Images in any form, one by one, each with a name: paths, bytes, open files, Pillow images, arrays, tensors."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from reslab.data.images.decode import BadImage, read, upright
from reslab.data.images.levels import FULL, Levels
from reslab.errors import UserError

Named = tuple[str, Any]  # the name of an image, and the image in any form

_FORMS = "a path, the bytes of a file, an open file, a Pillow image, an array or a tensor"
_SHAPES = "uint8 [H, W, 3], [H, W, 1] or [H, W], with N in front for a batch (a tensor [3, H, W] or [1, H, W])"
_LOCKS = tuple(threading.Lock() for _ in range(64))  # shared by images, chosen by id


def each(images: Any) -> Iterator[Named]:
    """Return an iterator over the images of the argument of `predict`, a classifier or `explain`, each with its name.

    images   an image, or an iterable of images: a path; bytes, bytearray or memoryview of a file; an open file;
             a Pillow image; an array uint8 [H, W], [H, W, 1], [H, W, 3]; a tensor uint8 [H, W], [1, H, W], [3, H, W].
             An array [N, H, W] (W > 4), [N, H, W, 1 or 3] or a tensor [N, 1 or 3, H, W] is a batch
    The name is the path, also of an open file and of a Pillow image that came from one. Any other image is called by
    its place: `images[2]`, `images[2][0]` in a batch, `image` alone. Nothing is opened here.
    Raises UserError for a value that is no image: at once if it is `images`, otherwise when its turn comes.
    """
    if is_single(images):
        batch = isinstance(images, np.ndarray | Tensor) and _is_batch(images)
        return iter(split("images" if batch else "image", images))
    if isinstance(images, Iterable):
        return (one for place, image in enumerate(images) for one in split(f"images[{place}]", image))
    raise _not_an_image("images", images)


def is_single(images: Any) -> bool:
    """Return whether `images` is one image or one batch, and no iterable of images."""
    in_memory = isinstance(images, bytes | bytearray | memoryview | Image.Image | np.ndarray | Tensor)
    return in_memory or is_path(images) or hasattr(images, "read")


def is_held(images: Any) -> bool:
    """Return whether `images` holds all its images; an iterator may close or overwrite one when it gives the next."""
    return is_single(images) or isinstance(images, Sequence)


def is_path(image: Any) -> bool:
    """Return whether an image is given by its path."""
    return isinstance(image, str | os.PathLike)


def split(name: str, image: Any) -> Sequence[Named]:
    """Return an image with its name, or the images of a batch with theirs. Raises UserError for any other value."""
    if isinstance(image, BadImage):
        return [(image.name, image)]
    if not is_single(image):
        raise _not_an_image(name, image)
    if is_path(image):
        return [(os.fsdecode(image), image)]
    if isinstance(image, np.ndarray | Tensor):
        _check_array(name, image)
        return [(f"{name}[{k}]", one) for k, one in enumerate(image)] if _is_batch(image) else [(name, image)]
    file = getattr(image, "filename" if isinstance(image, Image.Image) else "name", None)
    return [(os.fsdecode(file) if isinstance(file, str | os.PathLike) and file else name, image)]


def opened(image: Any, name: str, levels: Levels = FULL) -> Image.Image:
    """Return an image of `each` as an upright Pillow image, RGB or grey. Raises BadImage; UserError if it is text.

    levels   of 16-bit pixels that become black and white; arrays and tensors have 8 bits
    """
    if isinstance(image, BadImage):
        raise image
    if is_path(image):
        return read(os.fsdecode(image), levels=levels)
    if isinstance(image, bytes | bytearray | memoryview):
        return read(bytes(image), name=name, levels=levels)
    if isinstance(image, Image.Image):
        with _LOCKS[id(image) // 16 % len(_LOCKS)]:  # threads must not load one image at the same time
            return upright(image, name=name, levels=levels)
    if hasattr(image, "read"):
        return read(_content(image, name), name=name, levels=levels)
    if isinstance(image, Tensor):
        image = (image.permute(1, 2, 0) if image.ndim == 3 else image).cpu()
    array = np.ascontiguousarray(image)
    return Image.fromarray(array if array.shape[2:] == (3,) else array.reshape(array.shape[:2]))


def _content(file: Any, name: str) -> bytes:
    """Return what an open file has from its position on."""
    try:
        content = file.read()
        if isinstance(content, str):
            raise UserError(f"{name}: the file is open as text; open it with mode 'rb'")
        if len(content) == 0 and file.seekable() and file.tell() > 0:
            raise BadImage(name, "nothing is left to read at its position; call seek(0) first")
    except (BadImage, UserError):
        raise
    except Exception as error:  # objects like files raise anything
        raise BadImage(name, f"cannot be read: {' '.join(str(error).split())[:160] or type(error).__name__}") from None
    return bytes(content)


def _is_batch(array: np.ndarray | Tensor) -> bool:
    """Return whether an array or tensor has more images than one. A last axis of 1 to 4 counts as channels."""
    return array.ndim == 4 or (array.ndim == 3 and isinstance(array, np.ndarray) and array.shape[2] > 4)


def _check_array(name: str, array: np.ndarray | Tensor) -> None:
    """Raise UserError if an array or tensor is neither an image nor a batch of images."""
    shape, kind, batch = [*array.shape], str(array.dtype).removeprefix("torch."), _is_batch(array)
    axis = -3 if isinstance(array, Tensor) else -1
    channels = shape[axis] if len(shape) == 4 or (len(shape) == 3 and not batch) else 1
    remedy = f"give {_SHAPES}"
    if kind != "uint8":
        remedy += ", such as (255 * x).round() of values from 0 to 1, or pass normalised inputs to model.network"
    elif len(shape) in (3, 4) and channels == 4:
        remedy += "; Image.fromarray(x) takes transparency, x[..., :3] drops it"
    elif len(shape) == 4 and axis == -1 and shape[1] in (1, 3) and channels not in (1, 3):
        remedy += "; x.transpose(0, 2, 3, 1) puts the channels last"
    elif len(shape) in (2, 3, 4) and channels in (1, 3) and 0 not in shape[1 if batch else 0 :]:
        return
    raise UserError(f"{name}: an array of {kind} {shape} is not an image; {remedy}")


def _not_an_image(name: str, value: Any) -> UserError:
    return UserError(f"{name}: {type(value).__name__} is not an image; give {_FORMS}")
