# SPDX-License-Identifier: Apache-2.0
"""`transect rpc upgrade`: for one chain, as in every stratum, and for several processors of an edge at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from transect.base.bounded import is_file
from transect.cli.control import lines, show
from transect.cli.exits import Exit
from transect.cli.failure import no_file, tell, usage
from transect.cli.live.upgrade import Beside, End, NoReturn, upgraded


def upgrade(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE [NAME] | NAME=FILE",
            show_default=False,
            help="The new version, and the instance if several run; or a file for each of several instances.",
        ),
    ] = None,
    no_return: NoReturn = False,
    shadow: Beside = False,
    stop: End = False,
) -> int:
    """Replace what runs by a new version, and keep its state.

    State is carried over by name and type, or as the new version's `migrate` says. If some of it cannot be, or the new
    version does not load or fails a trial, the upgrade is refused and the old version goes on.

    With NAME=FILE for each of several instances, in the order in which a request passes them, all change at once: each
    RPC sees one version everywhere, and elements may move from one instance to another with their state. None of the
    instances can go back alone.

    With --shadow the new version decides everything beside the one in force, but is never in force: `status` says for
    whom it would have decided otherwise.
    """
    words = files or []
    if any("=" in word for word in words):
        if shadow:
            return usage("a shadow is of one instance", "upgrade FILE NAME --shadow")
        return _of_several(words)
    if len(words) > 2:
        return usage("one file, and one name at most", "for several instances: NAME=FILE NAME=FILE …")
    return upgraded("rpc", words, no_return=no_return, shadow=shadow, stop=stop)


def _of_several(words: list[str]) -> int:
    from transect.rpc.versions.alone import alone
    from transect.rpc.versions.edge import Edge, Unfinished

    pairs = [word.partition("=")[::2] for word in words]
    names = [name for name, _ in pairs]
    for name, file in pairs:
        if not name or not file:
            return usage(f"`{name or file}` is no NAME=FILE", "write a file for each instance")
        if names.count(name) > 1:
            return usage(f"`{name}` is there more than once", "write one file for each instance")
        if not is_file(file):
            return no_file(file)

    def ask() -> int:
        with alone(names):
            return changed()

    def changed() -> int:
        edge = Edge.of(names, waiting)
        try:
            fields = edge.upgrade([Path(file) for _, file in pairs], waiting)
        except Unfinished as wrong:
            tell(f"version {edge.version} is in force, but an instance has gone: {wrong}")
            return Exit.NO
        print("\n".join(lines({"version": edge.version, "fields": fields})))
        return Exit.DONE

    def waiting(version: str) -> None:
        what = f"RPCs of version {version} are under way; what they change is carried over until they end (or Ctrl-C)"
        tell(what)

    return show(ask)
