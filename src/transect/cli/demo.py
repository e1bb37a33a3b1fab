# SPDX-License-Identifier: Apache-2.0
"""`transect demo`."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from transect.base.unavailable import Unavailable
from transect.cli.checking import in_color
from transect.cli.exits import Exit
from transect.cli.failure import usage
from transect.cli.strata import Stratum, need_packages
from transect.demos.paint import YELLOW, painted
from transect.demos.shown import Shown


class What(StrEnum):
    """The demonstrations."""

    STACK = "stack"
    RPC = Stratum.RPC.value
    LLM = Stratum.LLM.value
    CPU = Stratum.CPU.value
    MEMORY = Stratum.MEMORY.value


def demo(
    what: Annotated[
        What | None,
        typer.Argument(metavar="WHAT", show_default=False, help="`stack`, or a stratum; without it, all."),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(metavar="FILE", dir_okay=False, help="Draw what `stack` shows into this SVG file."),
    ] = None,
) -> int:
    """Show the main job of a whole stack, and of each stratum, on real parts: no root, nothing left behind.

    Each headline says what is real; what is not real is said in yellow.
    """
    if picture is not None and what not in (None, What.STACK):
        return usage(f"--picture: `demo {what}` draws no picture", "transect demo stack --picture stack.svg")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # so that each line arrives at once, through a pipe, too
    demos: Mapping[What, Callable[[], Shown]] = {**DEMOS, What.STACK: partial(DEMOS[What.STACK], picture)}
    shown = [demos[what]()] if what else [_shown(name, demos[name]) for name in What]
    if stand_ins := [text for one in shown for text in one.stand_ins]:
        instead = "; ".join(stand_ins)
        said = f"Some parts are missing. Shown instead: {instead}. `transect doctor` says what to install."
        print(f"\n{painted(said, YELLOW, in_color())}")
    return Exit.DONE if all(one.right for one in shown) else Exit.NO


def _shown(name: What, show: Callable[[], Shown]) -> Shown:
    """One demonstration among all: if it cannot run here, the others still do."""
    try:
        return show()
    except Unavailable as lacking:
        print(painted(f"{name}: not shown, for lack of {lacking}", YELLOW, in_color()))
        return Shown(True, (f"nothing for {name}",))


def _stack(picture: Path | None = None) -> Shown:
    need_packages(Stratum.RPC)
    need_packages(Stratum.LLM)
    from transect.demos.stack.run import run

    return run(color=in_color(), drawn=picture)


def _rpc() -> Shown:
    need_packages(Stratum.RPC)
    from transect.demos.rpc import run

    return run(color=in_color())


def _llm() -> Shown:
    from transect.demos.llm import run

    return run(color=in_color())


def _cpu() -> Shown:
    from transect.demos.cpu import run

    return run(color=in_color())


def _memory() -> Shown:
    from transect.demos.memory import run

    return run(color=in_color())


DEMOS: dict[What, Callable[..., Shown]] = {
    What.STACK: _stack,
    What.RPC: _rpc,
    What.LLM: _llm,
    What.CPU: _cpu,
    What.MEMORY: _memory,
}
