"""Slow checks of the whole package against faults: `make reliability`. Each test is `test_fault_ROW_…`.

RELIABILITY_ROWS="1 9 13" selects rows, RELIABILITY_SCALE multiplies the counts, RELIABILITY_TABLE names the page that
takes the table.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
for room in ("show", "claims", "data", "training", "campaign", "ranks", "cli"):  # helpers of the other tests
    sys.path.insert(0, str(HERE.parent / room))
sys.path.insert(0, str(HERE))

import table  # noqa: E402
from damage import copied  # noqa: E402
from PIL import Image  # noqa: E402
from processes import Server  # noqa: E402
from table import Count  # noqa: E402
from trained import BRIEF  # noqa: E402

LIMIT = 900  # seconds of one test
counts: list[Count] = []
began = time.monotonic()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests of this folder as slow, and leave out the rows that were not chosen."""
    chosen = {int(row) for row in os.environ.get("RELIABILITY_ROWS", "").split()}
    left_out = []
    for item in [i for i in items if HERE in i.path.parents]:
        item.add_marker(pytest.mark.slow)
        item.add_marker(pytest.mark.timeout(LIMIT))
        if chosen and chosen.isdisjoint(table.rows_of(item.nodeid)):
            left_out.append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item):
    """Fail a test that counted more faults than it survived, once it has counted all."""
    result = yield
    lost = [f"{key}: {value}" for key, value in item.user_properties if key == "lost"]
    if lost:
        pytest.fail("\n".join(lost), pytrace=False)
    return result


class Progress:
    """Collects the counts, and shows each line as soon as it is there."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if "tests/reliability" not in report.nodeid:
            return
        for found in table.of_report(report):
            counts.append(found)
            terminal = self.config.pluginmanager.get_plugin("terminalreporter")
            terminal.write_line(f"\n{report.duration:4.0f} s  {table.line(found)}")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Progress(config))


def pytest_terminal_summary(terminalreporter) -> None:
    if not counts:
        return
    seconds = time.monotonic() - began
    terminalreporter.section("reliability")
    for line in table.lines(counts, markdown=False):
        terminalreporter.write_line(line)
    terminalreporter.write_line(table.summary(counts, seconds))
    if page := os.environ.get("RELIABILITY_TABLE"):
        table.write(Path(page), counts, seconds)


@pytest.fixture
def count(request: pytest.FixtureRequest) -> Callable[..., None]:
    """`count(row, what, tried, survived, note)`: a line of the table; the test fails if not all survived."""

    def counted(row: int, what: str, tried: int, survived: int, note: str = "") -> None:
        request.node.user_properties.append(table.property_of(Count(row, what, tried, survived, note)))
        if survived < tried:
            text = f"row {row}, {what}: {survived} of {tried} survived: {note}"
            request.node.user_properties.append(("lost", text))

    return counted


@pytest.fixture(scope="session")
def server():
    server = Server()
    yield server
    server.close()


@pytest.fixture(scope="session")
def kernels(tmp_path_factory) -> Path:
    """A cache folder for compiled kernels, the same for all tests of a worker process."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def reslab(server, tmp_path, kernels):
    """`reslab("train", …)`: the command line in a process of its own, in an empty folder."""
    here = tmp_path / "here"
    here.mkdir(exist_ok=True)

    def called(*words: object, cwd: Path = here, **more):
        return server(*words, cwd=cwd, **{"XDG_CACHE_HOME": str(kernels), **more})

    called.here = here
    called.start = lambda *words, cwd=here, **more: server.start(
        *words, cwd=cwd, **{"XDG_CACHE_HOME": str(kernels), **more}
    )
    return called


@pytest.fixture(scope="session")
def finished(server, tmp_path_factory) -> Path:
    """A run of four updates; copy it before changing anything."""
    here = tmp_path_factory.mktemp("finished")
    server(*BRIEF, "--out", "run", cwd=here).good()
    return here / "run"


@pytest.fixture
def run(finished, reslab) -> Path:
    """A copy to be damaged, and beside it an image to predict."""
    Image.linear_gradient("L").resize((8, 8)).save(reslab.here / "x.png")
    return copied(finished, reslab.here / "run")
