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

    data    a folder of class folders, or any data that `train` takes
    {options}
    tell    called about every five seconds with how far it is
    Every file is decoded once; what is known of a file is remembered until it changes, and `train` uses it too. Of sets
    in memory (CIFAR-10, digits, images given in Python) duplicates are looked for. Raises UserError if there are no
    such data.
    """
    from reslab.data.sets.examined import examined, in_memory
    from reslab.data.sources import load
    from reslab.engines import host

    source = source_of(data)
    if source.kind == "folder":
        workers = host.cores() if options.workers is None else options.workers
        host.check_processes("--workers", workers)
        return examined(source, options.size, options.val_share, 1 if options.grey else 3, workers, tell)
    if options.val_share is not None:
        raise UserError(f"--val-share: only folders are cut by a share, not {source.name}")
    return in_memory(load(source))
