# SPDX-License-Identifier: Apache-2.0
"""`transect demo`."""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer

from transect.cli.checking import in_color
from transect.cli.strata import Stratum, need_packages


def demo(
    stratum: Annotated[
        Stratum | None,
        typer.Argument(
            metavar="STRATUM", show_default=False, help="Only this one; without it, all there are."
        ),
    ] = None,
) -> int:
    """Show the main job of each stratum on real parts: no root, nothing left behind.

    What is real is said in each headline, what is not in yellow.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # through a pipe, too, a line is there when it is said
    code = 0
    for name in [stratum] if stratum else Stratum:
        code = max(code, DEMOS[name]())
    return code


def _rpc() -> int:
    need_packages(Stratum.RPC)
    from transect.demos.rpc import run

    return run(color=in_color())


def _llm() -> int:
    from transect.demos.llm import run

    return run(color=in_color())


def _cpu() -> int:
    from transect.demos.cpu import run

    return run(color=in_color())


def _memory() -> int:
    from transect.demos.memory import run

    return run(color=in_color())


DEMOS = {Stratum.RPC: _rpc, Stratum.LLM: _llm, Stratum.CPU: _cpu, Stratum.MEMORY: _memory}
