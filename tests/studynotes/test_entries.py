"""The entries of the study notes: every line has one, every claim and system is named, every command runs."""

import hashlib
import shlex
from pathlib import Path

import pytest
from cases import some
from house import ROOT

from reslab.claims.catalogue import catalogue, default_setting
from reslab.claims.catalogue import chosen as claims_of
from reslab.cli.main import main
from reslab.cli.options import given
from reslab.cli.verbs import app
from reslab.errors import UserError
from reslab.nets.names import spec_of
from reslab.options.network import Switches
from reslab.options.scoring import ProbeOptions
from reslab.options.training import TrainOptions
from reslab.show.terminal.studynotes import commands_of
from reslab.studynotes.notes import ALL, NOTES, chosen, sections, systems, text_of
from reslab.studynotes.quote import is_picture, readable

ENTRIES = [entry for section in sections() for entry in section.entries]
COMMANDS = [*dict.fromkeys(command for entry in ENTRIES for command in commands_of(entry))]
FAST = ("list", "describe", "draw", "figure", "notes")  # they read or draw; the others train, probe or judge
OPTIONS = {"train": TrainOptions, "probe": ProbeOptions}
SHA256 = {  # of the notes as their authors wrote them
    "000": "2558ad8555b35fbd372f5d09fa26f5a88d673261b1c701f0933c8657ec63d13d",
    "001": "884b634d93313c5287ba76c37a900281208642170be7516022ba7678141b9f74",
    "002": "cb6c45777b15d28b079ba918f8c15e0562aebb126762def59eb04747a87ef987",
}


# -- the lines


@pytest.mark.parametrize("note", NOTES)
def test_a_note_is_as_its_author_wrote_it(note):
    assert hashlib.sha256(text_of(note).encode()).hexdigest() == SHA256[note]


@pytest.mark.parametrize("note", NOTES)
def test_every_line_has_one_entry_in_order(note):
    lines = text_of(note).splitlines()
    covered = []
    for section in chosen(note):
        covered += [] if section.heading is None else [section.heading]
        for entry in section.entries:
            first, last = entry.lines
            covered += [n for n in range(first, last + 1) if lines[n - 1].strip()]
            assert entry.verbatim.splitlines() == lines[first - 1 : last]
    assert covered == [n for n, line in enumerate(lines, 1) if line.strip()]


def test_a_heading_is_the_title_of_its_section():
    headings = [line for note in NOTES for line in text_of(note).splitlines() if line.startswith(("# ", "## "))]
    titles = [section.title for section in sections() if section.title]
    own = ["“Deep Residual Learning for Image Recognition”", "classes : wide"]  # a subtitle, and a comment of YAML
    assert titles == [title for line in headings if (title := line.lstrip("# ")) not in own]


def test_every_picture_of_the_notes_is_redrawn():
    pictures = [entry for entry in ENTRIES if any(map(is_picture, entry.verbatim.splitlines()))]
    assert sum(text_of(note).count("![") + text_of(note).count("<img") for note in NOTES) == 14
    assert len(pictures) == 14
    assert [entry.lines for entry in pictures if not entry.picture.startswith("reslab ")] == []


def test_quotes_are_readable():
    for entry in ENTRIES:
        assert entry.quote.strip()
        assert not [mark for mark in ("$", "\\", "**", "![", "<img", "<br") if mark in entry.quote], entry.quote


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        (r"$\frac{\partial H}{\partial x}=\frac{\partial F}{\partial x}+1$ 이", "∂H/∂x = ∂F/∂x + 1 이"),
        ("$$\n\\begin{align}\na^{[L+2]} &= g^{[L+2]}(z^{[L+2]} +a^{[L]} ) \\\\\n\\end{align}\n$$",
         "a[L+2] = g[L+2](z[L+2] + a[L])"),
        (r"$$W_s \in R^{n^{[L+2]} \times n^{[L]} }$$", "W_s ∈ R^(n[L+2] × n[L])"),
        (r"$H(x) = F(x, \{Wi\}) + x$", "H(x) = F(x, {Wi}) + x"),
        ("    - **a**\n\n        - b<br/>\n\n<br/>\n---", "- a\n    - b<br/>"),
        ("### 1. 1개층\n# classes : wide", "1. 1개층\n# classes : wide"),
    ],
)  # fmt: skip
def test_markdown_and_latex_as_plain_characters(text, plain):
    assert readable(text) == plain


# -- what the entries say


@pytest.mark.parametrize("language", ["en", "ko"])
def test_why_is_short(language):
    assert [entry.lines for entry in ENTRIES if not 1 <= len(entry.why(language).split()) <= 40] == []


def test_every_claim_of_the_notes_is_named():
    """A claim says where it stands: in "002 §4" or "000, 001", or in the paper alone."""
    known = {claim.id: claim.said for claim in catalogue(default_setting("digits"))}
    named = {claim for entry in ENTRIES for claim in entry.claims}
    assert named <= known.keys()
    assert [id for id, said in known.items() if any(note in said for note in NOTES) and id not in named] == []


def test_a_claim_is_named_at_the_line_that_it_quotes():
    for claim in catalogue(default_setting("digits")):
        if not any(note in claim.said for note in NOTES):
            continue
        words = readable(claim.quote.partition(" […] ")[0]).strip("*")
        quoting = [entry for entry in ENTRIES if words in " ".join(entry.quote.split("\n"))]
        assert quoting, claim.id
        assert any(claim.id in entry.claims for entry in quoting), claim.id


def test_every_system_is_shown():
    ids = [system.id for system in systems()]
    assert ids == [f"S{n}" for n in range(1, 15)]
    assert {system for entry in ENTRIES for system in entry.systems} == {*ids}
    assert [system.id for system in systems() if not system.commands] == []


# -- the commands


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_understood(command):
    program, *words = shlex.split(command)
    if program == "pytest":
        assert (ROOT / words[0]).is_file()
        return
    assert program == "reslab"
    _, bound, _ = app.parse_args(words, exit_on_error=False, print_error=False)
    if words[0] in OPTIONS:
        options = OPTIONS[words[0]]
        assert options.of(given(options, bound.arguments.get("options")))
        assert spec_of(words[1], **given(Switches, bound.arguments.get("switches")))
    if words[0] == "reproduce":
        assert claims_of(default_setting("digits"), words[1:])


@pytest.mark.parametrize("command", some([command for command in COMMANDS if command.split()[1] in FAST], quick=16))
def test_a_fast_command_runs(command, tmp_path, monkeypatch, capsys):
    words = shlex.split(command)[1:]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").symlink_to(ROOT / "results")
    if words[0] in ("draw", "figure") and "--out" not in words:
        words += ["--out", "picture.svg"]
    assert main(words) == 0
    printed = capsys.readouterr()
    assert printed.out
    if "--out" in words:
        assert Path(printed.out.strip()).read_text(encoding="utf-8").startswith("<svg")


# -- which sections a word names


def test_sections_by_word():
    assert [section.id for section in chosen("002.3")] == ["002.3"]
    assert [section.id for section in chosen("001")] == ["001.intro", "001.1", "001.2", "001.3"]
    assert chosen(ALL) == [*sections()]
    assert chosen("002.INTRO")[0].id == "002.intro"
    with pytest.raises(UserError, match=r"'002\.33' is no section; did you mean 002\.3.*000\.1 to 002\.5"):
        chosen("002.33")
