"""The processes that train one run together, as torchrun numbers them: rank 0 writes and tells, all compute.

Every collective call here must be made by all ranks in the same order. If a rank ends, the others' next call raises
RankLost within seconds; if it hangs, after the timeout of `joined`.
"""

from __future__ import annotations

import os
import pickle
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor
from torch import distributed as dist
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from reslab.errors import ReslabError, RunError, UserError

RANK, COUNT = "RANK", "WORLD_SIZE"  # in the environment of a rank
LOCAL, LOCAL_COUNT = "LOCAL_RANK", "LOCAL_WORLD_SIZE"  # of the machine alone
TRY = "TORCHELASTIC_RESTART_COUNT"  # how often torchrun has started the ranks again
TIMEOUT = 600.0  # seconds to wait for the other ranks
T = TypeVar("T")


class RankLost(RunError):
    """Another rank has failed, ended or hung; it tells the cause itself, or the launcher does.

    is_silent   it did not answer in time
    """

    is_silent = False


@dataclass(frozen=True)
class Ranks:
    """This process among those that train a run.

    rank, count   its number, and how many there are
    local         its number among those on this machine
    """

    rank: int = 0
    count: int = 1
    local: int = 0

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    @property
    def is_alone(self) -> bool:
        return self.count == 1

    def share(self, samples: int, part: int = 0) -> slice:
        """Return the samples of a batch that this rank takes; the shares are in order and differ by one at most.

        part   of separate BN statistics (`part_ends`): kept whole if there are at least as many parts as ranks
        """
        ends = part_ends(samples, part) if part else []
        if len(ends) < self.count:
            ends = [*range(1, samples + 1)]
        first, last = (k * len(ends) // self.count for k in (self.rank, self.rank + 1))
        return slice(ends[first - 1] if first else 0, ends[last - 1] if last else 0)

    def sizes(self, samples: int, part: int = 0) -> list[int]:
        """Return the samples of a batch that each rank takes; see `share`."""
        shares = (Ranks(rank, self.count).share(samples, part) for rank in range(self.count))
        return [share.stop - share.start for share in shares]

    def agree(self, flag: bool) -> bool:
        """Return whether `flag` is true on any rank."""
        if self.is_alone:
            return flag
        total = torch.tensor([float(flag)])
        self.add(total)
        return bool(total.item())

    def add(self, values: Tensor) -> None:
        """Replace `values` by their sum over all ranks, with equal bits on all."""
        if not self.is_alone:
            with _telling_the_loss():
                dist.all_reduce(values)

    def begin_add(self, values: Tensor) -> Callable[[], None]:
        """Begin `add` of values that nobody touches until the function that is returned has been called."""
        if self.is_alone:
            return lambda: None
        with _telling_the_loss():
            work = dist.all_reduce(values, async_op=True)

        def wait() -> None:
            with _telling_the_loss():
                work.wait()

        return wait

    def gathered(self, value: T) -> list[T]:
        """Return the values of all ranks, in their order."""
        if self.is_alone:
            return [value]
        values: list[T | None] = [None] * self.count
        with _telling_the_loss():
            dist.all_gather_object(values, value)
        return values  # type: ignore[return-value]

    def of_first(self, make: Callable[[], T]) -> T:
        """Return what `make` returns on rank 0, where alone it is called.

        If it raises there, RankLost is raised on the others.
        """
        if self.is_alone:
            return make()
        if not self.is_first:
            sent = self._sent(b"")
            if not sent:
                raise RankLost("rank 0 has failed")
            value: T = pickle.loads(sent)
            return value
        try:
            value = make()
        except BaseException:
            self._sent(b"")
            raise
        self._sent(pickle.dumps(value))
        return value

    def _sent(self, content: bytes) -> bytes:
        """Return the bytes of rank 0."""
        size = torch.tensor([len(content)])
        with _telling_the_loss():
            dist.broadcast(size, 0)
            if not size.item():
                return b""
            block = torch.frombuffer(bytearray(content or bytes(int(size.item()))), dtype=torch.uint8)
            dist.broadcast(block, 0)
        return block.numpy().tobytes()

    def check_equal(self, what: str, value: object) -> None:
        """Raise UserError on rank 0, RankLost on the others, unless `value` (by its text) is the same on all ranks."""
        values = self.gathered(str(value))
        different = [rank for rank, other in enumerate(values) if other != values[0]]
        if not different:
            return
        if self.is_first:
            rank = different[0]
            raise UserError(
                f"rank {rank} has another {what} than rank 0 ({_short(values[rank])}, not {_short(values[0])}); start "
                "all ranks with equal code, command and data"
            )
        raise RankLost(f"another {what} than rank 0")


ALONE = Ranks()


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}…"


def part_ends(samples: int, bn_batch: int) -> list[int]:
    """Return the ends of the parts of a batch with separate BN statistics: one part, unless `bn_batch` is set."""
    part = bn_batch or samples
    ends = [*range(part, samples, part), samples]
    if len(ends) > 1 and ends[-1] - ends[-2] == 1:  # one image has no batch statistics: merge it into the part before
        del ends[-2]
    return ends


def checksum(tensors: Iterable[Tensor]) -> int:
    """Return a CRC-32 of the bytes of the tensors."""
    found = 0
    for tensor in tensors:
        found = zlib.crc32(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes(), found)
    return found


def is_rank() -> bool:
    """Return whether torchrun, or a launcher like it, started this process as one of several."""
    return os.environ.get(COUNT, "1") not in ("", "1")


def is_first() -> bool:
    """Return whether this process is the only one of its run, or rank 0."""
    return not is_rank() or os.environ.get(RANK) == "0"


def on_this_machine() -> int:
    """Return the number of ranks that share this machine's memory; 1 for a process that is no rank."""
    count = os.environ.get(LOCAL_COUNT, "")
    return max(1, int(count)) if is_rank() and count.isdigit() else 1


@contextmanager
def joined(timeout: float = TIMEOUT) -> Iterator[Ranks]:
    """Yield this process's place among the ranks that the environment names; `ALONE` if it names none.

    timeout   seconds to wait for the other ranks in any collective call
    Raises UserError for an environment that is incomplete, RunError if the ranks do not meet.
    """
    if not is_rank():
        yield ALONE
        return
    try:
        ranks = Ranks(int(os.environ[RANK]), int(os.environ[COUNT]), int(os.environ.get(LOCAL, "0")))
    except (KeyError, ValueError):
        raise UserError(f"{COUNT} is {os.environ[COUNT]!r}, but {RANK} is not a number; start with torchrun") from None
    backend = "gloo"
    if torch.cuda.is_available():
        torch.cuda.set_device(ranks.local % torch.cuda.device_count())
        backend = "cpu:gloo,cuda:nccl"
    try:
        wait = timedelta(seconds=timeout)
        store, rank, count = next(rendezvous("env://", timeout=wait))
        # torchrun keeps its store when it starts the ranks again, with the addresses of those that have ended.
        store = PrefixStore(os.environ.get(TRY, "0"), store)
        dist.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=wait)
    except (RuntimeError, ValueError) as error:
        place = f"{os.environ.get('MASTER_ADDR', '?')}:{os.environ.get('MASTER_PORT', '?')}"
        if "EADDRINUSE" in str(error):
            text = f"{place}: the port is in use; give torchrun another (--master-port or --rdzv-endpoint)"
            raise UserError(text) from None
        raise RunError(f"the ranks do not meet at {place}: {' '.join(str(error).split())[:200]}") from None
    try:
        yield ranks
    finally:
        dist.destroy_process_group()


@contextmanager
def _telling_the_loss() -> Iterator[None]:
    try:
        yield
    except ReslabError:
        raise
    except RuntimeError as error:
        lost = RankLost(f"another rank does not answer: {' '.join(str(error).split())[:160]}")
        lost.is_silent = "timed out" in str(error).lower() or "timeout" in str(error).lower()
        raise lost from None
