# SPDX-License-Identifier: Apache-2.0
"""What `transect rpc try` does."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from transect.analysis.solve import solver
from transect.base.diagnostic import closest
from transect.base.render import render_text
from transect.cli.compiling import Refused, is_chain, read
from transect.cli.exits import Exit
from transect.cli.failure import tell, usage
from transect.core.ir import Program
from transect.rpc.chain.file import read_edges
from transect.rpc.envoy.process import EnvoyFailed
from transect.rpc.equivalence.levels import Element, Level, named
from transect.rpc.equivalence.moves import Side
from transect.rpc.equivalence.pairs import Settings
from transect.rpc.trying import Carrier
from transect.rpc.trying.refusals import Asked, move, swaps


def run(
    path: Path,
    names: Sequence[str],
    to: str | None,
    level: str,
    carrier: str,
    limit: float,
    as_json: bool,
) -> int:
    solver()  # or say at once that it is missing
    try:
        edges = [named(*programs) for programs in _edges(path)]
    except Refused as refused:
        print(refused)
        return Exit.NO
    there = [e.name for edge in edges for e in edge]
    for name in names:
        if name not in there:
            close = closest(name, there)
            return usage(
                f"no element {name}", f"did you mean {close}?" if close else f"there are {', '.join(there)}"
            )
    wanted = [[e for e in edge if not names or e.name in names] for edge in edges]
    found: list[Asked] = []
    try:
        for asked in _asked(wanted, to, Level(level), Carrier(carrier), limit):
            found.append(asked)
            if not as_json:
                print("\n".join(_text(asked)), flush=True)
    except EnvoyFailed as wrong:
        tell(wrong)
        return Exit.UNAVAILABLE
    if as_json:
        print(json.dumps(_plain(found), indent=2))
    elif not found:
        print(
            "nothing to try: no two elements here could change places; `--to client` or `--to server` moves one"
        )
    if any(one.refuted for one in found):
        return Exit.NO
    return Exit.UNKNOWN if any(one.open for one in found) else Exit.DONE


def _edges(path: Path) -> list[tuple[Program, ...]]:
    """The elements of each chain of a file, or its policies.  Raises Refused."""
    if not is_chain(path):
        return [read(path).programs]
    edges = read_edges(path)
    if edges.diagnostics.failed:
        raise Refused(render_text(edges.diagnostics, edges.sources))
    return [tuple(use.program for use in chain.elements) for chain in edges.chains]


def _asked(
    edges: Sequence[Sequence[Element]], to: str | None, level: Level, carrier: Carrier, limit: float
) -> Iterator[Asked]:
    for elements in edges:
        if to is None:
            yield from swaps(elements, level, carrier, Settings(limit=limit))
        else:
            for element in elements:
                yield move(element, Side(to), False, level, carrier, limit)


def _text(asked: Asked) -> Iterator[str]:
    judgement = asked.judgement
    yield f"{asked.what}: {judgement.verdict} at {judgement.level} ({judgement.why})"
    if asked.tried is not None:
        yield from ("", asked.tried.table(), "")
    elif judgement.witness is not None:
        yield from ("", judgement.table, f"it was not sent: {asked.unsendable}", "")


def _plain(found: Sequence[Asked]) -> dict[str, object]:
    return {
        "complete": not any(one.open for one in found),
        "real": True,
        "rearrangements": [
            {
                "what": one.what,
                "level": one.judgement.level,
                "verdict": one.judgement.verdict,
                "why": one.judgement.why,
                "carrier": None if one.tried is None else one.tried.carrier,
                "differs": None if one.tried is None else one.tried.differs,
                "as_interpreted": None if one.tried is None else one.tried.as_interpreted,
                "table": one.tried.table() if one.tried else one.judgement.table,
                "unsendable": one.unsendable,
            }
            for one in found
        ],
    }
