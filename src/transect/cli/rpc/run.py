# SPDX-License-Identifier: Apache-2.0
"""`transect rpc run`."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from transect.cli.exits import Exit
from transect.cli.failure import refused, tell, usage
from transect.cli.options import Metrics, Name, keys_of_callers, place_of
from transect.cli.progress import working
from transect.cli.rpc.plan import At


class Carrier(StrEnum):
    NATIVE = "native"
    WASM = "wasm"


def run(
    chain: Annotated[
        Path,
        typer.Argument(metavar="CHAIN", exists=True, dir_okay=False, help="A file with `chain = Chain(…)`."),
    ],
    envoy: Annotated[
        str | None,
        typer.Option(
            "--envoy",
            metavar="PATH",
            show_default=False,
            help="The Envoy to start; else the one on PATH, else the wheel's.",
        ),
    ] = None,
    name: Name = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", metavar="N", min=1, show_default=False, help="Envoy's threads; else one per core."
        ),
    ] = None,
    carrier: Annotated[
        Carrier,
        typer.Option(
            "--carrier",
            metavar="CARRIER",
            help="native: a module of machine code; wasm: a plugin for any proxy-wasm host.",
        ),
    ] = Carrier.NATIVE,
    plan: Annotated[
        Path | None,
        typer.Option(
            "--plan",
            metavar="PLAN",
            exists=True,
            dir_okay=False,
            show_default=False,
            help="The arrangement that `transect rpc plan CHAIN -o PLAN` found; else all in one Envoy, as written.",
        ),
    ] = None,
    level: Annotated[
        At | None,
        typer.Option(
            "--level",
            metavar="LEVEL",
            show_default=False,
            help="With a plan: the level at which it means the same as CHAIN: identical, service (default) or loose.",
        ),
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(
            "--record",
            metavar="LOG",
            show_default=False,
            help="With wasm: write every handler call into this log at the end.",
        ),
    ] = None,
    metrics: Metrics = None,
    identity: Annotated[
        Path | None,
        keys_of_callers(
            "Keys with which the layer before vouches for a request's tenant, and this one to the next."
        ),
    ] = None,
) -> int:
    """Put a chain of elements in front of a service, in a stock Envoy, until Ctrl-C.

    The file is parsed, never imported. Before anything starts, the chain is compiled to a native module and checked
    against the very Envoy that will load it; with --carrier wasm, it is compiled to a plugin for any proxy-wasm host.
    """
    from transect.identity.keys import NoKeys, read_keys
    from transect.rpc.run import run as native
    from transect.rpc.wasm.run import run_plugin

    if contradiction := _contradiction(carrier, plan, record, identity, level):
        return usage(*contradiction)
    if identity is not None:
        try:
            read_keys(identity)
        except NoKeys as wrong:
            message, _, hint = str(wrong).partition("; ")
            return usage(f"--identity: {identity} {message}", hint)
    place = place_of("--metrics", metrics)
    wasm = carrier is Carrier.WASM
    serve = (
        partial(run_plugin, record=record, metrics=place)
        if wasm
        else partial(native, metrics=place, keys=identity)
    )
    if plan is not None:
        from transect.rpc.equivalence.levels import Level
        from transect.rpc.placement.deployment import run_plan

        wanted = Level((level or At.SERVICE).value)
        serve = partial(run_plan, plan=plan, level=wanted, metrics=place, keys=identity)
    return _served(partial(serve, chain, envoy=envoy, name=name, workers=workers))


def _contradiction(
    carrier: Carrier, plan: Path | None, record: Path | None, identity: Path | None, level: At | None
) -> tuple[str, str] | None:
    """Options that do not go together: what is wrong, and what to write instead."""
    wasm = carrier is Carrier.WASM
    if record is not None and not wasm:
        return (
            "`--record` is for `--carrier wasm`",
            "native code records while it runs: `transect rpc record`",
        )
    if identity is not None and wasm:
        return (
            "a WASM plugin cannot vouch for anybody: it has no files, and would have no keys",
            "leave `--carrier` out",
        )
    if level is not None and plan is None:
        return "`--level` is for a plan", "without `--plan` the chain runs as written"
    if plan is not None and wasm:
        return "`--carrier` is for a chain without a plan", "say `proxies=` in the chain file, and plan again"
    return None


def _served(serve: Callable[..., None]) -> int:
    """Serve until Ctrl-C, or say what kept the chain from being served."""
    from transect.control.server import Taken
    from transect.emit.toolchain import BuildError
    from transect.rpc.envoy.process import EnvoyFailed
    from transect.rpc.placement.saved import PlanError
    from transect.rpc.run import Invalid

    try:
        with working("compiling the chain and starting Envoy") as ready:

            def say(text: str) -> None:
                ready()
                print(text, flush=True)

            serve(say=say)
    except Invalid as wrong:
        return refused(wrong)
    except PlanError as wrong:
        return usage(str(wrong), wrong.hint)
    except (EnvoyFailed, BuildError, Taken, FileExistsError) as wrong:
        tell(wrong)
        return Exit.UNAVAILABLE
    return Exit.DONE
