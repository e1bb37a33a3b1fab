# SPDX-License-Identifier: Apache-2.0
"""How long calls took, in a bounded histogram: the counterpart of runtime/times.h, and what is read from the histogram.

There are four buckets for each power of two nanoseconds: a quantile is within an eighth of the true one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, TypedDict

BUCKETS = 160
QUANTILES = (0.5, 0.99)
EACH = 256  # the first RPCs, in all of which the elements are timed
SHARE = 16  # of the RPCs after them, one in this many


def sampled(number: int) -> bool:
    """Whether the elements are timed in the RPC of that number; the same as `ts_sampled` in runtime/elements.h."""
    return number < EACH or number % SHARE == 0


def bucket(ns: int) -> int:
    """The same as `ts_bucket`."""
    if ns < 4:
        return max(0, ns)
    top = ns.bit_length() - 1
    return min((top - 1) * 4 + (ns >> (top - 2) & 3), BUCKETS - 1)


def bounds(index: int) -> tuple[int, int]:
    """The first ns of a bucket, and the first one after it."""
    if index < 4:
        return index, index + 1
    octave, part = divmod(index, 4)
    step = 1 << (octave - 1)
    return (4 + part) * step, (5 + part) * step


@dataclass(slots=True)
class Times:
    """The times of whole RPCs, or of one element."""

    sum: int = 0  # ns
    counts: list[int] = field(default_factory=lambda: [0] * BUCKETS)

    @classmethod
    def of(cls, sum: int, sparse: Sequence[int]) -> Times:
        """From the form in which C has them: bucket, count, bucket, count …"""
        made = cls(sum)
        for index, count in zip(sparse[::2], sparse[1::2], strict=True):
            made.counts[index] = count
        return made

    def add(self, ns: int) -> None:
        self.sum += max(0, ns)
        self.counts[bucket(ns)] += 1

    def sparse(self) -> tuple[int, list[int]]:
        """The form in which C has them."""
        there = ((index, count) for index, count in enumerate(self.counts) if count)
        return self.sum, [number for pair in there for number in pair]

    def quantile(self, share: float) -> float | None:
        """The microseconds within which that share of calls ended (the bucket's middle); None if there were none."""
        wanted = share * sum(self.counts)
        for index, reached in enumerate(accumulate(self.counts)):
            if reached and reached >= wanted:
                return round(sum(bounds(index)) / 2000, 3)
        return None


class Latency(TypedDict):
    """How long something took."""

    of: str
    """`RPC`, or an element."""
    timed: int
    """How many were measured."""
    p50_us: float | None
    """Within how many microseconds half of them ended."""
    p99_us: float | None
    """Within how many microseconds 99 of 100 ended."""
    sum_us: int


def latencies(elements: Sequence[str], counted: Mapping[str, Any]) -> list[Latency]:
    """Rows of `status`, from a carrier's counters: of whole RPCs, then what each element took for one message."""
    rows: list[Latency] = []
    for name, (whole, sparse) in zip(("RPC", *elements), counted["times"], strict=False):
        times = Times.of(whole, sparse)
        p50, p99 = (times.quantile(share) for share in QUANTILES)
        timed = sum(times.counts)
        rows.append({"of": name, "timed": timed, "p50_us": p50, "p99_us": p99, "sum_us": whole // 1000})
    return rows
