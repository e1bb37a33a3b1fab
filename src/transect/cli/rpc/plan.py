# SPDX-License-Identifier: Apache-2.0
"""`transect rpc plan`."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from transect.cli.exits import Exit
from transect.cli.failure import refused, usage
from transect.cli.progress import working

if TYPE_CHECKING:
    from transect.rpc.placement.planning import Plan
    from transect.rpc.placement.profile import Profile


class At(StrEnum):
    IDENTICAL = "identical"
    SERVICE = "service"
    LOOSE = "loose"


class For(StrEnum):
    LATENCY = "latency"
    CPU = "cpu"


def plan(
    chain: Annotated[
        Path,
        typer.Argument(metavar="CHAIN", exists=True, dir_okay=False, help="A file with `chain = Chain(…)`."),
    ],
    level: Annotated[
        At,
        typer.Option(
            "--level",
            metavar="LEVEL",
            help="What must stay the same: identical, service or loose; the plan says what that means.",
        ),
    ] = At.SERVICE,
    goal: Annotated[
        For, typer.Option("--for", metavar="GOAL", help="What to minimise: latency or cpu.")
    ] = For.LATENCY,
    observed: Annotated[
        Path | None,
        typer.Option(
            "--observed",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            show_default=False,
            help="The output of `transect rpc status --json`: it says how many calls each element lets through.",
        ),
    ] = None,
    profile: Annotated[
        Path | None,
        typer.Option(
            "--profile", metavar="FILE", show_default=False, help="The costs from `transect rpc calibrate`."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="PLAN",
            show_default=False,
            help="Write the plan there, for `rpc run --plan`.",
        ),
    ] = None,
    examples: Annotated[
        bool,
        typer.Option(
            "--examples", help="For each two elements that keep their order, show calls that say why."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> int:
    """Find the cheapest arrangement of a chain that means the same: which element runs where, and in which order.

    Costs are those that `transect rpc calibrate` measured on this machine; nothing is started.
    """
    from transect.base.render import render_text
    from transect.rpc.chain.file import read_edges
    from transect.rpc.chain.rules import check_element
    from transect.rpc.equivalence.levels import Level
    from transect.rpc.messages.protos import ProtoError
    from transect.rpc.placement import planning
    from transect.rpc.placement import profile as profiles
    from transect.rpc.placement.observed import NotUnderstood, shares
    from transect.rpc.placement.saved import save

    read = read_edges(chain)
    for program in dict.fromkeys(use.program for edge in read.chains for use in edge.elements):
        check_element(program, read.diagnostics)  # errors that no carrier could make right
    if read.diagnostics.failed:
        return refused(render_text(read.diagnostics, read.sources))
    costs = profiles.load(profile)
    try:
        passes = {} if observed is None else shares(observed)
    except NotUnderstood as wrong:
        return usage(str(wrong), "write it with `transect rpc status --json > FILE`")
    try:
        with working("comparing arrangements"):
            plans = [
                planning.plan(edge, costs, Level(level.value), passes, planning.Goal(goal.value))
                for edge in read.chains
            ]
    except ProtoError as wrong:
        return usage(str(wrong), wrong.help)
    _show(plans, costs, as_json, examples)
    if output is not None:
        save(plans, chain, output)
        if not as_json:
            print(f"\n{output}: `transect rpc run {chain} --plan {output}` puts it in force")
    return Exit.DONE


def _show(plans: list[Plan], costs: Profile, as_json: bool, examples: bool) -> None:
    from transect.rpc.placement import report

    if as_json:
        print(json.dumps([report.data(one, costs) for one in plans], indent=2, ensure_ascii=False))
        return
    print("\n\n".join(report.text(one, costs) for one in plans))
    if examples:
        for one in plans:
            for text in report.examples(one):
                print(f"\n{text}")
