# SPDX-License-Identifier: Apache-2.0
"""A header that nobody can send, or that belongs to the protocol, is told before the chain is in force; and a name that
is computed reaches none of the protocol's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.rpc.native_driver import TRAPS, NativeChain, build
from tests.unit.rpc.wire_samples import message_class, service
from transect.base.diagnostic import Diagnostics
from transect.base.render import render_text
from transect.core.frontend import compile_text
from transect.core.interp import Instance
from transect.emit.py.build import build as build_class
from transect.rpc.chain.binding import Binding, bind
from transect.rpc.chain.python import Emitted, Interpreted, PythonChain
from transect.rpc.chain.views import HeadersView, PlainHeaders
from transect.rpc.hooks import Headers

pytestmark = pytest.mark.needs("grpcio")

HEAD = """
from transect.rpc import Code, Element, Forward, Message, Reject, Rpc, Verdict

"""
GUARD = """
class Guard(Element):
    def request(self, rpc: Rpc) -> Verdict:
        if rpc.headers.get("{name}") is not None:
            return Reject(Code.PERMISSION_DENIED, "no")
        return Forward()
"""
WRITER = """
class Writer(Element):
    def response(self, rpc: Rpc) -> Verdict:
        rpc.{call}
        return Forward()
"""
COMPUTED = """
class Ask(Message):
    user: str

class Computed(Element):
    def request(self, rpc: Rpc[Ask]) -> Verdict:
        read = rpc.headers.get(rpc.msg.user)
        rpc.headers.remove(rpc.msg.user)
        rpc.trailers.set(rpc.msg.user, "ours")
        if read is None:
            return Reject(Code.ABORTED, "none")
        return Reject(Code.ABORTED, read)
"""
OWNED = (
    *(":authority", ":path", ":status", "grpc-timeout", "grpc-status", "grpc-encoding", "grpc-trace-bin"),
    *("te", "content-type", "content-length", "content-encoding", "host", "connection", "keep-alive"),
    *("transfer-encoding", "upgrade", "trailer", "proxy-connection"),
)
FREE = (
    "x-blocked",
    "x-data-bin",
    "x_y.z9",
    "tea",
    "grpc",
    "x-grpc-status",
    "authorization",
    "trailers",
    "hosts",
)


def bound(text: str, diagnostics: Diagnostics) -> tuple[Binding | None, str]:
    compiled = compile_text(HEAD + text, "guard.py")
    assert compiled.programs, render_text(compiled.diagnostics, compiled.sources)
    binding = bind(compiled.programs, service("sample.Sample"), diagnostics, methods=("Say",))
    return binding, render_text(diagnostics, compiled.sources)


def told(text: str) -> str:
    return bound(text, Diagnostics())[1]


def test_a_name_in_capitals_is_an_error_that_says_how_it_is_written() -> None:
    text = told(GUARD.format(name="X-Blocked"))
    assert 'error[R022]: no header has the name "X-Blocked"' in text
    assert 'write "x-blocked"' in text


@pytest.mark.parametrize("name", [*FREE, "user-agent"])
def test_a_name_of_an_application_is_none(name: str) -> None:
    assert told(GUARD.format(name=name)) == ""


@pytest.mark.parametrize("name", OWNED)
def test_a_name_of_the_protocol_is_refused_where_it_is_read(name: str) -> None:
    text = told(GUARD.format(name=name))
    assert f'error[R022]: "{name}" belongs to the protocol' in text
    assert "guard.py:7:" in text


@pytest.mark.parametrize("name", [*OWNED, "user-agent"])
@pytest.mark.parametrize(
    "call", ['headers.set("{}", "1")', 'headers.remove("{}")', 'trailers.set("{}", "1")']
)
def test_a_name_of_the_protocol_is_refused_where_it_is_written(call: str, name: str) -> None:
    assert f'error[R022]: "{name}" belongs to the protocol' in told(WRITER.format(call=call.format(name)))


def test_a_name_of_the_protocol_in_capitals_is_told_once() -> None:
    text = told(GUARD.format(name="Grpc-Timeout"))
    assert text.count("error[R022]") == 1
    assert '"Grpc-Timeout" belongs to the protocol' in text


@pytest.mark.parametrize(
    ("call", "instead"),
    [
        ('headers.set("grpc-status", "9")', "`Reject(code, message)`"),
        ('headers.set("grpc-timeout", "1S")', "`Forward(after=…)`"),
        ('headers.remove(":path")', "`rpc.method`"),
        ('headers.remove(":authority")', "`rpc.peer`"),
        ('headers.set("host", "a")', "a name of its own"),
    ],
)
def test_the_help_says_what_to_use_instead(call: str, instead: str) -> None:
    assert instead in told(WRITER.format(call=call))


def chains(folder: Path) -> list[Any]:
    """The interpreter's, the one of emitted Python, and the one in C."""
    binding, text = bound(COMPUTED, Diagnostics())
    assert binding is not None, text
    program = binding.elements[0].program
    return [
        PythonChain(binding, [Interpreted(Instance(program))]),
        PythonChain(binding, [Emitted(build_class(program)())]),
        NativeChain(build(binding, folder, flags=("-O0", *TRAPS))),
    ]


class NoFacts:
    """A tape of a policy that asks for headers alone."""

    def now(self) -> int:
        return 0

    def draw(self) -> int:
        return 0

    def answer(self, intrinsic: str, ask: Any) -> object:
        return ask()


def test_a_computed_name_reads_and_changes_none_of_the_protocols(tmp_path: Path) -> None:
    for chain in chains(tmp_path):
        for name in (*OWNED, *(n.upper() for n in OWNED)):
            assert _asked(chain, name) == ("none", PlainHeaders(({name: "theirs"}, {}, {}))), name
        for name in FREE:
            assert _asked(chain, name) == ("theirs", PlainHeaders(({}, {}, {name: "ours"}))), name
        for name in FREE:
            capitals = PlainHeaders(({name.upper(): "theirs"}, {}, {}))
            assert _asked(chain, name.upper()) == ("none", capitals), name
        kept = PlainHeaders(({"user-agent": "theirs"}, {}, {}))
        assert _asked(chain, "user-agent") == ("theirs", kept)


def _asked(chain: Any, name: str) -> tuple[str, PlainHeaders]:
    """What the policy reads under a name, and the headers after it."""
    headers = PlainHeaders(({name: "theirs"}, {}, {}))
    rpc = chain.rpc("/sample.Sample/Say", "ann", headers, NoFacts())
    verdict = rpc.request(message_class("sample.Ask")(user=name).SerializeToString())
    rpc.finish(10, 0, 0)
    return verdict.text.decode(), headers


def test_a_dict_of_headers_in_a_unit_test_hides_the_protocols_names_as_carriers_do() -> None:
    headers = Headers(
        {"te": "trailers", ":authority": "a", "grpc-timeout": "1S", "user-agent": "u", "x-user": "bob"}
    )
    read = ("te", ":authority", "grpc-timeout", "user-agent", "x-user")
    assert [headers.get(name) for name in read] == [None, None, None, "u", "bob"]
    headers.set("user-agent", "mine")
    headers.remove("user-agent")
    assert headers.get("user-agent") == "u"


def stores() -> list[Any]:
    """Metadata that a policy reads and writes: a unit test's dict, and a carrier's."""
    return [
        Headers({"x-user": "bob", "x-odd": "é"}),
        HeadersView(PlainHeaders(({"x-user": "bob", "x-odd": "é"}, {}, {})), 0),
    ]


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("x-user", "ann", "ann"),
        ("x-user", "", ""),
        ("x-user", "é", None),
        ("x-user", "a\nb", None),
        ("x-user-bin", "YQ", "YQ"),
        ("x-user-bin", "YQ==", "YQ=="),
        ("x-user-bin", "Y", None),
        ("x-user-bin", "a b", None),
        ("x-user-bin", "abcd", "abcd"),
        ("x-user-bin", "abcd=", None),
        ("X-User", "ann", None),
        ("x user", "ann", None),
        ("", "ann", None),
    ],
)
def test_a_value_that_grpc_does_not_take_takes_the_header_out_wherever_a_policy_runs(
    name: str, value: str, read: str | None
) -> None:
    for headers in stores():
        headers.set(name, value)
        assert headers.get(name) == read, type(headers)
        assert headers.get("x-odd") is None
