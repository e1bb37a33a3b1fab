# SPDX-License-Identifier: Apache-2.0
"""Contracts: conditions beside handlers, typed as helpers, and no part of a program but for proofs."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

from transect.core.frontend import compile_file, compile_text
from transect.core.frontend.contracts import bare, compile_contracts, contracted

HEAD = """
from transect.lang import ensures, invariant, requires
from transect.rpc import Element, Forward, Outcome, Rpc, Verdict
"""
GAUGE = HEAD + dedent("""
    @invariant(lambda self: self.running >= 0)
    class Gauge(Element):
        running: int = 0

        @ensures(lambda self, rpc, verdict: self.running > 0)
        def request(self, rpc: Rpc) -> Verdict:
            self.running += 1
            return Forward()

        @requires(lambda self, rpc, outcome: self.running > 0)
        def finish(self, rpc: Rpc, outcome: Outcome) -> None:
            self.running -= 1
    """)


def test_contracts_are_no_part_of_a_program() -> None:
    compiled = compile_text(GAUGE)
    assert not compiled.diagnostics.failed
    assert compiled.programs[0].functions == ()


def test_proofs_keep_them_with_their_place(tmp_path: Path) -> None:
    path = tmp_path / "gauge.py"
    path.write_text(GAUGE)
    found = contracted(compile_contracts(path).programs[0])
    assert [(c.kind, c.hook) for c in found.contracts] == [
        ("invariant", ""),
        ("ensures", "request"),
        ("requires", "finish"),
    ]
    assert found.of("invariant")[0].function.span.line == 5
    assert bare(found.program) == compile_file(path).programs[0]


def test_a_contract_is_typed_as_a_helper_is() -> None:
    compiled = compile_text(GAUGE.replace("self.running >= 0", "self.runing >= 0"))
    assert [d.code for d in compiled.diagnostics] == ["P006"]


def test_a_contract_that_is_no_lambda_of_the_right_shape_is_refused() -> None:
    compiled = compile_text(GAUGE.replace("lambda self, rpc, verdict:", "lambda self:"))
    assert [d.code for d in compiled.diagnostics] == ["P043"]


def test_of_a_hook_without_a_result_there_is_none_to_speak_of(tmp_path: Path) -> None:
    path = tmp_path / "gauge.py"
    path.write_text(HEAD + dedent("""
        class Gauge(Element):
            running: int = 0

            @ensures(lambda self, rpc, outcome: self.running >= 0)
            def finish(self, rpc: Rpc, outcome: Outcome) -> None:
                self._less(1)

            def _less(self, by: int) -> None:
                self.running -= by
        """))  # fmt: skip
    compiled = compile_contracts(path)
    found = contracted(compiled.programs[0])
    assert [(c.kind, c.hook, len(c.function.params)) for c in found.contracts] == [("ensures", "finish", 2)]
    assert [f.name for f in bare(found.program).functions] == ["_less"]
