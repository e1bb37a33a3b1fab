# SPDX-License-Identifier: Apache-2.0
"""A plan is a file, and whoever can write it could say anything: it is held against the chain before it is followed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.rpc.placement.test_planning import costs
from transect.rpc.chain.arrangement import order_of
from transect.rpc.chain.file import read_edges
from transect.rpc.equivalence.levels import Level
from transect.rpc.placement import saved
from transect.rpc.placement.attach_plan import attach_plan
from transect.rpc.placement.checked import checked
from transect.rpc.placement.deployment import run_plan
from transect.rpc.placement.planning import plan

pytestmark = pytest.mark.needs("z3", "grpcio")

POLICIES = """\
from transect.lang import Counter, counter
from transect.rpc import Code, Element, Forward, Message, Reject, Rpc, Verdict


class Ask(Message):
    text: str


class Ban(Element):
    seen: Counter = counter()

    def request(self, rpc: Rpc[Ask]) -> Verdict:
        self.seen.add()
        if rpc.msg.text == "bad":
            return Reject(Code.PERMISSION_DENIED, "bad")
        return Forward()


class Who(Element):
    def request(self, rpc: Rpc) -> Verdict:
        if rpc.headers.get("x-user") is None:
            return Reject(Code.UNAUTHENTICATED, "who")
        return Forward()


class Seen(Element):
    seen: Counter = counter()

    def request(self, rpc: Rpc) -> Verdict:
        self.seen.add()
        return Forward()


class Peers(Element):
    def request(self, rpc: Rpc) -> Verdict:
        if rpc.peer == "ipv4:10.0.0.1":
            return Reject(Code.PERMISSION_DENIED, "not you")
        return Forward()


class Turns(Element):
    turns: int = 0

    def request(self, rpc: Rpc) -> Verdict:
        self.turns += 1
        if self.turns > 100:
            return Reject(Code.RESOURCE_EXHAUSTED, "enough")
        return Forward()
"""
CHAIN = """\
from acl import Ban, Peers, Seen, Turns, Who
from transect.rpc import Chain

chain = Chain(service="echo.Echo", upstream="127.0.0.1:1", elements=[{elements}], {words})
"""
LIBRARIES = 'libraries=["client", "server"]'
SAME = "server proxy"


def made(folder: Path, elements: str = "Ban(), Who(), Seen()", words: str = "") -> Path:
    """A plan by the planner, and the files that it is of."""
    (folder / "acl.py").write_text(POLICIES)
    path = folder / "shop.py"
    path.write_text(CHAIN.format(elements=elements, words=words))
    read = read_edges(path)
    assert not read.diagnostics.failed, list(read.diagnostics)
    plans = [plan(edge, costs(edge), Level.SERVICE) for edge in read.chains]
    saved.save(plans, path, folder / "shop.plan.json")
    return folder / "shop.plan.json"


def say(file: Path, *groups: tuple[str, list[str]], **words: object) -> None:
    """Another arrangement, by hand."""
    said = json.loads(file.read_text())
    processors = [{"processor": at, "carrier": "native", "elements": names} for at, names in groups]
    said["edges"][0] |= {"processors": processors, **words}
    file.write_text(json.dumps(said))


def test_what_the_planner_wrote_is_followed(tmp_path: Path) -> None:
    found = checked(made(tmp_path))
    assert [order_of(layout) for layout in found.layouts] == [(0, 1, 2)]


Change = Callable[[dict[str, Any]], object]


def group(said: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = said["edges"][0]["processors"][0]
    return found


BY_HAND: dict[str, tuple[Change, str]] = {
    "one is left out": (lambda it: group(it).update(elements=["Ban", "Seen"]), "Who stands nowhere in it"),
    "nobody is there": (lambda it: group(it).update(elements=[]), "Ban, Who and Seen stand nowhere in it"),
    "nothing is in the path": (lambda it: it["edges"][0].update(processors=[]), "stand nowhere in it"),
    "one is twice": (
        lambda it: group(it).update(elements=["Ban", "Who", "Seen", "Ban"]),
        "Ban stands in it more than once",
    ),
    "one is unknown": (
        lambda it: group(it).update(elements=["Ban", "Who", "Seen", "Nope"]),
        "Nope is no element of echo.Echo",
    ),
    "a processor is twice": (
        lambda it: it["edges"][0].update(
            processors=[{**group(it), "elements": ["Ban", "Who"]}, {**group(it), "elements": ["Seen"]}]
        ),
        "its processors are server proxy, server proxy",
    ),
    "no edge is there": (lambda it: it.update(edges=[]), "its edges are none, and those of .*: echo.Echo"),
    "an edge is twice": (lambda it: it.update(edges=it["edges"] * 2), "its edges are echo.Echo, echo.Echo"),
    "the edge is another": (lambda it: it["edges"][0].update(service="x.Y"), "its edges are x.Y"),
    "a carrier is another": (lambda it: group(it).update(carrier="wasm"), "that is `wasm`"),
    "the filters are not asked for": (lambda it: group(it).update(carrier="built-in"), "that is `built-in`"),
    "there is no such processor": (lambda it: group(it).update(processor="moon"), "is no plan"),
    "there is no such level": (lambda it: it["edges"][0].update(level="none"), "is no plan"),
    "the library carries nothing": (
        lambda it: group(it).update(processor="client library"),
        "Ban in the client library: the client's program carries no elements",
    ),
    "the order is not proved": (
        lambda it: group(it).update(elements=["Who", "Ban", "Seen"]),
        "Who before Ban, .* at `service`: .*not proved",
    ),
    "it is of an older kind": (lambda it: it.update(version=1), "of another version"),
}


@pytest.mark.parametrize("case", BY_HAND)
def test_a_plan_that_says_something_else_than_the_chain_is_refused(case: str, tmp_path: Path) -> None:
    change, why = BY_HAND[case]
    file = made(tmp_path)
    said = json.loads(file.read_text())
    change(said)
    file.write_text(json.dumps(said))
    with pytest.raises(saved.PlanError, match=why) as refused:
        checked(file)
    assert refused.value.hint.startswith("make it anew: transect rpc plan ")


def test_both_ways_to_put_a_plan_in_force_hold_it_against_the_chain(tmp_path: Path) -> None:
    import grpc

    file = made(tmp_path)
    say(file, (SAME, ["Who", "Ban", "Seen"]))
    with pytest.raises(saved.PlanError, match="Who before Ban"):
        run_plan(tmp_path / "shop.py", file)
    with (
        grpc.insecure_channel("127.0.0.1:1") as channel,
        pytest.raises(saved.PlanError, match="Who before Ban"),
    ):
        attach_plan(channel, file)


def test_a_plan_ends_with_the_policies_that_it_was_proved_for(tmp_path: Path) -> None:
    file = made(tmp_path)
    (tmp_path / "acl.py").write_text(POLICIES.replace('"bad"', '"worse"'))
    with pytest.raises(saved.PlanError, match="sources of Ban, Who and Seen have changed since it was made"):
        checked(file)


def test_a_plan_without_the_policies_that_it_was_proved_for_is_refused(tmp_path: Path) -> None:
    file = made(tmp_path)
    said = json.loads(file.read_text())
    said["edges"][0]["policies"].pop("Who")
    file.write_text(json.dumps(said))
    with pytest.raises(saved.PlanError, match="it was made for Ban, Seen"):
        checked(file)


def test_a_change_of_places_that_is_proved_is_followed(tmp_path: Path) -> None:
    file = made(tmp_path)
    say(file, (SAME, ["Ban", "Seen", "Who"]))
    (layout,) = checked(file).layouts
    assert order_of(layout) == (0, 2, 1)
    say(file, (SAME, ["Ban", "Seen", "Who"]), level="identical")  # where counters count
    with pytest.raises(saved.PlanError, match=r"Seen before Who, .* at `identical`"):
        checked(file)


@pytest.mark.parametrize(
    ("elements", "words", "groups", "why"),
    [
        (
            "Turns()",
            LIBRARIES,
            [("client library", ["Turns"])],
            "Turns in the client library: calls change `turns`",
        ),
        (
            "Ban(), Who()",
            'order=[("Ban", "Who")]',
            [(SAME, ["Who", "Ban"])],
            "Who before Ban, .*: `order=` says so",
        ),
        (
            "Who()",
            f'{LIBRARIES}, required=["server proxy"]',
            [("server library", ["Who"])],
            "the server proxy is not in it, which `required=` names",
        ),
        (
            "Peers()",
            LIBRARIES,
            [(SAME, []), ("server library", ["Peers"])],
            "Peers in the server library beside a server proxy: it asks who calls",
        ),
        (
            "Turns(), Turns()",
            LIBRARIES,
            [(SAME, ["Turns"]), ("server library", ["Turns.2"])],
            "Turns and Turns.2 in several processors",
        ),
        (
            "Who(), Ban()",
            LIBRARIES,
            [("server library", ["Ban"]), (SAME, ["Who"])],
            "its processors are server library, server proxy",
        ),
    ],
)
def test_what_the_planner_would_not_do_is_not_done_for_a_file(
    elements: str, words: str, groups: list[tuple[str, list[str]]], why: str, tmp_path: Path
) -> None:
    file = made(tmp_path, elements, words)
    say(file, *groups)
    with pytest.raises(saved.PlanError, match=why):
        checked(file)


def test_a_plan_at_a_weaker_level_needs_the_word_of_whoever_puts_it_in_force(tmp_path: Path) -> None:
    file = made(tmp_path, "Ban(), Who()")
    say(file, (SAME, ["Who", "Ban"]), level="loose")
    with pytest.raises(saved.PlanError, match="it is at level `loose`, and `service` is wanted"):
        checked(file)
    (layout,) = checked(file, level=Level.LOOSE).layouts
    assert order_of(layout) == (1, 0)
    say(file, (SAME, ["Ban", "Who"]), level="identical")
    assert checked(file).edges[0].level is Level.IDENTICAL
