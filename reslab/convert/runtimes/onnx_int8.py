"""`--to onnx-int8`: a network in 8 bits as an ONNX file (QDQ), published if it gives nearly all answers of fp32."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from reslab.convert.publish import check_out
from reslab.convert.runtimes.onnx_file import (
    ENDINGS,
    Check,
    Sample,
    compared,
    file_of,
    logits_of,
    run_in_batches,
    session,
    write,
)
from reslab.engines.inference import piece_of
from reslab.engines.quantise import Quantised, int8_layers, quantised
from reslab.errors import RunError, UserError
from reslab.models.trained import TrainedModel

PICTURES = 1_000  # that answers are compared on
JUDGED = 256  # training images on which the form of the additions is chosen
AS_GOOD = 1.1  # 8-bit additions are kept if their error is at most so many times that of additions in fp32


@dataclass(frozen=True)
class Int8Check(Check):
    """How far the answers of 8 bits are from the network's.

    error, error_before   with labels: share of wrong answers in 8 bits and in fp32, in percent
    labelled              pictures with a label
    sums                  whether branch and shortcut are added in 8 bits
    calibration           number of training images that it was made on
    """

    error: float | None = None
    error_before: float | None = None
    labelled: int = 0
    sums: bool = False
    calibration: int = 0

    @property
    def agreement(self) -> float:
        """Return the share of equal answers, in percent."""
        return 100.0 * self.equal / self.pictures

    def lines(self) -> list[str]:
        """Return what was measured, a line each."""
        where = "8 bits, which is as accurate here as fp32" if self.sums else "fp32, which is more accurate here"
        lines = [
            f"calibrated on {self.calibration} training images; shortcuts are added in {where}",
            f"checked on {self.pictures:,} pictures ({self.source}): {self.equal:,} answers equal fp32's "
            f"({self.agreement:.2f} %)",
        ]
        if self.error is not None and self.error_before is not None:
            change = self.error - self.error_before
            lines.append(
                f"error {self.error:.2f} % instead of {self.error_before:.2f} % ({change:+.2f} points, n = "
                f"{self.labelled:,})"
            )
        return lines + super().lines()[1:]


def exported_int8(
    model: TrainedModel,
    out: Path,
    sample_of: Callable[[], Sample],
    preprocessing: bool,
    calibration_of: Callable[[], Sequence[np.ndarray]],
    least: float,
) -> Int8Check:
    """Write the model to `out` in 8 bits and return how it was checked.

    sample_of, preprocessing   as `exported_onnx`
    calibration_of             called for the pixels of training images, uint8 [S, S, C] each
    least                      smallest share of equal answers, in percent
    Raises UserError if the network has no layer for 8 bits, and as `exported_onnx`; RunError if fewer answers are
    equal, in which case nothing is written.
    """
    check_out(out, "onnx-int8", ENDINGS)
    graph = model.graph
    if not int8_layers(graph):
        raise UserError(f"--to onnx-int8: {model.name} has no convolution for 8 bits; use --to onnx")
    file_of(model, preprocessing)  # refuses before the long part what has no ONNX
    images, size = calibration_of(), piece_of(model.spec)
    pieces = [images[start : start + size] for start in range(0, len(images), size)]
    made = quantised(graph, map(model.transform.inputs, pieces))
    sums = _sums_hold(model, made, images[:JUDGED])
    file, sample = file_of(model, preprocessing, made, sums), sample_of()
    found = compared(model, file, sample, preprocessing)
    count = len(sample.labels)
    before, error = (
        100.0 * float((logits[:count].argmax(1) != sample.labels).mean()) if count else None
        for logits in (found.ours, found.theirs)
    )
    check = Int8Check(
        **asdict(found.check), error=error, error_before=before, labelled=count, sums=sums, calibration=len(images)
    )
    if not check.agreement >= least:
        raise RunError(
            f"--to onnx-int8: {check.agreement:.2f} % of the answers equal fp32's ({check.equal:,} of "
            f"{check.pictures:,}), fewer than --min-agreement {least:g}; nothing written"
        )
    write(model, file, check, out)
    return check


def _sums_hold(model: TrainedModel, made: Quantised, images: Sequence[np.ndarray]) -> bool:
    """Return whether 8-bit additions have about the error of additions in fp32, on these training images."""
    inputs = model.transform.inputs(images).numpy()
    wanted = logits_of(model, inputs)
    errors = [
        float(np.square(run_in_batches(session(file.SerializeToString()), inputs) - wanted).mean()) ** 0.5
        for file in (file_of(model, False, made, sums) for sums in (False, True))
    ]
    return bool(errors[1] <= AS_GOOD * errors[0])
