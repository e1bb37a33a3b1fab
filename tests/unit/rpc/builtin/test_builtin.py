# SPDX-License-Identifier: Apache-2.0
"""Which elements are proved to be Envoy's own filters, which are not and why; and a wrong filter is noticed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pytest

from transect.base.shipped import path_of
from transect.core.frontend import compile_file, compile_text
from transect.core.ir import Program
from transect.rpc.builtin import Filter, Mutation, NotAFilter, Refusal, filters_of, proof
from transect.rpc.builtin.candidate import candidate
from transect.rpc.builtin.filters import all_of, header, present, unless
from transect.rpc.hooks import Code

pytestmark = pytest.mark.needs("z3")

HEAD = """
from transect.lang import Duration, Local, Map, Param, local, ms, now, param, table
from transect.rpc import Code, Element, Forward, Outcome, Reject, Rpc, Verdict

class E(Element):
"""
TEAM = """
    allowed: Map[str, bool] = table(16)

    def request(self, rpc: Rpc) -> Verdict:
        team = rpc.headers.get("x-team")
        if team is not None and self.allowed.get(team, False):
            rpc.headers.set("x-edge", "front")
            return Forward()
        return Reject(Code.PERMISSION_DENIED, "no")
"""
GIVEN: Mapping[str, object] = {"allowed": {"search": True, "ads": False}}


def element(body: str) -> Program:
    made = compile_text(HEAD + body, "e.py")
    assert made.programs, [d.message for d in made.diagnostics]
    return made.programs[0]


def request(*lines: str) -> str:
    return "    def request(self, rpc: Rpc) -> Verdict:\n" + "".join(f"        {line}\n" for line in lines)


def test_an_access_list_on_a_header_is_a_refusal() -> None:
    refusal, mutation = filters_of("E", element(TEAM), GIVEN)
    assert isinstance(refusal, Refusal) and isinstance(mutation, Mutation)
    assert (refusal.code, refusal.text) == (Code.PERMISSION_DENIED, "no")
    assert (mutation.set, mutation.remove) == ((("x-edge", "front"),), ())


def test_what_does_nothing_is_no_filter_at_all() -> None:
    (null,) = compile_file(path_of("null")).programs
    assert filters_of("Null", null, {}) == ()
    counts = request("self.sent += 1", "return Forward()")
    assert filters_of("E", element("    sent: Local[int] = local(0)\n" + counts), {}) == ()


def test_what_grpc_does_not_take_is_no_write() -> None:
    (mutation,) = filters_of("E", element(request('rpc.headers.set("x-a", "é")', "return Forward()")), {})
    assert isinstance(mutation, Mutation) and (mutation.set, mutation.remove) == ((), ("x-a",))
    assert filters_of("E", element(request('rpc.headers.set("grpc-a", "b")', "return Forward()")), {}) == ()


def test_the_state_of_the_chain_file_is_what_counts() -> None:
    (refusal,) = filters_of("E", element(TEAM), {})
    assert isinstance(refusal, Refusal) and "matcher_list" not in refusal.filter()["typed_config"]["matcher"]


def _text(filters: Sequence[Filter]) -> list[Filter]:
    return [replace(f, text="No") if isinstance(f, Refusal) else f for f in filters]


def _code(filters: Sequence[Filter]) -> list[Filter]:
    return [replace(f, code=Code.UNAUTHENTICATED) if isinstance(f, Refusal) else f for f in filters]


def _when(filters: Sequence[Filter]) -> list[Filter]:
    return [replace(f, when=unless(present("x-team"))) if isinstance(f, Refusal) else f for f in filters]


def _value(filters: Sequence[Filter]) -> list[Filter]:
    return [replace(f, set=(("x-edge", "back"),)) if isinstance(f, Mutation) else f for f in filters]


def _more(filters: Sequence[Filter]) -> list[Filter]:
    return [replace(f, remove=("x-team",)) if isinstance(f, Mutation) else f for f in filters]


def _less(filters: Sequence[Filter]) -> list[Filter]:
    return [f for f in filters if isinstance(f, Refusal)]


@pytest.mark.parametrize("wrong", [_text, _code, _when, _value, _more, _less])
def test_a_wrong_candidate_is_noticed(
    wrong: Callable[[Sequence[Filter]], list[Filter]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proof, "candidate", lambda *of: wrong(candidate(*of)))
    with pytest.raises(NotAFilter, match="a request differs from"):
        filters_of("E", element(TEAM), GIVEN)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (request('return Reject(Code.UNKNOWN, f"{rpc.method}")'), "depends on the call"),
        (
            request('return Reject(Code.NOT_FOUND, "no")'),
            "it refuses with NOT_FOUND; `rbac` has PERMISSION_DENIED",
        ),
        (
            request('if len(rpc.body) > 9: return Reject(Code.UNKNOWN, "")', "return Forward()"),
            "looks into messages",
        ),
        (request("return Forward(after=ms(1))"), "it delays calls"),
        (
            request('if rpc.peer == "a": return Reject(Code.UNKNOWN, "")', "return Forward()"),
            "asks who calls",
        ),
        (request('rpc.headers.set("x-a", rpc.method)', "return Forward()"), "into `x-a` depends on the call"),
        (
            request('rpc.headers.set("x-envoy-a", "b")', "return Forward()"),
            "`x-envoy-a` is a header of gRPC's",
        ),
        (request('rpc.headers.set("x-a", " b")', "return Forward()"), "cannot be sent as it is"),
        (
            request('if rpc.headers.get("x-a") is None: rpc.headers.set("x-a", "b")', "return Forward()"),
            "a request differs from what Envoy's filters do",
        ),
        (
            request("return Forward()")
            + '    def response(self, rpc: Rpc) -> Verdict:\n        return Reject(Code.UNKNOWN, "")\n',
            "a reply differs from what Envoy's filters do",
        ),
        (
            request('rpc.headers.remove("x-a")', "return Forward()").replace("request", "response"),
            "it changes replies",
        ),
    ],
)
def test_what_is_none_is_told_why(body: str, why: str) -> None:
    with pytest.raises(NotAFilter) as refused:
        filters_of("E", element(body), {})
    assert why in str(refused.value)


@pytest.mark.parametrize(
    ("stem", "why"),
    [
        ("acl", "depends on the call"),
        ("fault", "Envoy's dice are others"),
        ("rate_limit", "calls change `buckets`"),
        ("mutation", "changes messages"),
        ("logging", "says things"),
        ("metrics", "calls change `calls`"),
        ("header_routing", "refuses with NOT_FOUND"),
        ("sticky", "calls change `homes`"),
        ("bandwidth", "calls change `free`"),
    ],
)
def test_the_library_is_told_why(stem: str, why: str) -> None:
    (program,) = compile_file(path_of(stem)).programs
    with pytest.raises(NotAFilter, match=why):
        filters_of(program.name, program, {})


def test_no_filter_finds_a_header_that_elements_read_as_absent() -> None:
    """Envoy would compare its bytes; equality with what is printable alone needs no second look."""
    equal = header("x-team", "exact", "a")
    assert equal != all_of([present("x-team"), equal])
    assert header("x-team", "exact", "é")["and_matcher"]["predicate"][0] == present("x-team")
    assert header("x-team", "prefix", "a")["and_matcher"]["predicate"][0] == present("x-team")
