"""Scalars of a run for TensorBoard (`train --log tensorboard`), derived from `metrics.jsonl`, which stays the record.

Every start of a run writes a new event file from the lines that the record then holds and removes the ones before, so a
resumed run has each point once. The records are written by tensorboard's own classes, but not by its EventFileWriter:
that writes in a thread, which would learn of a full disk late and does not survive the fork of a data worker.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from reslab.errors import UserError
from reslab.runs.elapsed import Elapsed
from reslab.runs.runlog import METRICS, Tell, is_whole
from reslab.store import jsonl

FOLDER = "tensorboard"
NAME = "events.out.tfevents.{}.reslab"
EVALUATED = {"train": "train_clean"}  # the split "train" of an evaluation is the clean pass


def check_installed() -> None:
    """Raise UserError if tensorboard cannot be imported."""
    try:
        import tensorboard  # first, so that the error has its name
        import tensorboard.compat.proto.event_pb2
        import tensorboard.summary.writer.record_writer  # noqa: F401
    except ImportError as error:
        missing = error.name == "tensorboard"
        problem = "tensorboard is not installed" if missing else f"tensorboard cannot be imported ({error})"
        raise UserError(f"--log tensorboard: {problem}; pip install 'reslab[tensorboard]'") from None


def scalars(line: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield tag and value of what a line of `metrics.jsonl` holds; a loss that is not finite is nan."""
    if line["kind"] == "train":
        values = {
            "loss/train": line.get("loss"),
            "error/train": line.get("error"),
            "lr": line.get("lr"),
            "images_per_second": _clock(line).get("rate"),
        }
    elif line["kind"] == "eval":
        name = EVALUATED.get(line["split"], line["split"])
        values = {f"loss/{name}": line.get("loss", math.nan), f"error/{name}": line.get("top1_error")}
        values = {tag: math.nan if value is None else value for tag, value in values.items()}
    else:
        return
    for tag, value in values.items():
        if isinstance(value, int | float):
            yield tag, float(value)


def _clock(line: dict[str, Any]) -> dict[str, Any]:
    clock = line.get("clock")
    return clock if isinstance(clock, dict) else {}


class Events:
    """The event file of the run in the folder `run`; an instance is called with each event of the run.

    A file that cannot be written ends neither the training nor the record: `tell` gets one warning.
    """

    def __init__(self, run: Path, tell: Tell) -> None:
        self.run, self.tell = run, tell
        self.file: BinaryIO | None = None
        self.place = 0  # byte of the record up to which it has been told
        self.origin, self.elapsed = 0.0, Elapsed()  # a line's time is the run's own, as if it had had no breaks
        self.has_failed = False

    def __call__(self, event: dict[str, Any]) -> None:
        kind = event.get("kind")
        if self.has_failed or (self.file is None and kind not in ("start", "end")):
            return  # before the start the record may still be taken back
        try:
            if kind == "start" or self.file is None:  # "end" alone: a run that was finished already
                self._begin()
            self._follow()
        except OSError as error:
            self.has_failed = True
            self.close()
            text = f"{self.run / FOLDER}: {error.strerror or error}; nothing more is written for TensorBoard"
            self.tell({"kind": "warning", "text": text})

    def close(self) -> None:
        if self.file is not None:
            file, self.file = self.file, None
            try:
                file.close()
            except OSError:  # of a full disk, which a write has reported
                return

    def _begin(self) -> None:
        """Open a new file in place of those before."""
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog, SourceMetadata

        self.close()
        folder = self.run / FOLDER
        folder.mkdir(exist_ok=True)
        for old in folder.glob(NAME.format("*")):
            old.unlink()
        now = time.time()
        lines, _ = jsonl.since(self.run / METRICS, 0)
        whole = Elapsed()
        for line in lines:
            whole.add(line)
        self.place, self.origin, self.elapsed = 0, now - whole.seconds, Elapsed()
        name = NAME.format(f"{int(now):010d}.{time.time_ns() % 10**9:09d}")  # TensorBoard reads files by name in order
        self.file = (folder / name).open("xb")
        self._write(
            Event(wall_time=self.origin, file_version="brain.Event:2", source_metadata=SourceMetadata(writer="reslab"))
        )
        # A TensorBoard that is open drops the points of the file before.
        self._write(Event(wall_time=self.origin, step=0, session_log=SessionLog(status=SessionLog.START)))

    def _follow(self) -> None:
        """Write the lines that are new in the record."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        lines, self.place = jsonl.since(self.run / METRICS, self.place)
        for line in lines:
            wall_time = self.origin + self.elapsed.add(line)
            if not is_whole(line):
                continue
            values = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars(line)]
            if values:
                self._write(Event(wall_time=wall_time, step=int(line["iteration"]), summary=Summary(value=values)))
        if self.file is not None:
            self.file.flush()

    def _write(self, event: Any) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        RecordWriter(self.file).write(event.SerializeToString())
