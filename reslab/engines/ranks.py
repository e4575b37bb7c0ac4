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

from reslab.engines import shares
from reslab.engines.shares import COUNT, LOCAL, RANK, TIMEOUT, TRY, is_rank
from reslab.errors import ReslabError, RunError, UserError

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
        """Return the samples of a batch that this rank takes; see `shares.shares`."""
        return shares.shares(samples, self.count, part)[self.rank]

    def sizes(self, samples: int, part: int = 0) -> list[int]:
        """Return how many samples of a batch each rank takes."""
        return shares.sizes(samples, self.count, part)

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


def checksum(tensors: Iterable[Tensor]) -> int:
    """Return a CRC-32 of the bytes of the tensors."""
    found = 0
    for tensor in tensors:
        found = zlib.crc32(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes(), found)
    return found


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
