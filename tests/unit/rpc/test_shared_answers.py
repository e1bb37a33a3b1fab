# SPDX-License-Identifier: Apache-2.0
"""R036: which elements that answer from memory are warned of beside one that chooses routes."""

from __future__ import annotations

import pytest

from transect.base.diagnostic import Diagnostics
from transect.core.frontend import compile_text
from transect.rpc.chain.shared_answers import warn_of_shared_answers

POLICIES = """
from transect.lang import Map, blob, lru
from transect.rpc import Element, Forward, Message, Respond, Rpc, Verdict


class Ask(Message):
    key: str
    user: str


class Router(Element):
    def request(self, rpc: Rpc[Ask]) -> Verdict:
        return Forward(to="two") if {chosen} else Forward()


class Cache(Element):
    replies: Map[str, bytes] = lru(64, value=blob(4096))

    def request(self, rpc: Rpc[Ask]) -> Verdict:
        if {seen}:
            return Forward()
        reply = self.replies.get(rpc.msg.key)
        return Forward() if reply is None else Respond(reply)

    def response(self, rpc: Rpc[Ask]) -> Verdict:
        {kept}
        return Forward()
"""
KEPT = "self.replies[rpc.msg.key] = rpc.reply_body"
HEADER = 'rpc.headers.get("x-version") is not None'


def warned(
    chosen: str, seen: str, kept: str = KEPT, *, names: tuple[str, ...] = ("Router", "Cache")
) -> list[str]:
    compiled = compile_text(POLICIES.format(chosen=chosen, seen=seen, kept=kept), "policies.py")
    assert not compiled.diagnostics.failed, [d.message for d in compiled.diagnostics]
    programs = {program.name: program for program in compiled.programs}
    diagnostics = Diagnostics()
    warn_of_shared_answers([programs[name] for name in names], diagnostics)
    assert all(d.code == "R036" and not d.is_error for d in diagnostics)
    return [d.help.partition(":")[0] for d in diagnostics]


@pytest.mark.parametrize("names", [("Router", "Cache"), ("Cache", "Router")])
@pytest.mark.parametrize(
    ("chosen", "what"),
    [
        (HEADER, '`rpc.headers.get("x-version")`'),
        ('rpc.msg.user == "me"', "`rpc.msg.user`"),
        ('rpc.peer == "me"', "`rpc.peer`"),
        ("len(rpc.body) > 9", "`rpc.body`"),
        (f'{HEADER} or rpc.msg.user == "me"', '`rpc.msg.user` and `rpc.headers.get("x-version")`'),
    ],
)
def test_a_cache_that_does_not_look_at_what_the_route_is_chosen_by_is_warned_of(
    names: tuple[str, ...], chosen: str, what: str
) -> None:
    assert warned(chosen, "rpc.msg.key == ''", names=names) == [f"`Router` chooses the route by {what}"]


@pytest.mark.parametrize(
    ("chosen", "seen"),
    [
        (HEADER, HEADER),
        (HEADER, "rpc.headers.get(rpc.msg.key) is not None"),
        ('rpc.msg.user == "me"', 'rpc.msg.user == "you"'),
        ('rpc.msg.user == "me"', "len(rpc.body) > 9"),
        ('rpc.msg.key == "me"', "rpc.msg.key == ''"),
    ],
)
def test_one_that_looks_at_it_is_not(chosen: str, seen: str) -> None:
    assert warned(chosen, seen) == []


def test_an_answer_that_does_not_come_from_a_reply_is_not() -> None:
    assert warned(HEADER, "rpc.msg.key == ''", "self.replies[rpc.msg.key] = rpc.body") == []


def test_without_an_element_that_chooses_routes_nothing_is_said() -> None:
    assert warned(HEADER, "rpc.msg.key == ''", names=("Cache",)) == []
