# SPDX-License-Identifier: Apache-2.0
"""Elements in force as Envoy's own filters: an Envoy without a module, and what its operator may ask."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from transect.base.unavailable import Unavailable
from transect.control.answers import Told
from transect.control.host import NOTHING_BEFORE, Outcome, Trailer
from transect.control.operating import Operated
from transect.control.params import Param
from transect.control.protocol import Refused
from transect.core.ir import Program
from transect.rpc.builtin.filters import Filter, NotAFilter, Refusal, with_filters
from transect.rpc.builtin.proof import filters_of
from transect.rpc.chain.binding import Binding
from transect.rpc.chain.model import ChainFile
from transect.rpc.chain.status import Addresses, addresses, told
from transect.rpc.envoy import binary
from transect.rpc.envoy.deploy import configured, must_be_free
from transect.rpc.envoy.process import Envoy, start
from transect.rpc.versions.processor import refused_to

NATIVE = 'take "built-in" out of `proxies=`, and plan again: a native module can'


@dataclass(frozen=True, slots=True)
class Filters:
    """A chain in force whose elements are Envoy's own filters."""

    binding: Binding
    binary: binary.Binary
    envoy: Envoy
    filters: tuple[tuple[Filter, ...], ...]  # of each element

    def refused(self) -> list[int]:
        """Refused calls by element, as Envoy counts them."""
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
    """Put the chain in force; `folder`, which the caller removes afterwards, holds all that is written.

    Raises NotAFilter (an element equals no filter, or a method streams requests), Unavailable, EnvoyFailed.
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
    """A chain of Envoy's own filters as `control.host.Host` wants it."""

    version = 1
    recording = None

    def __init__(self, running: Filters, where: Addresses) -> None:
        self.running = running
        self.where = where

    @property
    def programs(self) -> Sequence[Program]:
        return [element.program for element in self.running.binding.elements]

    def told(self) -> Told:
        """What Envoy counts: calls and refusals; times are not measured."""
        try:
            rejected, passed = self.running.refused(), self.running.passed()
        except OSError as wrong:
            raise Refused(f"Envoy does not answer: {wrong}") from wrong
        programs, calls = self.programs, passed + sum(rejected)
        none = [0] * len(programs)
        counted = {
            **{"rpcs": calls, "requests": calls, "refused": 0},
            **{"rejected": rejected, "responded": none, "withheld": none},
            "causes": [None, sum(rejected), None, None, None],
            "times": [(0, [])] * (1 + len(programs)),
        }
        return told(
            f"filters of Envoy {self.running.binary.version}",
            programs,
            [None] * len(programs),
            counted,
            runs_as="filters of Envoy's",
            where=self.where,
        )

    def change(self, param: Param, value: object) -> object:
        raise Refused(f"Envoy's own filters take no `{param.field.name}` while they run", NATIVE)

    def record(self, path: Path, name: str) -> int:
        raise Refused("Envoy's own filters record no handler calls", NATIVE)

    def end_record(self) -> Trailer:
        raise AssertionError("nothing is recorded")

    def upgrade(self, path: Path, automatic_return: bool) -> Outcome:
        raise Unavailable(
            "upgrade of Envoy's own filters", "they are part of its first configuration", NATIVE
        )

    def go_back(self) -> Outcome:
        raise Refused(*NOTHING_BEFORE)


@contextmanager
def hosted(running: Filters, chain: ChainFile, name: str, *, numbered: bool) -> Iterator[Operated]:
    """Make the chain reachable under a name; `numbered`: a name that is taken gets a number."""
    operated = Operated("rpc", name, FilterHost(running, addresses(chain, running.envoy.address)))
    with operated.serve(refused_to(f"{name} is filters of Envoy's", NATIVE), numbered=numbered):
        yield operated
