"""`reslab check`."""

from __future__ import annotations

from reslab.cli.options import All, Given, Json, command
from reslab.cli.output import print_json, show
from reslab.errors import RunError
from reslab.options.checking import CheckOptions

EXAMPLES = 3  # names that a finding shows


@command(options=CheckOptions)
def check(
    data: str,
    /,
    *,
    options: Given,
    all_: All = False,
    json_: Json = False,
) -> None:
    """Examine images before training on them.

    The status is 1 if training or its score would go wrong.

    Parameters
    ----------
    data
        a folder of class folders, or as in `reslab train --data`
    all_
        name every file, not three of a kind
    json_
        print JSON: name, fine, splits, examined, findings
    """
    from reslab.api.checking import check as examine
    from reslab.show.format import clean
    from reslab.show.terminal.console import teller

    with teller() as tell:
        result = examine(data, **options, tell=lambda pace: tell(pace.event()))
    if json_:
        print_json(result.to_dict(None if all_ else EXAMPLES))
    else:
        for line in result.lines(10**9 if all_ else EXAMPLES):
            show(clean(line))
    if not result.is_fine:
        raise RunError(f"{result.name}: {result.faults} kinds of faults; training or its score would go wrong")
