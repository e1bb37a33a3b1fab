# SPDX-License-Identifier: Apache-2.0
"""The bound U of an engine or gateway, from its own figures; `docs/fairness.md` derives it, `bounds.py` computes it."""

from __future__ import annotations

from transect.llm.bounds import Limits, bound


def engine_bound(*, capacity: int, longest_input: int, step_tokens: int, lightest: int) -> int:
    """U, in weighted micro-tokens.

    `capacity`: tokens of the KV cache (M), or of all windows of a gateway; `longest_input`: of a prompt (L), and so of
    an output; `step_tokens`: scheduled in one step at most, 0 for a gateway; `lightest`: the smallest weight, percent.

    A gateway's window holds prompts with their whole outputs, as the paper's engine does.  An engine that preempts
    reserves nothing, so the harmonic sum holds for it.  It also charges a step's output only after it chose for the
    next step, so at most one step's tokens in flight are added; and no more sequences run than a step has tokens.
    """
    limits = Limits(
        memory=capacity,
        sequences=max(1, step_tokens),
        longest_input=longest_input,
        longest_output=longest_input,
        whole=step_tokens == 0,
    )
    return bound(limits, late_tokens=step_tokens, least_weight=lightest).total
