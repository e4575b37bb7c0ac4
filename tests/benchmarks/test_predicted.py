"""The model of docs/scale.md: its ring against one that is walked step by step, its schedule against every order."""

from itertools import permutations
from pathlib import Path

import pytest

from benchmarks.predicted import BACKWARD, Link, imagenet, longest, sum_seconds, table_6, update_seconds

DOCS = Path(__file__).parents[2] / "docs"


def ring(size: float, devices: int, link: Link) -> tuple[float, list[set[int]]]:
    """Pass chunks around the ring until every device has the sum of every chunk; the seconds, and who has which."""
    holds = [{chunk: {device} for chunk in range(devices)} for device in range(devices)]
    seconds = 0.0
    for step in range(2 * (devices - 1)):
        sent = [(device, (device - step) % devices) for device in range(devices)]
        news = [(device, chunk, set(holds[device][chunk])) for device, chunk in sent]
        for device, chunk, terms in news:
            holds[(device + 1) % devices][chunk] |= terms
        seconds += link.latency + size / devices / link.bandwidth
    return seconds, [{chunk for chunk, terms in own.items() if len(terms) == devices} for own in holds]


@pytest.mark.parametrize("devices", [1, 2, 3, 8])
def test_sum_takes_as_long_as_a_ring_that_is_walked(devices):
    link = Link(latency=0.25, bandwidth=100.0)
    seconds, complete = ring(1_000.0, devices, link)
    assert all(own == set(range(devices)) for own in complete)
    assert sum_seconds(1_000.0, devices, link) == pytest.approx(seconds)


def test_an_update_hides_its_sum_behind_the_backward_pass():
    compute = 100 / 50.0
    for bandwidth in (1e3, 1e4, 1e9):
        link = Link(0.0, bandwidth)
        whole = sum_seconds(4e3, 4, link)
        expected = max(compute, compute * (1 - BACKWARD) + whole)  # the sum begins when the forward pass has ended
        assert update_seconds(100, 50.0, 4e3, 4, link) == pytest.approx(expected)


def test_the_schedule_is_at_most_a_third_longer_than_the_best():
    """Graham's bound for taking the longest first: 4/3 - 1/(3 devices), against every assignment."""
    runs = [5.0, 4.0, 3.0, 3.0, 2.0, 1.0]
    for devices in (1, 2, 3, 6):
        best = sum(runs)
        for order in set(permutations(runs)):
            free = [0.0] * devices
            for one in order:
                free[free.index(min(free))] += one
            best = min(best, max(free))
        assert best <= longest(runs, devices) <= best * (4 / 3 - 1 / (3 * devices)) + 1e-9


@pytest.mark.parametrize("page", ["scale.md", "scale.ko.md"])
def test_the_pages_have_the_figures_of_the_model(page):
    shown = [[cell.strip() for cell in line.split("|")] for line in (DOCS / page).read_text().splitlines()]
    for line in [*imagenet()[2:], *table_6()[2:]]:
        assert [cell.strip() for cell in line.split("|")] in shown
