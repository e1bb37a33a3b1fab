# SPDX-License-Identifier: Apache-2.0
"""The terms of U."""

from __future__ import annotations

from transect.llm.adapter import MICRO
from transect.llm.bound import engine_bound
from transect.llm.bounds import Limits, bound, paper

PUBLISHED = Limits(memory=10_000, sequences=1_000, longest_input=1_024, longest_output=1_024)
WHOLE = Limits(memory=10_000, sequences=1_000, longest_input=1_024, longest_output=1_024, whole=True)


def test_where_all_is_reserved_it_is_the_papers() -> None:
    assert bound(WHOLE).total == paper(WHOLE) == 20_000 * MICRO


def test_where_memory_is_used_in_turns_it_is_a_harmonic_sum() -> None:
    outputs = sum(min(1_000, 10_000 // u) for u in range(1, 1_025))
    assert outputs == PUBLISHED.outputs() == 55_308
    assert bound(PUBLISHED).total == (1_024 + 2 * outputs) * MICRO


def test_each_term_is_added_and_weights_divide_all() -> None:
    found = bound(WHOLE, engines=2, ahead=10, late_tokens=7)
    assert (found.output, found.ahead, found.late) == (40_000 * MICRO, 20 * MICRO, 14 * MICRO)
    assert found.refunds == 2 * 1_000 * 20 * MICRO
    assert bound(WHOLE, least_weight=50).total == 2 * bound(WHOLE).total


def test_a_gateways_window_is_whole_and_an_engine_that_preempts_is_not() -> None:
    assert engine_bound(capacity=10_000, longest_input=0, step_tokens=0, lightest=100) == 20_000 * MICRO
    engine = engine_bound(capacity=10_000, longest_input=1_024, step_tokens=1_000, lightest=100)
    assert engine == bound(PUBLISHED, late_tokens=1_000).total
