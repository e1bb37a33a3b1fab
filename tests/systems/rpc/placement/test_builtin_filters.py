# SPDX-License-Identifier: Apache-2.0
"""Elements as Envoy's own filters: a real Envoy against the interpreter, call by call, and what an operator sees."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import grpc
import pytest

from tests.systems.rpc.envoy.http2 import (
    END_HEADERS,
    HEADERS,
    Connection,
    connect,
    encode_headers,
    frame,
    message,
)
from tests.systems.rpc.envoy.kit import Echo, serving
from tests.systems.rpc.placement.test_plan_in_force import costs
from tests.systems.rpc.placement.test_plan_in_force import running as running_plan
from transect.base.diagnostic import Diagnostics
from transect.control.client import Client
from transect.control.protocol import Refused
from transect.core.interp import Instance
from transect.rpc import echo
from transect.rpc.builtin import NotAFilter
from transect.rpc.builtin.running import Filters, deploy_filters
from transect.rpc.chain.arrangement import Carrier, Processor
from transect.rpc.chain.binding import bind
from transect.rpc.chain.file import first_state, read_chain, read_edges
from transect.rpc.chain.model import ChainFile
from transect.rpc.chain.python import Action, Interpreted, PythonChain
from transect.rpc.chain.views import PlainHeaders
from transect.rpc.envoy import Endpoint
from transect.rpc.equivalence.levels import Level
from transect.rpc.grpcio.attach import service_of
from transect.rpc.placement import saved
from transect.rpc.placement.deployment import run_plan
from transect.rpc.placement.planning import plan
from transect.rpc.placement.profile import Cost

pytestmark = pytest.mark.needs("envoy", "grpcio", "z3")

SAY = "/echo.Echo/Say"
POLICIES = '''
from transect.lang import Map, Param, param, table
from transect.rpc import Code, Element, Forward, Reject, Rpc, Verdict


class Team(Element):
    """Known teams may call."""

    allowed: Map[str, bool] = table(16)

    def request(self, rpc: Rpc) -> Verdict:
        team = rpc.headers.get("x-team")
        if team is None:
            return Reject(Code.UNAUTHENTICATED, "who are you?")
        return Forward() if self.allowed.get(team, False) else Reject(Code.PERMISSION_DENIED, "100 % não")


class Closed(Element):
    """Some are turned away, each with another code."""

    tenant: Param[str] = param("")

    def request(self, rpc: Rpc) -> Verdict:
        build = rpc.headers.get("x-build")
        if build is None:
            return Forward()
        if build.startswith("beta-") or "rc" in build:
            return Reject(Code.UNAVAILABLE, "not yet")
        if build.endswith(".0") and rpc.method == "/echo.Echo/Say":
            return Reject(Code.INTERNAL, "")
        if build == self.tenant:
            return Reject(Code.UNIMPLEMENTED, "a % of %REQ(x-team)%")
        return Reject(Code.UNKNOWN, "empty") if build == "" else Forward()


class Stamp(Element):
    """Who comes through here, whatever the caller says."""

    def request(self, rpc: Rpc) -> Verdict:
        rpc.headers.set("x-edge", "100% front")
        rpc.headers.set("x-empty", "")
        rpc.headers.set("x-twice", "a")
        rpc.headers.set("x-twice", "b")
        rpc.headers.remove("x-debug")
        return Forward()
'''
CHAIN = """
from policies import Closed, Stamp, Team
from transect.examples.rpc.null import Null
from transect.rpc import Chain

chain = Chain(
    service="echo.Echo", upstream="127.0.0.1:{port}", methods=["{method}"],
    elements=[Null(), Team(allowed={{"search": True, "ads": False, "a,b": True}}), Closed(tenant="acme"), Stamp()],
)
"""


@pytest.fixture(scope="module")
def service() -> Iterator[tuple[int, Echo]]:
    handler = Echo()
    handler.extra[SAY] = lambda request, context: request
    with serving(handler) as port:
        yield port, handler


def chain_of(folder: Path, port: int, method: str = "Say") -> tuple[ChainFile, Any]:
    (folder / "policies.py").write_text(POLICIES)
    return read_bound(folder, CHAIN.format(port=port, method=method), method)


def read_bound(folder: Path, text: str, method: str = "Say") -> tuple[ChainFile, Any]:
    path = folder / "shop.py"
    path.write_text(text)
    read = read_chain(path)
    assert read.chain is not None, list(read.diagnostics)
    diagnostics = Diagnostics()
    binding = bind(
        [use.program for use in read.chain.elements],
        service_of(echo.DESCRIPTOR),
        diagnostics,
        methods=[method],
    )
    assert binding is not None, list(diagnostics)
    return read.chain, binding


@pytest.fixture(scope="module")
def running(
    service: tuple[int, Echo], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Filters, ChainFile, Any]]:
    folder = tmp_path_factory.mktemp("filters")
    chain, binding = chain_of(folder, service[0])
    made = deploy_filters(chain, binding, folder / "envoy", workers=1)
    with made.envoy:
        yield made, chain, binding


Pairs = tuple[tuple[str, str], ...]
INVALID = "\udcff"  # a byte that is in no text


def interpreted(chain: ChainFile, binding: Any, headers: Pairs) -> tuple[int, str, dict[str, str]]:
    """Code and text of a refusal, or 0 and the headers that go on."""
    found = PythonChain(binding, [Interpreted(Instance(use.program)) for use in chain.elements])
    for index, use in enumerate(chain.elements):
        found.load(index, first_state(use.program, use.values))
    seen: dict[str, str] = {}
    for name, value in headers:
        seen[name] = f"{seen[name]},{value}" if name in seen else value
    store = PlainHeaders(({n: v for n, v in seen.items() if INVALID not in v}, {}, {}))
    verdict = found.rpc(SAY, "", store, tape=None).request(b"")  # type: ignore[arg-type]
    if verdict.action is Action.REJECT:
        return verdict.code, verdict.text.decode(), {}
    return 0, "", store.sides[0]


def called(c: Connection, number: int, headers: Pairs, path: str = SAY) -> tuple[int, str]:
    plain = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "test")]
    plain += [("content-type", "application/grpc"), ("te", "trailers")]
    c.send(frame(HEADERS, END_HEADERS, number, encode_headers([*plain, *headers])))
    c.data(number, message(b""))
    (came,) = c.until_over(number)
    assert came.status is not None, came
    return came.status, came.headers[-1].get("grpc-message", "")


TEAMS: tuple[Pairs, ...] = (
    (),
    *(
        ((("x-team", team),))
        for team in ("search", "ads", "else", "", "Search", f"search{INVALID}", INVALID, "não")
    ),
    (("x-team", "a"), ("x-team", "b")),
    (("x-team", "search"), ("x-team", "search")),
)
BUILDS: tuple[Pairs, ...] = (
    (),
    *(
        (("x-build", build),)
        for build in ("beta-1", "2.0", "1rc2", "acme", "", "plain", f"beta-{INVALID}", "Beta-1")
    ),
    (("x-build", "1.5"), ("x-debug", "on"), ("x-edge", "mine"), ("x-edge", "again"), ("x-empty", "full")),
)
CHANGED = ("x-edge", "x-empty", "x-twice", "x-debug")


def test_each_call_comes_to_what_the_interpreter_says(
    running: tuple[Filters, ChainFile, Any], service: tuple[int, Echo]
) -> None:
    made, chain, binding = running
    c = connect(made.envoy.address.port)
    codes = set()
    try:
        for index, (team, build) in enumerate(product(TEAMS, BUILDS)):
            expected = interpreted(chain, binding, (*team, *build))
            codes.add(expected[0])
            if expected[0] == 0 and any(not value.isascii() for _, value in (*team, *build)):
                continue  # the server's gRPC would refuse it
            before = len(service[1].log)
            status, text = called(c, 2 * index + 1, (*team, *build))
            assert (status, unquote(text)) == expected[:2], (team, build)
            if expected[0] == 0:
                sent = {n: v for n, v in service[1].log[-1].items() if n in CHANGED}
                assert sent == {n: v for n, v in expected[2].items() if n in CHANGED}, (team, build)
            assert len(service[1].log) - before == (expected[0] == 0), (team, build)
    finally:
        c.close()
    assert codes == {0, 2, 7, 12, 13, 14, 16}, "every code was met"


@pytest.mark.parametrize("path", ["/echo.Echo/Other", f"{SAY}?x=1", f"{SAY}/", "/"])
def test_what_no_policy_covers_is_refused(
    running: tuple[Filters, ChainFile, Any], service: tuple[int, Echo], path: str
) -> None:
    before = len(service[1].log)
    c = connect(running[0].envoy.address.port)
    try:
        assert called(c, 1, (("x-team", "search"),), path) == (12, "no policy covers this method")
        assert called(c, 3, (), path)[0] == 12, "before any filter is asked"
    finally:
        c.close()
    assert len(service[1].log) == before


def test_no_client_chooses_a_route(service: tuple[int, Echo], tmp_path: Path) -> None:
    """The routes of a chain file are for elements, and none of the filters chooses one."""
    chain, binding = chain_of(tmp_path, service[0])
    routed = replace(chain, routes={"nowhere": Endpoint(port=1)})
    with deploy_filters(routed, binding, tmp_path / "envoy", workers=1).envoy as envoy:
        c = connect(envoy.address.port)
        try:
            assert called(c, 1, (("x-team", "search"), ("x-transect-route", "nowhere")))[0] == 0
        finally:
            c.close()
    assert "x-transect-route" not in service[1].log[-1]


def test_a_plan_has_filters_where_it_may_and_they_are_in_force(tmp_path: Path) -> None:
    """Proved when it is planned, run by `rpc run --plan`, shown by `rpc status`."""
    server, port = echo.serve()
    try:
        chain_of(tmp_path, port)
        text = (tmp_path / "shop.py").read_text()
        words = 'proxies=["native", "built-in"], required=["server proxy"],\n)'
        (tmp_path / "app.py").write_text(text.replace("\n)\n", f"\n    {words}\n"))
        known = replace(
            costs(tmp_path / "app.py"), filters={"rbac": Cost(0.5, 0.5), "header_mutation": Cost(0.4, 0.4)}
        )
        (edge,) = read_edges(tmp_path / "app.py").chains
        found = plan(edge, known, Level.SERVICE)
        assert [(g.processor, g.carrier) for g in found.after] == [(Processor.SERVER_PROXY, Carrier.BUILT_IN)]
        assert ("Null", "without a filter: it does nothing") in {(s.who, s.what) for s in found.moves}
        saved.save([found], tmp_path / "app.py", tmp_path / "app.plan.json")
        with pytest.raises(saved.PlanError, match="server proxy cannot vouch for anybody"):
            run_plan(tmp_path / "app.py", tmp_path / "app.plan.json", keys=tmp_path / "identity.key")
        name = f"filters{os.getpid()}"
        with running_plan(tmp_path, name) as address, grpc.insecure_channel(address) as channel:
            stub = echo.Stub(channel)
            assert stub.Say(echo.Ask(text="hi"), metadata=(("x-team", "search"),), timeout=10).text == "hi"
            with pytest.raises(grpc.RpcError) as refused:
                stub.Say(echo.Ask(text="hi"), metadata=(("x-team", "ads"),), timeout=10)
            assert (refused.value.code().name, refused.value.details()) == ("PERMISSION_DENIED", "100 % não")
            status = Client("rpc", name).ask("status")
            rows = {p["name"]: (p["counts"]["calls"], p["counts"]["rejected"]) for p in status["policies"]}
            assert rows == {"Null": (2, 0), "Team": (2, 1), "Closed": (1, 0), "Stamp": (1, 0)}
            with pytest.raises(Refused, match="take no `tenant`"):
                Client("rpc", name).ask("set", param="tenant", value="other")
            with pytest.raises(Refused, match="is filters of Envoy's, which is no one of several"):
                Client("rpc", name).ask("edge-named")
    finally:
        server.stop(0)


def test_a_method_that_streams_requests_is_refused(tmp_path: Path) -> None:
    chain, binding = chain_of(tmp_path, 1, "Chat")
    with pytest.raises(NotAFilter, match="`Chat` streams requests"):
        deploy_filters(chain, binding, tmp_path / "envoy")


def test_filters_alone_do_not_carry_each_element(tmp_path: Path) -> None:
    chain_of(tmp_path, 1)
    text = (tmp_path / "shop.py").read_text()
    (tmp_path / "shop.py").write_text(text.replace("\n)\n", '\n    proxies=["built-in"],\n)\n'))
    (wrong,) = read_chain(tmp_path / "shop.py").diagnostics
    assert wrong.message == "not each element is one of Envoy's own filters"
    assert wrong.help == 'write `proxies=["native", "built-in"]`'


# ---------------------------------------------------------------- random ones


def condition(dice: random.Random, depth: int) -> str:
    """Over the headers `a` and `b`, which may be missing."""
    if depth and dice.random() < 0.7:
        word = dice.choice([" and ", " or "])
        both = word.join(condition(dice, depth - 1) for _ in range(2))
        return f"({both})" if dice.random() < 0.6 else f"(not ({both}))"
    name, value = dice.choice("ab"), dice.choice(["x", "xy", "y", ""])
    if not value:
        return f"{name} is {dice.choice(['', 'not '])}None"
    how = dice.choice(["{0} == {1!r}", "{0}.startswith({1!r})", "{0}.endswith({1!r})", "{1!r} in {0}"])
    return f"({name} is not None and {how.format(name, value)})"


def policy(dice: random.Random, number: int) -> str:
    lines = ['a = rpc.headers.get("x-a")', 'b = rpc.headers.get("x-b")']
    for code in dice.sample(["PERMISSION_DENIED", "UNAUTHENTICATED", "UNAVAILABLE"], dice.randint(1, 2)):
        lines += [f"if {condition(dice, 2)}:", f'    return Reject(Code.{code}, "{number}")']
    changes = ['set("x-a", "x")', 'set("x-b", "yx")', 'remove("x-a")', 'remove("x-b")']
    lines += [f"rpc.headers.{one}" for one in dice.sample(changes, dice.randint(0, 2))]
    body = "".join(f"        {line}\n" for line in (*lines, "return Forward()"))
    return f"\n\nclass P{number}(Element):\n    def request(self, rpc: Rpc) -> Verdict:\n{body}"


def test_random_policies_come_to_what_the_interpreter_says(service: tuple[int, Echo], tmp_path: Path) -> None:
    dice = random.Random(5)
    many = 6
    head = "from transect.rpc import Code, Element, Forward, Reject, Rpc, Verdict\n"
    (tmp_path / "policies.py").write_text(head + "".join(policy(dice, n) for n in range(many)))
    names = ", ".join(f"P{n}" for n in range(many))
    elements = ", ".join(f"P{n}()" for n in range(many))
    chain, binding = read_bound(
        tmp_path,
        f"from policies import {names}\nfrom transect.rpc import Chain\n\nchain = Chain(\n"
        f'    service="echo.Echo", upstream="127.0.0.1:{service[0]}", methods=["Say"], elements=[{elements}],\n)\n',
    )
    values = ["", "x", "xy", "yx", "y", "z", None]
    refused = set[str]()
    with deploy_filters(chain, binding, tmp_path / "envoy", workers=1).envoy as envoy:
        c = connect(envoy.address.port)
        try:
            for index, (a, b) in enumerate(product(values, repeat=2)):
                given = (("x-a", a), ("x-b", b))
                headers = tuple((name, value) for name, value in given if value is not None)
                code, text, passed = interpreted(chain, binding, headers)
                assert called(c, 2 * index + 1, headers) == (code, text), headers
                refused.add(text)
                if code == 0:
                    sent = {n: v for n, v in service[1].log[-1].items() if n in ("x-a", "x-b")}
                    assert sent == passed, headers
        finally:
            c.close()
    assert len(refused) > 2, "several of them refused something"
