# SPDX-License-Identifier: Apache-2.0
"""`transect top`."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from transect.cli.control import instance, show
from transect.cli.exits import Exit
from transect.cli.failure import usage
from transect.cli.options import place_of

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from transect.control import Client
    from transect.stack.top import Layer, View


def top(
    stack: Annotated[
        str | None,
        typer.Argument(metavar="STACK", show_default=False, help="The stack; needed when several run."),
    ] = None,
    every: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, max=3600, help="Time between two looks.")
    ] = 2.0,
    once: Annotated[
        bool, typer.Option("--once", help="Look twice, show what happened between, and end.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: an object a line.")] = False,
    page: Annotated[
        str | None,
        typer.Option(
            "--page",
            metavar="HOST:PORT",
            show_default=False,
            help="Serve a web page there instead, until Ctrl-C.",
        ),
    ] = None,
) -> int:
    """Show, live, how each layer of a stack serves its tenants: what each one gets, who waits, and who is in whose way.

    GOT is a tenant's share of what the layer served between two looks; DUE is the share that its weight gives it among
    the tenants that want more than they get. Ctrl-C ends it.
    """

    if page is not None and (once or as_json):
        return usage("--page goes with neither --once nor --json", "a page is for people who keep looking")
    place = place_of("--page", page)

    def ask() -> int:
        from transect.cli.paged import paged

        client = instance("stack", stack)
        views = looks(client, every)
        try:
            if place is not None:
                paged(views, every, place)
            elif as_json:
                for view in views:
                    print(json.dumps(plain(view)), flush=True)
                    if once:
                        break
            elif once:
                _console().print(drawn(next(views)))
            else:
                _live(views)
        except KeyboardInterrupt:
            pass  # the way to end it
        return Exit.DONE

    return show(ask)


def looks(client: Client, every: float) -> Iterator[View]:
    """A view of each interval between two looks, for ever."""
    from transect.stack.top import view

    at, before = time.monotonic(), client.status()
    while True:
        time.sleep(max(0.0, at + every - time.monotonic()))
        then, at = at, time.monotonic()
        after = client.status()
        yield view(before, after, at - then)
        before = after


def plain(view: View) -> dict[str, Any]:
    """For JSON."""
    return dataclasses.asdict(view)


# ------------------------------------------------------------ as a table


def _console() -> Any:
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False)  # a tenant's name may be any text


def _live(views: Iterator[View]) -> None:
    from rich.live import Live

    with Live(console=_console(), screen=True, auto_refresh=False) as screen:
        for view in views:
            screen.update(drawn(view), refresh=True)


def drawn(view: View) -> RenderableType:
    """The view as one table."""
    from rich.console import Group
    from rich.text import Text

    from transect.stack.top import Absent

    table = _table()
    notes = []
    for layer in view.layers:
        match layer:
            case Absent(name, why):
                notes.append(Text(f"{name}: {why}"))
            case _:
                _rows(table, layer)
    return Group(table, *notes)


def _table() -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("LAYER", no_wrap=True)
    table.add_column("TENANT", overflow="fold", min_width=6)
    for name in ("WEIGHT", "SERVED", "GOT", "DUE", "GAP", "WAITING", "RUNNING", "LATE"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("HELD UP BY", overflow="fold", min_width=6)
    return table


def _rows(table: Table, layer: Layer) -> None:
    if not layer.tenants:
        table.add_row(layer.name, "nobody yet")
    for number, one in enumerate(layer.tenants):
        table.add_row(
            layer.name if number == 0 else "",
            one.tenant,
            str(one.weight),
            _rate(one.served, layer.unit),
            f"{one.got:.0%}",
            f"{one.due:.0%}",
            f"{100 * one.gap:+.0f}",
            str(one.waiting),
            str(one.running),
            str(one.late),
            one.held_up_by or "",
            style="bold" if one.held_up_by else "",
        )


def _rate(served: float, unit: str) -> str:
    """What is served each second, in a few characters."""
    return f"{served:.2f} s/s" if unit == "seconds" else f"{served:,.0f} {unit[:3]}/s"
