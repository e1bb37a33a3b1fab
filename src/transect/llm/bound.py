# SPDX-License-Identifier: Apache-2.0
"""U for a real engine; `docs/fairness.md` derives it."""

from __future__ import annotations

from transect.llm.adapter import INPUT, OUTPUT


def engine_bound(*, capacity: int, longest_input: int, step_tokens: int, lightest: int) -> int:
    """U, in weighted micro-tokens.

    `capacity`: tokens of the KV cache (M); `longest_input`: of a prompt (L); `step_tokens`: scheduled in one step at
    most; `lightest`: the smallest weight, in percent.

    The paper's U = max(w_p·L, w_q·M).  An engine charges a step's output after it chose for the next one, so what is in
    flight is added: at most one step's tokens.
    """
    tokens = max(INPUT * longest_input, OUTPUT * capacity) + OUTPUT * step_tokens
    return tokens * 100 // lightest
