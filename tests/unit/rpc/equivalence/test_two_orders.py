# SPDX-License-Identifier: Apache-2.0
"""Accepted rearrangements of whole chains, as compiled C: 100,000 RPCs come to the same in both orders."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from tests.unit.core.running import compiled
from tests.unit.rpc.equivalence.test_pairs import REDACT, example
from tests.unit.rpc.equivalence.two_orders import Orders, judge, permuted
from transect.rpc.equivalence import LEVELS, Level, Stand

pytestmark = pytest.mark.needs("z3", "gcc")

EACH = 20_000
CHAINS = {  # by seed: some other order is accepted of each
    0: ("header_routing", "redact", "acl", "fault", "logging"),
    1: ("logging", "decrypt", "compress", "header_routing", "cache"),
    2: ("cache", "redact", "retry_budget", "mutation", "rate_limit"),
    4: ("metrics", "logging", "cache", "null", "acl"),
    5: ("encrypt", "null", "mutation", "header_routing", "retry_budget"),
}


@cache
def stands() -> dict[str, Stand]:
    names = sorted({name for chain in CHAINS.values() for name in chain} - {"redact"})
    found = {name: Stand(name, example(name)) for name in names}
    return found | {"redact": Stand("redact", compiled(REDACT))}


def test_accepted_orders_do_the_same_for_100_000_rpcs(tmp_path: Path) -> None:
    judging = judge()
    total = [0] * 7
    for seed, chosen in CHAINS.items():
        level = LEVELS[seed % len(LEVELS)]
        chain = [stands()[name] for name in chosen]
        other = permuted(chain, level, judging, seed)
        names = [s.name for s in chain], [s.name for s in other]
        assert names[0] != names[1], seed
        found = Orders(tmp_path, chain, other).run(level, seed, EACH)
        assert not found.difference, (level, *names, found.difference)
        total = [a + b for a, b in zip(total, found.counts, strict=True)]
    rpcs, messages, replies, ends, rejected, answered, retries = total
    assert rpcs == ends == len(CHAINS) * EACH >= 100_000
    assert messages > rpcs and min(replies, rejected, answered) > 10_000 and retries > 1_000


@pytest.mark.parametrize(
    ("first", "second", "level"),
    [
        ("rate_limit", "acl", Level.LOOSE),
        ("fault", "rate_limit", Level.SERVICE),
        ("fault", "metrics", Level.IDENTICAL),
    ],
)
def test_such_streams_tell_what_is_refused(tmp_path: Path, first: str, second: str, level: Level) -> None:
    chain = [stands()[first], stands()[second]]
    assert Orders(tmp_path, chain, chain[::-1]).run(level, 1, EACH).difference
