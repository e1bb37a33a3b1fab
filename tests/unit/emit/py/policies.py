# SPDX-License-Identifier: Apache-2.0
"""One policy on the interpreter and as emitted Python, side by side."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import transect
from transect.base.shipped import paths
from transect.core.frontend import compile_text
from transect.core.interp import Instance
from transect.core.values import normal
from transect.emit.py.image import image
from transect.lang.tape import GivenTape, use

EXAMPLES = paths()


@dataclass
class Pair:
    """One policy twice: on the interpreter and as emitted Python; every call is made on both and must agree."""

    text: str
    name: str = "P"
    module: Any = field(init=False)
    defined: Instance = field(init=False)
    emitted: Any = field(init=False)
    said: tuple[list[str], list[str]] = field(default_factory=lambda: ([], []))

    def __post_init__(self) -> None:
        compiled = compile_text(self.text)
        assert not compiled.diagnostics.failed, [str(d) for d in compiled.diagnostics]
        self.defined = Instance(compiled.program(self.name))
        self.module = transect.load(self.text)
        self.emitted = getattr(self.module, self.name)()
        self.emitted.__functions__["trace"] = self.said[1].append

    def call(
        self, hook: str, *args: Callable[[], Any] | Any, now: int = 0, rand: Sequence[float | int] = ()
    ) -> Any:
        """The result, the same of both; an argument that is a function is called for each of them."""
        given = [[a() if callable(a) and not isinstance(a, type) else a for a in args] for _ in range(2)]
        result = self.defined.call(
            hook, given[0], tape=GivenTape(now, rand), functions={"trace": self.said[0].append}
        )
        with use(GivenTape(now, rand)):
            emitted = getattr(self.emitted, hook)(*given[1])
        assert normal(emitted) == normal(result), f"{hook}: {emitted} is not {result}"
        assert self.said[0] == self.said[1]
        assert zlib.crc32(image(self.emitted)) == zlib.crc32(self.defined.image()), f"{self.emitted}"
        for mine, theirs in zip(*given, strict=True):
            assert repr(mine) == repr(theirs)  # what the policy wrote into its views
        return emitted

    def emitted_and_defined(
        self,
        hook: str,
        args: list[Any],
        local: dict[str, Any],
        now: int = 0,
        rand: Sequence[float | int] = (),
    ) -> Any:
        """One hook of an RPC which lives on: the views carry the emitted locals, `local` the interpreter's."""
        says = {"trace": self.said[0].append}
        result = self.defined.call(hook, args, tape=GivenTape(now, rand), locals=local, functions=says)
        with use(GivenTape(now, rand)):
            emitted = getattr(self.emitted, hook)(*args)
        assert normal(emitted) == normal(result)
        assert image(self.emitted) == self.defined.image()
        return emitted

    def request(
        self, *, now: int = 0, rand: Sequence[float | int] = (), headers: Any = None, **fields: Any
    ) -> Any:
        """The verdict on a request message with these fields."""

        def rpc() -> Any:
            return self.module.Rpc(msg=self.module.Ask(**fields), headers=dict(headers or {}), method="/a/b")

        return self.call("request", rpc, now=now, rand=rand)
