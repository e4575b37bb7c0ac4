"""Whether the ranks of a run fit together: equal code, command and data, and a batch that is large enough for all."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from reslab.data.order import batch_span, batches_per_epoch
from reslab.data.splits import Data
from reslab.engines.shares import COUNT, is_rank
from reslab.errors import UserError
from reslab.training.job import Job

PACKAGE = Path(__file__).parents[1]


def check_together(processes: int) -> None:
    """Raise UserError if `--processes` is another number than torchrun's, or if nothing has started the processes."""
    if processes < 2:
        return
    if not is_rank():
        raise UserError(
            f"processes: {processes} are started by `reslab train --processes {processes}`, or by torchrun with a "
            "script that calls this"
        )
    if processes != int(os.environ[COUNT]):
        raise UserError(f"--processes {processes}: torchrun has started {os.environ[COUNT]} ranks; leave it out")


def check_ranks(job: Job, data: Data) -> None:
    """Raise UserError on rank 0, RankLost on the others, if the ranks differ; UserError for a batch below their number.

    Compared are the code of reslab, net, recipe and seed, what is not left open of how it is computed, and the data.
    """
    ranks = job.ranks
    if ranks.is_alone:
        return
    ranks.check_equal("version of reslab's code", _code())
    options = {key: value for key, value in vars(job.options).items() if key != "threads"}
    what = (job.recorded, options, str(job.out), job.extend)
    ranks.check_equal("command", hashlib.sha256(repr(what).encode()).hexdigest()[:12])
    ranks.check_equal("data", data.fingerprint)
    train, recipe = data.split("train"), job.recipe
    last = batches_per_epoch(recipe.batch, len(train), recipe.last_batch) - 1
    smallest = min(batch_span(k, recipe.batch, len(train), recipe.last_batch)[1] for k in (0, last))
    if smallest < ranks.count:
        raise UserError(f"--processes {ranks.count}: a batch has {smallest} images, fewer than ranks; give fewer")


def _code() -> str:
    """Return a hash of the package's sources."""
    code = hashlib.sha256()
    for file in sorted(PACKAGE.rglob("*")):
        if file.suffix in (".py", ".cpp"):
            code.update(file.relative_to(PACKAGE).as_posix().encode() + file.read_bytes())
    return code.hexdigest()[:12]
