# SPDX-License-Identifier: Apache-2.0
"""What an engine or gateway does for its operator."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from pathlib import Path
from typing import NotRequired, TypedDict

from transect.control.answers import Share, Told
from transect.control.host import Outcome, Trailer
from transect.control.operating import NATIVE, policy
from transect.control.params import Param
from transect.control.protocol import Refused
from transect.control.readings import readings
from transect.core.ir import Program
from transect.core.upgrade import Refused as NotKept
from transect.lang.functions import PolicyError
from transect.llm.accounts import Account
from transect.llm.adapter import MICRO
from transect.llm.native import image, restore
from transect.llm.service import Service

SHOWN = 50  # tenants in `status`, those served most


class Bound(TypedDict):
    """How far apart waiting tenants' counters are, in weighted tokens."""

    watched: bool
    why: NotRequired[str]
    """Why nobody watches."""
    mode: NotRequired[str]
    """What happens when the gap goes beyond the bound."""
    tokens: NotRequired[float]
    """The bound."""
    gap: NotRequired[float]
    """At the last look."""
    worst: NotRequired[float]
    """The largest since the start."""
    beyond: NotRequired[int]
    """Looks that found the gap beyond the bound."""
    looks: NotRequired[int]


class Tenant(TypedDict):
    """What one tenant asked for and got."""

    tenant: str
    weight: int
    """In percent of the ordinary one."""
    waiting: int
    running: int
    prompt: int
    """Tokens that it was charged for."""
    output: int
    """Tokens that it was charged for."""
    finished: int
    refused: int


class Upstream(TypedDict):
    """An engine behind the gateway."""

    upstream: str
    answers: bool
    running: int
    in_flight: int
    window: int
    usage: str
    """Whose count of tokens is charged."""
    odd_usage: int
    """Answers that said to have used no number of tokens, or more than were asked for."""


class Sharing(TypedDict):
    """How a gateway shares its counters with others."""

    group: str
    """The name of the group of gateways that share."""
    name: str
    """The name of this gateway in the group."""
    shared: bool
    """Whether the last round with the store went well; if not, this gateway counts for itself."""
    for_s: NotRequired[float]
    """How long it has counted for itself, in seconds."""
    why: NotRequired[str]
    """What went wrong first."""
    lag: float
    """The most that the others charged between two rounds, in weighted tokens; a part of the bound."""


class UpstreamDetails(TypedDict, total=False):
    """What a gateway adds."""

    upstreams: list[Upstream]
    """Of a gateway."""
    connections: dict[str, int]
    """Of a gateway: clients' connections, by their state."""
    sharing: Sharing
    """Of a gateway that shares its counters."""
    identity: dict[str, int]
    """Of a gateway with keys for identities: how many words of earlier layers were believed, and how many were not, by
    reason.
    """
    configuration_refused: str
    """Of a gateway: why its file changed nothing when it was last read."""


class Details(UpstreamDetails):
    """`details` of `transect llm status`."""

    bound: Bound
    tenants: list[Tenant]
    """Those served most."""


class UpgradeDetails(TypedDict):
    """`details` of `transect llm upgrade`."""

    told_anew: bool
    """Whether the new version shares nothing with the old one, and was told of all who wait and run."""


class LlmHost:
    """A service, as `control.host.Host` wants it."""

    def __init__(
        self,
        service: Service,
        carrier: str,
        more: Callable[[], UpstreamDetails] = UpstreamDetails,
    ) -> None:
        """`carrier`: what serves, for `status` (`vLLM 0.32`, `gateway`).  `more`: what else `status` says."""
        self._service = service
        self._carrier = carrier
        self._more = more

    @property
    def programs(self) -> Sequence[Program]:
        return [self._service.program]

    @property
    def version(self) -> int:
        return self._service.version

    @property
    def recording(self) -> Path | None:
        recording = self._service.recording
        return None if recording is None else recording.path

    def told(self) -> Told:
        service = self._service
        with service.lock:
            program = service.program
            runs_as = f"Python: {why}" if (why := service.python_because) else NATIVE
            details: Details = {"bound": self._bound(), "tenants": self._tenants(), **self._more()}
            return {
                "carrier": self._carrier,
                "settled": True,
                "policies": [policy(program, runs_as)],
                "state": readings([program], [image(service.policy)], service.tenants.name_of),
                "counters": {
                    "waiting": len(service.queues),
                    "tenants_waiting": service.queues.clients_waiting,
                },
                "shares": self._shares(),
                "details": details,
            }

    def _bound(self) -> Bound:
        if not self._service.bounded:
            return {"watched": False, "why": "the policy orders tenants by no counter of service"}
        watcher = self._service.watcher
        return {
            "watched": True,
            "mode": str(watcher.mode),
            "tokens": watcher.bound / MICRO,
            "gap": watcher.gap / MICRO,
            "worst": watcher.worst / MICRO,
            "beyond": watcher.beyond,
            "looks": watcher.looks,
        }

    def _accounts(self, clients: Sequence[Hashable]) -> Iterator[tuple[int, Account]]:
        """The first clients' numbers, with their accounts."""
        for number in clients[:SHOWN]:
            assert isinstance(number, int), f"{number!r} is no tenant's number"
            yield number, self._service.queues.accounts[number]

    def _shares(self) -> list[Share]:
        """How the clients fare that wait or are served most."""
        service, now = self._service, time.monotonic()
        queues = service.queues
        waiting_first = sorted(queues.most_served(), key=lambda client: not queues.waiting_of(client))
        return [
            {
                "tenant": service.tenants.name_of(number),
                "unit": "tokens",
                "served": queues.served(number),
                "backlogged": queues.backlogged(number, now),
                "waiting": queues.waiting_of(number),
                "running": queues.running_of(number),
                "weight": service.tenants.weight_of(number),
                "late": account.late,
            }
            for number, account in self._accounts(waiting_first)
        ]

    def _tenants(self) -> list[Tenant]:
        """The tenants served most, with what they were charged for."""
        service = self._service
        queues = service.queues
        return [
            {
                "tenant": service.tenants.name_of(number),
                "weight": service.tenants.weight_of(number),
                "waiting": queues.waiting_of(number),
                "running": queues.running_of(number),
                "prompt": account.prompt,
                "output": account.output,
                "finished": account.finished,
                "refused": account.refused,
            }
            for number, account in self._accounts(queues.most_served())
        ]

    def change(self, param: Param, value: object) -> object:
        service = self._service

        def swap(_: int, change: Callable[[bytes], bytes]) -> None:
            restore(service.policy, change(image(service.policy)))

        with service.lock:
            return param.swapped(swap, value)

    def record(self, path: Path, name: str) -> int:
        self._service.record(path, name)
        return 0

    def end_record(self) -> Trailer:
        return self._service.end_record()

    def upgrade(self, path: Path, automatic_return: bool) -> Outcome:
        """The way back is by hand, as an engine has no trial run in which the new version could fail by itself."""
        try:
            done = self._service.upgrade(path, returns=automatic_return)
        except PolicyError as wrong:
            raise Refused(str(wrong).strip(), "the version that runs goes on") from wrong
        except NotKept as wrong:
            raise Refused(
                f"the upgrade is refused: {wrong}", "write `migrate`; the version that runs goes on"
            ) from wrong
        details: UpgradeDetails = {"told_anew": done.anew}
        return Outcome(done.fields.of(self._service.program.name), details)

    def go_back(self) -> Outcome:
        try:
            done = self._service.go_back()
        except NotKept as wrong:
            raise Refused(f"the way back is refused: {wrong}", "the version that runs goes on") from wrong
        details: UpgradeDetails = {"told_anew": done.anew}
        return Outcome(done.fields.of(self._service.program.name), details)
