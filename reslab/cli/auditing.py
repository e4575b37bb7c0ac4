"""`reslab audit`."""

from __future__ import annotations

from reslab.cli.options import Given, Json, command
from reslab.cli.output import print_json, say, show
from reslab.options.auditing import AuditOptions
from reslab.options.network import Switches


@command(options=AuditOptions, switches=Switches, common=("reference", "expect"))
def audit(target: str, /, *, options: Given, json_: Json = False, switches: Given) -> int:
    """Hold a network against the paper, item by item.

    The status is 1 if an item departs that --expect does not name.

    Parameters
    ----------
    target
        a model's name; a run, a model folder or a file of weights; hf:OWNER/NAME; python:package.module:object, whose
        code is run
    json_
        print JSON: reference, departures, and of each row item, paper, found, departs, because
    """
    from reslab.api import audits
    from reslab.show.terminal.audited import audit_text

    if target.startswith(audits.CODE):
        say(f"runs the code of {target.removeprefix(audits.CODE)}")
    result = audits.audit(target, **options, **switches).to_dict()
    if json_:
        print_json(result)
    else:
        show(audit_text(result, options.get("expect", ())))
    return int(any(item not in options.get("expect", ()) for item in result["departures"]))
