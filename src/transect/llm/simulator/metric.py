# SPDX-License-Identifier: Apache-2.0
"""The paper's measure of fairness (OSDI'24, section 5.1): how far clients' services lie apart, where they need not.

A request's service h(input, output) is taken as spread evenly from its first token to its last.  In each window, the
difference is the sum over clients of min(greatest service − s, |demand − s|), per second: a client that got what it
asked for counts little.  The published tables come from 19 windows of 60 s, the i-th beginning at 28.5 i seconds;
requests that were turned away count for nothing.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from transect.llm.request import ORDINARY
from transect.llm.simulator.job import Job

WINDOW = 60.0  # s
STARTS = tuple(28.5 * i for i in range(1, 20))  # s

Cost = Callable[[int, int], float]


def linear(x: int, y: int) -> float:
    """w_p = 1, w_q = 2: weighted tokens of x input and y output tokens."""
    return x + 2.0 * y


def profiled(x: int, y: int) -> float:
    """The cost measured on an A10G with Llama-2-7b (OSDI'24, appendix B.2)."""
    return 0.21001891 * x + 0.10075395 * y + 0.0039868 * x * y + 0.00324733 * y * y + 1.14601454


@dataclass(frozen=True, slots=True)
class Fairness:
    """The figures of one run.  Differences in cost per second."""

    greatest: float
    average: float
    variance: float
    throughput: float  # input and output tokens per second
    seconds: float  # until the last request was done
    differences: tuple[float, ...]  # of each window


def fairness(
    jobs: Sequence[Job], service: Cost = linear, demand: Cost | None = None, *, by_weight: bool = False
) -> Fairness:
    """The figures of one row of a table.  `demand`: the cost of what clients ask for, if it differs from the cost of
    what they get.  `by_weight`: services and demands are divided by the client's weight, relative to the ordinary one;
    the paper does not do so.
    """
    served = [job for job in jobs if job.done >= 0]
    asked = demand or service
    differences = tuple(_difference(served, start, service, asked, by_weight) for start in STARTS)
    seconds = max((job.done for job in served), default=0.0)
    tokens = sum(job.input + job.output for job in served)
    return Fairness(
        greatest=max(differences),
        average=statistics.fmean(differences),
        variance=statistics.pvariance(differences),
        throughput=tokens / seconds if seconds else 0.0,
        seconds=seconds,
        differences=differences,
    )


def _difference(jobs: Sequence[Job], start: float, service: Cost, demand: Cost, by_weight: bool) -> float:
    got, wanted = services(jobs, start, start + WINDOW, service), defaultdict[Hashable, float](float)
    for job in jobs:
        if start <= job.arrival < start + WINDOW:
            wanted[job.client] += demand(job.input, job.output)
    if by_weight:
        for client, weight in {job.client: job.weight for job in jobs}.items():
            got[client] *= ORDINARY / weight
            wanted[client] *= ORDINARY / weight
    most = max(got.values(), default=0.0)
    clients = got.keys() | wanted.keys()
    return sum(min(most - got[c], abs(wanted[c] - got[c])) for c in clients) / WINDOW


def services(
    jobs: Sequence[Job], start: float, end: float, service: Cost = linear
) -> defaultdict[Hashable, float]:
    """What each client got from `start` to `end`."""
    got: defaultdict[Hashable, float] = defaultdict(float)
    for job in jobs:
        if job.first >= end or job.done < start:
            continue
        cost, length = service(job.input, job.output), job.done - job.first
        if length > 0:
            got[job.client] += cost * (min(job.done, end) - max(job.first, start)) / length
        elif start <= job.first:
            got[job.client] += cost
    return got
