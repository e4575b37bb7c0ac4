"""The paper's figures and tables by name, each as one file: SVG, PNG, or HTML with interactive charts.

Drawn from the nets' own definitions (fig3, fig5, table1 to table4, macs-by-layer) or from records (the others).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from reslab.claims.evidence import Evidence, net
from reslab.claims.text import LANGUAGES, Text
from reslab.errors import UserError, suggest
from reslab.nets.names import spec_of
from reslab.nets.paper import FIG_3
from reslab.runs.runlog import Record
from reslab.show import words
from reslab.show.charts.chart import WIDTH, rendered, unvalidated
from reslab.show.charts.curves import split_panels
from reslab.show.charts.findings import INITIAL
from reslab.show.drawings.blocks import draw_blocks
from reslab.show.drawings.canvas import Picture
from reslab.show.drawings.nets import draw_nets
from reslab.show.drawings.table import draw_table
from reslab.show.look import SOFT
from reslab.show.notes import data_words
from reslab.show.pages import figures, papertables
from reslab.show.pages.embed import Shelf
from reslab.show.pages.figures import Drawn
from reslab.show.pages.files import check_target, write, writing
from reslab.show.pages.page import page
from reslab.show.pages.papertables import PaperTable
from reslab.show.series import by_net, sound, splits_of
from reslab.show.words import wrapped

# From definitions alone; the others need records.
DRAWINGS = ("fig3", "fig5")
TABLES = ("table1", "table2", "table3", "table4", "table6")
CHARTS = {
    "fig1": "curves", "fig6": "curves", "fig7": "responses", "depth": "depth", "macs": "macs",
    "gradients": "gradients", "activations": "activations", "residuals": "residuals",
    "macs-by-layer": "macs-by-layer", "copying": "copying", "removal": "removal", "progress": "progress",
}  # fmt: skip
NAMES = ("fig1", "fig3", "fig5", "fig6", "fig7", *(n for n in CHARTS if not n.startswith("fig")), *TABLES)
DEFINED = (*DRAWINGS, *(t for t in TABLES if t != "table6"), "macs-by-layer")

NEEDS = {
    "responses": "finished runs with probes: `reslab reproduce responses`, or train with --set probe_every=N",
    "gradients": "runs with probes: `reslab reproduce gradients`, or train with --set probe_every=N",
    "activations": "runs with probes: `reslab reproduce gradients`, or train with --set probe_every=N",
    "residuals": "runs with probes: `reslab reproduce residuals`, or train with --set probe_every=N",
    "copying": "a study in which C23 was measured: `reslab reproduce copying`",
    "removal": "a study in which C25 was measured: `reslab reproduce removal`",
    "depth": "finished runs of several depths: `reslab reproduce degradation`",
    "macs": "finished runs: `reslab reproduce degradation`",
}
ANY_RUN = "runs with measured errors: `reslab reproduce degradation`, or `reslab train MODEL`"
FIG_1 = Text("Fig. 1: plain nets, {measures}", "Fig. 1: plain 네트워크의 {measures}")
AND = Text(" and ", "와 ")
FIG_6 = Text("Fig. 6: plain and residual, error against iterations", "Fig. 6: plain과 residual, 반복 횟수에 따른 error")
FIG_1_CAPTION = Text(
    "Plain nets; bold: mean over seeds, faint: each seed.", "plain 네트워크. 굵은 선: seed 평균, 흐린 선: 각 seed."
)


def known(name: str) -> str:
    """Return the name. Raises UserError with the nearest names if it is unknown."""
    if name not in NAMES:
        raise UserError(f"unknown picture {name!r}{suggest(name, NAMES)}; there are {', '.join(NAMES)}")
    return name


@unvalidated()
def write_picture(
    name: str, sources: Iterable[Evidence | Record], path: Path, language: str = "en", overwrite: bool = False,
    scale: float = 2.0,
) -> None:  # fmt: skip
    """Write a picture in the format of `path`'s ending (.svg, .png, .html); `scale` is PNG pixels for each CSS pixel.

    sources  studies and runs whose records are drawn; none are needed for what is drawn from definitions
    Raises UserError for an unknown name or language, a file that exists, and if nothing was recorded.
    """
    known(name)
    Text("", "")(language)
    assert language in LANGUAGES
    check_target(path, overwrite)
    given = list(sources)
    records = records_of(given)
    if name in DRAWINGS:
        drawing = draw_blocks(language=language) if name == "fig5" else draw_nets([spec_of(n) for n in FIG_3], language)
        write(drawing.svg, drawing.title, drawing.width, path, overwrite, scale, language)
    elif name in TABLES:
        _write_table(table_of(name, records, language), path, language, overwrite, scale)
    else:
        evidence = [source for source in given if isinstance(source, Evidence)]
        _write_chart(drawn_of(name, records, evidence, language), path, language, overwrite, scale)


def records_of(sources: Iterable[Evidence | Record]) -> list[Record]:
    """Return the records of some runs, and of studies those of the twins, as the paper's figures have them; once each.

    A study without trained twins gives all its runs.
    """
    by_folder: dict[Path, Record] = {}
    for source in sources:
        records = [source] if isinstance(source, Record) else twins_of(source) or source.every_record()
        by_folder |= {r.folder: r for r in records}
    return list(by_folder.values())


def twins_of(study: Evidence) -> list[Record]:
    """Return the runs of the plain and residual nets of a study's depths, without switches; unfinished ones too."""
    names = [net(f"cifar_{kind}{depth}") for kind in ("plain", "resnet") for depth in study.setting.depths]
    return [record for of_net in names for record in study.records.get(of_net.key, {}).values()]


def telling(name: str, studies: Iterable[Evidence]) -> list[Evidence]:
    """Return the first study with twins of two depths that can draw the chart, else the first that can, else [].

    Depth and MACs compare final errors, so only finished twins count for them.
    """

    def compares(study: Evidence) -> bool:
        at_end = name in ("depth", "macs")
        return len({r.depth for r in twins_of(study) if r.finished or not at_end}) > 1

    for study in sorted(studies, key=lambda one: not compares(one)):  # sorting keeps their order otherwise
        try:
            drawn_of(name, records_of([study]), [study], "en")
        except UserError:
            continue
        return [study]
    return []


def table_of(name: str, records: Sequence[Record], language: str) -> PaperTable:
    if name == "table6":
        return papertables.table6(records, language)
    table: PaperTable = getattr(papertables, name)(language)
    return table


def drawn_of(name: str, records: Sequence[Record], evidence: Sequence[Evidence], language: str) -> Drawn:
    """Return the chart of that name. Raises UserError with the command to run if there is nothing to draw."""
    what = CHARTS[name]
    chosen = list(records)
    if name == "fig1":
        chosen = _ends(chosen)
    drawing = figures.draw(what, chosen, next(iter(evidence), None), language)
    if drawing is None:
        raise UserError(f"{name}: nothing is recorded for it; it needs {NEEDS.get(what, ANY_RUN)}")
    clean = sound(chosen)
    title, caption, panels = drawing.title, drawing.caption, drawing.panels
    if name == "fig1":
        measures = [words.MEASURES[split] for split in splits_of(clean.records)]
        title = FIG_1.filled(measures=AND(language).join(m(language) for m in measures))
        caption, panels = figures.together([FIG_1_CAPTION, figures.left_out(clean)]), split_panels(chosen, language)
    elif name == "fig6":
        title = FIG_6
    if name not in (*DEFINED, "copying"):  # a file has no page around it that names its data
        drawn_without = {study.setting.data for study in evidence[:1] if what in INITIAL}
        data = Text(*(data_words(clean.records, lang, drawn_without) for lang in LANGUAGES))
        caption = figures.together([caption, data])
    return Drawn(name if name in ("fig1", "fig6") else drawing.id, title, caption, panels, drawing.head, drawing.rows)


def _ends(records: Sequence[Record]) -> list[Record]:
    """Return Fig. 1's runs: plain nets of 20 and 56 layers if both were run, else of the fewest and the most."""
    plain = [group for group in by_net(sound(records).records) if group.kind == "plain"]
    depths = {group.depth for group in plain}
    if not depths:
        return []
    drawn_depths = {20, 56} if {20, 56} <= depths else {min(depths), max(depths)}
    return [r for group in plain if group.depth in drawn_depths for r in group.records]


def _write_table(table: PaperTable, path: Path, language: str, overwrite: bool, scale: float) -> None:
    title, caption = table.title(language), table.caption(language)
    drawing: Picture = draw_table(title, table.head, table.rows, caption)
    write(drawing.svg, title, drawing.width, path, overwrite, scale, language)


def _write_chart(drawn: Drawn, path: Path, language: str, overwrite: bool, scale: float) -> None:
    title, caption = drawn.title(language), drawn.caption(language)
    with writing(path) as aside:
        if path.suffix.lower() == ".html":
            shelf = Shelf()
            figure = figures.figure(drawn, "picture", shelf, language)
            aside.write_text(page("picture.html.j2", language, shelf, title=title, figure=figure), encoding="utf-8")
        else:
            aside.write_bytes(rendered(joined(drawn, title, caption), path.suffix.lower(), scale))


def joined(drawn: Drawn, title: str, caption: str) -> Any:
    """Return the panels of a figure as one chart, two in a row, the caption below the title."""
    import altair as alt

    panels = list(drawn.panels.values())
    columns = min(2, len(panels))
    lines = wrapped(caption, int(columns * (WIDTH + 60) / 6.4))
    heading = alt.TitleParams(title, subtitle=lines, fontSize=16, subtitleFontSize=12, subtitleColor=SOFT,
                              anchor="start", offset=14)  # fmt: skip
    return (
        alt.concat(*panels, columns=columns)
        .resolve_scale(color="independent", shape="independent", strokeDash="independent")
        .properties(title=heading, padding=16)
    )
