"""Progress bars and tables in a notebook: in a real Jupyter kernel, with what it sends to its front end."""

import math
import re
import sys
from dataclasses import fields, replace
from html.parser import HTMLParser
from pathlib import Path
from queue import Empty

import pytest
from jupyter_client.manager import KernelManager

from reslab.api.studies import Study
from reslab.claims.evidence import Evidence, Setting
from reslab.claims.overview import ClaimSummary, overview
from reslab.claims.text import Text
from reslab.measure.evaluate import Scores
from reslab.measure.findings import Probe, Response, Subject
from reslab.measure.result import Evaluation, Prediction
from reslab.nets.model import build
from reslab.notebook import MOST_ROWS
from reslab.runs.recipe import Recipe
from reslab.runs.runlog import Record, is_whole

TRAIN = """
record = reslab.train("cifar_resnet8", widths=(4, 4, 8), iterations=60, threads=1, device="cpu", out="run",
                      set={"log_every": 5, "eval_every": 30, "clean_every": 60})
"""


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """A function that runs a cell in one kernel and returns the messages of its output."""
    manager = KernelManager(kernel_name="python3")
    manager.kernel_spec.argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    manager.start_kernel(cwd=str(tmp_path_factory.mktemp("notebook")))
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=60)

    def run(code: str) -> list[dict]:
        request, messages = client.execute(code), []
        while True:
            try:
                message = client.get_iopub_msg(timeout=120)
            except Empty:
                pytest.fail(f"the kernel gave no answer to {code!r}")
            if message["parent_header"].get("msg_id") != request:
                continue
            messages.append({"type": message["header"]["msg_type"], **message["content"]})
            if messages[-1].get("execution_state") == "idle":
                return messages

    run("import reslab")
    yield run
    client.stop_channels()
    manager.shutdown_kernel(now=True)


@pytest.fixture(scope="module")
def trained(kernel):
    """The messages of a cell that trains a run and keeps its record as `record`."""
    return kernel(TRAIN)


def test_a_run_has_a_bar_that_moves(trained):
    messages = trained
    assert not [m for m in messages if m["type"] == "error"], messages
    first = [m for m in messages if m["type"] == "display_data"]
    assert len(first) == 1
    moves = [m for m in messages if m["type"] == "update_display_data"]
    name = first[0]["transient"]["display_id"]
    assert moves
    assert {m["transient"]["display_id"] for m in moves} == {name}
    bars = [re.search(r'<progress max="(\d+)" value="(\d+)"', m["data"]["text/html"]) for m in (*first, *moves)]
    places = [int(bar[2]) for bar in bars]
    assert {bar[1] for bar in bars} == {"60"}
    assert places == sorted(places)
    assert (places[0], places[-1]) == (0, 60)
    assert "left" in moves[0]["data"]["text/html"]
    printed = "".join(m["text"] for m in messages if m["type"] == "stream")
    assert "iteration 60: test error" in printed
    assert "img/s" not in printed  # what moves is in the bar
    assert {m["name"] for m in messages if m["type"] == "stream"} == {"stdout"}


def test_a_wrong_argument_shows_its_one_line(kernel):
    (error,) = [m for m in kernel("reslab.train('cifar_resnet8', sede=1)") if m["type"] == "error"]
    assert (error["ename"], error["evalue"]) == ("UserError", "train: unknown argument 'sede'; did you mean seed?")


def test_the_signature_is_shown(kernel):
    messages = kernel("import inspect; print(inspect.signature(reslab.evaluate))")
    assert "precision: Literal['fp32', 'bf16', 'int8'] = 'fp32'" in "".join(m.get("text", "") for m in messages)


RESULTS = {
    "record": ("Record(cifar_resnet8", ("split", "top-1 error", "n", "iteration"), 2),
    "reslab.evaluate(record.folder, threads=1)": ("cifar_resnet8, iteration 60", ("data", "split", "n"), 1),
    "reslab.build('cifar_resnet20')": ("0.27M parameters", ("layer", "kind", "channels"), 20),
    "reslab.probe(record.folder, only='responses', samples=8, threads=1)": ("responses", ("layer", "at", "std"), 7),
    "reslab.verdicts('C20')": ("C20", ("data", "seeds", "verdict", "why"), 1),
}


class Table(HTMLParser):
    """Caption, head and rows of the first table of a page; every tag must be closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open, self.texts, self.rows = [], {"caption": [], "th": [], "td": []}, 0
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.rows += tag == "tr"

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in self.texts:
            self.texts[self.open[-1]].append(data)


@pytest.mark.parametrize("code", RESULTS)
def test_results_are_tables(kernel, trained, code):
    caption, head, rows = RESULTS[code]
    (result,) = [m for m in kernel(code) if m["type"] == "execute_result"]
    found = Table(result["data"]["text/html"])
    assert caption in "".join(found.texts["caption"])
    assert tuple(found.texts["th"][: len(head)]) == head
    assert found.rows >= rows + 1
    assert "<script" not in result["data"]["text/html"]


BAD = "<script>x</script>&<b>"
RUN = {"model": BAD, "spec": {"depth": 8, "residual": True}, "seed": 0, "format": 2}


def hostile() -> dict[str, object]:
    """One of each kind of result, with a name that a page must not take for its own."""
    setting = Setting(BAD, Recipe(), (0,), (8, 20))
    told = overview([Evidence(Path(BAD), setting, {}, {})], ["C1"])[0]
    judgement = replace(told.judgements[0], sentence=Text(BAD, BAD))
    parts = dict.fromkeys(field.name for field in fields(Probe)) | {"subject": Subject(BAD, BAD, 1, BAD, BAD, 0)}
    return {
        "record": Record(Path(BAD), RUN, (), problems=(BAD,)),
        "evaluation": Evaluation(
            Path(BAD), BAD, 1, BAD, BAD, BAD, (BAD,), Scores(2, 1, 0, 0.5, ((2, 1),)), BAD, (BAD,)
        ),
        "prediction": Prediction(BAD, ((BAD, 0.75), ("a&b", math.nan))),
        "probe": Probe(**parts | {"n": 1, "responses": (Response(BAD, BAD, 1.0),)}),
        "told": ClaimSummary(judgement.claim, (judgement,)),
        "study": Study(Path(BAD), Path(BAD), (judgement,)),
    }


@pytest.mark.parametrize("kind", ["record", "evaluation", "prediction", "probe", "told", "study"])
def test_hostile_names_are_text(kind):
    page = hostile()[kind]._repr_html_()
    assert "<script" not in page
    texts = Table(page).texts
    assert BAD in "".join([*texts["caption"], *texts["td"]])


def test_the_cells_of_a_prediction():
    page = Prediction("dog.png", (("cat", 0.75), ("a&b", math.nan)))._repr_html_()
    assert Table(page).texts["td"] == ["cat", "75.00 %", "a&b", "–"]


@pytest.mark.parametrize(("error", "shown"), [(12.5, "12.50 %"), (None, "–"), (math.inf, "–")])
def test_a_record_whose_error_is_no_number(error, shown):
    line = {"kind": "eval", "split": "test", "iteration": 3, "n": 500, "top1_error": error}
    assert is_whole(line)
    assert Table(Record(Path("run"), RUN, (line,))._repr_html_()).texts["td"] == ["test", shown, "500", "3"]


def test_a_record_shows_the_exact_scores_if_there_are_any():
    line = {"kind": "eval", "split": "test", "iteration": 3, "n": 500, "top1_error": 10.0}
    exact = {"test": {"n": 500, "top1_error": 12.5}}
    record = Record(Path("run"), RUN, (line, {"kind": "end", "iteration": 3}), exact)
    assert Table(record._repr_html_()).texts["td"] == ["test", "12.50 %", "500", "3"]


@pytest.mark.parametrize("code", ["reslab.verdicts()", "reslab.verdicts()[:3]", "reslab.verdicts('C1')[0]"])
def test_verdicts_take_little_room(kernel, code):
    """A notebook keeps the text of a result beside its table; that of all records would be megabytes."""
    (result,) = [m for m in kernel(code) if m["type"] == "execute_result"]
    assert "<table>" in result["data"]["text/html"]
    assert len(result["data"]["text/plain"]) < 20_000
    assert "C1, " in result["data"]["text/plain"]


def test_a_long_table_is_cut_and_says_so():
    found = Table(build("cifar_resnet1202", device="meta")._repr_html_())
    assert found.rows == MOST_ROWS + 2
    assert found.texts["td"][-1] == "… 1,002 more rows"
