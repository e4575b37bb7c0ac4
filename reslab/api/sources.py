"""The images that `predict` is given, in groups: folders searched, paths from a pipe as they arrive."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reslab.api.pathlist import PathList
from reslab.errors import UserError, suggest_beside

if TYPE_CHECKING:
    from reslab.models.images import Named


class Sources:
    """The argument `images` of `predict`, which may also be or hold a `PathList`.

    count   number of images, None if only the end will show it
    held    see `reslab.models.images.is_held`
    Raises UserError if there are no images, if no path exists, and for a value that is no image.
    """

    def __init__(self, images: Any) -> None:
        from reslab.models.images import each, is_held, is_path, is_single

        self.held, self.count = is_held(images), None
        self._parts: Iterable[Sequence[Named] | PathList]
        if not self.held:
            each(images)  # refuses what is not iterable
            self._parts = _parts(images)
            return
        if is_single(images) and not is_path(images):
            parts: list[Any] = [[*each(images)]]
        else:
            given = [images] if is_path(images) else images
            paths = [Path(image) for image in given if is_path(image)]
            if paths and len(paths) == len(given) and not any(map(os.path.lexists, paths)):
                raise UserError(f"{paths[0]}: no such file or folder{suggest_beside(paths[0])}")
            parts = [*_parts(given)]
        self._parts = parts
        if not any(isinstance(part, PathList) for part in parts):
            self.count = sum(map(len, parts))
            if self.count == 0:
                raise _no_images()

    def groups(self) -> Iterator[Iterable[Named]]:
        """Yield groups of images, each with its name; the next group may be long in coming.

        Raises UserError after the last group if all are empty.
        """
        number = 0

        def counted(images: Iterable[Named]) -> Iterator[Named]:
            nonlocal number
            for image in images:
                number += 1
                yield image

        for are_lists, parts in groupby(self._parts, lambda part: isinstance(part, PathList)):
            if not are_lists:
                yield counted(chain.from_iterable(parts))  # type: ignore[arg-type]  # sequences
                continue
            for part in parts:
                for paths in part.arrivals():  # type: ignore[union-attr]  # path lists
                    yield counted((path, path) for path in paths)
        if number == 0:
            raise _no_images()


def _parts(images: Iterable[Any]) -> Iterator[Sequence[Named] | PathList]:
    """Yield the images of each element of `predict`'s argument: of a folder its files, of a batch its images.

    A folder that cannot be read counts as a bad image.
    """
    from reslab.models.images import is_path, split

    for place, image in enumerate(images):
        if isinstance(image, PathList):
            yield image
        elif is_path(image) and os.path.isdir(image):
            yield _below(os.fsdecode(Path(image)))
        else:
            yield split(f"images[{place}]", Path(image) if is_path(image) else image)


def _below(folder: str) -> list[Named]:
    from reslab.data.images.decode import BadImage
    from reslab.data.sets.listing import files_below

    unread: list[str] = []
    files = files_below(folder, "", {}, unread)
    bad = [BadImage(name, reason) for name, _, reason in (line.rpartition(": ") for line in unread)]
    return [*((file, file) for file in files), *((error.name, error) for error in bad)]


def _no_images() -> UserError:
    return UserError("predict: no image files there; give files, or folders that hold some")
