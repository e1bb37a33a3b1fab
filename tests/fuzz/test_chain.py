# SPDX-License-Identifier: Apache-2.0
"""Chains on random streams of RPCs: native code, emitted Python and the interpreter give the same verdicts, the same
records and the same state; RPCs are interleaved, cancelled, answered by elements, and end in every way."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.unit.rpc.elements import ELEMENTS, HEAD, STREAMING, source
from tests.unit.rpc.native_driver import NativeChain, build
from tests.unit.rpc.random_elements import element
from tests.unit.rpc.wire_samples import Maker, service
from transect.base.diagnostic import Diagnostics
from transect.core.frontend import compile_text
from transect.core.interp import Instance
from transect.emit.py.build import build as build_class
from transect.rpc.chain.binding import Binding, bind
from transect.rpc.chain.python import Action, Emitted, Interpreted, PythonChain
from transect.rpc.chain.record import Record
from transect.rpc.chain.views import PlainHeaders

pytestmark = [pytest.mark.part("rpc"), pytest.mark.needs("grpcio")]

UNARY_CHAINS = (
    ("Acl", "Limit", "Mutate", "Cache", "Log"),
    ("Tags", "Prices", "Fault", "Route", "Remember"),
    ("Oneof", "Cache", "Mutate", "Remember", "Header"),
    ("Odd", "Mutate", "Log"),
    ("Floats", "Acl", "Floats"),
)
STREAMS = ("Chat", "Collect", "Watch")


class Facts:
    """Time that passes and draws of one RPC: the same for everyone who asks in the same order."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._now = self._random.randrange(10**9)

    def now(self) -> int:
        self._now += self._random.randrange(30_000_000)
        return self._now

    def draw(self) -> int:
        return self._random.getrandbits(64)

    def answer(self, intrinsic: str, ask: Callable[[], object]) -> object:
        return ask()


@dataclass
class Step:
    """What happens to one RPC next."""

    rpc: int
    what: str  # open, request, response, finish
    data: bytes = b""
    ending: tuple[int, int, int] = (0, 0, 0)
    method: str = ""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Run:
    """What one chain said and became."""

    said: list[Any] = field(default_factory=list)
    headers: list[Any] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    images: list[bytes] = field(default_factory=list)


def bound(
    names: tuple[str, ...], methods: tuple[str, ...], text: str = "", of: str = "sample.Sample"
) -> Binding:
    compiled = compile_text(text or source(names))
    assert not compiled.diagnostics.failed, [str(d) for d in compiled.diagnostics]
    programs = {p.name: p for p in compiled.programs}
    diagnostics = Diagnostics()
    binding = bind([programs[name] for name in names], service(of), diagnostics, methods=methods)
    assert binding is not None, [str(d) for d in diagnostics]
    return binding


def script(seed: int, methods: tuple[str, ...], count: int) -> Iterator[Step]:
    """A random stream of RPCs, several open at once."""
    rng = random.Random(seed)
    maker = Maker(seed, service("sample.Sample").messages)
    bodies = [maker.broken("sample.Ask") for _ in range(40)] + [user(rng) for _ in range(30)]
    replies = [maker.message("sample.Answer") for _ in range(20)]
    open_rpcs: dict[int, str] = {}
    for number in range(count):
        if len(open_rpcs) < 5:
            method = rng.choice((*methods, "Unheard")) if rng.random() < 0.05 else rng.choice(methods)
            headers = {"x-token": "t"} if rng.random() < 0.5 else {"x-drop": "1"}
            yield Step(number, "open", method=f"/sample.Sample/{method}", headers=headers)
            open_rpcs[number] = method
            if rng.random() < 0.95:
                yield Step(number, "request", data=rng.choice(bodies))
        rpc = rng.choice(list(open_rpcs))
        roll = rng.random()
        if roll < 0.45:
            yield Step(rpc, "response", data=rng.choice(replies))
        elif roll < 0.6 and open_rpcs[rpc] in ("Chat", "Collect"):
            yield Step(rpc, "request", data=rng.choice(bodies))
        elif roll > 0.65:
            yield Step(
                rpc, "finish", ending=(rng.choice((0, 1, 4, 7, 14)), rng.randrange(5), rng.randrange(10**9))
            )
            del open_rpcs[rpc]
    for rpc in open_rpcs:
        yield Step(rpc, "finish", ending=(1, 2, 5))


def user(rng: random.Random) -> bytes:
    """A plain request: a user, a number, a flag."""
    name = rng.choice((b"ann", b"bob", b"eve", b"z" * 70))
    return bytes((10, len(name))) + name + bytes((24, rng.randrange(9), 112, rng.random() < 0.5))


def play(chain: Any, run: Run, steps: list[Step]) -> Run:
    """Drive a chain, as a carrier does: nothing follows a rejection or a reply of an element but the end."""
    rpcs: dict[int, tuple[Any, PlainHeaders]] = {}
    over: set[int] = set()
    for step in steps:
        if step.what == "open":
            headers = PlainHeaders((dict(step.headers), {}, {"x-state": "fine"}))
            rpcs[step.rpc] = (
                chain.rpc(step.method, f"1{step.rpc % 3}.0.0.1", headers, Facts(step.rpc)),
                headers,
            )
            continue
        rpc, headers = rpcs[step.rpc]
        if step.what == "finish":
            run.said.append((step.rpc, "finish", rpc.finish(*step.ending)))
            run.headers.append(headers.sides)
        elif step.rpc not in over:
            verdict = getattr(rpc, step.what)(step.data)
            run.said.append((step.rpc, step.what, verdict))
            if verdict.action is not Action.FORWARD:
                over.add(step.rpc)
    return run


def native(binding: Binding, folder: Path, steps: list[Step]) -> Run:
    run = Run()
    chain = NativeChain(build(binding, folder), recording=run.records.append)
    play(chain, run, steps)
    run.images = [chain.save(i) for i in range(len(binding.elements))]
    for i, image in enumerate(run.images):
        assert chain.load(i, image) == 0
        assert chain.save(i) == image
        assert chain.load(i, image + b"x") == -1
    chain.close()
    return run


def python(binding: Binding, engines: list[Any], steps: list[Step]) -> Run:
    run = Run()
    chain = PythonChain(binding, engines, recording=run.records.append)
    play(chain, run, steps)
    run.images = [chain.save(i) for i in range(len(binding.elements))]
    return run


def compare(binding: Binding, folder: Path, steps: list[Step]) -> Run:
    interpreted = python(binding, [Interpreted(Instance(e.program)) for e in binding.elements], steps)
    emitted = python(binding, [Emitted(build_class(e.program)()) for e in binding.elements], steps)
    compiled = native(binding, folder, steps)
    for run in (emitted, compiled):
        for expected, found in zip(interpreted.said, run.said, strict=True):
            assert found == expected
        assert run.headers == interpreted.headers
        for wanted, record in zip(interpreted.records, run.records, strict=True):
            assert record == wanted
        assert run.images == interpreted.images
    return interpreted


@pytest.mark.needs("gcc")
@pytest.mark.parametrize("names", UNARY_CHAINS, ids="-".join)
def test_three_ways_of_running_a_chain_agree(
    names: tuple[str, ...], tmp_path: Path, fuzz_seconds: float
) -> None:
    binding = bound(names, ("Say",))
    seed, until = 0, time.monotonic() + fuzz_seconds
    while seed == 0 or time.monotonic() < until:
        run = compare(binding, tmp_path, list(script(seed, ("Say",), 400)))
        seed += 1
    actions = {said[2].action for said in run.said if said[1] == "request"}
    assert Action.FORWARD in actions and Action.REJECT in actions
    assert any(said[2].message is not None for said in run.said if said[1] == "request") == (
        not {"Mutate", "Oneof", "Floats"}.isdisjoint(names)
    )


@pytest.mark.needs("gcc")
def test_random_elements_mean_the_same_in_three_ways(tmp_path: Path, fuzz_seconds: float) -> None:
    seed, until, names = 0, time.monotonic() + fuzz_seconds, ("R0", "R1", "R2", "R3", "R4", "R5")
    while seed < 2 or time.monotonic() < until:
        text = HEAD + "".join(element(100 * seed + i, name) for i, name in enumerate(names))
        compare(bound(names, ("Say",), text), tmp_path / str(seed), list(script(seed, ("Say",), 250)))
        seed += 1


@pytest.mark.needs("gcc")
def test_three_ways_of_running_streams_agree(tmp_path: Path, fuzz_seconds: float) -> None:
    binding = bound(STREAMING, STREAMS)
    compare(binding, tmp_path, list(script(7, STREAMS, 400)))


MIXED = """
class Named(Message):
    user: str
    i64: int


class Mixed(Element):
    n: int = 0
    last: str = text(20)

    def request(self, rpc: Rpc[Named]) -> Verdict:
        self.n += rpc.msg.i64
        rpc.msg.user = self.last
        self.last = rpc.msg.user if self.n > 9 else "few"
        return Forward()

    def finish(self, rpc: Rpc[Named], outcome: Outcome) -> Retry | None:
        self.n += len(rpc.msg.user)
        return None
"""


@pytest.mark.needs("gcc")
def test_a_view_stands_for_the_messages_of_several_methods(tmp_path: Path) -> None:
    methods = {"First": "sample.Ask", "Second": "sample.Item", "Third": "sample.Ask"}
    binding = bound(("Mixed",), tuple(methods), HEAD + MIXED, "sample.Mixed")
    rng, maker, steps = random.Random(5), Maker(5, service("sample.Mixed").messages), list[Step]()
    for number in range(200):
        method = rng.choice(list(methods))
        steps += [
            Step(number, "open", method=f"/sample.Mixed/{method}"),
            Step(number, "request", data=maker.broken(methods[method])),
            Step(number, "finish"),
        ]
    run = compare(binding, tmp_path, steps)
    passed = [said for said in run.said if said[1] == "request" and said[2].action is Action.FORWARD]
    assert 40 < len(passed) < 190


def test_every_element_takes_part() -> None:
    assert set(ELEMENTS) == {name for chain in UNARY_CHAINS for name in chain} | set(STREAMING)
