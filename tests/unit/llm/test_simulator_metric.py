# SPDX-License-Identifier: Apache-2.0
"""The published rows, recomputed from the published per-request results."""

from __future__ import annotations

import pytest

from transect.llm.simulator.metric import fairness, services
from transect.llm.simulator.trace import published, read

ROWS = {
    "real_fcfs": (759.97, 433.53, 32112.00, 777),
    "real_vtc": (368.40, 251.66, 6549.16, 779),
}


@pytest.mark.parametrize("name", ROWS)
def test_a_published_row_is_recomputed(name: str) -> None:
    found = fairness(published(name))
    greatest, average, variance, throughput = ROWS[name]
    assert found.greatest == pytest.approx(greatest, abs=0.01)
    assert found.average == pytest.approx(average, abs=0.01)
    assert found.variance == pytest.approx(variance, abs=0.011)  # printed from rounded differences
    assert round(found.throughput) == throughput


def test_the_published_overload_row_is_recomputed() -> None:
    found = fairness(published("overload_vtc"))
    assert (round(found.greatest, 2), round(found.average, 2)) == (192.88, 103.77)
    assert 893 <= found.throughput <= 904


def test_service_is_spread_evenly_from_the_first_token_to_the_last() -> None:
    (job,) = read("real_trace").jobs(1024)[:1]
    job.first, job.done = 10.0, 20.0
    whole = job.input + 2 * job.output
    assert services([job], 10.0, 15.0)[job.client] == pytest.approx(whole / 2)
    assert services([job], 0.0, 30.0)[job.client] == pytest.approx(whole)
    assert services([job], 20.5, 30.0)[job.client] == 0
