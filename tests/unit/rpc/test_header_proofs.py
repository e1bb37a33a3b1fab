# SPDX-License-Identifier: Apache-2.0
"""Proofs about policies that read metadata: it is one map, which counter-examples show."""

from __future__ import annotations

from pathlib import Path

import pytest

from transect.analysis.diff import Difference, diff
from transect.analysis.prove import Finding, Prover, Verdict
from transect.analysis.solve import Answer
from transect.cli.worlds import world_of
from transect.core.frontend import compile_text
from transect.core.frontend.contracts import compile_contracts, contracted
from transect.rpc.equivalence import Level, Settings, decide
from transect.rpc.equivalence import Verdict as Swap
from transect.rpc.equivalence.pairs import Judgement
from transect.rpc.equivalence.sendable import Unsendable, check_headers
from transect.rpc.headers import printable

pytestmark = pytest.mark.needs("z3")

HEAD = """
from transect.lang import Map, ensures, table, text
from transect.rpc import Code, Element, Forward, Reject, Rpc, Verdict

"""
QUOTA = """
class Quota(Element):
    calls: Map[str, int] = table(1000, key=text(32))

    @ensures(lambda self, rpc, verdict: self._calls(rpc) <= MOST)
    def request(self, rpc: Rpc) -> Verdict:
        user = rpc.headers.get("user")
        if user is None:
            return Reject(Code.UNAUTHENTICATED)
        self.calls[user] = min(self.calls.get(user, 0) + 1, 10)
        return Forward()

    def _calls(self, rpc: Rpc) -> int:
        user = rpc.headers.get("user")
        return 0 if user is None or user not in self.calls else self.calls.get(user, 0) - self._extra(user)

    def _extra(self, user: str) -> int:
        return self.calls.get(user, 0) - 10 if self.calls.get(user, 0) > 10 else 0
"""
GATE = """
class Gate(Element):
    def request(self, rpc: Rpc) -> Verdict:
        user = rpc.headers.get("user")
        if user is None or user != "ann":
            return Reject(Code.UNAUTHENTICATED)
        return Forward()
"""


def finding(path: Path, most: int) -> Finding:
    path.write_text(HEAD + QUOTA.replace("MOST", str(most)))
    (program,) = compile_contracts(path).programs
    (found,) = Prover(contracted(program), world_of(program)).run()
    return found


def compared(new: str) -> Difference:
    (a,), (b,) = (compile_text(HEAD + text).programs for text in (GATE, new))
    return diff(a, b, world_of(a, b))


def test_a_promise_of_an_entry_by_a_header_is_proved(tmp_path: Path) -> None:
    assert finding(tmp_path / "quota.py", 10).verdict is Verdict.PROVED


def test_where_it_is_broken_the_header_is_shown(tmp_path: Path) -> None:
    found = finding(tmp_path / "quota.py", 9)
    assert found.verdict is Verdict.BROKEN and found.example is not None
    assert "headers={'user': '" in found.example.args["rpc"]


def test_a_header_that_is_read_twice_is_the_same() -> None:
    twice = GATE.replace("if user is None", "if rpc.headers.get('user') is None or user is None")
    assert compared(twice).same


@pytest.mark.parametrize(
    ("old", "new", "shows"),
    [
        ('!= "ann"', '!= "bob"', "headers={'user': '"),
        ('get("user")', 'get("name")', "headers={'"),
        (
            "return Forward()",
            'rpc.headers.remove("user")\n        return Forward()',
            "headers={'user': 'ann'}",
        ),
        (
            "return Forward()",
            'rpc.headers.set("user", "bob")\n        return Forward()',
            "headers={'user': 'ann'}",
        ),
    ],
)
def test_another_header_is_a_difference_that_is_shown(old: str, new: str, shows: str) -> None:
    found = compared(GATE.replace(old, new))
    assert found.changes and not found.open
    assert any(shows in c.example.args["rpc"] for c in found.changes)
    assert all("function" not in c.example.new + c.example.args["rpc"] for c in found.changes)


def test_what_is_set_to_what_it_was_is_no_difference() -> None:
    assert compared(
        GATE.replace("return Forward()", 'rpc.headers.set("user", "ann")\n        return Forward()')
    ).same


COMPUTED = """
class Gate(Element):
    def request(self, rpc: Rpc) -> Verdict:
        rpc.headers.set(rpc.method, "seen")
        if rpc.headers.get(rpc.method) is None:
            return Reject(Code.UNAUTHENTICATED)
        return Forward()
"""


def test_what_is_set_under_a_computed_name_may_not_be_there() -> None:
    """The name may be one of the protocol's, under which nothing is set or read."""
    always = COMPUTED.replace(
        "if rpc.headers.get(rpc.method) is None", 'if rpc.method == "" and rpc.method != ""'
    )
    (a,), (b,) = (compile_text(HEAD + text).programs for text in (COMPUTED, always))
    assert not diff(a, b, world_of(a, b)).same


def test_a_computed_name_that_is_read_twice_has_one_value() -> None:
    once = COMPUTED.replace(
        "if rpc.headers.get(rpc.method) is None",
        "name = rpc.method\n        if rpc.headers.get(name) is None and rpc.headers.get(name) is None",
    )
    (a,), (b,) = (compile_text(HEAD + text).programs for text in (COMPUTED, once))
    assert diff(a, b, world_of(a, b)).same


SETS = """
class Ask(Message):
    s: str

class Sets(Element):
    ok: bool = True

    @ensures(lambda self, rpc, verdict: self.ok)
    def request(self, rpc: Rpc[Ask]) -> Verdict:
        s, old = rpc.msg.s, rpc.headers.get("x-old")
        rpc.headers.set({name}, {value})
        u = rpc.headers.get({name})
        self.ok = {ok}
        return Forward()
"""


def proof(path: Path, name: str, value: str, ok: str) -> Prover:
    path.write_text(HEAD.replace("Element", "Element, Message") + SETS.format(name=name, value=value, ok=ok))
    (program,) = compile_contracts(path).programs
    return Prover(contracted(program), world_of(program))


def promised(path: Path, name: str, value: str, ok: str) -> Finding:
    """What came of it; a proof is confirmed by a second one."""
    prover = proof(path, name, value, ok)
    (found,) = prover.run()
    if found.verdict is Verdict.PROVED:
        assert prover.recheck(found) is Answer.NEVER
    return found


@pytest.mark.parametrize(
    ("name", "value", "ok"),
    [
        ('"x-user"', '"bob"', 'u is not None and u == "bob"'),
        ('"x-user"', '""', "u is not None"),
        ('"x-user"', '"é"', "u is None"),
        ('"x-user-bin"', '"YQ"', 'u is not None and u == "YQ"'),
        ('"x-user-bin"', '"Y"', "u is None"),
        ('"x-user"', 'old if old is not None else "none"', "u is not None"),
        ('"x-user"', "s", "u is None or u == s"),
        ('"te"', '"trailers"', "u is None"),
        ("s", '"a"', 'u is None or s == "user-agent" or u == "a"'),
        ('"x user"', '"bob"', "u is None"),
    ],
)
def test_what_is_set_is_read_again_where_grpc_takes_it(
    tmp_path: Path, name: str, value: str, ok: str
) -> None:
    assert promised(tmp_path / "sets.py", name, value, ok).verdict is Verdict.PROVED


@pytest.mark.parametrize(
    ("name", "value", "ok"),
    [
        ('"x-user"', "s", "u is not None and u == s"),
        ('"x-user"', "s", "len(s) != 1 or u is not None"),
        ('"x-user"', "s", 'not s.startswith("ab") or u is not None'),
        ('"x-user-bin"', 'old if old is not None else ""', "u is not None"),
        ('"x-user-bin"', "s", "u is None"),
        ("s", '"Y"', 'not s.endswith("-bin") or u is not None'),
        ("s", '"a"', "u is not None"),
        ("s", '"a"', "u is None"),
        ("s", '"a"', 'u is None or u == "a"'),
        ('"user-agent"', '"mine"', 'u is not None and u == "mine"'),
    ],
)
def test_what_grpc_does_not_take_breaks_a_promise_that_counts_on_it(
    tmp_path: Path, name: str, value: str, ok: str
) -> None:
    found = promised(tmp_path / "sets.py", name, value, ok)
    assert found.verdict is Verdict.BROKEN, found.why


def test_a_text_that_begins_with_a_letter_beyond_ascii_is_not_taken(tmp_path: Path) -> None:
    """Which takes texts as they are."""
    found = proof(tmp_path / "sets.py", '"x-user"', "s", 'not s.startswith("é") or u is None').run()[0]
    assert found.verdict is Verdict.PROVED


def test_the_text_that_is_not_taken_is_shown(tmp_path: Path) -> None:
    found = promised(tmp_path / "sets.py", '"x-user"', "s", "u is not None")
    assert found.example is not None and "s='é'" in found.example.args["rpc"], found.example


def test_a_header_that_cannot_be_read_is_there_all_the_same() -> None:
    """A client of its own making may send one, and the service reads it where nobody takes it out."""
    old = "return Forward()"
    always = GATE.replace(old, f'rpc.headers.remove("role")\n        {old}')
    where_read = always.replace(
        'rpc.headers.remove("role")',
        'if rpc.headers.get("role") is not None:\n            rpc.headers.remove("role")',
    )
    (a,), (b,) = (compile_text(HEAD + text).programs for text in (always, where_read))
    assert not diff(a, b, world_of(a, b)).same


COUNTS = """
class Counts(Element):
    calls: int = 0

    def request(self, rpc: Rpc) -> Verdict:
        self.calls += 1
        return Forward()
"""


def beside_a_count(gate: str) -> Judgement:
    """Whether it is the same to count calls before an element and behind it."""
    head = HEAD.replace("Element", "Element, Message") + "class Ask(Message):\n    s: str\n"
    (a,), (b,) = (compile_text(head + text).programs for text in (gate, COUNTS))
    return decide(a, b, levels=[Level.IDENTICAL], settings=Settings(limit=20)).at(Level.IDENTICAL)


def test_an_element_that_counts_on_what_it_set_may_refuse() -> None:
    found = beside_a_count("""
class Sets(Element):
    def request(self, rpc: Rpc[Ask]) -> Verdict:
        rpc.headers.set("x-user", rpc.msg.s)
        if rpc.headers.get("x-user") is None:
            return Reject(Code.UNAUTHENTICATED)
        return Forward()
""")
    assert found.verdict is Swap.REFUSED
    assert found.witness is not None
    (event,) = found.witness.stream.events
    assert not printable(str(event.fields["s"])), event
    check_headers(found.witness.stream)


def test_a_header_that_no_library_sends_is_shown_and_not_tried() -> None:
    """What came is read, if it is printable; set again, it must be base64 as well."""
    found = beside_a_count("""
class Copies(Element):
    def request(self, rpc: Rpc) -> Verdict:
        old = rpc.headers.get("x-old-bin")
        rpc.headers.set("x-new-bin", "" if old is None else old)
        if rpc.headers.get("x-new-bin") is None:
            return Reject(Code.UNAUTHENTICATED)
        return Forward()
""")
    assert found.verdict is Swap.REFUSED and found.witness is not None
    with pytest.raises(Unsendable, match="no gRPC library sends the header `x-old-bin: "):
        check_headers(found.witness.stream)


@pytest.mark.parametrize("value", ['"bob"', '"" if old is None else old'])
def test_an_element_that_sets_what_grpc_takes_refuses_nobody(value: str) -> None:
    found = beside_a_count(f"""
class Copies(Element):
    def request(self, rpc: Rpc) -> Verdict:
        old = rpc.headers.get("x-old")
        rpc.headers.set("x-new", {value})
        if rpc.headers.get("x-new") is None:
            return Reject(Code.UNAUTHENTICATED)
        return Forward()
""")
    assert found.verdict is Swap.PROVED
