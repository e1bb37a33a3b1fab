# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import textwrap

import pytest

from tests.unit.core.sink import sink
from transect.core import ir
from transect.core.effects import Effects, Facts, Read, Write, effects, nodes
from transect.core.frontend import compile_text
from transect.core.text_dump import _Dump

HEAD = """
from collections.abc import Mapping, Sequence
from transect.lang import Array, Counter, Instant, Map, Ordered, Param, Tally, now, rand, rand_below, struct, trace, u32
from transect.lang import array, counter, lru, ordered, param, table, tally
from transect.rpc import Code, Element, Forward, Message, Outcome, Reject, Respond, Retry, Rpc, Verdict
from transect.shapes import Arbiter, Client

class Inner(Message):
    size: u32

class Ask(Message):
    user: str
    note: str
    inner: Inner
    parts: Sequence[Inner]
    labels: Mapping[str, int]

@struct
class Bucket:
    tokens: int = 0
    seen: Instant = 0
"""


def compiled(text: str) -> ir.Program:
    found = compile_text(HEAD + textwrap.dedent(text))
    assert not found.diagnostics.failed, [f"{d.span}: {d.message}" for d in found.diagnostics]
    return found.programs[0]


def element(fields: str, body: str, helpers: str = "") -> ir.Program:
    lines = [*textwrap.dedent(fields).strip().splitlines(), "def request(self, rpc: Rpc[Ask]) -> Verdict:"]
    lines += textwrap.indent(textwrap.dedent(body).strip(), "    ").splitlines()
    lines += textwrap.dedent(helpers).strip().splitlines()
    return compiled("class P(Element):\n" + "\n".join("    " + line for line in lines))


def handler(program: ir.Program, name: str = "request") -> ir.Function:
    found = program.handler(name)
    assert found is not None
    return found


def accesses(program: ir.Program, name: str = "request") -> list[str]:
    """Reads and writes of state in words: `set level`, `add served[client]`, `read all of served`."""
    found = effects(program, handler(program, name))
    pairs: list[tuple[str, Read | Write]] = [("read", r) for r in found.reads]
    pairs += [(str(w.operation), w) for w in found.writes]
    return sorted(
        f"{what} {a.field}" if a.whole else f"{what} {a.field}[{spelled(program, name, a.key)}]"
        for what, a in pairs
    )


def spelled(program: ir.Program, name: str, key: ir.Expr | None) -> str:
    return (
        "?" if key is None else _Dump(program).expr(key, _Dump(program).scope.within(handler(program, name)))
    )


@pytest.mark.parametrize(
    ("fields", "body", "wanted"),
    [
        ("n: int = 0", "self.n = 1", ["set n"]),
        ("n: int = 0", "self.n += 1", ["add n"]),
        ("n: int = 0", "self.n = max(self.n, 3)", ["max n"]),
        ("n: int = 0", "self.n *= 2", ["read n", "set n"]),
        ("n: float = 0.0", "self.n += 1.0", ["read n", "set n"]),
        ("b: Bucket = Bucket()", "self.b.tokens -= 1", ["add b"]),
        ("c: Counter = counter()", "self.c.add(2)", ["add c"]),
        ("t: Tally[str, int] = tally(8)", "self.t[rpc.msg.user] += 1", ["add t[rpc->msg->user]"]),
        ("t: Map[str, int] = table(8)", "self.t[rpc.msg.user] = 1", ["insert t[rpc->msg->user]"]),
        ("t: Map[str, int] = table(8)", "del self.t[rpc.msg.user]", ["remove t[rpc->msg->user]"]),
        (
            "t: Map[str, int] = table(8)",
            "who = rpc.msg.user\nif not self.t.put(who, 1):\n    return Reject(Code.ABORTED, 'full')",
            ["insert t[rpc->msg->user]", "read t[rpc->msg->user]"],
        ),
        (
            "t: Map[str, Bucket] = table(8)",
            "if rpc.msg.user in self.t:\n    self.t[rpc.msg.user].tokens -= 1",
            ["add t[rpc->msg->user]", "read t[rpc->msg->user]"],
        ),
        ("t: Map[str, int] = lru(8)", "x = self.t.get('a', 0)", ["read t['a']", "touch t"]),
        ("t: Ordered[int, int] = ordered(8)", "x = self.t.pop_first()", ["read t", "remove t"]),
        ("t: Map[str, int] = table(8)", "n = len(self.t)", ["read t"]),
        (
            "t: Map[str, int] = table(8)",
            "who = rpc.msg.user\nwho = rpc.msg.note\nx = self.t.get(who, 0)",
            ["read t[?]"],
        ),
        (
            "t: Map[str, int] = table(8)",
            "x = self.t.get(rpc.msg.user, 0)\nrpc.msg.user = 'x'",
            ["read t[?]"],  # the field does not keep its value
        ),
        ("a: Array[int] = array(8)", "self.a[2] += 1", ["add a[2]"]),
    ],
)
def test_what_is_done_to_state(fields: str, body: str, wanted: list[str]) -> None:
    assert accesses(element(fields, body + "\nreturn Forward()")) == wanted


def test_a_helper_touches_what_its_arguments_say() -> None:
    program = element(
        "t: Tally[str, int] = tally(8)",
        "self._note(rpc.msg, rpc.msg.user)\nreturn Forward()",
        """
        def _note(self, ask: Ask, who: str) -> None:
            self.t[who] += len(ask.note)
            self.t[ask.inner.size] += 1
        """.replace("self.t[ask.inner.size] += 1", "trace(ask.user)"),
    )
    found = effects(program, handler(program))
    assert accesses(program) == ["add t[rpc->msg->user]"]
    assert {t.path for t in found.view_reads} == {
        ("rpc", "msg"),
        ("rpc", "msg", "user"),
        ("rpc", "msg", "note"),
    }
    assert found.reports == {"trace"}


def test_outside_facts_by_kind() -> None:
    program = element(
        "n: int = 0",
        """
        token = rpc.headers.get("token")
        rpc.headers.set("seen", "yes")
        trace("x")
        if rand() < 0.5 or now() < now() or rand_below(3) == 1:
            rpc.msg.note = "lucky"
        return Forward()
        """,
    )
    found = effects(program, handler(program))
    assert found.outside_reads == {"rpc.Headers.get"}
    assert found.outside_writes == {"rpc.Headers.set"}
    assert found.clock == {"now"}
    assert found.random == {"rand", "rand_below"}
    assert found.reports == {"trace"}
    assert {t.path for t in found.view_writes} == {("rpc", "msg", "note")}
    assert not found.reads_only and not found.pure
    assert not found.reads and not found.writes


def test_verdicts() -> None:
    program = element(
        "n: int = 0",
        """
        refused = Reject(Code.ABORTED, "x")
        if self.n == 1:
            return refused
        return self._other() if self.n > 2 else Forward()
        """,
        "def _other(self) -> Verdict:\n    return Respond(b'')",
    )
    facts = Facts(program)
    assert facts.verdicts(handler(program)) == {"Reject", "Respond", "Forward"}
    assert facts.verdicts(handler(program, "response")) == {"Forward"}
    assert facts.verdicts(handler(program, "finish")) == {"None"}


def test_falling_off_the_end_is_a_verdict_too() -> None:
    program = compiled("""
        class P(Element):
            def finish(self, rpc: Rpc, outcome: Outcome) -> Retry | None:
                if outcome.code == Code.UNAVAILABLE:
                    return Retry()
    """)
    assert Facts(program).verdicts(handler(program, "finish")) == {"Retry", "None"}


@pytest.mark.parametrize(
    ("helper", "wanted"),
    [
        ("return Reject(message='x', code=Code.OK if self._n() > 1 else Code.ABORTED)", {"Reject"}),
        ("return v", {"Forward", "Reject", "Respond"}),
        ("return self._or_none(v)", {"Forward", "Reject", "Respond", "None"}),
    ],
)
def test_verdicts_of_helpers_are_those_of_their_type_at_most(helper: str, wanted: set[str]) -> None:
    returns = "Verdict | None" if "None" in wanted else "Verdict"
    program = element(
        "n: int = 0",
        "x = self._decided(Forward())\nreturn Forward()",
        f"def _decided(self, v: Verdict) -> {returns}:\n    {helper}\n"
        "def _n(self) -> int:\n    self.n += 1\n    return self.n\n"
        "def _or_none(self, v: Verdict | None) -> Verdict | None:\n    return v",
    )
    (decided,) = (f for f in program.functions if f.name == "_decided")
    assert Facts(program).verdicts(decided) == wanted


def test_what_a_helper_reads_of_one_of_two_is_read_of_something() -> None:
    program = element(
        "n: int = 0",
        "self.n = self._size(rpc.msg, rpc.msg.inner)\nreturn Forward()",
        "def _size(self, a: Ask, b: Inner) -> int:\n    return (a.inner if a.user == '' else b).size",
    )
    touched = {(t.field, t.path) for t in effects(program, handler(program)).view_reads}
    assert ("size", None) in touched and ("user", ("rpc", "msg", "user")) in touched


def test_fields_of_the_message_that_a_hook_needs() -> None:
    program = element(
        "n: int = 0",
        """
        total = 0
        for part in rpc.msg.parts:
            total += part.size
        for name, value in rpc.msg.labels.items():
            total += value
        self.n = total
        rpc.msg.note = "x"
        if rpc.msg.inner.size > 3:
            return Reject(Code.ABORTED, "x")
        return Forward()
        """,
    )
    found = effects(program, handler(program))
    assert {".".join(t.path or "?") for t in found.view_reads | found.view_writes} == {
        "rpc.msg",
        "rpc.msg.parts",
        "rpc.msg.parts.*.size",
        "rpc.msg.labels",
        "rpc.msg.note",
        "rpc.msg.inner",
        "rpc.msg.inner.size",
    }


def test_what_is_effectful_in_itself() -> None:
    facts = Facts(sink())
    found = {
        str(getattr(node, "name", getattr(node, "op", getattr(node, "function", ""))))
        for f in (*sink().functions, *sink().handlers)
        for node in nodes(f)
        if isinstance(node, ir.Expr) and facts.effectful(node)
    }
    assert found == {"now", "rand", "trace", "rpc.get", "put", "pop_first", "get", "_count"}


def test_effects_add_up() -> None:
    program = sink()
    facts = Facts(program)
    request = handler(program)
    whole = facts.of(request)
    parts = Effects()
    for s in request.body:
        parts |= facts.of(s, request)
    assert parts == whole == facts.of(request.body, request)
