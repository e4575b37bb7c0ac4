"""The documentation: its figures are those of records, its reference pages are whole, its lines are short.

`make docs` holds every link on the site.
"""

import inspect
import json
import re
import sys
from statistics import mean

import pytest
from house import ROOT

import reslab
from reslab.claims.evidence import net, read
from reslab.claims.quantity import final_error
from reslab.claims.rules import figure
from reslab.nets.names import spec_of
from reslab.nets.plan import plan
from reslab.options.training import TrainOptions
from reslab.runs.recipes import fast_cifar, paper_cifar
from reslab.training.checks import full_size_updates
from reslab.training.descent import STEPS

DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS))

import reference  # noqa: E402

LONGEST = 400
MACHINES = {  # of the performance page
    "EPYC": "amd-epyc", "Xeon": "intel-xeon-processor-amx", "Xeon without AMX": "intel-xeon-processor",
    "H100": "nvidia-h100",
}  # fmt: skip


def page(name):
    return (DOCS / name).read_text(encoding="utf-8")


def scores(study, split="test"):
    """The exact final errors of a study of one net, a run each."""
    files = sorted((ROOT / "results" / study).glob("*/summary.json"))
    return [json.loads(file.read_text(encoding="utf-8"))[split]["top1_error"] for file in files]


@pytest.mark.parametrize("name", ["index.md", "index.ko.md"])
def test_figures_of_the_start_pages(name):
    digits = read(ROOT / "results" / "digits")
    errors = {
        kind: list(final_error(net(f"cifar_{kind}56"), "train").read(digits).values()) for kind in ("plain", "resnet")
    }
    caption = next(line for line in page(name).splitlines() if line.startswith("*"))
    assert re.findall(r"([\d.]+) %", caption) == [f"{mean(values):.1f}" for values in errors.values()]
    assert len(errors["plain"]) == len(errors["resnet"]) == int(re.findall(r"5", caption)[0])
    (one,), five = scores("cifar10-whole"), scores("gpu-whole")
    assert f"{one:.2f} %" in page(name)
    whole, text = figure(five), " ".join(page(name).split())
    between = "–" if name.endswith(".ko.md") else " to "
    assert f"{whole.mean:.2f} %" in text
    assert f"{whole.low:.2f}{between}{whole.high:.2f}" in text


def test_what_the_fast_recipe_saves():
    """The costs beside the whole recipe, and the saving with Muon's own multiply-adds (five Newton-Schulz steps)."""
    text, fast, whole = page("fast.md"), fast_cifar(), paper_cifar()
    for slow, quick in (("cifar10-whole", "fast-cifar"), ("gpu-whole", "gpu-fast")):
        assert re.search(rf"\| {mean(scores(quick)) - mean(scores(slow)):.2f} (\[\S+ \S+\] )?points", text)
    for part in ("gpu-whole", "fast-cifar", "gpu-fast"):
        value = figure(scores(part))
        assert f"{value.mean:.2f} [{value.low:.2f}, {value.high:.2f}] % ({value.n} seeds)" in text
    rows = plan(spec_of("cifar_resnet20"))
    sides = [sorted((row.c_out, row.c_in * row.kernel**2)) for row in rows if row.kind == "conv"]
    muon = STEPS * sum(2 * short**2 * long + short**3 for short, long in sides)
    passes = [128 * full_size_updates(spec_of("cifar_resnet20"), recipe) for recipe in (whole, fast)]
    with_muon = passes[1] + fast.iterations * muon / (3 * sum(row.macs for row in rows))
    assert f"{muon / 1e6:.0f} M multiply-adds" in text
    assert f"{passes[0] / passes[1]:.2f} times fewer" in text
    assert f"**{passes[0] / with_muon:.2f} times**" in text


def test_ratios_of_the_performance_page_are_those_of_their_records():
    rows = [line.strip("| ").split(" | ") for line in page("performance.md").splitlines() if line.startswith("| ")]
    measured = [row for row in rows if len(row) == 7 and " to " in row[3]]
    assert len(measured) > 15
    for task, ours, baseline, ratio, n, hardware, command in measured:
        machine = MACHINES[hardware.partition(",")[0]]
        newest = max((ROOT / "benchmarks" / "results").glob(f"{command.strip('`')}-*-{machine}.md"))
        text = newest.read_text(encoding="utf-8")
        median, least, most = re.findall(r"[\d.]+", ratio)
        ours, baseline = (value.partition(" ")[0].rstrip(",") for value in (ours, baseline))
        cells = [baseline, ours, f"{least} / {median} / {most}"]
        lines = [[cell.strip() for cell in line.split("|")] for line in text.splitlines() if line.startswith("|")]
        names = [line[1] for line in lines if any(line[i : i + 3] == cells for i in range(len(line)))]
        assert len(names) == 1, task
        pairs = re.search(rf"^- {re.escape(names[0])}: .*; ratios ([\d. ]+)$", text, re.MULTILINE)
        assert pairs is None or len(pairs[1].split()) == int(n), task


def test_every_public_function_is_on_its_page():
    assert sorted(re.findall(r"autofunction:: reslab\.(\w+)", page("api.md"))) == sorted(reslab.__all__)


@pytest.mark.parametrize("name", [name for name in reslab.__all__ if "    " in inspect.getdoc(getattr(reslab, name))])
def test_docstrings_become_lists_of_parameters(name):
    function = getattr(reslab, name)
    lines = inspect.getdoc(function).splitlines()
    fields = reference.fields(lines)
    documented = {match[1] for line in fields if (match := re.match(r":param (\w+): \S", line))}
    assert documented
    assert documented <= set(inspect.signature(function).parameters)
    words = " ".join(re.sub(r"^:param (\w+):", r"\1", line) for line in fields).split()
    assert words == " ".join(lines).split()  # nothing is lost


def test_help_texts_become_lists_of_options():
    text = reference.help_text("train")
    items = {name: meaning for _, lines in reference.panels(text) for name, meaning in lines}
    for option in TrainOptions.described().values():
        meaning = next(meaning for name, meaning in items.items() if option.flag in name.split())
        assert option.help in meaning
    assert "recipe" in reference.commands(reference.help_text())
    assert reference.commands(reference.help_text("recipe")) == ["list", "show"]


OUTSIDE = [ROOT / name for name in ("README.md", "README.ko.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")]
WRITTEN = [*DOCS.glob("*.md"), *OUTSIDE[2:]]


@pytest.mark.parametrize("file", WRITTEN, ids=lambda file: file.name)
def test_no_line_is_long(file):
    lines = file.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if len(line) > LONGEST and not line.startswith("|")] == []


@pytest.mark.parametrize("file", OUTSIDE, ids=lambda file: file.name)
def test_relative_links_outside_of_the_site(file):
    for target, anchor in re.findall(r"\]\((?!\w+:)([^)#\s]*)#?([^)\s]*)\)", file.read_text(encoding="utf-8")):
        linked = file.parent / target if target else file
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = [re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings]
            assert anchor in anchors, f"{target}#{anchor}"


def test_every_place_of_the_paper_page_exists():
    places = re.findall(r"`(reslab/[\w/]+\.py)`(?:: `(\w+)(?:\.(\w+))?`)?", page("paper.md"))
    assert len(places) > 20
    for file, *names in places:
        text = (ROOT / file).read_text(encoding="utf-8")
        assert all(re.search(rf"\b{name}\b", text) for name in names), (file, names)


def test_docstrings_keep_their_plain_text():
    lines = [
        "Take *args of cifar_ nets.",
        "",
        "out   as in `train --out`, else",
        "      --dry-run",
        "among what is --new",
    ]
    reference.docstring(None, "function", "f", None, None, lines)
    assert lines == [
        r"Take \*args of cifar\_ nets.", "", "", ":param out: as in `train --out`, else", "    `--dry-run`",
        ":param among: what is `--new`",
    ]  # fmt: skip
