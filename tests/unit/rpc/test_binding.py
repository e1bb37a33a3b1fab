# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 - whole diagnostics
"""Views against descriptors: what fits binds; what does not says which field of which message, and what to write."""

from __future__ import annotations

import textwrap

from inline_snapshot import snapshot

from tests.unit.rpc.wire_samples import service
from transect.base.diagnostic import Diagnostics
from transect.core.frontend import compile_text
from transect.rpc.chain.binding import MAX_ELEMENTS, Binding, bind
from transect.rpc.native.build import RPC_RUNTIME

HEAD = """
from enum import IntEnum
from transect.lang import Local, Map, Mapping, Sequence, i32, local, state, table, u32, u64
from transect.rpc import Code, Element, Forward, Message, Outcome, Reject, Respond, Retry, Rpc, Verdict
"""


def bound(
    text: str, methods: list[str] | None = None, of: str = "sample.Sample"
) -> tuple[Binding | None, Diagnostics]:
    compiled = compile_text(HEAD + textwrap.dedent(text))
    assert not compiled.diagnostics.failed, [str(d) for d in compiled.diagnostics]
    diagnostics = Diagnostics()
    return bind(compiled.programs, service(of), diagnostics, methods=methods), diagnostics


def said(text: str, methods: list[str] | None = None, of: str = "sample.Sample") -> list[str]:
    """What binding says: code, line of the text, message, help."""
    _, diagnostics = bound(text, methods, of)
    start = HEAD.count("\n")
    return [f"{d.code} line {d.span.line - start}: {d.message} — {d.help}" for d in diagnostics]


def view(*lines: str) -> str:
    """A policy with a view of these fields."""
    fields = "\n".join(f"    {line}" for line in lines)
    return f"""
class User(Message):
    name: str

class Ask(Message):
{fields}

class P(Element):
    def request(self, rpc: Rpc[Ask]) -> Verdict:
        return Forward()
"""


def test_every_kind_of_field_binds() -> None:
    binding, diagnostics = bound(
        """
        class Colour(IntEnum):
            RED = 1
            GREEN = 2

        class User(Message):
            name: str
            mail: str | None
            boss: "User | None"

        class Item(Message):
            price: int
            owner: User

        class Ask(Message):
            user: str
            i32: i32
            i64: int
            u32: u32
            u64: u64
            s32: int
            f64: u64
            sf32: i32
            flt: float
            dbl: float
            flag: bool
            blob: bytes
            colour: Colour
            tint: Colour | None
            who: User
            deputy: User | None
            maybe: int | None
            nick: str | None
            tags: Sequence[str]
            numbers: Sequence[int]
            items: Sequence[Item]
            prices: Mapping[str, int]
            stock: Mapping[str, Item]
            word: str | None
            person: User | None
            colours: Sequence[Colour]

        class P(Element):
            n: int = 0
            def request(self, rpc: Rpc[Ask]) -> Verdict:
                self.n += len(rpc.msg.user)
                return Forward()
        """
    )
    assert list(diagnostics) == []
    assert binding is not None
    names = {key[0] for key in binding.elements[0].views}
    assert names == {"Ask", "User", "Item"}


def test_an_unknown_field_points_at_the_close_one() -> None:
    assert said(view("usr: str")) == snapshot(
        ["R001 line 6: message sample.Ask (sample.proto) has no field `usr` — write `user`"]
    )


def test_a_field_that_nothing_resembles_lists_what_there_is() -> None:
    assert said(view("zzz: str")) == snapshot(
        [
            "R001 line 6: message sample.Ask (sample.proto) has no field `zzz` — its fields: user, i32, i64, u32, u64, s32, s64, f32, f64, sf32, sf64, flt and 26 more; or narrow the chain to the methods that have it: `methods=[…]`"
        ]
    )


def test_a_field_of_another_type_says_what_to_write() -> None:
    assert said(
        view(
            "user: bytes",
            "u64: int",
            "i64: u64",
            "u32: i32",
            "colour: int",
            "nick: str | None",
            "word: str",
            "blob: bytes | None",
            "tags: str",
            "raw: Sequence[str]",
            "prices: Mapping[str, str]",
            "names: Sequence[str]",
            "numbers: Sequence[str]",
            "flag: int",
            "who: str",
            "dbl: int",
            "i32: User",
        )
    ) == snapshot(
        [
            "R002 line 6: field `user` of sample.Ask (sample.proto) is `string`, not `bytes` — write `user: str`",
            "R002 line 7: field `u64` of sample.Ask (sample.proto) is `uint64`, not `int` — write `u64: u64`",
            "R002 line 8: field `i64` of sample.Ask (sample.proto) is `int64`, not `u64` — write `i64: int`",
            "R002 line 9: field `u32` of sample.Ask (sample.proto) is `uint32`, not `i32` — write `u32: int`",
            "R002 line 10: field `colour` of sample.Ask (sample.proto) is `sample.Colour`, not `int` — write `colour: Colour`",
            "R003 line 13: field `blob` of sample.Ask (sample.proto) is `bytes`, not `bytes | None` — write `blob: bytes`, or make it `optional bytes blob` in sample.proto",
            "R004 line 14: field `tags` of sample.Ask (sample.proto) is `repeated string`, not `str` — write `tags: Sequence[str]`",
            "R004 line 15: field `raw` of sample.Ask (sample.proto) is `bytes`, not `Sequence[str]` — write `raw: bytes`",
            "R002 line 16: field `prices` of sample.Ask (sample.proto) is `map<string, int64>`, not `Mapping[str, str]` — write `prices: Mapping[str, int]`",
            "R004 line 17: field `names` of sample.Ask (sample.proto) is `map<int32, string>`, not `Sequence[str]` — write `names: Mapping[int, str]`",
            "R002 line 18: field `numbers` of sample.Ask (sample.proto) is `repeated int64`, not `Sequence[str]` — write `numbers: Sequence[int]`",
            "R002 line 19: field `flag` of sample.Ask (sample.proto) is `bool`, not `int` — write `flag: bool`",
            "R002 line 20: field `who` of sample.Ask (sample.proto) is `sample.User`, not `str` — write `who: User`",
            "R002 line 21: field `dbl` of sample.Ask (sample.proto) is `double`, not `int` — write `dbl: float`",
            "R002 line 22: field `i32` of sample.Ask (sample.proto) is `int32`, not `User` — write `i32: int`",
        ]
    )


def test_an_enum_must_agree_on_its_names_and_numbers() -> None:
    text = """
        class Colour(IntEnum):
            GREN = 2
            RED = 5

        class Tint(IntEnum):
            RED = 5

        class Ask(Message):
            colour: Colour
            tint: Tint | None

        class P(Element):
            def request(self, rpc: Rpc[Ask]) -> Verdict:
                return Forward()
        """
    assert said(text) == snapshot(
        [
            "R005 line 10: field `colour` of sample.Ask (sample.proto) is `sample.Colour`, which has no `GREN` — write `GREEN = 2` in `Colour`",
            "R005 line 11: field `tint` of sample.Ask (sample.proto) is `sample.Colour`, where `RED` is 1, not 5 — write `RED = 1` in `Tint`",
        ]
    )


def test_a_message_within_itself_needs_an_end() -> None:
    text = """
        class User(Message):
            boss: "User"

        class Ask(Message):
            who: User

        class P(Element):
            def request(self, rpc: Rpc[Ask]) -> Verdict:
                return Forward()
        """
    assert said(text) == snapshot(
        [
            "R011 line 3: field `boss` of sample.User (sample.proto) may contain itself without end — write `boss: User | None`"
        ]
    )


ASK = """
class Item(Message):
    price: int

class User(Message):
    name: str

class Ask(Message):
    user: str
    tags: Sequence[str]
    items: Sequence[Item]
    who: User
    deputy: User | None

class Answer(Message):
    text: str
    cost: int
"""


def test_streams_have_no_one_request() -> None:
    text = (
        ASK
        + """
class P(Element):
    n: int = 0
    def request(self, rpc: Rpc[Ask]) -> Verdict:
        return Respond(rpc.body)
    def response(self, rpc: Rpc[Ask, Answer]) -> Verdict:
        self.n += len(rpc.msg.user)
        return Forward()
    def finish(self, rpc: Rpc[Ask, Answer], outcome: Outcome) -> Retry | None:
        self.n += rpc.reply.cost
        return Retry()
"""
    )
    assert said(text, ["Say"]) == []
    assert said(text, ["Chat"]) == snapshot(
        [
            "R007 line 22: `Respond` cannot answer /sample.Sample/Chat: its replies stream — narrow the chain to unary methods: `methods=[…]`",
            "R006 line 24: `response` reads `rpc.msg`, but /sample.Sample/Chat streams: there is no one request — keep what you need in a `local(…)` field when the request passes, or narrow the chain: `methods=[…]`",
            "R006 line 27: `finish` reads `rpc.reply`, but /sample.Sample/Chat streams: there is no one reply — keep what you need in a `local(…)` field when the reply passes, or narrow the chain: `methods=[…]`",
            "R007 line 28: `Retry` cannot repeat /sample.Sample/Chat: it streams — narrow the chain to unary methods: `methods=[…]`",
        ]
    )
    assert [line[:4] for line in said(text, ["Collect"])] == ["R006", "R006", "R007"]


def test_assignments_that_nobody_would_see_are_refused() -> None:
    text = (
        ASK
        + """
class P(Element):
    n: int = 0
    def request(self, rpc: Rpc[Ask, Answer]) -> Verdict:
        self.n += rpc.reply.cost
        rpc.msg.user = "x"
        rpc.msg.who.name = "y"
        for item in rpc.msg.items:
            item.price = 0
        return Forward()
    def response(self, rpc: Rpc[Ask, Answer]) -> Verdict:
        rpc.msg.user = "z"
        rpc.reply.text = "fine"
        return Forward()
    def finish(self, rpc: Rpc[Ask, Answer], outcome: Outcome) -> Retry | None:
        rpc.reply.text = "late"
        return None
"""
    )
    assert said(text, ["Say"]) == snapshot(
        [
            "R009 line 22: `request` reads `rpc.reply`, but there is no reply yet — move this to `response`",
            "R010 line 26: `price` belongs to an item of a repeated or map field, which is read-only — change fields outside of repeated and map fields",
            "R008 line 29: `response` writes `user` of a message that has gone — write it in `request`",
            "R008 line 33: `finish` writes `text` of a message that has gone — write it in `response`",
        ]
    )


def test_a_method_that_is_not_there() -> None:
    assert said(view("user: str"), ["Wach"]) == snapshot(
        ["R014 line -4: service sample.Sample (sample.proto) has no method `Wach` — write `Watch`"]
    )
    assert said(view("user: str"), ["Unlike"]) == snapshot(
        [
            "R014 line -4: service sample.Sample (sample.proto) has no method `Unlike` — its methods: Say, Watch, Collect, Chat"
        ]
    )


def test_every_method_of_the_service_must_fit_unless_the_chain_is_narrowed() -> None:
    text = """
        class Reply(Message):
            text: str

        class P(Element):
            def request(self, rpc: Rpc[Reply]) -> Verdict:
                return Forward()
        """
    assert len(said(text)) == 1
    assert "methods=[…]" in said(text)[0]


def test_helpers_and_locals_are_followed_to_the_message() -> None:
    binding, diagnostics = bound(
        ASK
        + """
class P(Element):
    n: int = 0
    def _longer(self, user: User) -> bool:
        return len(user.name) > self.n
    def request(self, rpc: Rpc[Ask]) -> Verdict:
        boss = rpc.msg.deputy
        if boss is not None and self._longer(boss):
            rpc.msg.who.name = "cut"
        return Forward()
"""
    )
    assert binding is not None, list(diagnostics)
    needs = binding.elements[0].needs
    assert needs.fields("User") == ("name",)
    assert needs.written("User") == {"name"}
    assert needs.fields("Ask") == ("deputy", "who")


def test_members_of_an_assigned_oneof_are_options() -> None:
    text = """
class User(Message):
    name: str

class Ask(Message):
    word: str
    count: int | None
    person: User

class P(Element):
    def request(self, rpc: Rpc[Ask]) -> Verdict:
        if rpc.msg.count is None:
            rpc.msg.count = len(rpc.msg.word)
        rpc.msg.person.name = "x"
        return Forward()
"""
    assert said(text) == snapshot(
        [
            "R015 line 6: `word` is one of the oneof `choice` of sample.Ask, which this policy assigns — write `word: str | None`",
            "R015 line 8: `person` is one of the oneof `choice` of sample.Ask, which this policy assigns — write `person: User | None`",
        ]
    )


def test_an_assigned_view_stands_for_messages_which_agree() -> None:
    text = """
class Both(Message):
    i32: int

class P(Element):
    n: int = 0
    def request(self, rpc: Rpc[Both, Both]) -> Verdict:
        {}
        return Forward()
    def response(self, rpc: Rpc[Both, Both]) -> Verdict:
        self.n += rpc.reply.i32
        return Forward()
"""
    assert said(text.format("self.n += rpc.msg.i32")) == []
    assert said(text.format("rpc.msg.i32 = 5")) == snapshot(
        [
            "R016 line 2: `Both` is assigned, and stands for sample.Ask and sample.Answer, whose fields differ — write a view class for each of them; where one hook meets both, an element each"
        ]
    )


def test_a_field_that_one_message_lacks_is_told_once() -> None:
    text = """
class Both(Message):
    user: str

class P(Element):
    def request(self, rpc: Rpc[Both, Both]) -> Verdict:
        rpc.msg.user = "x"
        return Forward()
"""
    assert [line[:4] for line in said(text, ["Say"])] == ["R001"]


def test_copies_of_state_that_no_carrier_keeps_are_refused() -> None:
    text = """
class P(Element):
    mine: int = state(0, scope="worker")
    ours: int = state(0, sync="eventual", merge="sum")
    kept: int = state(0, persist=True)
    def request(self, rpc: Rpc) -> Verdict:
        return Forward()
"""
    assert said(text) == snapshot(
        [
            "R017 line 3: `mine` asks for `scope='worker'`, which only a WASM plugin gives — leave `scope` out, and let one proxy or channel carry the chain",
            "R017 line 4: `ours` asks for `sync='eventual'`, which no carrier gives — leave `sync` out, and let one proxy or channel carry the chain",
            "R017 line 5: `kept` asks for `persist=True`, which no carrier gives — leave `persist` out; the state begins anew with the chain",
        ]
    )


# ---------------------------------------------------------------- when the service hears of an RPC

SETS = """
class P(Element):
    def request(self, rpc: Rpc) -> Verdict:
        {request}
        return Forward()

    def response(self, rpc: Rpc) -> Verdict:
        {response}
        return Forward()
"""
NOTHING = "name = rpc.method"
SETTING = 'rpc.headers.set("x", "1")'


def test_headers_wait_for_the_first_message_where_an_element_decides_or_changes_them() -> None:
    def waiting(text: str, *first: str) -> tuple[set[str], set[str]]:
        compiled = compile_text(HEAD + textwrap.dedent(text))
        binding = bind(compiled.programs, service("sample.Sample"), Diagnostics(), speaks_first=first)
        assert binding is not None
        early, streaming = (
            {path.rpartition("/")[2] for path in paths} for paths in (binding.early, binding.streaming)
        )
        return early, streaming

    replies, none = {"Watch", "Chat"}, set[str]()
    assert waiting(SETS.format(request=NOTHING, response=NOTHING)) == (none, replies)
    assert waiting(SETS.format(request=SETTING, response='rpc.trailers.set("x", "1")')) == (none, replies)
    assert waiting(SETS.format(request=NOTHING, response=SETTING)) == (none, none)
    assert waiting(SETS.format(request=NOTHING, response=NOTHING), "Chat") == ({"Chat"}, replies)
    only = "class P(Element):\n    def response(self, rpc: Rpc) -> Verdict:\n        return Forward()\n"
    assert waiting(only) == ({"Collect", "Chat"}, replies), "nobody decides about requests"


def test_what_is_set_when_it_has_gone_is_told_at_its_line() -> None:
    def told(text: str, *first: str) -> list[str]:
        compiled = compile_text(HEAD + textwrap.dedent(text))
        diagnostics = Diagnostics()
        bind(compiled.programs, service("sample.Sample"), diagnostics, speaks_first=first)
        return [f"{d.code}: {d.message}" for d in diagnostics]

    assert told(SETS.format(request=SETTING, response=SETTING), "Chat") == [
        "R021: the service has the headers of /sample.Sample/Chat before the first request: it speaks first"
    ]
    routed = SETS.format(request=NOTHING, response=NOTHING).replace("Forward()", 'Forward(to="canary")', 1)
    assert told(routed, "Chat") == [
        "R021: /sample.Sample/Chat is with its service before the first request: the service speaks first"
    ]
    assert told(routed) == []
    ends = """
    class P(Element):
        def finish(self, rpc: Rpc, outcome: Outcome) -> None:
            rpc.trailers.set("x", "1")
    """
    assert told(ends) == ["R021: headers and trailers have gone when `finish` runs"]
    (unknown,) = told(SETS.format(request=NOTHING, response=NOTHING), "Shout")
    assert "has no method `Shout`" in unknown


def test_a_chain_has_at_most_as_many_elements_as_carriers_have_room_for() -> None:
    (one,) = compile_text(HEAD + view("user: str")).programs
    diagnostics = Diagnostics()
    assert bind([one] * 64, service("sample.Sample"), diagnostics, methods=["Say"]) is not None
    assert not list(diagnostics)
    assert bind([one] * 65, service("sample.Sample"), diagnostics, methods=["Say"]) is None
    assert [(d.code, d.message) for d in diagnostics] == [
        ("R013", "the chain has 65 elements; 64 is the most, and `P` is one more")
    ]
    for header, name in (("envoy_module.h", "MAX_ELEMENTS"), ("grpc_extension.h", "MOST_ELEMENTS")):
        assert f"{name} = {MAX_ELEMENTS}" in (RPC_RUNTIME / header).read_text()
