# SPDX-License-Identifier: Apache-2.0
"""A plan as text for people, and as data."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from transect.rpc.chain.arrangement import PROCESSORS, Carrier, Group, Layout, Processor
from transect.rpc.chain.constraints import Piece
from transect.rpc.equivalence.levels import Level
from transect.rpc.placement.planning import Plan, Step
from transect.rpc.placement.profile import Cost, Profile

MEANS = {
    Level.IDENTICAL: "what services and callers receive, all state and telemetry stay the same",
    Level.SERVICE: "what services and callers receive stays the same",
    Level.LOOSE: "what services receive stays the same",
}
WIDTH = 100


def text(plan: Plan, profile: Profile) -> str:
    parts = [
        f"{plan.chain.service}, level `{plan.level}`: {MEANS[plan.level]}",
        "\n".join(_picture(plan)),
        "\n".join(_steps("what moves, and why", plan.moves) or ["nothing moves"]),
        "\n".join(_steps("what does not, and why", plan.refused)),
        "\n".join(_assumed(plan, profile)),
    ]
    return "\n\n".join(part for part in parts if part)


def _picture(plan: Plan) -> list[str]:
    """A column for each processor, the two arrangements above each other."""
    rows = [("as a mesh runs it", plan.before, plan.cost_before), ("planned", plan.after, plan.cost_after)]
    cells = {
        (row, at): _cell(layout, at, plan.pieces)
        for row, (_, layout, _) in enumerate(rows)
        for at in PROCESSORS
    }
    widths = {
        at: max(len(at.value), *(len(line) for row in (0, 1) for line in cells[row, at])) for at in PROCESSORS
    }
    margin = max(len(said) for name, _, cost in rows for said in (name, _us(cost)))
    lines = [_line("", {at: at.value for at in PROCESSORS}, widths, margin)]
    for row, (name, _, cost) in enumerate(rows):
        height = max(2, *(len(cells[row, at]) for at in PROCESSORS))
        for number in range(height):
            texts = {at: (cells[row, at][number : number + 1] or [""])[0] for at in PROCESSORS}
            said = (name, _us(cost))[number] if number < 2 else ""
            lines.append(_line(said, texts, widths, margin))
        if row == 0:
            lines.append("")
    lines += ["", _saved(plan)]
    return [line.rstrip() for line in lines]


def _cell(layout: Layout, at: Processor, pieces: Sequence[Piece]) -> list[str]:
    group = next((g for g in layout if g.processor is at), None)
    if group is None:
        return ["·"]
    names = [pieces[i].name for i in group.elements]
    return [*names, f"({_how(group)})"] if at.proxy else names


def _how(group: Group) -> str:
    if not group.elements:
        return "nothing to do"
    if group.carrier is Carrier.NATIVE:
        return "native"
    if group.carrier is Carrier.BUILT_IN:
        return "Envoy's own filters"
    return "WASM" if group.fused else "WASM, a plugin each"


def _line(name: str, texts: dict[Processor, str], widths: dict[Processor, int], margin: int) -> str:
    cells = [texts[at].ljust(widths[at]) for at in PROCESSORS]
    network = "~" if not name and "library" in texts[PROCESSORS[0]] else "│"
    client, server = "  ".join(cells[:2]), "  ".join(cells[2:])
    return f"  {name.ljust(margin)}   {client}  {network}  {server}"


def _us(cost: Cost) -> str:
    return f"+{cost.latency:.0f} µs, {cost.cpu:.0f} CPU"


def _saved(plan: Plan) -> str:
    def share(before: float, after: float) -> str:
        return f"{1 - after / before:.0%}" if before > 0 else "nothing"

    latency = share(plan.cost_before.latency, plan.cost_after.latency)
    cpu = share(plan.cost_before.cpu, plan.cost_after.cpu)
    return f"  predicted: {latency} less added latency, {cpu} less added CPU"


def _steps(title: str, steps: Sequence[Step]) -> list[str]:
    if not steps:
        return []
    lines = [title]
    for whole in _grouped(steps):
        lines += textwrap.wrap(whole, WIDTH, initial_indent="  - ", subsequent_indent="    ")
    return lines


def _grouped(steps: Sequence[Step]) -> list[str]:
    """One text for all elements of which the same is said."""
    found: dict[tuple[str, str], list[str]] = {}
    for step in steps:
        found.setdefault((step.what, step.why), []).append(step.who)
    return [f"{', '.join(who)} {what}: {why}".strip() for (what, why), who in found.items()]


def _assumed(plan: Plan, profile: Profile) -> list[str]:
    observed = ", ".join(f"{name} {share:.1%}" for name, share in plan.passes.items())
    lines = ["what was taken for granted"]
    told = (
        [f"calls that go on, as observed: {observed}"]
        if observed
        else ["each element lets all calls through: `--observed` takes the counters of a running chain"]
    )
    if plan.cost_busy is not None:
        told.append(
            "a mesh has a proxy at either side, also where no element stands; without those that have nothing to do,"
            f" what is written adds {plan.cost_busy.latency:.0f} µs, {plan.cost_busy.cpu:.0f} CPU"
        )
    told += [
        f"costs measured here on {profile.measured}: a call {profile.direct.latency:.0f} µs, a proxy"
        f" {profile.proxy['native'].latency:.0f} µs, WASM {profile.wasm:.1f} times the native code",
        "one client program a client's proxy, one server a server's proxy; programs are called through them alone",
    ]
    if any(group.carrier is Carrier.BUILT_IN for group in plan.after):
        told.append(
            "methods take one request each (`rpc run` looks); who is one of Envoy's filters takes no `set`, `record`"
            " and `upgrade`"
        )
    for one in told:
        lines += textwrap.wrap(one, WIDTH, initial_indent="  - ", subsequent_indent="    ")
    return lines


# ---------------------------------------------------------------- as data


def data(plan: Plan, profile: Profile) -> dict[str, Any]:
    def layout(groups: Layout, cost: Cost) -> dict[str, Any]:
        return {
            "processors": [
                {
                    "processor": group.processor.value,
                    "carrier": group.carrier.value,
                    "fused": group.fused,
                    "elements": [plan.pieces[i].name for i in group.elements],
                }
                for group in groups
            ],
            "latency_us": round(cost.latency, 3),
            "cpu_us": round(cost.cpu, 3),
        }

    def said(step: Step) -> dict[str, str]:
        return {"who": step.who, "what": step.what, "why": step.why}

    return {
        "service": plan.chain.service,
        "chain": str(plan.chain.path),
        "level": plan.level.value,
        "goal": plan.goal.value,
        "before": layout(plan.before, plan.cost_before),
        "before_busy_us": None
        if plan.cost_busy is None
        else {
            "latency_us": round(plan.cost_busy.latency, 3),
            "cpu_us": round(plan.cost_busy.cpu, 3),
        },
        "after": layout(plan.after, plan.cost_after),
        "moves": [said(s) for s in plan.moves],
        "refused": [said(s) for s in plan.refused],
        "observed": dict(plan.passes),
        "measured": profile.measured,
        "states": plan.states,
        "seconds": round(plan.seconds, 4),
    }


def examples(plan: Plan) -> list[str]:
    """For each two elements that keep their order: a stream of calls which shows why, run on the interpreter."""
    from transect.rpc.equivalence.arrangement import Judge
    from transect.rpc.equivalence.cache import Cache
    from transect.rpc.equivalence.oneofs import oneofs_of

    judge = Judge(cache=Cache()).of(oneofs_of(plan.chain))
    found = []
    for first, second in plan.kept:
        one, two = plan.pieces[first], plan.pieces[second]
        answer = judge.pair(one.program, two.program, watched=False).at(plan.level)
        if answer.table:
            found.append(f"{two.name} not before {one.name}: {answer.why}\n{answer.table}")
    return found
