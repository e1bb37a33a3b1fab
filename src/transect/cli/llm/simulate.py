# SPDX-License-Identifier: Apache-2.0
"""`transect llm simulate`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from transect.base.bounded import is_file
from transect.cli.exits import Exit
from transect.cli.failure import no_file, refused, usage
from transect.cli.progress import working

if TYPE_CHECKING:
    from transect.llm.policies import Loaded
    from transect.llm.simulator.perturbed import Row
    from transect.llm.simulator.trace import Trace


def simulate(
    policies: Annotated[
        list[str],
        typer.Argument(
            metavar="POLICY",
            help="Examples by name (`vtc`, `rpm,limit=30`), files (`mine.py`, `mine.py:Name`).",
        ),
    ],
    trace: Annotated[
        str, typer.Option("--trace", metavar="NAME|CSV", help="A workload of the paper, or a recorded trace.")
    ] = "real",
    engine: Annotated[
        str, typer.Option("--engine", metavar="NAME|TOML", help="A calibrated engine model.")
    ] = "a10g-llama-2-7b",
    engines: Annotated[int, typer.Option("--engines", metavar="N", min=1, help="Engines on one queue.")] = 1,
    runs: Annotated[
        int,
        typer.Option(
            "--runs", metavar="N", min=1, help="Runs with noise for each policy; 1: one without noise."
        ),
    ] = 4,
    hints: Annotated[
        float,
        typer.Option(
            "--hint-error", metavar="SHARE", min=0.0, max=1.0, help="How far `vtc_hint`'s oracle errs."
        ),
    ] = 0.0,
    profiled: Annotated[
        bool, typer.Option("--profiled", help="Measure service and demand by the profiled cost.")
    ] = False,
    plots: Annotated[
        Path | None,
        typer.Option(
            "--plots", metavar="FOLDER", show_default=False, help="Write pictures of one run (SVG)."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> int:
    """Serve a trace with a simulated engine under each policy, and print the table of the VTC paper.

    Differences are in weighted tokens per second, over windows of a minute; ± is the 95 % interval of the mean.
    """
    from transect.lang.functions import PolicyError
    from transect.llm.simulator.workloads import workload

    for policy in policies:
        place = policy.partition(",")[0].partition(":")[0]
        if place.endswith(".py") and not is_file(place):
            return no_file(place)
    try:
        loaded = [_load(policy) for policy in policies]
        wanted = workload(trace)
    except PolicyError as error:
        return refused(error)
    except ValueError as error:
        return usage(str(error))
    names = [_name(policy) for policy in policies]
    with working("simulating"):
        rows = [
            _row(name, policy, wanted, engine, engines, runs, hints, profiled)
            for name, policy in zip(names, loaded, strict=True)
        ]
    if as_json:
        print(json.dumps([_plain(row) for row in rows], indent=2))
    else:
        from transect.llm.simulator.report import table

        print(table(rows))
        for note in _notes(rows[0], wanted, engine):
            print(note)
    if plots is not None:
        _plots(plots, names, loaded, trace, engine)
    return Exit.DONE


def _load(spec: str) -> Loaded:
    """`rpm,limit=30`: parameters after commas.  Raises `ValueError`."""
    from transect.core.ir import FieldKind
    from transect.core.param_text import parse_value
    from transect.llm.policies import load

    what, *settings = spec.split(",")
    found = load(what)
    fields = {f.name: f for f in found.program.state if f.kind is FieldKind.PARAM}
    params = {}
    for setting in settings:
        name, _, value = setting.partition("=")
        if name not in fields:
            raise ValueError(f"{found.name} has no parameter `{name}`; it has: {', '.join(fields) or 'none'}")
        params[name] = parse_value(value, fields[name].type)
    return load(what, **params)


def _name(spec: str) -> str:
    what, *settings = spec.split(",")
    return " ".join([Path(what.partition(":")[0]).stem, *settings])


def _row(
    name: str,
    policy: Loaded,
    trace: Trace,
    engine: str,
    engines: int,
    runs: int,
    hints: float,
    profiled: bool,
) -> Row:
    from transect.llm.simulator import metric
    from transect.llm.simulator.model import engine as model
    from transect.llm.simulator.perturbed import row
    from transect.llm.simulator.run import Setting
    from transect.llm.simulator.workloads import forecast

    return row(
        name,
        policy,
        trace,
        model(engine),
        lambda seed: Setting(engines=engines, hint=forecast(hints, seed)),
        runs=runs,
        service=metric.profiled if profiled else metric.linear,
        by_weight=bool(trace.weights),
    )


def _notes(row: Row, trace: Trace, engine: str) -> Iterator[str]:
    """Notes on what the figures leave out, and on what they are measured in."""
    from transect.llm.simulator.model import engine as model

    if row.too_large:
        memory = model(engine).memory
        yield (
            f"{row.too_large:,} of {len(trace.arrivals):,} requests need more than the engine's memory of "
            f"{memory:,} tokens: it refuses them, and they count for nothing"
        )
    if trace.weights:
        yield "clients of this trace have weights: differences are between services divided by weight (100 % is 1)"


def _plain(row: Row) -> dict[str, object]:
    figures = {
        "greatest": row.greatest,
        "average": row.average,
        "variance": row.variance,
        "throughput": row.throughput,
    }
    return {"policy": row.name, "too_large": row.too_large} | {
        k: {"mean": f.mean, "half": f.half, "runs": len(f.values)} for k, f in figures.items()
    }


def _plots(folder: Path, names: list[str], loaded: list[Loaded], trace: str, engine: str) -> None:
    from transect.llm.simulator.model import engine as model
    from transect.llm.simulator.report import plots
    from transect.llm.simulator.run import Setting, simulate
    from transect.llm.simulator.workloads import workload

    setting = Setting(hint=lambda a: a.output)
    runs = [
        (name, simulate(policy, workload(trace), model(engine), setting).jobs)
        for name, policy in zip(names, loaded, strict=True)
    ]
    for path in plots(folder, runs):
        print(path)
