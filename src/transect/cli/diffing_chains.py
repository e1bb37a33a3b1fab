# SPDX-License-Identifier: Apache-2.0
"""What `transect diff` does with two versions of a chain."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from transect.base.render import render_text
from transect.cli.compiling import Refused
from transect.cli.diffing_policies import Found, different, plain, text
from transect.cli.exits import Exit
from transect.rpc.chain.file import read_edges
from transect.rpc.chain.model import ChainFile
from transect.rpc.equivalence.chains import ChainDifference, Order, Use, difference
from transect.rpc.equivalence.oneofs import oneofs_of
from transect.rpc.equivalence.pairs import Settings, Verdict
from transect.rpc.messages.protos import ProtoError

Edges = dict[str, tuple[ChainDifference, Found]]


def diff_chains(old: Path, new: Path, limit: float, as_json: bool) -> int:
    """Raises Refused."""
    before, after = _edges(old), _edges(new)
    alone = [f"the chain of {s} is gone" for s in before if s not in after]
    alone += [f"the chain of {s} is new" for s in after if s not in before]
    found = {s: _compared(before[s], after[s], limit) for s in before if s in after}
    if as_json:
        print(json.dumps(_plain(found, alone), indent=2))
    else:
        print("\n".join([*alone, *(line for s, one in found.items() for line in _text(s, *one))]))
    open_ = any(c.open or any(d.open for _, _, d in policies) for c, policies in found.values())
    refused = any(_differs(c, policies) for c, policies in found.values())
    if alone or refused:
        return Exit.NO
    return Exit.UNKNOWN if open_ else Exit.DONE


def _edges(path: Path) -> dict[str, ChainFile]:
    read = read_edges(path)
    if read.diagnostics.failed:
        raise Refused(render_text(read.diagnostics, read.sources))
    return {chain.service: chain for chain in read.chains}


def _compared(old: ChainFile, new: ChainFile, limit: float) -> tuple[ChainDifference, Found]:
    before, after = ([Use(u.program, u.values) for u in chain.elements] for chain in (old, new))
    try:
        settings = Settings(limit=limit, oneofs=oneofs_of(new))
    except ProtoError as wrong:
        raise Refused(f"{new.path}: {wrong}") from wrong
    chain = difference(before, after, settings)
    programs = [tuple(u.program for u in one.elements) for one in (old, new)]
    return chain, different(programs[0], programs[1], limit)[0]


def _differs(chain: ChainDifference, policies: Found) -> bool:
    """Whether the two versions are known to differ."""
    moved = any(o.judgement.verdict is Verdict.REFUSED for o in chain.order)
    return bool(chain.alone or chain.configured or moved or any(d.changes for _, _, d in policies))


def _text(service: str, chain: ChainDifference, policies: Found) -> Iterator[str]:
    yield f"{service}:"
    yield from chain.alone
    yield from chain.configured
    for one in chain.order:
        yield from _order(one)
    yield from text(policies, [])


def _order(one: Order) -> Iterator[str]:
    level = f"the same at {one.level}" if one.level else "the same at no level"
    if one.judgement.holds:
        yield f"{one.first} and {one.second} have changed places: {level} (proved)"
        return
    yield f"{one.first} and {one.second} have changed places: {level}; at {one.judgement.level}: {one.judgement.why}"
    if one.judgement.table:
        yield from ("", one.judgement.table, "")


def _plain(found: Edges, alone: list[str]) -> dict[str, object]:
    return {
        "complete": not any(c.open or any(d.open for _, _, d in p) for c, p in found.values()),
        "alone": alone,
        "chains": [
            {
                "service": service,
                "alone": chain.alone,
                "configured": chain.configured,
                "order": [
                    {
                        "elements": [o.first, o.second],
                        "same_at": o.level,
                        "verdict": o.judgement.verdict,
                        "why": o.judgement.why,
                        "table": o.judgement.table,
                    }
                    for o in chain.order
                ],
                **plain(policies, []),
            }
            for service, (chain, policies) in found.items()
        ],
    }
