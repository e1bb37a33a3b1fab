# SPDX-License-Identifier: Apache-2.0
"""Questions about texts: what is proved, what is broken, and that the solver's own failure is no answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from transect.analysis import fold, solve
from transect.analysis.prove import Finding, Prover, Verdict
from transect.analysis.solve import Answer, Question
from transect.analysis.terms import Op, Sort, integer, text, var
from transect.core.frontend.contracts import compile_contracts, contracted
from transect.rpc.equivalence.any_service import AnyService

pytestmark = pytest.mark.needs("z3")

POLICY = """
from transect.lang import as_text, ensures, hash64, parse_int
from transect.rpc import Code, Element, Forward, Message, Reject, Rpc, Verdict

class Ask(Message):
    user: str

class P(Element):
    refused: bool = False

    @ensures(lambda self, rpc, verdict: not self.refused)
    def request(self, rpc: Rpc[Ask]) -> Verdict:
        self.refused = {when}
        return Forward()
"""


def finding(tmp_path: Path, when: str) -> Finding:
    path = tmp_path / "policy.py"
    path.write_text(POLICY.format(when=when))
    (program,) = compile_contracts(path).programs
    prover = Prover(contracted(program), lambda hook: AnyService(hook, [program]))
    (found,) = prover.run()
    return found


@pytest.mark.parametrize(
    "never",
    [
        'rpc.msg.user.startswith("é") and len(rpc.msg.user) < 2',
        'rpc.msg.user.endswith("日本") and len(rpc.msg.user) < 6',
        '"é" in rpc.msg.user and len(rpc.msg.user) < 2',
    ],
)
def test_no_text_is_within_a_shorter_one(tmp_path: Path, never: str) -> None:
    assert finding(tmp_path, never).verdict is Verdict.PROVED


@pytest.mark.parametrize(
    "sometimes",
    [
        'rpc.msg.user.startswith("é") and len(rpc.msg.user) < 3',
        'rpc.msg.user.startswith("é") and rpc.msg.user.endswith("b") and len(rpc.msg.user) < 4',
        'rpc.msg.user.endswith("日本") and len(rpc.msg.user) < 7',
        f'rpc.msg.user.startswith("{"a" * 80}") and rpc.msg.user.endswith("b")',
    ],
)
def test_an_input_shows_what_is_possible(tmp_path: Path, sometimes: str) -> None:
    found = finding(tmp_path, sometimes)
    assert found.verdict is Verdict.BROKEN and found.example is not None
    assert found.example.after == {"refused": "True"}


def test_what_z3_falls_over_is_unknown_with_its_reason(tmp_path: Path) -> None:
    impossible = 'rpc.msg.user.startswith("é") and rpc.msg.user.endswith("b") and len(rpc.msg.user) < 3'
    found = finding(tmp_path, impossible)
    assert found.verdict is Verdict.UNKNOWN and "the solver gave up (" in found.why


def test_an_error_of_z3_is_never_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    z3 = solve.solver()

    def falls_over(*_: object) -> None:
        raise z3.Z3Exception(b"reached max unfolding")

    question = Question([fold.less(integer(0), var("n", Sort.INT))])
    assert question.ask().answer is Answer.SOMETIMES
    monkeypatch.setattr(z3.Solver, "check", falls_over)  # also of its simple one
    found = question.ask()
    assert found.answer is Answer.UNKNOWN and found.why == "reached max unfolding"
    assert found.model is None


def test_an_abstract_question_knows_how_long_a_text_is_that_has_a_part() -> None:
    name, part = var("name", Sort.TEXT), text("né".encode())
    for op in (Op.PREFIX, Op.SUFFIX, Op.CONTAINS):
        within = fold.of_texts(op, name, part)
        assert Question([within, fold.less(fold.length(name), integer(3))]).ask().answer is Answer.NEVER
        assert Question([within, fold.less(fold.length(name), integer(4))]).ask().answer is Answer.SOMETIMES


@pytest.mark.parametrize(
    "never",
    [
        "hash64(rpc.msg.user, 5) != hash64(rpc.msg.user, 5)",
        'hash64("abc") != 4952883123889572249',
        "parse_int(as_text(len(rpc.msg.user))) is None",
        '" Ab:c".strip().lower().partition(":")[0] != "ab"',
        "rpc.msg.user.lower() != rpc.msg.user.lower()",
        'as_text(len(rpc.msg.user)) == "-0" or as_text(len(rpc.msg.user)) == "seven"',
        'as_text(len(rpc.msg.user)) == "5" and len(rpc.msg.user) != 5',
        "as_text(len(rpc.msg.user)) == as_text(len(rpc.method)) and len(rpc.msg.user) != len(rpc.method)",
    ],
)
def test_a_number_and_its_text_are_one_another(tmp_path: Path, never: str) -> None:
    assert finding(tmp_path, never).verdict is Verdict.PROVED


@pytest.mark.parametrize(
    "sometimes",
    [
        "parse_int(rpc.msg.user) is None",
        "parse_int(rpc.msg.user) is not None",
        'as_text(len(rpc.msg.user)) == "5"',
        "hash64(rpc.msg.user) != hash64(rpc.method)",
    ],
)
def test_a_text_is_found_that_is_the_number_wanted(tmp_path: Path, sometimes: str) -> None:
    assert finding(tmp_path, sometimes).verdict is Verdict.BROKEN
