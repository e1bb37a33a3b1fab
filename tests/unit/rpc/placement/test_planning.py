# SPDX-License-Identifier: Apache-2.0
"""A plan: what moves, what does not, and what is said about it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from transect.base.unavailable import Unavailable
from transect.core.text import dump
from transect.rpc.chain.arrangement import Carrier, Processor
from transect.rpc.chain.file import read_chain
from transect.rpc.chain.model import ChainFile
from transect.rpc.equivalence.levels import Level
from transect.rpc.placement import observed, profile, report, saved
from transect.rpc.placement.checked import checked
from transect.rpc.placement.planning import Plan, plan
from transect.rpc.placement.profile import VERSION, Cost, ElementCost, Profile, content

pytestmark = pytest.mark.needs("z3")

CHAIN = """\
from transect.examples.rpc.acl import Acl
from transect.examples.rpc.bandwidth import Bandwidth
from transect.examples.rpc.logging import Logging
from transect.examples.rpc.metrics import Metrics
from transect.examples.rpc.null import Null
from transect.examples.rpc.decrypt import Decrypt
from transect.examples.rpc.rate_limit import RateLimit
from transect.examples.rpc.fault import Fault
from transect.rpc import Chain

chain = Chain(
    service="shop.Shop",
    upstream="127.0.0.1:50051",
    elements=[{elements}],
    {words}
)
"""


def read(folder: Path, elements: str, words: str) -> ChainFile:
    path = folder / "shop.py"
    path.write_text(CHAIN.format(elements=elements, words=words))
    found = read_chain(path)
    assert found.chain is not None, list(found.diagnostics)
    return found.chain


def costs(chain: ChainFile) -> Profile:
    return Profile(
        VERSION,
        {},
        "today",
        direct=Cost(120, 100),
        library={"client": Cost(2, 2), "server": Cost(20, 20)},
        proxy={"bare": Cost(140, 130), "native": Cost(150, 140), "wasm": Cost(170, 160)},
        second=Cost(60, 20),
        plugin=Cost(8, 8),
        wasm=3.0,
        elements={content(dump(u.program)): ElementCost(u.program.name, 0.5) for u in chain.elements},
    )


def planned(folder: Path, elements: str, words: str, level: Level, **passes: float) -> Plan:
    chain = read(folder, elements, words)
    found = plan(chain, costs(chain), level, passes)
    saved.save([found], chain.path, folder / "shop.plan.json")
    followed = checked(folder / "shop.plan.json", level=level)
    assert followed.layouts == (found.after,), "whatever the planner finds is followed"
    return found


def arrangement(of: Plan) -> dict[str, list[str]]:
    return {group.processor.value: [of.pieces[i].name for i in group.elements] for group in of.after}


BOTH = 'libraries=["client", "server"],'


def test_what_keeps_no_state_goes_to_the_client(tmp_path: Path) -> None:
    found = planned(tmp_path, 'Acl(allowed={"alice": True})', BOTH, Level.IDENTICAL)
    assert arrangement(found) == {"client library": ["Acl"]}
    assert ("Acl", "calls change nothing that it keeps and that counts") in {
        (step.who, step.why) for step in found.moves
    }


def test_a_guard_stays_where_no_client_can_leave_it_out(tmp_path: Path) -> None:
    found = planned(tmp_path, "Acl()", f'{BOTH} guards=["Acl"]', Level.SERVICE)
    assert arrangement(found) == {"server library": ["Acl"]}
    assert any("guards the service" in step.why for step in found.refused)


def test_state_of_all_clients_stays_at_the_server(tmp_path: Path) -> None:
    found = planned(tmp_path, "RateLimit()", BOTH, Level.SERVICE)
    assert arrangement(found) == {"server library": ["RateLimit"]}
    assert any("each client's instance would have its own" in step.why for step in found.refused)


def test_telemetry_counts_at_identical_only(tmp_path: Path) -> None:
    assert arrangement(planned(tmp_path, "Metrics()", BOTH, Level.IDENTICAL)) == {
        "server library": ["Metrics"]
    }
    assert arrangement(planned(tmp_path, "Metrics()", BOTH, Level.SERVICE)) == {"client library": ["Metrics"]}


def test_a_required_proxy_takes_what_it_can(tmp_path: Path) -> None:
    words = f'{BOTH} required=["server proxy"]'
    found = planned(tmp_path, "RateLimit()", words, Level.SERVICE)
    assert arrangement(found) == {"server proxy": ["RateLimit"]}
    assert found.after[0].carrier is Carrier.NATIVE
    words += ', proxies=["wasm"]'
    assert planned(tmp_path, "RateLimit()", words, Level.SERVICE).after[0].carrier is Carrier.WASM


BUILT_IN = 'required=["server proxy"], proxies=["native", "built-in"]'


def test_a_proxy_is_without_a_module_where_each_element_is_a_filter(tmp_path: Path) -> None:
    found = planned(tmp_path, "Null()", BUILT_IN, Level.SERVICE)
    assert [group.carrier for group in found.after] == [Carrier.BUILT_IN]
    assert found.cost_after == Cost(140, 130), "of a bare one"
    assert "Envoy's own filters" in report.text(found, costs(found.chain))
    both = planned(tmp_path, "Null(), RateLimit()", BUILT_IN, Level.SERVICE)
    assert [group.carrier for group in both.after] == [Carrier.NATIVE]
    why = "calls change `buckets`, which no filter keeps"
    assert ("RateLimit", "none of Envoy's own filters", why) in {(s.who, s.what, s.why) for s in both.refused}


def test_filters_that_cost_more_than_a_module_are_not_taken(tmp_path: Path) -> None:
    chain = read(tmp_path, "Decrypt()", BUILT_IN)  # without a key it refuses whatever comes
    with pytest.raises(Unavailable, match="what Envoy's `rbac` costs"):
        plan(chain, costs(chain), Level.SERVICE)
    for latency, carrier in ((5, Carrier.BUILT_IN), (15, Carrier.NATIVE)):
        known = replace(costs(chain), filters={"rbac": Cost(latency, latency)})
        assert [group.carrier for group in plan(chain, known, Level.SERVICE).after] == [carrier]


def test_a_limit_does_not_pass_the_list_before_it(tmp_path: Path) -> None:
    """Whom the list rejects would use up the limit, however much is rejected."""
    found = planned(tmp_path, "Acl(), RateLimit()", "", Level.SERVICE, RateLimit=0.01)
    assert arrangement(found) == {"server proxy": ["Acl", "RateLimit"]}
    (kept,) = (step for step in found.refused if (step.who, step.what) == ("RateLimit", "not before Acl"))
    # No stream was looked for that shows it.
    assert kept.why == "not proved (the first request of an RPC may differ)"


def test_who_rejects_more_goes_first_where_it_may(tmp_path: Path) -> None:
    found = planned(tmp_path, "Metrics(), Acl()", "", Level.SERVICE, Acl=0.5)
    assert arrangement(found) == {"server proxy": ["Acl", "Metrics"]}
    assert arrangement(planned(tmp_path, "Metrics(), Acl()", "", Level.IDENTICAL, Acl=0.5)) == {
        "server proxy": ["Metrics", "Acl"]
    }
    words = 'order=[("Metrics", "Acl")]'
    assert arrangement(planned(tmp_path, "Metrics(), Acl()", words, Level.SERVICE, Acl=0.5)) == {
        "server proxy": ["Metrics", "Acl"]
    }


def test_who_asks_who_calls_is_not_behind_a_proxy_of_its_side(tmp_path: Path) -> None:
    words = f'{BOTH} required=["server proxy"]'
    assert arrangement(planned(tmp_path, "Bandwidth()", words, Level.SERVICE)) == {
        "server proxy": ["Bandwidth"]
    }
    assert arrangement(planned(tmp_path, "Bandwidth()", BOTH, Level.SERVICE)) == {
        "server library": ["Bandwidth"]
    }


def test_who_only_says_who_calls_may_leave_its_proxy_at_service(tmp_path: Path) -> None:
    words = f'{BOTH} place={{"Logging": "client"}}'
    assert arrangement(planned(tmp_path, "Logging()", words, Level.IDENTICAL)) == {
        "client proxy": ["Logging"]
    }
    assert arrangement(planned(tmp_path, "Logging()", words, Level.SERVICE)) == {
        "client library": ["Logging"]
    }


def test_two_with_state_are_not_torn_apart(tmp_path: Path) -> None:
    """A call lost between the proxy and the library would be counted by one of them."""
    words = f'{BOTH} place={{"Metrics": "server proxy"}}'
    found = planned(tmp_path, "Metrics(), RateLimit()", words, Level.IDENTICAL)
    assert arrangement(found) == {"server proxy": ["Metrics", "RateLimit"]}


def test_costs_that_were_not_measured_are_asked_for(tmp_path: Path) -> None:
    chain = read(tmp_path, "Acl(), Fault()", "")
    known = costs(read(tmp_path, "Acl()", ""))
    with pytest.raises(Unavailable, match="what Fault costs"):
        plan(chain, known, Level.SERVICE)


def test_without_a_profile_there_is_no_plan(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as lacking:
        profile.load(tmp_path / "none.json")
    assert lacking.value.hint == "transect rpc calibrate CHAIN"
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(Unavailable, match="is no profile"):
        profile.load(tmp_path / "bad.json")


def test_a_profile_is_read_as_it_was_written(tmp_path: Path) -> None:
    found = costs(read(tmp_path, "Acl()", ""))
    assert profile.load(profile.save(found, tmp_path / "p.json")) == found


def test_the_picture_shows_both_arrangements(tmp_path: Path) -> None:
    chain = read(tmp_path, "Acl(), RateLimit()", BOTH)
    known = costs(chain)
    said = report.text(plan(chain, known, Level.SERVICE), known)
    assert "WASM, a plugin each" in said
    assert "client library" in said
    assert "what moves, and why" in said
    assert "RateLimit not before Acl" in said
    assert max(map(len, said.splitlines())) <= 110


def test_json_has_the_same(tmp_path: Path) -> None:
    chain = read(tmp_path, "Acl(), RateLimit()", BOTH)
    known = costs(chain)
    told = json.loads(json.dumps(report.data(plan(chain, known, Level.SERVICE), known)))
    assert [g["processor"] for g in told["before"]["processors"]] == ["client proxy", "server proxy"]
    assert told["after"]["latency_us"] < told["before"]["latency_us"]
    assert {step["who"] for step in told["refused"]} == {"RateLimit"}


def test_a_refusal_can_be_shown(tmp_path: Path) -> None:
    found = planned(tmp_path, "Acl(), RateLimit()", BOTH, Level.SERVICE)
    (shown,) = report.examples(found)
    assert shown.startswith("RateLimit not before Acl")
    assert "rejected" in shown


def test_counters_tell_how_many_go_on(tmp_path: Path) -> None:
    rows = [
        {"name": "Acl", "counts": {"calls": 10, "rejected": 2, "responded": 0}},
        {"name": "Acl", "counts": {"calls": 8, "rejected": 0, "responded": 2}},
        {"name": "Metrics", "counts": {"calls": 0, "rejected": 0, "responded": 0}},
    ]
    path = tmp_path / "status.json"
    path.write_text(json.dumps({"policies": rows}))
    assert observed.shares(path) == {"Acl": 0.8, "Acl.2": 0.75}
    path.write_text("{}")
    with pytest.raises(observed.NotUnderstood):
        observed.shares(path)


def test_a_plan_is_of_one_chain_file(tmp_path: Path) -> None:
    found = planned(tmp_path, "Acl(), RateLimit()", BOTH, Level.SERVICE)
    file = tmp_path / "shop.plan.json"
    saved.save([found], tmp_path / "shop.py", file)
    again = saved.load(file)
    assert again.chain == "shop.py"
    assert checked(file).layouts == (found.after,)
    assert saved.chain_of(again, file) == tmp_path / "shop.py"
    (tmp_path / "shop.py").write_text("# another\n")
    with pytest.raises(saved.PlanError, match="has changed since"):
        saved.chain_of(again, file)
    assert Processor.SERVER_LIBRARY in {g.processor for g in found.after}


# ---------------------------------------------------------------- what carriers make of headers of streams

PROTO = """\
syntax = "proto3";
package shop;
message Order { string user = 1; }
service Shop {
  rpc Buy(Order) returns (Order);
  rpc Watch(Order) returns (stream Order);
  rpc Fill(stream Order) returns (Order);
}
"""
SETTING = """\
from transect.rpc import Chain, Element, Forward, Rpc, Verdict


class Who(Element):
    def request(self, rpc: Rpc) -> Verdict:
        rpc.headers.set("x-who", "judged")
        return Forward()


class Seen(Element):
    def response(self, rpc: Rpc) -> Verdict:
        rpc.headers.set("x-seen", "yes")
        return Forward()


chain = Chain(
    service="shop.Shop",
    upstream="127.0.0.1:50051",
    elements=[{element}()],
    libraries=["client", "server"],
    {words}
)
"""


def of_streams(folder: Path, element: str, words: str) -> Plan:
    (folder / "shop.proto").write_text(PROTO)
    path = folder / "shop.py"
    path.write_text(SETTING.format(element=element, words=words))
    chain = read_chain(path).chain
    assert chain is not None
    return plan(chain, costs(chain), Level.IDENTICAL)


PROTOS = 'protos=["shop.proto"],'


@pytest.mark.needs("grpcio")
@pytest.mark.parametrize(
    ("element", "methods", "moves"),
    [
        ("Who", '["Buy"]', True),
        ("Who", '["Watch"]', True),
        ("Who", '["Fill"]', False),
        ("Who", '["Buy", "Watch", "Fill"]', False),
        ("Seen", '["Buy", "Watch", "Fill"]', True),
    ],
)
def test_who_sets_headers_of_streams_stays_where_that_comes_to_the_same(
    tmp_path: Path, element: str, methods: str, moves: bool
) -> None:
    found = of_streams(tmp_path, element, f"{PROTOS} methods={methods},")
    assert (arrangement(found) == {"client library": [element]}) is moves
    told = [step.why for step in found.refused if "client library" in step.what]
    assert moves or any("it sets headers in `request`: where requests stream" in why for why in told)


def test_without_protos_any_method_might_stream(tmp_path: Path) -> None:
    found = of_streams(tmp_path, "Who", "")
    assert "client library" not in arrangement(found)
    assert any("it sets headers in `request`: where requests stream" in step.why for step in found.refused)


@pytest.mark.needs("grpcio")
def test_a_client_s_library_does_not_take_what_it_would_refuse(tmp_path: Path) -> None:
    """`attach` refuses an element there which sets headers of a method that streams requests (R021)."""
    home = 'place={"Who": ["client library", "server library"]},'
    found = of_streams(tmp_path, "Who", f'{PROTOS} methods=["Fill"], {home}')
    assert arrangement(found) == {"server library": ["Who"]}
    watching = of_streams(tmp_path, "Who", f'{PROTOS} methods=["Watch"], {home}')
    assert arrangement(watching) == {"client library": ["Who"]}


def test_who_may_move_and_does_not_is_told_what_that_would_cost(tmp_path: Path) -> None:
    found = planned(tmp_path, "Null()", 'required=["server proxy"],', Level.IDENTICAL)
    assert arrangement(found) == {"server proxy": ["Null"]}
    (step,) = [step for step in found.refused if step.what.startswith("stays")]
    assert step.what == "stays in the server proxy, and might go to the client proxy"
    assert step.why == "that costs 210.0 µs more"


def test_the_mesh_s_idle_proxy_is_told(tmp_path: Path) -> None:
    chain = read(tmp_path, "RateLimit()", BOTH)
    found = plan(chain, costs(chain), Level.SERVICE)
    told = report.text(found, costs(chain))
    assert found.cost_busy is not None and found.cost_busy.latency < found.cost_before.latency
    assert "without those that have nothing to do" in told.replace("\n    ", " ")
    both = planned(
        tmp_path, "Null(), RateLimit()", f'{BOTH} place={{"Null": "client proxy"}},', Level.SERVICE
    )
    assert both.cost_busy is None
