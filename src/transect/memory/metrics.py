# SPDX-License-Identifier: Apache-2.0
"""Counters of a watch, as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from transect.control import readings
from transect.control.prometheus import labels, metric
from transect.memory.watch import Watch, Watched

PER_PROBE: dict[str, tuple[str, str, Callable[[Watched], float]]] = {
    "rounds_total": ("counter", "Rounds of a probe.", lambda w: w.rounds),
    "unchecked_rounds_total": ("counter", "Rounds that could not look.", lambda w: w.unchecked),
    "seconds_total": ("counter", "Time spent in rounds.", lambda w: w.seconds),
    "findings": ("gauge", "What is found now.", lambda w: len(w.found)),
    "blind": ("gauge", "1 while the probe cannot look.", lambda w: int(bool(w.problem))),
}


def text(watches: Sequence[Watch]) -> str:
    """All counters."""
    return "\n".join(_lines(watches)) + "\n"


def _lines(watches: Sequence[Watch]) -> Iterator[str]:
    yield from metric(
        "transect_memory_reads_total",
        "counter",
        "Reads of the target's memory.",
        [(_target(watch), watch.machine.counts.reads) for watch in watches],
    )
    yield from metric(
        "transect_memory_anchored",
        "gauge",
        "1 when symbols and types come from the kernel's package.",
        [(_target(watch), int(watch.machine.known.anchored)) for watch in watches],
    )
    for name, (kind, what, value) in PER_PROBE.items():
        samples = [
            (_target(watch, probe=probe), value(watched))
            for watch in watches
            for probe, watched in list(watch.probes.items())
        ]
        yield from metric(f"transect_memory_{name}", kind, what, samples)
    held = [(_target(watch, probe=row["element"]), row) for watch in watches for row in watch.held()]
    yield from readings.exposition("transect_memory_probe", held)


def _target(watch: Watch, **more: str) -> str:
    return labels(target=watch.machine.name, **more)
