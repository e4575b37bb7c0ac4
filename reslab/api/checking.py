"""`check`: examine data before training on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from reslab.api.arguments import takes
from reslab.data.source import source_of
from reslab.errors import UserError
from reslab.options.checking import CheckOptions

if TYPE_CHECKING:
    from reslab.data.check.result import Check
    from reslab.data.check.survey import Pace


@takes(CheckOptions)
def check(data: Any, *, options: CheckOptions, tell: Callable[[Pace], None] | None = None) -> Check:
    """Examine data as training would read them, and return what was found.

    data    a folder of class folders, a list of files, or any data that `train` takes
    {options}
    tell    called about every five seconds with how far it is
    Every file is decoded once; what is known of a file is remembered until it changes, and `train` uses it too. Of sets
    in memory (CIFAR-10, digits, images given in Python) duplicates are looked for. Raises UserError if there
    are no such data.
    """
    from reslab.data.sets.examined import examined, of_data
    from reslab.data.sets.groups import check_group
    from reslab.data.sources import is_list, load
    from reslab.engines import host

    check_group(options.group, options.val_share)
    source, channels = source_of(data), 1 if options.grey else 3
    if source.kind != "folder":
        if options.val_share is not None:
            raise UserError(f"--val-share: only folders and lists are cut by a share, not {source.name}")
        return of_data(load(source))
    workers = host.default_workers() if options.workers is None else options.workers
    host.check_workers(workers)
    if not source.word and not is_list(source):
        return examined(source, options.size, options.val_share, options.group, channels, workers, tell)
    read = load(
        source, size=options.size, val_share=options.val_share, bad_images="skip", channels=channels, workers=workers,
        watch=tell, group=options.group,
    )  # fmt: skip
    return of_data(read, workers, tell)
