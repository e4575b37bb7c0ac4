"""`probe`: measure the inside of a network, from a run, a checkpoint, a name or a module."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reslab.api.arguments import takes
from reslab.api.models import opened
from reslab.api.networks import spec_of_word
from reslab.api.picturefolder import PictureFolder
from reslab.api.scored import check_fits, notes_on, read, requested
from reslab.data.source import source_of
from reslab.errors import UserError, suggest_beside
from reslab.nets.spec import Spec
from reslab.options.scoring import EXTRAS, PARTS, ProbeOptions
from reslab.runs.naming import FROM_DATA, resolve_recipe

if TYPE_CHECKING:
    from reslab.measure.findings import Probe
    from reslab.models.trained import TrainedModel
    from reslab.nets.model import Network


@takes(ProbeOptions, "data")
def probe(
    source: str | Path | Spec | Network | TrainedModel,
    *,
    options: ProbeOptions,
    tell: Callable[[str], None] | None = None,
    **switches: Any,
) -> Probe:
    """Measure layer responses (Fig. 7), activations, gradients, ‖F(x)‖/‖x‖ and block Jacobians of a network.

    On request also its errors without blocks, the similarity of its blocks, and the loss around its weights.

    source     a run or checkpoint folder, or weights of others, as `load` takes them; a model from `load`; a name
               or `Spec` (the net at initialisation, with `switches` as in `build`); or a `Network`. An existing path
               takes precedence over a name
    {options}
    tell       called with lines of progress
    The images are not augmented. They are normalised with the run's statistics, or for a net without a run with those
    of the training split by the data's default recipe; its default data are digits.
    Raises UserError for unknown names, paths, parts and blocks, for data that does not fit, for lesions of a net
    without a block that could be removed, and if the pictures' folder holds something or cannot be written.
    """
    extras = _extras(options)
    split, samples = options.split, options.samples
    data = None if options.data is None else source_of(options.data)
    if samples < 2:
        raise UserError(f"--samples: {samples} must be at least 2, because BN averages over samples")
    if isinstance(source, str) and ":" in source:
        from reslab.convert.sources import PREFIXES

        source = opened(source) if source.startswith(PREFIXES) else source
    resolved = _spec_or_path(source, switches)
    import numpy as np

    from reslab.data.batches.loader import evaluation_batches, statistics
    from reslab.data.splits import SPLITS
    from reslab.engines.machine import prepare, scoring
    from reslab.measure.examine import check_extras, examine
    from reslab.measure.findings import Subject
    from reslab.measure.finite import check_network
    from reslab.measure.probe import batch_size, parts_of
    from reslab.models.capacity import check_probe
    from reslab.models.inputs import fit, load_data, workers_for
    from reslab.models.trained import TrainedModel
    from reslab.nets.model import build

    parts = () if extras and options.only is None else parts_of(PARTS if options.only is None else options.only)
    if not parts and options.at is not None:
        raise UserError(f"--at {options.at}: is used only for Jacobians; add --only jacobians")
    settings = scoring(options.device, options.threads)
    trained = (
        opened(resolved) if isinstance(resolved, Path) else resolved if isinstance(resolved, TrainedModel) else None
    )
    recipe = resolve_recipe(data or "digits")
    if trained is not None:
        model = trained.spec
        request = requested(trained, data, options.val_share, options.bad_images, options.download, split)
        loaded = read(trained, request, SPLITS, options.download)
    else:
        assert not isinstance(resolved, Path | TrainedModel)
        model = resolved if isinstance(resolved, Spec) else resolved.spec
        loaded = load_data(
            data or "digits", model, recipe.holdout,
            download=options.download, val_share=options.val_share, bad_images=options.bad_images,
        )  # fmt: skip
    part = loaded.split(split)
    n = min(samples, len(part))
    if n < 2:
        raise UserError(f"{loaded.name}: the {split} split has {n} samples; a probe needs at least 2")
    fitted = model if trained is not None else fit(model, loaded, _explicit(source, switches))
    check_probe(fitted, batch_size(fitted, n), "gradients" in parts, settings.device)
    prepare(settings)
    if trained is not None:
        check_fits(trained, loaded)
        notes_on(trained, request, loaded, data is not None)
        net, stats, view = trained.network, trained.transform.statistics, trained.transform.view
    else:
        net = build(fitted, seed=options.seed) if isinstance(resolved, Spec) else resolved  # type: ignore[assignment]
        check_network(net, net.name)
        stats, view = statistics(loaded.split("train"), recipe.centre, recipe.scale), None
    origin = trained.origin if trained else None
    seed = origin.seed if origin else options.seed if isinstance(resolved, Spec) else None
    subject = Subject(
        net.name,
        str(origin.path) if origin else None,
        origin.iteration if origin else None,
        loaded.name,
        split,
        seed,
    )
    first, size, processes = part.subset(np.arange(n)), batch_size(net.spec, n), workers_for(loaded, options.workers)
    check_extras(net, extras, n)
    folder = None if options.pictures is None else PictureFolder(options.pictures, "--pictures")
    result = examine(
        net, lambda: evaluation_batches(first, stats, size, processes, view), subject, n, parts, options.at,
        settings.device, extras, options.surface or 1, options.seed, tell or (lambda line: None),
    )  # fmt: skip
    unfit = _unfit(asdict(result))
    if unfit:
        result = replace(result, notes=(*result.notes, f"{unfit:,} figures are not finite: the network overflows"))
    return result if folder is None else replace(result, pictures=tuple(map(str, drawn(result.to_dict(), folder))))


def _extras(options: ProbeOptions) -> tuple[str, ...]:
    """Return the requested words of EXTRAS.

    Raises UserError for another number of directions than 1 and 2, and for pictures of none of them.
    """
    if options.surface not in (None, 1, 2):
        raise UserError(f"--surface: {options.surface} directions; give 1 or 2")
    extras = tuple(word for word in EXTRAS if getattr(options, word))
    if options.pictures is not None and not extras:
        raise UserError(f"--pictures {options.pictures}: add --lesions, --similarity or --surface 1, which it shows")
    return extras


def drawn(record: Mapping[str, Any], folder: PictureFolder) -> list[Path]:
    """Write a PNG for each of EXTRAS in a probe's record and return the files. Raises UserError if that fails."""
    from reslab.show.charts.chart import rendered
    from reslab.show.charts.probed import CHARTS

    return [
        folder.write(f"{word}.png", rendered(chart(record), ".png"))
        for word, chart in CHARTS.items()
        if record.get(word) is not None
    ]


def _explicit(source: str | Path | Spec | Network | TrainedModel, switches: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the switches that the data must agree with: those given with a name, or all of an existing network."""
    return switches if isinstance(source, str) else dict.fromkeys(FROM_DATA, 1)


def _unfit(value: Any) -> int:
    """Return how many numbers in a tree of dicts, tuples and lists are not finite."""
    if isinstance(value, float):
        return int(not math.isfinite(value))
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, tuple | list) else ()
    return sum(map(_unfit, inside))


def _spec_or_path(
    source: str | Path | Spec | Network | TrainedModel, switches: Mapping[str, Any]
) -> Path | Spec | Network | TrainedModel:
    """Return the path of a run, or the network of a name with switches."""
    if not isinstance(source, str | Path):
        if switches:
            raise UserError(f"probe: {', '.join(switches)} given with a network; give them with a model's name")
        return source
    path = Path(source)
    if isinstance(source, Path) or _exists(path) or source.startswith((".", "~", "/")) or path.name != source:
        if switches:
            raise UserError(
                f"{source}: {', '.join(switches)} given with a run, which has its own network; leave them out"
            )
        if not _exists(path):
            raise UserError(f"{source}: no such checkpoint or run{suggest_beside(path)}")
        return path
    return spec_of_word(source, switches, "no run of that name here")


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long, or with a null byte
        return False
