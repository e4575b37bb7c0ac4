"""Progress bars and tables in a notebook: in a real Jupyter kernel, with what it sends to its front end."""

import re
import sys
from queue import Empty

import pytest
from jupyter_client.manager import KernelManager

TRAIN = """
import reslab
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

    yield run
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def test_a_run_has_a_bar_that_moves(kernel):
    messages = kernel(TRAIN)
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
    assert "precision: Literal['fp32', 'bf16'] = 'fp32'" in "".join(m.get("text", "") for m in messages)
