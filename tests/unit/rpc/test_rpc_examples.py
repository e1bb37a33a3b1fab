# SPDX-License-Identifier: Apache-2.0
"""The element library: shorter than the published elements, and what each element does, on the interpreter, as emitted
Python and as C at once."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from tests.unit.rpc.lab import Lab, passed
from transect.base.shipped import path_of
from transect.rpc import Cause, Code, digest, echo
from transect.rpc.chain.python import Action, ChainVerdict

pytestmark = [pytest.mark.needs("grpcio"), pytest.mark.needs("gcc")]

SECOND = 1_000_000_000
FORWARD = ChainVerdict(Action.FORWARD)
KEY = bytes(range(32))
LONG = "spiffe://cluster.local/ns/" + "n" * 200 + "/sa/checkout"

# Non-blank lines without comments of the elements published with AppNet (NSDI'25); None: it has none.
PUBLISHED = {
    "null": 10, "fault": 12, "acl": 17, "rate_limit": 21, "bandwidth": 22, "admission": 23, "breaker": 19,
    "cache": 26, "mutation": 10, "logging": 11, "metrics": 16, "encrypt": 11, "decrypt": 11, "sticky": 13,
    "compress": None, "expand": None, "retry_budget": None, "header_routing": None, "identify": None,
    "power_of_two": None, "rendezvous": None,
}  # fmt: skip


def lines(path: Path) -> tuple[int, int]:
    """Non-blank lines without comments and docstrings: without imports, and with them."""
    tree = ast.parse(path.read_text())
    text = {n + 1 for n, line in enumerate(path.read_text().splitlines()) if line.split("#")[0].strip()}
    imports: set[int] = set()
    for node in ast.walk(tree):
        span = range(getattr(node, "lineno", 0), getattr(node, "end_lineno", 0) + 1)
        match node:
            case ast.Expr(value=ast.Constant(value=str())):
                text -= set(span)
            case ast.Import() | ast.ImportFrom():
                imports |= set(span)
            case _:
                pass
    return len(text - imports), len(text)


def test_each_element_is_shorter_than_the_published_one() -> None:
    print(f"\n{'element':<16}{'lines':>6}{'with imports':>14}{'published':>11}")
    for stem, published in PUBLISHED.items():
        own, whole = lines(path_of(stem))
        print(f"{stem:<16}{own:>6}{whole:>14}{published or '–':>11}")
        assert published is None or own < published, stem


def rejected(verdict: ChainVerdict, code: Code, text: str) -> bool:
    return (verdict.action, verdict.code, verdict.text.decode()) == (Action.REJECT, code, text)


def test_null_lets_everything_pass(tmp_path: Path) -> None:
    call = Lab(tmp_path, null={}).rpc()
    assert call.ask(text="x") == FORWARD
    assert call.reply("y") == FORWARD
    call.end()


def test_fault_aborts_a_share_of_calls_and_delays_another(tmp_path: Path) -> None:
    lab = Lab(tmp_path, fault={"abort": 0.25, "delay": 0.5, "delay_for": 7})
    assert rejected(lab.rpc(draws=(0.2,)).ask(), Code.UNAVAILABLE, "fault injected")
    assert lab.rpc(draws=(0.3, 0.4)).ask().after == 7
    assert lab.rpc(draws=(0.3, 0.6)).ask() == FORWARD


def test_acl_lets_known_users_pass(tmp_path: Path) -> None:
    lab = Lab(tmp_path, acl={"allowed": {"ann": True, "eve": False}})
    assert lab.rpc().ask(user="ann") == FORWARD
    assert rejected(lab.rpc().ask(user="eve"), Code.PERMISSION_DENIED, "eve may not call /echo.Echo/Say")
    assert lab.rpc().ask().code == Code.PERMISSION_DENIED


def test_rate_limit_gives_each_user_a_bucket_that_fills(tmp_path: Path) -> None:
    lab = Lab(tmp_path, rate_limit={"per_second": 10, "burst": 2})

    def ask(user: str) -> ChainVerdict:
        return lab.rpc().ask(user=user)

    assert [ask("ann").action for _ in range(3)] == [Action.FORWARD, Action.FORWARD, Action.REJECT]
    assert ask("bob") == FORWARD, "a bucket of one's own"
    lab.now += SECOND // 10
    assert ask("ann") == FORWARD
    assert rejected(ask("ann"), Code.RESOURCE_EXHAUSTED, "more than 10 calls a second")


def test_rate_limit_refuses_a_user_that_it_cannot_remember(tmp_path: Path) -> None:
    lab = Lab(tmp_path, rate_limit={})
    assert lab.rpc().ask(user="u" * 65).text == b"too many users at once", "a name beyond its bound"


def test_bandwidth_delays_and_then_refuses_who_sends_too_much(tmp_path: Path) -> None:
    lab = Lab(tmp_path, bandwidth={"rate": 100, "patience": 2 * SECOND})
    call = lab.rpc(peer="ann")
    assert call.ask(text="x" * 98).after == 0, "100 bytes take a second, the next ones wait"
    assert lab.rpc(peer="ann").ask(text="x" * 98).after == SECOND
    assert call.reply("x" * 98).after == 2 * SECOND, "replies count, too"
    assert rejected(lab.rpc(peer="ann").ask(), Code.RESOURCE_EXHAUSTED, "more than 100 bytes a second")
    assert lab.rpc(peer="bob").ask().after == 0
    lab.now += 10 * SECOND
    assert lab.rpc(peer="ann").ask().after == 0


def test_admission_counts_who_is_inside_however_calls_end(tmp_path: Path) -> None:
    lab = Lab(tmp_path, admission={"most": 4})
    open_calls = [lab.rpc(draws=(0.99,)) for _ in range(5)]
    verdicts = [call.ask() for call in open_calls]
    assert [v.action for v in verdicts] == [Action.FORWARD] * 4 + [Action.REJECT]
    assert rejected(verdicts[4], Code.UNAVAILABLE, "too busy")
    ends = ((0, 0), (1, 2), (4, 3), (14, 4), (14, 1))  # reply, cancel, deadline, reset, our own rejection
    for call, (code, cause) in zip(open_calls, ends, strict=True):
        call.end(code, cause)
    assert lab.state("running") == 0
    assert lab.rpc(draws=(0.99,)).ask() == FORWARD


def test_admission_lets_fewer_in_while_calls_fail_and_more_when_they_succeed(tmp_path: Path) -> None:
    lab = Lab(tmp_path, admission={})

    def call(code: Code, draw: float = 0.5) -> Action:
        one = lab.rpc(draws=(draw,))
        verdict = one.ask()
        one.end(code, Cause.REPLY if verdict.action is Action.FORWARD else Cause.REJECT)
        return verdict.action

    first = [call(Code.UNAVAILABLE) for _ in range(60)]
    assert first[:20] == [Action.FORWARD] * 20 and first[-1] is Action.REJECT
    for _ in range(6):
        lab.now += 11 * SECOND
        call(Code.OK, 0.999)
    assert call(Code.OK) is Action.FORWARD, "the past fades"


def test_breaker_opens_after_failures_in_a_row_and_one_call_tries(tmp_path: Path) -> None:
    lab = Lab(tmp_path, breaker={"limit": 2})

    def call(code: Code, cause: Cause = Cause.REPLY) -> bool:
        one = lab.rpc()
        verdict = one.ask()
        if verdict.action is Action.REJECT:
            assert rejected(verdict, Code.UNAVAILABLE, "circuit open")
            one.end(Code.UNAVAILABLE, Cause.REJECT)
            return False
        one.end(code, cause)
        return True

    assert call(Code.UNAVAILABLE, Cause.RESET) and call(Code.NOT_FOUND) and call(Code.INTERNAL)
    assert call(Code.CANCELLED, Cause.CANCEL), "who gave up says nothing"
    assert call(Code.DEADLINE_EXCEEDED, Cause.DEADLINE), "the second in a row"
    assert not call(Code.OK)
    lab.now += SECOND
    assert call(Code.CANCELLED, Cause.CANCEL), "tries, and learns nothing"
    assert not call(Code.OK), "one call in a pause"
    lab.now += SECOND
    assert call(Code.UNAVAILABLE, Cause.RESET) and not call(Code.OK)
    lab.now += SECOND
    assert call(Code.OK) and call(Code.OK)


def test_cache_answers_by_method_and_key_until_time_is_up(tmp_path: Path) -> None:
    lab = Lab(tmp_path, cache={"keep": 5 * SECOND})
    first = lab.rpc()
    assert first.ask(key="k") == FORWARD
    assert first.reply("answer") == FORWARD
    first.end()
    again = lab.rpc().ask(key="k")
    assert (again.action, again.element) == (Action.RESPOND, 0)
    assert echo.Answer.FromString(again.text).text == "answer"
    assert lab.rpc().ask(key="other") == FORWARD
    lab.now += 5 * SECOND
    assert lab.rpc().ask(key="k") == FORWARD
    failed = lab.rpc()
    failed.ask(key="e")
    failed.end(Code.UNAVAILABLE, Cause.RESET)
    assert lab.rpc().ask(key="e") == FORWARD, "an error is not kept"


def test_mutation_replaces_listed_values_of_two_fields(tmp_path: Path) -> None:
    lab = Lab(tmp_path, mutation={"changes": {("user", "ali"): "alice", ("text", "secret"): "***"}})
    assert passed(lab.rpc().ask(user="ali", text="x")) == echo.Ask(user="alice", text="x")
    assert passed(lab.rpc().ask(user="secret", text="secret")) == echo.Ask(user="secret", text="***")


def test_logging_has_a_line_for_each_rpc_however_it_ends(tmp_path: Path) -> None:
    lab = Lab(tmp_path, logging={})
    call = lab.rpc(peer="10.0.0.1")
    call.ask(text="secret")
    call.ask(text="secret")
    call.end(Code.CANCELLED, Cause.CANCEL, 2_500_000)
    assert lab.said[0] == ["10.0.0.1 /echo.Echo/Say sent=2 code=1 cause=2 us=2500"]


def test_metrics_count_calls_and_failures_by_status(tmp_path: Path) -> None:
    lab = Lab(tmp_path, metrics={})
    for code in (0, 0, 5, 14, 5):
        call = lab.rpc()
        call.ask()
        call.end(code, 0, 1000)
    assert lab.state("calls").value == 5
    assert dict(lab.state("failures").items()) == {5: 2, 14: 1}
    assert sum(lab.state("took").buckets) == 5


def test_what_encrypt_seals_only_decrypt_with_the_same_key_opens(tmp_path: Path) -> None:
    both = Lab(tmp_path / "both", encrypt={"key": KEY}, decrypt={"key": KEY})
    assert passed(both.rpc().ask(user="u", text="grün")) == echo.Ask(user="u", text="grün")
    sender = Lab(tmp_path / "sender", encrypt={"key": KEY})
    sealed = [passed(sender.rpc().ask(text="grün")).text for _ in range(2)]
    assert sealed[0] != sealed[1], "a nonce of its own for each message"
    assert "grün" not in sealed[0]
    other = Lab(tmp_path / "other", decrypt={"key": KEY[::-1]})
    receiver = Lab(tmp_path / "receiver", decrypt={"key": KEY})
    assert passed(receiver.rpc().ask(text=sealed[0])).text == "grün"
    flipped = sealed[0][:30] + ("A" if sealed[0][30] != "A" else "B") + sealed[0][31:]
    for lab, text in ((other, sealed[0]), (receiver, flipped), (receiver, "plain"), (receiver, "")):
        assert rejected(lab.rpc().ask(text=text), Code.UNAUTHENTICATED, "not sealed with this key")


def test_encrypt_without_a_key_lets_nothing_pass(tmp_path: Path) -> None:
    lab = Lab(tmp_path, encrypt={})
    assert rejected(lab.rpc().ask(text="x"), Code.FAILED_PRECONDITION, "no key of 32 bytes")


def test_compress_and_expand_give_back_the_text_and_pack_only_what_gets_smaller(tmp_path: Path) -> None:
    both = Lab(tmp_path / "both", compress={}, expand={})
    for text in ("", "short", "lorem ipsum " * 50, "ü" * 1000):
        call = both.rpc()
        verdict = call.ask(text=text)
        found = text if verdict.message is None else passed(verdict).text
        assert found == text and "x-packed" not in call.headers
    call = Lab(tmp_path / "sender", compress={}).rpc()
    packed = passed(call.ask(text="lorem ipsum " * 50)).text
    assert len(packed) < 60 and call.headers == {"x-packed": "lz4"}
    receiver = Lab(tmp_path / "receiver", expand={"most": 599})
    assert rejected(
        receiver.rpc(x_packed="lz4").ask(text=packed), Code.INVALID_ARGUMENT, "not packed, or too large"
    )
    assert receiver.rpc(x_packed="lz4").ask(text="@").code == Code.INVALID_ARGUMENT
    assert receiver.rpc().ask(text="@") == FORWARD


def test_sticky_keeps_users_at_their_homes_until_those_are_dead(tmp_path: Path) -> None:
    lab = Lab(tmp_path, sticky={"routes": {0: "north", 1: "south"}})
    call = lab.rpc(draws=(0.0,))
    home = call.ask(user="ann").to
    call.end()
    assert {lab.rpc().ask(user="ann").to for _ in range(8)} == {home}
    assert {lab.rpc().ask(user=f"u{n}").to for n in range(20)} == {"north", "south"}
    failed = lab.rpc()
    failed.ask(user="ann")
    failed.end(Code.UNAVAILABLE, Cause.RESET)
    assert "ann" not in lab.state("homes")


def test_power_of_two_takes_the_less_loaded_of_two_and_counts_what_is_under_way(tmp_path: Path) -> None:
    routes = {n: f"s{n}" for n in range(4)}
    lab = Lab(tmp_path, power_of_two={"routes": routes})

    calls = [lab.rpc() for _ in range(400)]
    homes = [call.ask().to for call in calls]
    loads = lab.state("load")
    assert sum(loads.values()) == 400 and max(loads.values()) - min(loads.values()) <= 6, (
        "of one choice about 60"
    )
    assert calls[0].ask().to == homes[0], "a later message of a stream goes where the first went"
    for call, home in zip(calls, homes, strict=True):
        if home == "s1":
            call.end()
    fresh = [lab.rpc().ask().to for _ in range(100)]
    assert fresh.count("s1") > 33 and lab.state("load")[1] == fresh.count("s1"), "who has the fewest is taken"


def test_rendezvous_keeps_users_where_they_are_and_routes_within_their_bound(tmp_path: Path) -> None:
    routes = {n: f"s{n}" for n in range(5)}
    lab = Lab(tmp_path, rendezvous={"routes": routes})

    def home(user: str, of: Lab) -> Any:
        call = of.rpc()
        to = call.ask(user=user).to
        call.end()
        return to

    users = [f"user {n}" for n in range(60)]
    homes = {user: home(user, lab) for user in users}
    assert {home(user, lab) == homes[user] for user in users} == {True}
    assert len(set(homes.values())) == 5
    fewer = Lab(tmp_path / "fewer", rendezvous={"routes": {n: to for n, to in routes.items() if to != "s2"}})
    moved = {user for user in users if home(user, fewer) != homes[user]}
    assert moved == {user for user in users if homes[user] == "s2"}, "only those whose home has gone"

    calls = [lab.rpc() for _ in range(40)]
    for call in calls:
        call.ask(user="a crowd of one")
    loads = lab.state("load")
    assert sum(loads.values()) == 40 and max(loads.values()) <= 10, "125 percent of 8"
    for call in calls:
        call.end()
    assert not any(lab.state("load").values())


def test_retry_budget_sends_again_while_failures_are_few(tmp_path: Path) -> None:
    lab = Lab(tmp_path, retry_budget={"share": 50})

    def fail(code: Code = Code.UNAVAILABLE, cause: Cause = Cause.RESET) -> bool:
        call = lab.rpc()
        call.ask()
        ending = call.end(code, cause)
        assert not ending.retry or 1_000_000 <= ending.after <= 20_000_000
        return ending.retry

    assert [fail() for _ in range(6)] == [False, True, False, True, False, True]
    assert not fail(Code.NOT_FOUND) and not fail(cause=Cause.REJECT)
    for _ in range(100):
        fail(Code.OK, Cause.REPLY)
    assert lab.state("saved") == 1000, "no more than the burst is saved up"


def test_header_routing_takes_who_asks_for_a_version_there(tmp_path: Path) -> None:
    lab = Lab(tmp_path, header_routing={"routes": {"2": "canary"}})
    assert lab.rpc(x_version="2").ask().to == "canary"
    assert lab.rpc().ask() == FORWARD
    assert rejected(lab.rpc(x_version="9").ask(), Code.NOT_FOUND, "no version 9")


def test_identify_says_whose_a_call_is_by_key_by_a_trusted_peer_and_by_the_peer(tmp_path: Path) -> None:
    lab = Lab(
        tmp_path,
        identify={
            "keys": {digest("sk-ann"): "ann"},
            "trusted": {"spiffe://proxy": True, "spiffe://old": False},
            "peers": {"spiffe://shop": "shop", "spiffe://proxy": "proxy", LONG: "long"},
        },
    )

    def known(peer: str = "10.0.0.1", **headers: str) -> dict[str, str]:
        call = lab.rpc(draws=(), peer=peer, **headers)
        assert call.ask() == FORWARD
        return call.headers

    assert known(x_api_key="sk-ann") == {"x-transect-tenant": "ann"}, "nobody behind sees the key"
    assert known("spiffe://shop") == {"x-transect-tenant": "shop"}
    assert known(LONG) == {"x-transect-tenant": "long"}
    assert known(LONG + "r") == {}
    assert known("spiffe://shop", x_api_key="sk-ann") == {"x-transect-tenant": "ann"}
    assert known("spiffe://proxy", x_tenant="bob") == {"x-transect-tenant": "bob"}
    assert known("spiffe://proxy") == {"x-transect-tenant": "proxy"}
    for stranger in ("10.0.0.1", "spiffe://old", ""):
        assert known(stranger, x_tenant="bob") == {}
    assert known(x_transect_tenant="anonymous") == {"x-transect-tenant": "anonymous"}
    assert known(x_transect_tenant="carol") == {"x-transect-tenant": "carol"}, "the layer before has vouched"
    assert known("spiffe://proxy", x_tenant="ann", x_api_key="sk-ann") == {"x-transect-tenant": "ann"}
    assert known("10.0.0.1", x_tenant="bob", x_api_key="sk-ann") == {"x-transect-tenant": "ann"}
    refused = lab.rpc(peer="spiffe://proxy", x_tenant="bob", x_api_key="sk-ann").ask()
    why = "x-tenant names another than the owner of this API key"
    assert rejected(refused, Code.UNAUTHENTICATED, why), "of two that disagree another could be meant"
    for key in ("sk-bob", "", digest("sk-ann"), "sk-ann,sk-ann", "sk-ann,sk-eve"):
        refused = lab.rpc(peer="spiffe://shop", x_api_key=key).ask()
        assert rejected(refused, Code.UNAUTHENTICATED, "this API key is nobody's")


def test_the_whole_library_fits_one_chain(tmp_path: Path) -> None:
    """A rejection by the last element: everybody before it was entered, and nobody counts it as inside any more."""
    lab = Lab(
        tmp_path,
        null={}, logging={}, metrics={}, admission={}, breaker={}, retry_budget={}, rate_limit={}, bandwidth={},
        fault={"abort": 0.0, "delay": 0.0}, mutation={}, cache={}, encrypt={"key": KEY}, decrypt={"key": KEY},
        compress={}, expand={}, sticky={}, header_routing={}, identify={}, power_of_two={},
        rendezvous={}, acl={},
    )  # fmt: skip
    call = lab.rpc(draws=(0.5,))
    verdict = call.ask(user="eve", text="x")
    assert (verdict.code, verdict.element) == (Code.PERMISSION_DENIED, len(PUBLISHED) - 1)
    call.end(verdict.code, Cause.REJECT)
    assert lab.state("running", 3) == 0
