"""`doctor`: what this machine and installation have, and what reslab would choose on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reslab.api.arguments import takes
from reslab.options.health import DoctorOptions

if TYPE_CHECKING:
    from reslab.checkup.result import Checkup


@takes(DoctorOptions)
def doctor(*, options: DoctorOptions) -> Checkup:
    """Return what this machine and installation have, and what `auto` chooses here for three typical jobs.

    {options}
    Compiles kernels that are not in the cache, which takes some seconds once. Nothing is trained or downloaded. Raises
    UserError for a wrong argument only: whatever is broken is a finding, with a remedy.
    """
    from reslab.checkup.examination import checkup

    return checkup(options.out)
