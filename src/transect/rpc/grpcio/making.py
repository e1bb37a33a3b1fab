# SPDX-License-Identifier: Apache-2.0
"""Making a version of an attached chain: bound to the service, then compiled, or as emitted Python with the reason."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from transect.base.diagnostic import Diagnostics
from transect.base.render import render_text
from transect.base.traced import Traced
from transect.base.unavailable import Unavailable
from transect.core.ir import Program
from transect.emit.toolchain import BuildError
from transect.lang.functions import PolicyError
from transect.rpc.chain.binding import Binding, bind
from transect.rpc.chain.carrier import Can, check
from transect.rpc.chain.needs import Needs
from transect.rpc.grpcio import carrier
from transect.rpc.grpcio.handle import Carried, Handle, Touches
from transect.rpc.grpcio.standing import Standing
from transect.rpc.messages.wire import ProtoService
from transect.rpc.versions.upgrade import Version

log = logging.getLogger("transect.rpc")
Trial = Callable[[Path], None]


@dataclass(frozen=True)
class Maker:
    """What all versions of an attached chain have in common."""

    service: ProtoService
    methods: tuple[str, ...] | None  # names; None: all
    carrier: Can
    native: bool | None  # None: where that is possible
    cache: Path | None
    peer: str
    attempts: int
    speaks_first: tuple[str, ...] = ()  # names of methods

    def bound(self, programs: Sequence[Program], sources: Callable[[], dict[str, str]]) -> Binding:
        """Raises PolicyError with the diagnostics."""
        diagnostics = Diagnostics()
        binding = bind(
            programs, self.service, diagnostics, methods=self.methods, speaks_first=self.speaks_first
        )
        if binding is not None:
            check(binding, self.carrier, diagnostics)
            carrier.check_headers(binding, self.carrier, diagnostics)
        if binding is None or diagnostics.failed:
            raise PolicyError("\n" + render_text(diagnostics, sources()))
        return binding

    def standing(
        self, version: Version, binding: Binding, policies: Sequence[Any], trial: Trial | None = None
    ) -> Standing:
        """Code, and a copy of the state of the policy objects.  `trial` raises for a file that must not be loaded.

        Raises Unavailable when native code is insisted on and is not possible, whatever the reason.
        """
        handle, reason = self._handle(binding, policies, trial)
        carried = Carried(
            handle=handle,
            touches=touches(element.needs for element in binding.elements),
            methods=frozenset(method.path for method in binding.methods),
            peer=self.peer,
            attempts=self.attempts,
            early=frozenset(binding.early),
        )
        traced = tracing(handle, [element.name for element in binding.elements])
        return Standing(version, binding, tuple(map(type, policies)), handle, reason, traced, lambda: carried)

    def _handle(self, binding: Binding, policies: Sequence[Any], trial: Trial | None) -> tuple[Handle, str]:
        reason = "asked for: native=False"
        if self.native is not False:
            try:
                return _compiled(binding, policies, self.cache, trial), ""
            except Unavailable as lacking:
                if self.native:
                    raise
                reason = f"{lacking.what}: {lacking.why} ({lacking.hint})"
                names = ", ".join(element.name for element in binding.elements)
                log.warning("the chain %s runs as emitted Python: %s", names, reason)
        from transect.rpc.grpcio.python_handle import PythonHandle

        return PythonHandle(binding, policies), reason


def tracing(handle: Handle, names: Sequence[str]) -> Traced:
    """Send what the elements trace to Python's log, under these names."""
    traced = Traced()
    handle.trace(lambda said: traced.say(names[said[0]], *said[1:]))
    return traced


def numbered(standing: Standing, version: str) -> Standing:
    """The same, under this name: its RPCs can be told from those of other versions."""
    held = standing.carried()
    assert held is not None, "it is new"
    named = replace(held, version=version)
    return replace(standing, carried=lambda: named)


def touches(elements: Iterable[Needs]) -> Touches:
    """Which data of an RPC, beside its messages, some element reads or writes."""
    uses = {(use.hook, use.field) for needs in elements for use in needs.uses}
    return Touches(
        headers=("request", "headers") in uses,
        replies=any(
            field == "trailers" or (field == "headers" and hook != "request") for hook, field in uses
        ),
        peer=any(field == "peer" for _, field in uses),
    )


def _compiled(binding: Binding, policies: Sequence[Any], cache: Path | None, trial: Trial | None) -> Handle:
    from transect.emit.py.image import image
    from transect.rpc.grpcio import native

    native.headers()
    try:
        library = native.compiled(native.emitted(binding), cache)
        if trial is not None:
            trial(library)
        handle: Handle = native.load(library).Chain()
    except (BuildError, ImportError, OSError) as wrong:  # ImportError: the folder may forbid execution
        raise Unavailable("the compiled chain", str(wrong), "`native=False` does without") from wrong
    for index, policy in enumerate(policies):
        fits = handle.load(index, image(policy))
        assert fits, f"{binding.elements[index].name}: emitted C and Python disagree on the state's image"
    return handle
