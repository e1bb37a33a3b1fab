# SPDX-License-Identifier: Apache-2.0
"""What a running chain reports to its operator, under any carrier.  Counters begin anew with each version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from transect.control.answers import Policy, Told
from transect.control.operating import NATIVE, policy
from transect.control.readings import readings
from transect.core.ir import Program
from transect.identity import Refused
from transect.rpc.chain.arrangement import names
from transect.rpc.chain.model import ChainFile
from transect.rpc.chain.times import Latency, latencies

CAUSES = ("reply", "reject", "cancel", "deadline", "reset")
# These only grow; a carrier leaves out those that it does not have.
COUNTERS = (
    *("rpcs", "requests", "responses", "rewritten", "delayed", "compressed", "malformed", "refused"),
    *("traced", "traces_left_out"),
)


class Addresses(TypedDict, total=False):
    """Addresses of a proxy."""

    listen: str
    """Of a proxy: where it takes calls."""
    upstream: str
    """Of a proxy: where it sends them."""
    service: str
    """Of a proxy: the gRPC service."""


class Words(TypedDict, total=False):
    """Counters of a carrier that has keys."""

    identity: dict[str, int]
    """Words that were believed, and those that were not, by reason; RPCs that went on as nobody's
    (`anonymous`), and as a tenant's (`vouched`)."""


class Details(Addresses, Words):
    """`details` of `transect rpc status`."""

    causes: dict[str, int]
    """How RPCs ended."""
    latency: list[Latency]
    """Times of whole RPCs, then what each element took for one message."""


def addresses(chain: ChainFile, listen: object) -> Addresses:
    """The addresses of a chain in a proxy that listens there."""
    return {"listen": str(listen), "upstream": str(chain.upstream), "service": chain.service}


def told(
    carrier: str,
    programs: Sequence[Program],
    images: Sequence[bytes | None],
    counted: Mapping[str, Any],
    *,
    settled: bool = True,
    runs_as: str = NATIVE,
    where: Addresses | None = None,
) -> Told:
    """`images`: each element's state, None if a carrier cannot tell it.  `counted`: the carrier's counters since the
    version began; among `causes`, None stands for one that the carrier cannot tell from others.
    """
    causes = zip(CAUSES, counted["causes"], strict=True)
    details: Details = {
        **(where or {}),
        **_words(counted),
        "causes": {cause: count for cause, count in causes if count is not None},
        "latency": latencies(names([program.name for program in programs]), counted),
    }
    return {
        "carrier": carrier,
        "settled": settled,
        "policies": rows(programs, images, counted, runs_as),
        "state": readings(programs, images),
        "counters": {name: counted[name] for name in ("open", *COUNTERS) if name in counted},
        "details": details,
    }


def _words(counted: Mapping[str, Any]) -> Words:
    if "words" not in counted:
        return {}
    words = zip(("believed", *map(str, Refused)), counted["words"], strict=True)
    return {"identity": {**dict(words), "anonymous": counted["anonymous"], "vouched": counted["vouched"]}}


def rows(
    programs: Sequence[Program],
    images: Sequence[bytes | None],
    counted: Mapping[str, Any],
    runs_as: str = NATIVE,
) -> list[Policy]:
    """The elements of a chain, and what each did.  `calls`: request messages that came to it."""
    made: list[Policy] = []
    calls = counted["requests"]
    for index, (program, image) in enumerate(zip(programs, images, strict=True)):
        did = {name: counted[name][index] for name in ("rejected", "responded", "withheld")}
        size = {} if image is None else {"state_bytes": len(image)}
        made.append(policy(program, runs_as, calls=calls, **did, **size))
        calls = max(0, calls - did["rejected"] - did["responded"])  # RPCs go on while counters are read
    return made
