# SPDX-License-Identifier: Apache-2.0
"""The service of tenants at the layers of a stack between two looks: what each got, what was its due, and which other
tenant was in its way. *Due* is the share by progressive filling (weighted max-min fairness): a tenant that waits wants
as much as it can get, one that does not wait wants only what it got, and the rest of a layer's service goes by weight
to the tenants that want it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from transect.control.answers import Share, Status
from transect.stack.host import PartRow

WAITS = 0.5  # share of the time between two looks: a tenant that waits longer wants more than it got
HELD_UP = 0.05  # share of a layer's service: a tenant that lacks more of its due is held up by another


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The service of one tenant at one layer."""

    tenant: str
    weight: int
    """In percent of the ordinary one."""
    served: float
    """In the layer's unit, each second."""
    total: float
    """In the layer's unit, since the layer began."""
    got: float
    """Of all that the layer served, from 0 to 1."""
    due: float
    """Likewise."""
    waiting: int
    """Requests, now."""
    running: int
    """Requests, now."""
    late: int
    """Requests that had not ended when their deadline passed."""
    held_up_by: str | None
    """The tenant that got most beyond its due, where this one waits and lacks a part of its own."""

    @property
    def gap(self) -> float:
        """What it got beyond its due; less than zero: what it lacks."""
        return self.got - self.due


@dataclass(frozen=True, slots=True)
class Layer:
    """Something that shares among tenants."""

    name: str
    unit: str
    """What is served: `seconds`, `tokens`."""
    tenants: Sequence[Standing]
    """The greatest weight first."""


@dataclass(frozen=True, slots=True)
class Absent:
    """A part that says nothing of tenants."""

    name: str
    why: str
    down: bool = False
    """It should say something, and cannot at the moment."""


@dataclass(frozen=True, slots=True)
class View:
    """A stack between two looks."""

    stack: str
    layers: Sequence[Layer | Absent]
    """In the order of the stack's parts."""


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to one tenant at one layer between two looks."""

    weight: int
    served: float
    wants: bool
    """More than it was served: it waited for most of the time."""


def view(before: Status, after: Status, over: float) -> View:
    """The view from two answers of `status`, `over` seconds apart."""
    old = {(row["layer"], row["tenant"]): row for row in before.get("shares", ())}
    rows: dict[str, list[tuple[Share, Change]]] = {}
    for row in after.get("shares", ()):
        change = _change(old.get((row["layer"], row["tenant"])), row, over)
        rows.setdefault(row["layer"], []).append((row, change))
    parts: Sequence[PartRow] = after["details"]["parts"]
    return View(after["name"], [one for part in parts for one in _of(part, rows, over)])


def _of(
    part: PartRow, rows: Mapping[str, Sequence[tuple[Share, Change]]], over: float
) -> Iterator[Layer | Absent]:
    if not part["layers"]:
        yield Absent(part["part"], *_why(part))
    for name in part["layers"]:
        yield _layer(name, rows.get(name, ()), over)


def _why(part: PartRow) -> tuple[str, bool]:
    """Why a part says nothing of tenants; and whether it is down."""
    if part["state"] != "ready":
        return f"it is not ready: {part['state']}", True
    match part["kind"]:
        case "Front":
            return "a chain has no queue: nobody waits here for another", False
        case "Cores":
            return "a scheduler does not say what each tenant got", False
        case "Watch":
            return "each target has the same share, and nothing is read for a tenant", False
        case "Program":
            return 'no queue of it is named: take_turns(…, name=os.environ["TRANSECT_NAME"])', False
        case _:
            return "it does not answer", True


def _change(old: Share | None, new: Share, over: float) -> Change:
    """`old` is None if the tenant was not there before.  The counters of a restarted layer begin at zero."""
    served, backlogged = (old["served"], old["backlogged"]) if old is not None else (0.0, 0.0)
    waited = new["backlogged"] - backlogged
    return Change(new["weight"], max(0.0, new["served"] - served), waited >= WAITS * over)


def _layer(name: str, rows: Sequence[tuple[Share, Change]], over: float) -> Layer:
    dues = due({row["tenant"]: change for row, change in rows})
    whole = sum(dues.values()) or 1.0
    excess = {row["tenant"]: change.served - dues[row["tenant"]] for row, change in rows}
    most = max(excess, key=lambda tenant: excess[tenant], default="")
    standings = [
        Standing(
            tenant=row["tenant"],
            weight=row["weight"],
            served=change.served / over,
            total=row["served"],
            got=change.served / whole,
            due=dues[row["tenant"]] / whole,
            waiting=row["waiting"],
            running=row["running"],
            late=row["late"],
            held_up_by=most if change.wants and -excess[row["tenant"]] > HELD_UP * whole else None,
        )
        for row, change in rows
    ]
    unit = rows[0][0]["unit"] if rows else ""
    return Layer(name, unit, sorted(standings, key=lambda one: (-one.weight, one.tenant)))


def due(changes: Mapping[str, Change]) -> Mapping[str, float]:
    """What each tenant would have got of the same total by progressive filling."""
    left = sum(change.served for change in changes.values())
    if not any(change.wants for change in changes.values()):
        return {tenant: change.served for tenant, change in changes.items()}  # enough for all
    found: dict[str, float] = {}
    open_ = dict(changes)
    while True:
        each = left / sum(change.weight for change in open_.values())
        content = {t: c.served for t, c in open_.items() if not c.wants and c.served <= each * c.weight}
        if not content:
            return found | {tenant: each * change.weight for tenant, change in open_.items()}
        found |= content
        left -= sum(content.values())
        open_ = {tenant: change for tenant, change in open_.items() if tenant not in content}
