# SPDX-License-Identifier: Apache-2.0
"""Elements as Envoy's own filters, in force: an Envoy without a module, and what an operator may ask of it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transect.base.unavailable import Unavailable
from transect.control.host import verbs_of
from transect.control.protocol import Refused
from transect.control.server import Server
from transect.rpc.builtin.filters import Filter, NotAFilter, Refusal, with_filters
from transect.rpc.builtin.proof import filters_of
from transect.rpc.chain.binding import Binding
from transect.rpc.chain.file import ChainFile
from transect.rpc.chain.metrics import rows
from transect.rpc.chain.times import latencies
from transect.rpc.envoy import binary
from transect.rpc.envoy.deploy import configured, must_be_free
from transect.rpc.envoy.process import Envoy, start
from transect.rpc.versions.processor import refused_to

NATIVE = 'take "built-in" out of `proxies=`, and plan again: a native module can'


@dataclass(frozen=True, slots=True)
class Filters:
    """A chain whose elements are filters of Envoy's, in force."""

    binding: Binding
    binary: binary.Binary
    envoy: Envoy
    filters: tuple[tuple[Filter, ...], ...]  # of each element

    def refused(self) -> list[int]:
        """By each element, as Envoy counts."""
        stats = self._stats("rbac")
        return [
            sum(stats.get(f"http.transect.rbac.{f.name}.denied", 0) for f in own if isinstance(f, Refusal))
            for own in self.filters
        ]

    def passed(self) -> int:
        """Calls that went on to the service."""
        return self._stats("cluster.upstream.upstream_rq_total").get("cluster.upstream.upstream_rq_total", 0)

    def _stats(self, which: str) -> dict[str, int]:
        found = json.loads(self.envoy.admin(f"/stats?format=json&filter={which}"))["stats"]
        return {one["name"]: one["value"] for one in found if "name" in one}


def deploy_filters(
    chain: ChainFile,
    binding: Binding,
    folder: Path,
    *,
    envoy: str | Path | None = None,
    workers: int | None = None,
) -> Filters:
    """Put the chain in force; `folder` (the caller's, to be removed by it) holds all that is written.

    Raises NotAFilter (an element is none, or a method streams requests), Unavailable, EnvoyFailed.
    """
    for method in binding.methods:
        if method.client_streams:
            raise NotAFilter(
                f"`{method.name}` streams requests, and Envoy's filters do not wait for the first one"
            )
    found = tuple(
        filters_of(name, use.program, use.values)
        for name, use in zip(chain.names, chain.elements, strict=True)
    )
    must_be_free(chain.listen)
    whole: Sequence[Filter] = [f for own in found for f in own]
    config = configured(chain, whole, folder)
    made = with_filters(config, whole, [m.path for m in binding.methods])
    used = binary.find(envoy)
    return Filters(binding, used, start(used, made, folder, workers=workers), found)


class FilterHost:
    """As `control.host.Host` wants it."""

    def __init__(self, name: str, running: Filters, about: Mapping[str, str]) -> None:
        self.name = name
        self.running = running
        self.about = about
        self.since = time.time()

    def status(self) -> Mapping[str, Any]:
        """What Envoy counts: calls and refusals; nothing is timed."""
        try:
            refused, passed = self.running.refused(), self.running.passed()
        except OSError as wrong:
            raise Refused(f"Envoy does not answer: {wrong}") from wrong
        programs = [element.program for element in self.running.binding.elements]
        none = [0] * len(programs)
        calls = passed + sum(refused)
        counted = {"requests": calls, "refused": 0, "rejected": refused, "responded": none, "withheld": none}
        return {
            **self.about,
            "name": self.name,
            "since": self.since,
            "policies": rows(programs, counted, [None] * len(programs)),
            "latency": latencies([p.name for p in programs], {"times": [(0, [])] * (1 + len(programs))}),
            "version": 1,
            "settled": True,
            "counters": {"rpcs": calls, "requests": calls},
            "causes": {"reject": sum(refused)},
            "recording": None,
        }

    def set(self, param: str, value: str) -> Mapping[str, Any]:
        raise Refused(f"Envoy's own filters take no `{param}` while they run", NATIVE)

    def record_start(self, path: str) -> Mapping[str, Any]:
        raise Refused("Envoy's own filters record no handler calls", NATIVE)

    def record_stop(self) -> Mapping[str, Any]:
        raise Refused("Envoy's own filters record no handler calls", NATIVE)

    def upgrade(self, path: str, automatic_return: bool = True) -> Mapping[str, Any]:
        raise Unavailable(
            "upgrade of Envoy's own filters", "they are part of its first configuration", NATIVE
        )


@contextmanager
def hosted(running: Filters, chain: ChainFile, name: str, *, numbered: bool) -> Iterator[FilterHost]:
    """Reachable under a name; `numbered`: one that is taken gets a number."""
    about = {
        "carrier": f"filters of Envoy {running.binary.version}",
        "listen": str(running.envoy.address),
        "upstream": str(chain.upstream),
        "service": chain.service,
    }
    host = FilterHost(name, running, about)
    verbs = verbs_of(host) | refused_to(f"{name} is filters of Envoy's", NATIVE)
    with Server("rpc", host.name, verbs, numbered=numbered) as server:
        host.name = server.name
        yield host
