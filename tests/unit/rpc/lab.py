# SPDX-License-Identifier: Apache-2.0
"""A chain three times, on the interpreter, as emitted Python and as C: every step is made on all three and must agree
on verdicts, headers, traces and states."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.unit.rpc.native_driver import TRAPS, NativeChain, build
from transect.base.diagnostic import Diagnostics
from transect.base.shipped import path_of
from transect.core.frontend import compile_file
from transect.core.interp import Instance
from transect.core.ir import Program
from transect.emit.py.build import build as build_class
from transect.rpc import echo
from transect.rpc.chain.binding import bind
from transect.rpc.chain.file import first_state
from transect.rpc.chain.python import ChainEnding, ChainVerdict, Emitted, Interpreted, PythonChain
from transect.rpc.chain.views import PlainHeaders
from transect.rpc.grpcio.attach import service_of

SAY = "/echo.Echo/Say"


def program(stem: str) -> Program:
    """The policy of an example's file."""
    compiled = compile_file(path_of(stem))
    assert not compiled.diagnostics.failed, [str(d) for d in compiled.diagnostics]
    (found,) = compiled.programs
    return found


class Facts:
    """The lab's time, and draws: given ones first, then random ones; the same for all three."""

    def __init__(self, lab: Lab, seed: int, draws: tuple[float, ...]) -> None:
        self.lab = lab
        self._draws = [int(d * 2.0**53) << 11 for d in draws]
        self._random = random.Random(seed)

    def now(self) -> int:
        return self.lab.now

    def draw(self) -> int:
        return self._draws.pop(0) if self._draws else self._random.getrandbits(64)

    def answer(self, intrinsic: str, ask: Callable[[], object]) -> object:
        return ask()


class Lab:
    """A chain of examples on the echo service; `given` is what a chain file gives each element."""

    def __init__(self, folder: Path, **given: Mapping[str, object]) -> None:
        programs = [program(stem) for stem in given]
        diagnostics = Diagnostics()
        binding = bind(programs, service_of(echo.DESCRIPTOR), diagnostics, methods=("Say",))
        assert binding is not None, [d.message for d in diagnostics]
        self.now = 10**12  # ns
        self.rpcs = 0
        self.said: tuple[list[str], list[str], list[str]] = ([], [], [])
        classes = [build_class(p)() for p in programs]
        for policy in classes:
            policy.__functions__["trace"] = self.said[1].append
        interpreted: Any = [Interpreted(Instance(p), {"trace": self.said[0].append}) for p in programs]
        self.native = NativeChain(build(binding, folder, flags=("-O0", *TRAPS)))
        self.chains: list[Any] = [
            PythonChain(binding, interpreted),
            PythonChain(binding, [Emitted(policy) for policy in classes]),
            self.native,
        ]
        for index, (made, values) in enumerate(zip(programs, given.values(), strict=True)):
            for chain in self.chains:
                chain.load(index, first_state(made, values))
        self.elements: list[Instance] = [one.instance for one in interpreted]

    def state(self, field: str, element: int = 0) -> Any:
        """A field of an element, as the interpreter holds it."""
        return self.elements[element].state[field]

    def rpc(self, *, draws: tuple[float, ...] = (), peer: str = "ann", **headers: str) -> Call:
        """A new RPC; a header's name has `_` for `-`."""
        self.rpcs += 1
        return Call(self, draws, peer, {k.replace("_", "-"): v for k, v in headers.items()})

    def agree(self) -> None:
        """The three states are one."""
        for index in range(len(self.elements)):
            images = [chain.save(index) for chain in self.chains]
            assert images[0] == images[1] == images[2], self.elements[index].program.name
        assert self.said[0] == self.said[1] == self.said[2]


class Call:
    """One RPC on its way through all three."""

    def __init__(self, lab: Lab, draws: tuple[float, ...], peer: str, headers: dict[str, str]) -> None:
        self.lab = lab
        self.stores = [PlainHeaders((dict(headers), {}, {})) for _ in lab.chains]
        self.rpcs = [
            chain.rpc(SAY, peer, store, Facts(lab, lab.rpcs, draws))
            for chain, store in zip(lab.chains, self.stores, strict=True)
        ]

    @property
    def headers(self) -> dict[str, str]:
        """Of the request."""
        return self.stores[0].sides[0]

    def _all(self, do: Callable[[Any], Any]) -> Any:
        found = [do(rpc) for rpc in self.rpcs]
        traces = self.rpcs[2].traces
        self.lab.said[2].extend(traces)
        traces.clear()
        assert found[0] == found[1] == found[2]
        assert self.stores[0] == self.stores[1] == self.stores[2]
        self.lab.agree()
        return found[0]

    def ask(self, **fields: str) -> ChainVerdict:
        """The verdict on a request."""
        data: bytes = echo.Ask(**fields).SerializeToString()
        found: ChainVerdict = self._all(lambda rpc: rpc.request(data))
        return found

    def reply(self, text: str = "") -> ChainVerdict:
        """The verdict on a reply."""
        data: bytes = echo.Answer(text=text).SerializeToString()
        found: ChainVerdict = self._all(lambda rpc: rpc.response(data))
        return found

    def end(self, code: int = 0, cause: int = 0, elapsed: int = 1_000_000) -> ChainEnding:
        """The RPC is over."""
        found: ChainEnding = self._all(lambda rpc: rpc.finish(code, cause, elapsed))
        return found


def passed(verdict: ChainVerdict, message: Any = echo.Ask) -> Any:
    """The message that a verdict passes on, read."""
    assert verdict.message is not None
    return message.FromString(verdict.message)
