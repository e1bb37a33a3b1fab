# SPDX-License-Identifier: Apache-2.0
"""What `status`, `set`, `record` and `upgrade` answer: one schema for all strata.

Answers are tables of plain values, as JSON has them.  What only one stratum has stands in `details`, whose keys that
stratum declares in the same way.  docs/reference/answers.md is written from these classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

OTHERS = "(others)"  # in the place of a tenant; no tenant's name has parentheses


class Identity(TypedDict):
    """Which version of which policy."""

    name: str
    """Of the policy's class."""
    version: str
    """The first 12 digits of a hash of its source."""
    schema: str
    """A hash of its state's schema: versions with the same one exchange state as it is."""


class Policy(Identity):
    """A policy that runs."""

    runs_as: str
    """`machine code`; or in what other form, and why."""
    counts: dict[str, int]
    """What it did, by the stratum's own names."""


class Reading(TypedDict):
    """One field of a policy's state."""

    element: str
    """The policy."""
    place: int
    """Its position among those that run, from 0."""
    field: str
    kind: str
    """`counter`, `histogram`, `tally`, `array`, the kind of table, or `state` and `param`."""
    value: Any
    """A text; of a counter a number; of tables and histograms a part of their entries, of arrays of their items."""
    entries: NotRequired[int]
    """How many there are, shown or not."""
    capacity: NotRequired[int | None]
    """How many entries a table has room for; `null`: no bound is declared."""
    rest: NotRequired[float | str]
    """The sum of a tally's entries that are not shown."""
    overflow: NotRequired[int]
    """Stores that found no room."""


class Share(TypedDict):
    """How one tenant does at one layer.  `served`, `backlogged` and `late` only grow while the layer lives."""

    layer: NotRequired[str]
    """In a stack: whose layer it is, `gateway`; `shop-2` for the second process of `shop`."""
    tenant: str
    """Or `(others)`: those who have not been there for long, as one."""
    unit: str
    """What `served` counts: `seconds` in service, or `tokens`, of which one of output counts as two."""
    served: float
    backlogged: float
    """Seconds in which at least one request of this tenant waited."""
    waiting: int
    """Requests, now."""
    running: int
    """Requests, now."""
    weight: int
    """In percent of the ordinary one."""
    late: int
    """Requests that had not ended when their deadline passed."""


class Otherwise(TypedDict):
    """A call that comes out otherwise in another version."""

    who: str
    """A caller, tenant or task; of memory the target."""
    about: str
    """The RPC, request or round."""
    hook: str
    """With its policy: `Acl.request`."""
    was: str
    now: str


class Shadow(TypedDict):
    """A version that decides beside the one in force, and is never in force."""

    file: str
    since: float
    """When it began, in seconds since 1970."""
    compared: int
    """Decisions of the version in force that it decided, too."""
    otherwise: int
    """Those that came out otherwise."""
    whom: dict[str, int]
    """For whom, most first."""
    first: list[Otherwise]
    """The first of them."""
    skipped: dict[str, int]
    """Calls that were not compared, by why."""
    begun_anew: int
    """How often it began anew from the state in force, since calls were lost or a parameter was set."""
    ended: str
    """Why it does not decide any more; empty: it does."""


class Told(TypedDict):
    """What a stratum's host contributes to `status`."""

    carrier: str
    """What runs the policies: `grpcio client`, `Envoy 1.36.0`, `gateway`, `this kernel` …"""
    settled: bool
    """Whether nothing uses an older version any more."""
    policies: list[Policy]
    """In the order in which they run."""
    state: list[Reading]
    """What they hold: a bounded part of it."""
    counters: dict[str, int]
    """Of the instance as a whole; those of rpc begin anew with each version."""
    shares: NotRequired[list[Share]]
    """Of what shares among tenants: how each of them does."""
    shadow: NotRequired[Shadow]
    """The version that decides beside the one in force."""
    details: Mapping[str, Any]
    """What only this stratum has."""


class Status(Told):
    """The answer of `status`."""

    stratum: str
    name: str
    """The instance's."""
    since: float
    """When it began, in seconds since 1970."""
    version: int
    """The number of the version in force: 1, and one more with each upgrade."""
    recording: str | None
    """The path of the log that is being written."""


class Changed(TypedDict):
    """The answer of `set`."""

    param: str
    """With its policy: `Limit.rate`."""
    before: str
    after: str


class Started(TypedDict):
    """The first answer of `record`, which lasts as long as the connection is open."""

    path: str
    under_way: int
    """What was under way, and has a past that the log does not know."""


class Stopped(TypedDict):
    """The answer of `record-stop`, and the second answer of `record`."""

    path: str
    records: int
    dropped: int
    """Handler calls that the log lacks; with any, it proves nothing."""


class Upgraded(TypedDict):
    """The answer of `upgrade`."""

    stratum: str
    name: str
    """The instance's."""
    before: int
    """The number of the version that went."""
    version: int
    """The number of the version in force."""
    replaced: list[Identity]
    """Policies that went."""
    policies: list[Identity]
    """Policies that came."""
    fields: dict[str, str]
    """What became of each field of the state: `keep`, `widen`, `default` …, with the reason in brackets."""
    details: Mapping[str, Any]
    """What only this stratum has."""
    shadow: NotRequired[Shadow]
    """The shadow that this has ended."""
