# SPDX-License-Identifier: Apache-2.0
"""Messages of any service, symbolically: what real messages do, of a service whose oneofs and widths are put in."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from tests.unit.analysis.differing import Inputs, Trial, agrees, plain
from tests.unit.rpc.elements import HEAD
from tests.unit.rpc.wire_samples import message_class, service
from transect.analysis.concrete import Reader
from transect.analysis.prove import ConcreteCall
from transect.analysis.state import Path, Table
from transect.analysis.terms import Sort, Term, boolean, integer, number, text
from transect.analysis.values import Value
from transect.analysis.world import World
from transect.base.diagnostic import Diagnostics
from transect.core.frontend import compile_text
from transect.core.ir import Program
from transect.rpc.chain.binding import bind
from transect.rpc.chain.views import PlainHeaders, RpcView, ViewClasses
from transect.rpc.equivalence import any_service
from transect.rpc.equivalence.any_service import AnyService
from transect.rpc.messages.plan import Plans, plan_of
from transect.rpc.messages.rewriter import stored
from transect.rpc.messages.scanner import scan
from transect.rpc.messages.wire import ProtoField

ASK, PATH = "sample.Ask", "/sample.Sample/Say"
SAMPLE = "sample.Sample"
OPTIONS = {"word": '"w"', "count": "self.n", "nick": "self.s", "maybe": "7", "tint": "Colour.GREEN"}
PLAIN = {"user": "self.s", "i32": "self.n", "u32": "self.n - 1", "flt": "0.1", "i64": "self.n + ask.i32"}


def written(seed: int) -> str:
    """A policy that assigns, takes out and asks for fields, most of them of a oneof."""
    rng = random.Random(seed)

    def some(indent: str, depth: int) -> list[str]:
        found = []
        for step in range(rng.randrange(1, 4)):
            field, value = rng.choice(list(OPTIONS.items()))
            match rng.randrange(6):
                case 0 | 1:
                    found.append(f"{indent}ask.{field} = {value}")
                case 2:
                    found.append(f"{indent}ask.{field} = None")
                case 3:
                    plain_field, value = rng.choice(list(PLAIN.items()))
                    found.append(f"{indent}ask.{plain_field} = {value}")
                case 4 if depth:
                    name = f"v{depth}{step}"
                    found += [f"{indent}{name} = ask.person", f"{indent}if {name} is not None:"]
                    found += [*some(indent + "    ", depth - 1), f"{indent}    {name}.age += 1"]
                case _ if depth:
                    asked = rng.choice([*OPTIONS, "person", "deputy"])
                    found += [f"{indent}if ask.{asked} is None:", *some(indent + "    ", depth - 1)]
                    found += [f"{indent}else:", *some(indent + "    ", depth - 1)]
                case _:
                    found.append(f"{indent}self.n += 1 if ask.{field} is None else 3")
        return found

    body = "\n".join(some("        ", 2))
    return (
        f"{HEAD}\nclass P(Element):\n    n: int = 0\n    s: str = text(8)\n"
        f"    def request(self, rpc: Rpc[Ask]) -> Verdict:\n        ask = rpc.msg\n{body}\n        return Forward()\n"
    )


@cache
def program(seed: int) -> Program:
    (found,) = compile_text(written(seed)).programs
    return found


@cache
def looked_at(program: Program) -> tuple[Plans, ViewClasses]:
    """Every field of a message, through the policy's views."""
    diagnostics = Diagnostics()
    bound = bind([program], service(SAMPLE), diagnostics, methods=("Say",))
    assert bound is not None, [str(d) for d in diagnostics]
    messages = service(SAMPLE).messages
    found = plan_of(messages[ASK], messages)
    return found, ViewClasses(bound.elements[0], found)


class Real:
    """A message of the sample service, as the policy sees it."""

    def __init__(self, program: Program, data: bytes) -> None:
        found, views = looked_at(program)
        self.view = views.of("Ask", ASK)(scan(found, ASK, data))
        self.fields = {f.name: f for f in service(SAMPLE).messages[ASK].fields}

    def rpc(self) -> RpcView:
        rpc = RpcView(PATH, "ann", PlainHeaders(), "request")
        rpc.msg = self.view
        return rpc

    def at(self, place: str) -> Any:
        """What stands at `rpc.msg.who.name`; None also below something absent."""
        here: Any = self.view
        for name in place.split(".")[2:]:
            here = None if here is None else getattr(here, name)
        return here

    def field(self, place: str) -> ProtoField:
        _, _, first, *inner = place.split(".")
        found = self.fields[first]
        for name in inner:
            found = next(f for f in service(SAMPLE).messages[found.message].fields if f.name == name)
        return found


class OfMessage(Inputs):
    """Inputs of which those about the message are a real one's."""

    def __init__(self, seed: int, real: Real, sizes: Any) -> None:
        self.real = real
        super().__init__(seed, sizes)

    def given(self, term: Term) -> Term | None:
        name = str(term.data)
        if name.startswith("one oneof: "):
            a, b = (self.real.fields[n].oneof for n in name.split(" ")[3:])
            return boolean(a == b != "")
        if not name.startswith("rpc.msg."):
            return super().given(term)
        if name.endswith("?"):
            return boolean(self.real.at(name[:-1]) is not None)
        if name.endswith(" holds"):
            (arg,) = term.args
            held = stored(self.real.field(name.removesuffix(" holds")), arg.data)
            return constant(term.sort, held)
        return constant(term.sort, self.real.at(name))


def constant(sort: Sort, value: Any) -> Term:
    match sort:
        case Sort.BOOL:
            return boolean(bool(value))
        case Sort.INT:
            return integer(value or 0)
        case Sort.FLOAT:
            return number(float(value or 0))
        case _:
            data = value.encode() if isinstance(value, str) else value
            return text(data or b"")


def message(seed: int) -> bytes:
    """A message with some of its fields."""
    rng, ask = random.Random(seed), message_class(ASK)()
    for name, value in {
        "user": "bob",
        "i32": -5,
        "u32": 2**31 + 3,
        "i64": 2**40,
        "maybe": 0,
        "nick": "",
        "tint": 1,
        "word": "",
        "count": 2**40,
    }.items():
        if rng.random() < 0.5:
            setattr(ask, name, value)
    if rng.random() < 0.4:
        ask.person.age = 2**31 - 1
    if rng.random() < 0.3:
        ask.deputy.name = "ann"
    data: bytes = ask.SerializeToString()
    return data


class MessageTrial(Trial):
    def world_for(self, hook: str) -> World:
        return AnyService(hook, (self.program,))

    def real(self) -> Real:
        return Real(self.program, message(self.seed))

    def inputs(self, sizes: Any = None) -> Inputs:
        return OfMessage(self.seed, self.real(), sizes)

    def concrete(self, reader: Reader) -> ConcreteCall:
        self.ran = self.real()
        made = super().concrete(reader)
        made.args = [self.ran.rpc()]
        return made

    def _compared(self, concrete: ConcreteCall, value: Value, path: Path, inputs: Inputs) -> list[str]:
        found = super()._compared(concrete, value, path, inputs)
        for place, held in path.outside.items():
            assert not isinstance(held, Table)
            if self.ran.at(place.rpartition(".")[0]) is None:
                continue  # of nothing
            real = self.ran.at(place.removesuffix("?"))
            real = real is not None if place.endswith("?") else real
            if not agrees(held, real, inputs):
                found.append(f"{place} {plain(held, inputs)!r}, not {real!r}")
        return found


def differing() -> Iterator[str]:
    """For each call that was compared: how the evaluator and a real message do not agree; "": they do."""
    for seed in range(40):
        trial = MessageTrial(program(seed), "request")
        for n in range(6):
            found = trial.differences(seed * 1000 + n)
            if found is not None:
                yield ", ".join(f"{seed} {n}: {f}" for f in found)


def test_any_service_means_what_a_real_one_means() -> None:
    compared = list(differing())
    assert not any(compared), compared
    assert len(compared) > 200


@pytest.mark.parametrize("rule", ["_end_rivals", "_enter", "as_held"])
def test_a_broken_rule_is_noticed(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if rule == "as_held":
        monkeypatch.setattr(any_service, rule, lambda place, value, note: value)
    else:
        monkeypatch.setattr(AnyService, rule, lambda self, *args: None)
    assert any(differing())
