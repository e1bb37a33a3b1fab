# SPDX-License-Identifier: Apache-2.0
"""Each rule of the pair evaluator, broken in turn: two elements are accepted which may not change places, and random
streams through both orders notice."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.unit.core.running import compiled
from transect.analysis.concrete import Facts
from transect.analysis.terms import FALSE, TRUE, integer, text
from transect.core.ir import Program
from transect.rpc.equivalence import Level, Settings, Verdict, decide, passes, world
from transect.rpc.equivalence import compare as comparing
from transect.rpc.equivalence.levels import Counts, Element, named
from transect.rpc.equivalence.obligations import Obligations
from transect.rpc.equivalence.simulate import Arranged, Trial, differs, observed
from transect.rpc.equivalence.streams import Event, Step, Stream

pytestmark = pytest.mark.needs("z3")

Patch = Callable[[pytest.MonkeyPatch], None]
MESSAGES = """
class Ask(Message):
    user: str
    text: str
class Answer(Message):
    text: str
"""


def element(name: str, body: str) -> Program:
    indented = "\n".join("    " + line for line in body.strip().splitlines())
    return compiled(f"{MESSAGES}\nclass {name}(Element):\n{indented}\n")


METADATA = "def request(self, rpc: Rpc) -> Verdict:\n    rpc.headers.set('h', {})\n    return Forward()"
ON = "def request(self, rpc: Rpc[Ask]) -> Verdict:\n    {}\n    return Forward()"
COUNTER = "seen: int = 0\ndef request(self, rpc: Rpc) -> Verdict:\n    self.seen += 1\n    return Forward()"
EACH_THIRD = (
    "seen: int = 0\ndef request(self, rpc: Rpc) -> Verdict:\n    self.seen += 1\n"
    '    return Reject(Code.ABORTED, "third") if self.seen % 3 == 0 else Forward()'
)
PICKY = (
    "def request(self, rpc: Rpc[Ask]) -> Verdict:\n"
    '    return Reject(Code.ABORTED, "no") if rpc.msg.user == "eve" else Forward()'
)
STRICT = (
    "def request(self, rpc: Rpc[Ask]) -> Verdict:\n"
    '    return Reject(Code.NOT_FOUND, "none") if rpc.msg.text == "x" else Forward()'
)
TALLIES_ABORTS = (
    "failed: int = 0\ndef request(self, rpc: Rpc) -> Verdict:\n"
    '    return Reject(Code.UNAVAILABLE, "open") if self.failed >= 2 else Forward()\n'
    "def finish(self, rpc: Rpc, outcome: Outcome) -> None:\n"
    "    if outcome.code == Code.ABORTED:\n        self.failed += 1"
)
RETRIES_ABORTS = (
    "def finish(self, rpc: Rpc, outcome: Outcome) -> Retry | None:\n"
    "    return Retry() if outcome.code == Code.ABORTED else None"
)
ONCE = (
    "met: Local[int] = local(0)\ndef request(self, rpc: Rpc[Ask]) -> Verdict:\n    if self.met > 0:\n"
    '        return Reject(Code.ABORTED, "twice")\n    if rpc.msg.user == "eve":\n        self.met = 1\n'
    "    return Forward()"
)
LATER = (
    "met: Local[int] = local(0)\ndef request(self, rpc: Rpc[Ask]) -> Verdict:\n    if self.met > 0:\n"
    "        rpc.msg.user = {}\n    self.met = 1\n    return Forward()"
)
SIGNS = "def response(self, rpc: Rpc[Ask, Answer]) -> Verdict:\n    rpc.reply.text = {}\n    return Forward()"
SIGNS_FOR_EVE = (
    "def response(self, rpc: Rpc[Ask, Answer]) -> Verdict:\n"
    '    if rpc.msg.user == "eve":\n        rpc.reply.text = "e"\n    return Forward()'
)
ANSWERS = (
    "def request(self, rpc: Rpc[Ask]) -> Verdict:\n"
    '    return Respond(rpc.body) if rpc.msg.user == "eve" else Forward()'
)
SMALL = (
    "def request(self, rpc: Rpc) -> Verdict:\n"
    '    return Forward() if len(rpc.body) < 12 else Reject(Code.ABORTED, "large")'
)
THROWS = "def request(self, rpc: Rpc[Ask]) -> Verdict:\n    if {}:\n        rpc.msg.user = {}\n    return Forward()"


def swapped(method: str, value: Any, on: Any = comparing.Comparer) -> Patch:
    """A method that always says the same."""
    return lambda patch: patch.setattr(on, method, lambda *_, **__: value)


def without(name: str) -> Patch:
    """An obligation that is left out."""

    def made(patch: pytest.MonkeyPatch) -> None:
        whole = Obligations._made
        patch.setattr(Obligations, "_made", lambda self: (o for o in whole(self) if o[0] != name))

    return made


def changed(attribute: str, value: Any) -> Patch:
    """What both outcomes put out has this attribute, whatever the elements say."""

    def made(patch: pytest.MonkeyPatch) -> None:
        whole = comparing.Comparer.outputs

        def outputs(self: Any, a: Any, b: Any, *, reply: bool = False) -> Any:
            a, b = (replace(o, **{attribute: value}) for o in (a, b))
            return whole(self, a, b, reply=reply)

        patch.setattr(comparing.Comparer, "outputs", outputs)

    return made


def counting(**changes: Any) -> Patch:
    """Less of the state counts than should."""

    def made(patch: pytest.MonkeyPatch) -> None:
        whole = Element.counts

        def counts(self: Element, level: Level) -> Counts:
            return replace(whole(self, level), **changes)

        patch.setattr(Element, "counts", counts)

    return made


def through_rejections(patch: pytest.MonkeyPatch) -> None:
    """A rejection does not keep a message from the elements behind."""
    whole = passes.Chain._hook

    def hook(self: Any, side: Any, passing: Any, name: str, hook: str, call: str) -> Any:
        value, side, passing = whole(self, side, passing, name, hook, call)
        return (passes._FORWARD if hook == "request" else value), side, passing

    patch.setattr(passes.Chain, "_hook", hook)


def replies_in_order(patch: pytest.MonkeyPatch) -> None:
    """Replies pass in the order of requests, whatever that is: the same in both."""
    whole = passes.Chain._back

    def back(self: Any, side: Any, passing: Any, through: Any, call: str) -> Any:
        return whole(self, side, passing, tuple(sorted(through)), call)

    patch.setattr(passes.Chain, "_back", back)


def nobody_asks_again(patch: pytest.MonkeyPatch) -> None:
    """What `finish` asks for is dropped."""
    whole = passes.Chain.finish

    def finish(self: Any, side: Any, passing: Any, call: str) -> Any:
        return replace(whole(self, side, passing, call), retry=FALSE, after=integer(0))

    patch.setattr(passes.Chain, "finish", finish)


def answers_leave_at_once(patch: pytest.MonkeyPatch) -> None:
    """A `Respond` does not go back through the elements before."""
    whole = passes.Chain._back

    def back(self: Any, side: Any, passing: Any, through: Any, call: str) -> Any:
        return whole(self, side, passing, () if call.endswith("answer") else through, call)

    patch.setattr(passes.Chain, "_back", back)


def bytes_as_they_came(patch: pytest.MonkeyPatch) -> None:
    """Assigning a field leaves the bytes of the message as they are."""
    whole = world.ChainWorld._after

    def after(self: Any, path: Any, root: str, body: Any) -> Any:
        return replace(whole(self, path, root, body), bytes=body.bytes)

    patch.setattr(world.ChainWorld, "_after", after)


def one_dice(patch: pytest.MonkeyPatch) -> None:
    """All elements draw the same."""
    whole = world.ChainWorld.__init__

    def init(self: Any, element: str, *rest: Any) -> None:
        whole(self, "one", *rest)

    patch.setattr(world.ChainWorld, "__init__", init)


@dataclass(frozen=True)
class Broken:
    rule: str
    patch: Patch
    first: str  # bodies of two elements
    second: str
    level: Level = Level.SERVICE


def setting(field: str, value: str) -> str:
    return ON.format(f"rpc.msg.{field} = {value}")


def going(route: str) -> str:
    return f'def request(self, rpc: Rpc) -> Verdict:\n    return Forward(to="{route}")'


A, B = '"a"', '"b"'
LOOSE, IDENTICAL = Level.LOOSE, Level.IDENTICAL
RULES = (
    Broken("fields count", swapped("same", TRUE, world.Body), setting("user", A), setting("user", B)),
    Broken(
        "metadata counts",
        swapped("_metadata", TRUE),
        METADATA.format(A),
        METADATA.format(B),
    ),
    Broken("routes count", changed("route", text(b"")), going("a"), going("b")),
    Broken("codes count", changed("code", integer(0)), PICKY.replace('"no"', '"none"'), STRICT),
    Broken("texts count", changed("message", text(b"")), PICKY, STRICT.replace("NOT_FOUND", "ABORTED")),
    Broken("a rejection ends a request", through_rejections, EACH_THIRD, PICKY, LOOSE),
    Broken("states are related", swapped("states", TRUE), EACH_THIRD, PICKY, LOOSE),
    Broken("state that decides counts", counting(fields=frozenset()), EACH_THIRD, PICKY, LOOSE),
    Broken("all state counts at identical", counting(fields=frozenset()), COUNTER, PICKY, IDENTICAL),
    Broken(
        "what is said counts at identical",
        counting(everything=False),
        ON.format('trace("on")'),
        PICKY,
        IDENTICAL,
    ),
    Broken("locals are related", swapped("flights", TRUE), ONCE, setting("user", '"eve"')),
    Broken("messages kept are related", swapped("_kept", TRUE), SIGNS_FOR_EVE, setting("user", '"eve"')),
    Broken(
        "ends of one order alone are not noticed", swapped("lone_ends", TRUE), TALLIES_ABORTS, PICKY, LOOSE
    ),
    Broken("retries count", nobody_asks_again, RETRIES_ABORTS, PICKY),
    Broken("replies are compared", without("a reply"), SIGNS.format(A), SIGNS.format(B)),
    Broken("replies go back in reverse", replies_in_order, SIGNS.format(A), SIGNS.format(B)),
    Broken("answers pass the elements before", answers_leave_at_once, SIGNS.format(A), ANSWERS),
    Broken(
        "later messages are compared", without("a later request of an RPC"), LATER.format(A), LATER.format(B)
    ),
    Broken("bytes change with the fields", bytes_as_they_came, SMALL, setting("user", f'"{"a" * 30}"')),
    Broken(
        "each element has dice of its own",
        one_dice,
        THROWS.format("rand() < 0.5", A),
        THROWS.format("rand() >= 0.5", B),
    ),
)


def streams(names: tuple[str, ...], seed: int) -> Stream:
    """RPCs of one to three messages that begin, go on and end in any order."""
    rng = random.Random(seed)
    events: list[Event] = []
    under_way: list[str] = []
    for number in range(40):
        tapes = {name: Facts(number, (rng.getrandbits(64),)) for name in names}
        kind = rng.random()
        fields = {"user": rng.choice(("ann", "eve")), "text": rng.choice("xy")}
        if kind < 0.4 or not under_way:
            under_way.append(f"r{number}")
            events.append(Event(under_way[-1], Step.REQUEST, fields, tapes=tapes))
        elif kind < 0.8:
            step = rng.choice((Step.REQUEST, Step.RESPONSE))
            sent = fields if step is Step.REQUEST else {"text": fields["text"]}
            events.append(Event(rng.choice(under_way), step, sent, tapes=tapes))
        else:
            rpc = under_way.pop(rng.randrange(len(under_way)))
            code = rng.choice((0, 10, 14))
            events.append(Event(rpc, Step.FINISH, code=code, cause=0 if code else 1, tapes=tapes))
    return Stream({}, events)


def told_apart(first: Program, second: Program, level: Level) -> bool:
    """Whether some of a few random streams shows a difference between the orders."""
    elements = {e.name: e.program for e in named(first, second)}
    trial = Trial(elements)
    for seed in range(8):
        given = streams(tuple(elements), seed)
        a, b = (
            observed(trial.run(given, one), level is not Level.LOOSE) for one in Arranged.swapped(*elements)
        )
        if differs(a, b, state=level is Level.IDENTICAL):
            return True
    return False


@pytest.mark.parametrize("broken", RULES, ids=lambda broken: broken.rule)
def test_a_broken_rule_is_noticed(broken: Broken, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = element("First", broken.first), element("Second", broken.second)
    settings = Settings(limit=20, witnesses=False)
    assert decide(first, second, [broken.level], settings).at(broken.level).verdict is Verdict.REFUSED
    with monkeypatch.context() as patch:
        broken.patch(patch)
        wrong = decide(first, second, [broken.level], settings).at(broken.level)
        assert wrong.verdict is Verdict.PROVED, wrong.why
    assert told_apart(first, second, broken.level)
