# SPDX-License-Identifier: Apache-2.0
"""The metrics of a running chain, for Prometheus (text format 0.0.4).

Counters begin anew with each version, like those of a restarted program.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from transect.control import readings
from transect.control.answers import Identity, Status
from transect.control.prometheus import labels, metric
from transect.rpc.chain.status import COUNTERS
from transect.rpc.chain.times import QUANTILES, Latency

OF_ELEMENTS = {
    "calls": ("counter", "Request messages that came to the element."),
    "rejected": ("counter", "Request messages that it rejected."),
    "responded": ("counter", "Request messages that it answered."),
    "withheld": ("counter", "Replies that it rejected."),
    "state_bytes": ("gauge", "Size of its state's image."),
}


def exposition(statuses: Iterable[Status]) -> str:
    """All metrics of some chains."""
    return "".join(line + "\n" for line in _lines(list(statuses)))


def _lines(statuses: Sequence[Status]) -> Iterator[str]:
    for name in COUNTERS:
        found = [(_labels(s), s["counters"][name]) for s in statuses if name in s["counters"]]
        yield from metric(f"transect_rpc_{name}_total", "counter", f"The chain's `{name}`.", found)
    ended = [(_labels(s, cause=cause), n) for s in statuses for cause, n in s["details"]["causes"].items()]
    yield from metric("transect_rpc_ended_total", "counter", "RPCs that have ended, by their cause.", ended)
    for name, (kind, help) in OF_ELEMENTS.items():
        found = [
            (_labels(s, **_element(place, row)), row["counts"][name])
            for s in statuses
            for place, row in enumerate(s["policies"])
            if name in row["counts"]
        ]
        suffix = "_total" if kind == "counter" else ""
        yield from metric(f"transect_rpc_element_{name}{suffix}", kind, help, found)
    whole = [(_labels(s), s["details"]["latency"][0]) for s in statuses]
    yield from _summary("transect_rpc_seconds", "From the beginning of an RPC to its end.", whole)
    parts = [
        (_labels(s, **_element(place, row)), s["details"]["latency"][1 + place])
        for s in statuses
        for place, row in enumerate(s["policies"])
    ]
    help = "What the element took for one message, with the delay that it asked for; of a sample of RPCs."
    yield from _summary("transect_rpc_element_seconds", help, parts)
    held = [
        (_labels(s, **_element(row["place"], s["policies"][row["place"]])), row)
        for s in statuses
        for row in s["state"]
    ]
    yield from readings.exposition("transect_rpc_element", held)
    versions = [(_labels(s), s["version"]) for s in statuses]
    yield from metric("transect_rpc_version", "gauge", "Number of the version in force.", versions)


def _element(place: int, row: Identity) -> dict[str, str]:
    return {"element": row["name"], "place": str(place), "version": row["version"]}


def _labels(status: Status, **more: str) -> str:
    pairs = {"chain": status["name"], "carrier": status["carrier"], **more}
    return labels(**pairs)


def _summary(name: str, help: str, samples: Sequence[tuple[str, Latency]]) -> Iterator[str]:
    """The rows of `times.latencies` as a summary."""
    if samples:
        yield f"# HELP {name} {help}"
        yield f"# TYPE {name} summary"
    for labelled, row in samples:
        for share, us in zip(QUANTILES, (row["p50_us"], row["p99_us"]), strict=True):
            if us is not None:
                yield f'{name}{{{labelled},quantile="{share}"}} {us / 1e6:.9g}'
        yield f"{name}_sum{{{labelled}}} {row['sum_us'] / 1e6:.9g}"
        yield f"{name}_count{{{labelled}}} {row['timed']}"
