# SPDX-License-Identifier: Apache-2.0
"""A counter-example says which times and draws it needs, and with just these it is one."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import pytest

from tests.unit.cli.terminal import Run
from transect.core.frontend import compile_text
from transect.core.interp import Instance
from transect.core.interp import Run as Interpreted
from transect.lang.tape import GivenTape

pytestmark = pytest.mark.needs("z3")

POLICY = """
from transect.lang import Instant, as_int, invariant, ensures, ms, ns, now, rand, rand_below, seconds
from transect.rpc import Code, Element, Forward, Reject, Rpc, Verdict

class P(Element):
    last: Instant = 0
    n: int = 0

    def request(self, rpc: Rpc) -> Verdict:
        {}
        return Forward()
"""
REFUSE = 'return Reject(Code.ABORTED, "")'
CASES = {
    "a share": ("if rand() < 0.25: " + REFUSE, "if rand() < 0.75: " + REFUSE),
    "an odd share": ("if rand() < 0.3: " + REFUSE, "if rand() < 0.3000001: " + REFUSE),
    "a number": ("if rand_below(10) > 3: " + REFUSE, "if rand_below(10) > 4: " + REFUSE),
    "several": (
        "if rand_below(7) == 5 and rand() < 0.5 and rand_below(9) == 8: " + REFUSE,
        "if rand_below(7) == 5 and rand() < 0.5 and rand_below(9) == 7: " + REFUSE,
    ),
    "another number of them": (
        "if rand_below(5) == 4: " + REFUSE,
        "if rand() < 2.0 and rand_below(5) == 4: " + REFUSE,
    ),
    "a time": (
        "if now() - self.last > seconds(5): " + REFUSE,
        "if now() - self.last > seconds(6): " + REFUSE,
    ),
    "a nanosecond": ("if as_int(now()) > 5000000000: " + REFUSE, "if as_int(now()) > 5000000001: " + REFUSE),
    "a time and a number": (
        "if as_int(now()) % 7 == 3 and rand_below(6) == 5: " + REFUSE,
        "if as_int(now()) % 7 == 3 and rand_below(6) == 4: " + REFUSE,
    ),
}


def told(shown: str) -> tuple[int, list[float | int]]:
    """What `now` and `rand` of the tape are by the text."""
    now = re.search(r"\bnow ([-\d.]+) s", shown)
    draws = re.findall(r"\brand ([-\d.e]+)", shown)
    return int(Decimal(now[1] if now else 0) * 10**9), [float(d) if "." in d else int(d) for d in draws]


def verdict(text: str, shown: str) -> str:
    """What the policy returns with the state, time and draws of the text, and no others."""
    (program,) = compile_text(text, "p.py").programs
    instance = Instance(program)
    for name, value in re.findall(r"self\.(\w+) = (-?\d+)$", shown, re.MULTILINE):
        instance.state[name] = int(value)
    now, draws = told(shown)
    handler = program.handler("request")
    assert handler is not None
    return repr(Interpreted(instance, GivenTape(now, draws), {}, {}).call(handler, [object()]))


@pytest.mark.parametrize("name", CASES)
def test_a_difference_is_one_with_the_times_and_draws_that_are_shown(
    name: str, transect: Run, tmp_path: Path
) -> None:
    old, new = (POLICY.format(line) for line in CASES[name])
    (tmp_path / "old.py").write_text(old)
    (tmp_path / "new.py").write_text(new)
    ended = transect("diff", tmp_path / "old.py", tmp_path / "new.py")
    examples = ended.out.split("\n\n")[:-1]
    assert ended.code == 1 and examples
    for example in examples:
        assert verdict(old, example) in example.split("old: ")[1].split("\n")[0]
        assert verdict(new, example) in example.split("new: ")[1]
        assert verdict(old, example) != verdict(new, example)
        if kinds := re.search(r": (\w+) becomes (\w+)$", example, re.MULTILINE):
            assert f"old: {kinds[1]}(" in example and f"new: {kinds[2]}(" in example


def test_no_time_and_no_draw_is_shown_that_nobody_asked_for(transect: Run, tmp_path: Path) -> None:
    (tmp_path / "old.py").write_text(POLICY.format("if self.n > 3: " + REFUSE))
    (tmp_path / "new.py").write_text(POLICY.format("if self.n > 4: " + REFUSE))
    assert re.search(r"\b(now|rand) ", transect("diff", tmp_path / "old.py", tmp_path / "new.py").out) is None


def test_programs_are_told_them_too(transect: Run, tmp_path: Path) -> None:
    for version, line in zip(("old", "new"), CASES["a number"], strict=True):
        (tmp_path / f"{version}.py").write_text(POLICY.format(line))
    assert '"facts": "rand ' in transect("diff", "--json", tmp_path / "old.py", tmp_path / "new.py").out


@pytest.mark.parametrize(
    ("line", "promise"),
    [
        ("self.n = rand_below(10)", "self.n < 7"),
        ("if as_int(now()) == 5000000001: self.n = 9", "self.n < 7"),
        ("if rand() < 0.25: self.n = 9", "self.n < 7"),
        ("pass", "as_int(now()) != 5000000001"),
    ],
)
def test_a_broken_promise_is_one_with_what_is_shown(
    line: str, promise: str, transect: Run, tmp_path: Path
) -> None:
    text = POLICY.format(line).replace("class P", f"@invariant(lambda self: {promise})\nclass P")
    (tmp_path / "policy.py").write_text(text)
    ended = transect("prove", tmp_path / "policy.py")
    note = ended.out.split("note: ")[1]
    now, draws = told(note)
    if "self.n" not in promise:
        assert now == 5000000001
        return
    (program,) = compile_text(text, "p.py").programs
    instance, handler = Instance(program), program.handler("request")
    assert handler is not None
    Interpreted(instance, GivenTape(now, draws), {}, {}).call(handler, [object()])
    assert instance.state["n"] >= 7


SCHEDULER = """
from transect.cpu import Fifo, Scheduler, Task
from transect.lang import given

class P(Scheduler):
    ready: Fifo = given()
    n: int = 0

    def enqueue(self, task: Task) -> None:
        self.ready.put(task)

    def dispatch(self, cpu: int) -> None:
        if not self.ready.take():
            self.n += 1
"""


def test_what_a_queue_answered_is_told(transect: Run, tmp_path: Path) -> None:
    for name, added in (("old", 1), ("new", 2)):
        (tmp_path / f"{name}.py").write_text(SCHEDULER.replace("+= 1", f"+= {added}"))
    assert (
        "\n  self.ready.take() is False\n" in transect("diff", tmp_path / "old.py", tmp_path / "new.py").out
    )
