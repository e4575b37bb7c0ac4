"""`reslab doctor`."""

from __future__ import annotations

import shutil

from reslab.cli.options import Given, Json, command
from reslab.cli.output import print_json, show
from reslab.options.health import DoctorOptions


@command(options=DoctorOptions)
def doctor(*, options: Given, json_: Json = False) -> int:
    """Check this machine and installation.

    Lines are marked ok, note (slower or missing, training works) or fault (broken). The status is 1 with a fault.

    Parameters
    ----------
    json_
        print JSON: answer, can_train, faults, notes, sections, choices
    """
    from reslab.api.doctor import doctor as examine
    from reslab.show.terminal.checkup import checkup_text

    checkup = examine(**options)
    if json_:
        print_json(checkup.to_dict())
    else:
        show(checkup_text(checkup.to_dict(), shutil.get_terminal_size((100, 24)).columns))
    return int(bool(checkup.faults))
