# SPDX-License-Identifier: Apache-2.0
"""Statements of policies, hooks of shapes and strata, views, locals of one RPC, migration."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.core.running import arbiter, compiled
from transect.core import interp
from transect.core.frontend import compile_text
from transect.core.interp import Instance
from transect.core.ir import Stage
from transect.core.passes.flatten import flatten
from transect.core.values import Record
from transect.lang.tape import GivenTape


def test_fair_share_serves_whoever_has_been_served_least() -> None:
    p = Instance(
        compiled('''
        class FairShare(Arbiter):
            """Serve whoever has been served least; a newcomer starts level with the others."""
            served: Tally[Client, int] = tally(4096)
            level: int = 0

            def arrive(self, client: Client) -> None:
                floor = min((self.served[c] for c in self.waiting), default=self.level)
                self.served[client] = max(self.served[client], floor)

            def pick(self) -> Client:
                chosen = min(self.waiting, key=self.served.get)
                self.level = max(self.level, self.served[chosen])
                return chosen

            def charge(self, client: Client, cost: int) -> None:
                self.served[client] += cost
        ''')
    )
    picked = []
    for client in (11, 12):
        p.call("arrive", (client,))
        p.waiting.append(client)
    for cost in (5, 3, 3, 1):
        chosen = p.call("pick", ())
        p.call("charge", (chosen, cost))
        picked.append(chosen)
    assert picked == [11, 12, 12, 11]  # ties go to the earliest
    p.call("arrive", (13,))
    assert p.state["served"][13] == 6 and p.state["level"] == 5
    p.call("forget", (13,))
    assert 13 not in p.state["served"]


def test_branches_and_loops() -> None:
    p = arbiter(
        "n: int = 0",
        """
        for i in range(10, 0, -3):
            if i == 7:
                continue
            elif i < 2:
                break
            else:
                self.n += i
            for j in range(i):
                if j > 1:
                    break
                self.n += 100
        for i in range(min(cost, 3)):
            pass
        if cost == 6:
            return
        self.n += 1000
        """,
    )
    p.call("charge", (1, 5))
    assert p.state["n"] == 10 + 200 + 4 + 200 + 1000
    p.call("charge", (1, 6))
    assert p.state["n"] == 1414 + 414


MATCH = """
class Colour(IntEnum):
    RED = 0
    BLUE = 7

@struct
class Point:
    x: int
    y: int | None = None
"""


@pytest.mark.parametrize(
    ("subject", "cases", "result"),
    [
        ("cost", "case 1 | 5: 1\ncase _: 2", 1),
        ("cost", "case n if n > 5: 1\ncase n: n", 5),
        ("'ab'", "case 'a': 1\ncase 'ab': 2\ncase _: 3", 2),
        ("Colour.BLUE", "case Colour.RED: 1\ncase Colour.BLUE: 2\ncase _: 3", 2),
        ("(cost, True)", "case (4, _): 1\ncase (n, True): n * 2\ncase _: 3", 10),
        ("Point(x=cost)", "case Point(x=5, y=None): 1\ncase _: 2", 1),
        (
            "Point(x=1, y=cost)",
            "case Point(y=None): 1\ncase Point(x=2): 2\ncase Point(y=5, x=n): n + 2\ncase _: 9",
            3,
        ),
        ("self.o", "case None: 1\ncase n: n", 1),
        ("cost > 3", "case True: 1\ncase False: 2", 1),
    ],
)
def test_matching(subject: str, cases: str, result: int) -> None:
    lines = [f"match {subject}:"]
    for case in cases.splitlines():
        pattern, _, answer = case.rpartition(": ")
        lines += [f"    {pattern}:", f"        self.n = {answer}"]
    p = arbiter("n: int = 0\no: int | None = None", "\n".join(lines), before=MATCH)
    p.call("charge", (1, 5))
    assert p.state["n"] == result


def test_a_failed_guard_goes_on_with_the_next_case() -> None:
    p = arbiter(
        "o: int | None = None\nn: int = 0",
        """
        match self.o:
            case None:
                self.o = cost
            case 5 if cost == 9:
                self.n = 1
            case found if found > 4:
                self.n = found * 10
            case _:
                self.n = 3
        """,
    )
    for cost in (5, 5):
        p.call("charge", (1, cost))
    assert p.state["n"] == 50


# ---------------------------------------------------------------- rpc

LIMIT = """
class Ask(Message):
    user: str
    sizes: Sequence[int]
    labels: Mapping[str, int]
    count: i32
    tag: str | None

class Limit(Element):
    allowed: Map[str, bool] = table(4)
    started: Local[Instant] = local(0)
    long: Local[str] = local("-")
    seen: int = 0

    def request(self, rpc: Rpc[Ask]) -> Verdict:
        self.started = now()
        self.long = rpc.msg.user
        rpc.msg.count += 1
        rpc.msg.user = "x"
        role = rpc.headers.get("role")
        if role is not None and role == "root":
            rpc.headers.set("was", rpc.method)
            return Forward(after=ms(3))
        if 7 in rpc.msg.sizes or "bad" in rpc.msg.labels:
            return Reject(Code.ABORTED, f"{rpc.msg.labels.get('n', 0)} {len(rpc.msg.sizes)}")
        tag = rpc.msg.tag
        if tag is not None:
            return Respond(rpc.body)
        total = sum(n for n in rpc.msg.sizes)
        for name, n in rpc.msg.labels.items():
            total += n + len(name)
        return Forward(to="big") if total > 100 else Forward()

    def finish(self, rpc: Rpc[Ask], outcome: Outcome) -> Retry | None:
        self.seen += as_int(now() - self.started) + len(self.long)
        if outcome.code == Code.UNAVAILABLE and outcome.cause == Cause.REPLY:
            return Retry(after=outcome.elapsed * 2)
        return None
"""


class Fields(dict[str, str]):
    """Headers."""

    def set(self, name: str, value: str) -> None:
        self[name] = value


def rpc(headers: dict[str, str] | None = None, **message: Any) -> Any:
    given = {"user": "ann", "sizes": [1], "labels": {}, "count": 2**31 - 1, "tag": None, **message}
    return SimpleNamespace(
        msg=SimpleNamespace(**given), headers=Fields(headers or {}), method="/a.B/C", body=b"whole"
    )


@pytest.mark.parametrize(
    ("given", "verdict"),
    [
        ({}, Record("Forward", {"after": None, "to": None})),
        ({"headers": {"role": "root"}}, Record("Forward", {"after": 3_000_000, "to": None})),
        ({"sizes": [3, 7], "labels": {"n": 4}}, Record("Reject", {"code": 10, "message": "4 2"})),
        ({"labels": {"bad": 1}}, Record("Reject", {"code": 10, "message": "0 1"})),
        ({"tag": ""}, Record("Respond", {"body": b"whole"})),
        ({"labels": {"abc": 97}}, Record("Forward", {"after": None, "to": "big"})),
    ],
)
def test_verdicts(given: dict[str, Any], verdict: Record) -> None:
    assert Instance(compiled(LIMIT)).call("request", (rpc(**given),), tape=GivenTape()) == verdict


def test_views_are_references_and_their_methods_belong_to_them() -> None:
    call = rpc(headers={"role": "root"})
    Instance(compiled(LIMIT)).call("request", (call,), tape=GivenTape())
    assert (call.msg.user, call.msg.count, call.headers["was"]) == ("x", -(2**31), "/a.B/C")


def test_answers_from_outside_go_by_the_tape() -> None:
    class Log(GivenTape):
        answers: list[tuple[str, object]] = []

        def answer(self, intrinsic: str, ask: Any) -> object:
            self.answers.append((intrinsic, ask()))
            return "root"

    tape = Log()
    verdict = Instance(compiled(LIMIT)).call("request", (rpc(),), tape=tape)
    assert verdict.after == 3_000_000 and tape.answers == [("rpc.Headers.get", None)]


def test_locals_belong_to_one_rpc() -> None:
    p = Instance(compiled(LIMIT))
    first: dict[str, object] = {}
    second: dict[str, object] = {}
    p.call("request", (rpc(),), tape=GivenTape(now=100), locals=first)
    p.call("request", (rpc(user="x" * 65),), tape=GivenTape(now=500), locals=second)
    assert first == {"started": 100, "long": "ann"} and second == {"started": 500, "long": "-"}
    ended = SimpleNamespace(code=14, cause=0, elapsed=50)
    assert p.call("finish", (rpc(), ended), tape=GivenTape(now=700), locals=first) == Record(
        "Retry", {"after": 100}
    )
    assert p.state["seen"] == 603
    ended.cause = 3
    assert p.call("finish", (rpc(), ended), tape=GivenTape(now=700)) is None
    assert p.state["seen"] == 603 + 700 + 1  # fresh locals


def test_functions_of_a_stratum_can_be_given() -> None:
    def get(headers: object, name: str) -> str:
        return "root" if name == "role" else ""

    verdict = Instance(compiled(LIMIT)).call(
        "request",
        (rpc(),),
        tape=GivenTape(),
        functions={"rpc.Headers.get": get, "rpc.Headers.set": lambda headers, name, value: None},
    )
    assert verdict.after == 3_000_000


# ---------------------------------------------------------------- forms


def test_a_flat_program_means_the_same() -> None:
    program = flatten(compiled(LIMIT))
    assert program.stage is Stage.FLAT
    verdict = Instance(program).call("request", (rpc(sizes=[3, 7], labels={"n": 4}),), tape=GivenTape())
    assert verdict == Record("Reject", {"code": 10, "message": "4 2"})


def test_only_checked_programs_run() -> None:
    import dataclasses

    program = dataclasses.replace(compiled(LIMIT), stage=Stage.TYPED)
    with pytest.raises(AssertionError, match="the interpreter got TYPED"):
        Instance(program)


def test_the_interpreter_asserts_what_the_front_end_proves() -> None:
    p = arbiter("limit: int = 0", "pass")
    with pytest.raises(AssertionError, match="limit is no parameter"):
        p.set_param("limit", 3)


def test_a_policy_text_of_several_policies() -> None:
    text = "from transect.shapes import Arbiter, Client\n" + "".join(
        f"class P{i}(Arbiter):\n    n: int = {i}\n    def pick(self) -> Client:\n"
        "        return min(self.waiting, key=lambda c: 0)\n"
        for i in range(3)
    )
    assert [Instance(p).state["n"] for p in compile_text(text).programs] == [0, 1, 2]


def test_a_text_does_not_double_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program of a log may put one together again and again: forty times doubled it fills the machine."""
    monkeypatch.setattr(interp, "LONGEST", 100)
    program = compiled("""
        class Asked(Message):
            user: str

        class Long(Element):
            def request(self, rpc: Rpc[Asked]) -> Verdict:
                return Reject(Code.ABORTED, f"{rpc.msg.user}{rpc.msg.user}")
        """)
    called = Instance(program)
    assert called.call("request", (rpc(user="a" * 50),)).message == "a" * 100
    with pytest.raises(ValueError, match="a text of 102 characters"):
        called.call("request", (rpc(user="a" * 51),))
