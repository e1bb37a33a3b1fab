# SPDX-License-Identifier: Apache-2.0
"""The limit of a proof is kept where a few lines come to millions of terms: a helper that calls the next one twice."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from transect.analysis import terms
from transect.analysis.allowance import Spent, allowance, allowed, tick
from transect.analysis.diff import diff
from transect.analysis.prove import Prover, Verdict
from transect.analysis.running import LimitedRun
from transect.core.frontend import compile_text
from transect.core.frontend.contracts import compile_contracts, contracted
from transect.core.interp import Instance
from transect.core.ir import Program
from transect.lang.tape import GivenTape

pytestmark = pytest.mark.needs("z3")

DEPTH = 20
LIMIT = 0.5  # seconds


def doubling(least: int, promise: str = "") -> str:
    """A policy whose last helper is called 2^20 times, with another argument each."""
    helpers = "\n".join(
        f"@helper\ndef h{n}(x: int) -> int:\n    return h{n - 1}(x + {n}) + h{n - 1}(x * {n})\n"
        for n in range(1, DEPTH + 1)
    )
    return (
        "from transect.lang import ensures, helper\n"
        "from transect.rpc import Element, Forward, Rpc\n"
        f"@helper\ndef h0(x: int) -> int:\n    return x * x + {least}\n{helpers}\n"
        f"class Doubling(Element):\n    total: int = 0\n{promise}\n"
        "    def request(self, rpc: Rpc) -> Forward:\n"
        f"        self.total = h{DEPTH}(self.total)\n        return Forward()\n"
    )


def compiled(text: str) -> Program:
    (program,) = compile_text(text).programs
    return program


def test_diff_of_doubling_helpers_ends_at_its_limit_and_says_so() -> None:
    old, new = compiled(doubling(1)), compiled(doubling(2))
    before = time.thread_time()
    found = diff(old, new, limit=LIMIT)
    assert time.thread_time() - before < LIMIT + 1
    assert found.changes == []
    assert found.open == ["`request`: not evaluated: the limit of 0.5 s was reached"]


def test_prove_of_doubling_helpers_ends_at_its_limit_and_advises_more_time(tmp_path: Path) -> None:
    file = tmp_path / "doubling.py"
    file.write_text(doubling(1, "    @ensures(lambda self, rpc, verdict: self.total != 12345)"))
    made = compile_contracts(file)
    before = time.thread_time()
    (found,) = Prover(contracted(made.programs[0]), limit=LIMIT).run()
    assert time.thread_time() - before < LIMIT + 1
    assert (found.verdict, found.late) == (Verdict.UNKNOWN, True)
    assert found.why == "not evaluated: the limit of 0.5 s was reached"


def test_a_run_on_the_interpreter_ends_when_its_time_is_up() -> None:
    instance = Instance(compiled(doubling(1)))
    run = LimitedRun(instance, GivenTape(), {}, {})
    with allowed(LIMIT), pytest.raises(Spent, match="limit"):
        run.call(instance.handlers["request"], [None])


def test_terms_that_live_at_once_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory stays bounded whatever the limit of time is."""
    monkeypatch.setattr(terms, "MOST_TERMS", len(terms._made) + 5_000)
    found = diff(compiled(doubling(1)), compiled(doubling(2)), limit=60)
    (why,) = found.open
    assert "terms, which is too much for a proof" in why


def test_what_stands_within_an_allowance_gets_no_more_than_it() -> None:
    with allowed(0.0), allowed(60), pytest.raises(Spent, match="limit of 0 s"):
        for _ in range(1_000):
            tick()


def test_after_a_question_the_next_one_has_its_own_allowance() -> None:
    with pytest.raises(Spent), allowed(0.0):
        for _ in range(1_000):
            tick()
    assert allowance() is None
