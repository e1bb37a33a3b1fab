# SPDX-License-Identifier: Apache-2.0
"""The decisions about one request as text for people."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from transect.base.counted import counted
from transect.base.snippet import echoed, visible
from transect.cli.checking import in_color
from transect.replay.watched import Change, Line, Value
from transect.replay.why import Decision, First, Layer

_RESET, _BOLD, _DIM = "\033[0m", "\033[1m", "\033[2m"
_BLUE, _GREEN, _RED, _YELLOW = "\033[1;34m", "\033[1;32m", "\033[1;31m", "\033[1;33m"
WHEN = 14  # columns for a time
CODE = 44  # columns for a line of the policy, before what it read


def clock(ns: int) -> str:
    """A time of day."""
    at = datetime.fromtimestamp(ns // 1_000_000_000)
    return f"{at:%H:%M:%S}.{ns % 1_000_000_000 // 1000:06d}"


@dataclass
class Page:
    """The text about one request."""

    request: str
    layers: Sequence[Layer]
    color: bool = field(default_factory=in_color)

    def lines(self) -> Iterator[str]:
        yield self._painted(echoed(self.request), _BOLD) + self._summary()
        for layer in self.layers:
            yield ""
            yield from self._layer(layer)

    def _summary(self) -> str:
        count = sum(len(layer.decisions) for layer in self.layers)
        said = f": {counted(count, 'decision')} at {counted(len(self.layers), 'layer')}"
        if all(layer.explained for layer in self.layers):
            return f"{said}, each as it was recorded"
        return said

    def _layer(self, layer: Layer) -> Iterator[str]:
        what = f"{layer.stratum}, a queue" if layer.waited else layer.stratum
        unreal = "" if layer.real else ", simulated"
        yield self._painted(visible(layer.name), _BLUE) + f"   {what}{unreal}, came {clock(layer.came)}"
        others = [name for name in layer.ids if name != self.request]
        if others:
            yield f"  also called {', '.join(map(echoed, others))}"
        told = False
        for decision in layer.decisions:
            if decision.hook == "pick" or (
                layer.went_first and not told and decision.hook in ("admit", "charge")
            ):
                yield from self._first(layer)
                told = True
            yield from self._decision(layer, decision)
        if layer.went_first and not told:
            yield from self._first(layer)
        for reason in layer.open:
            yield self._painted("  not shown: ", _YELLOW) + echoed(reason)

    # ---------------------------------------------------------------- who went first

    def _first(self, layer: Layer) -> Iterator[str]:
        if not layer.went_first:
            if layer.waited:
                yield "  nobody's turn came first"
            return
        who = ", ".join(f"{visible(name)} {count}" for name, count in layer.went_first.items())
        yield f"  {counted(sum(layer.went_first.values()), 'turn')} came first: {who}"
        left = sum(layer.went_first.values()) - len(layer.first)
        if left > 0:
            yield f"    … {left} of them before these"
        width = max((len(visible(first.client)) for first in layer.first), default=0)
        for first in layer.first:
            yield self._choice(layer, first, width)

    def _choice(self, layer: Layer, first: First, width: int) -> str:
        when = "" if first.time is None else f"{_since(first.time - layer.came):>{WHEN}}  "
        return f"    {when}{visible(first.client):{width}}  {self._values(first.choice, 0)}"

    # ---------------------------------------------------------------- one decision

    def _decision(self, layer: Layer, decision: Decision) -> Iterator[str]:
        version = f" (version {decision.version})" if decision.version > 1 else ""
        about = f" {visible(decision.client)}" if decision.client and decision.hook != "pick" else ""
        gives = "" if decision.verdict in ("None", "none") else f" → {echoed(decision.verdict)}"
        when = "" if decision.time is None else f"   {_since(decision.time - layer.came)}"
        head = self._painted(f"{visible(decision.policy)}.{decision.hook}", _BOLD)
        yield f"  {head}{version}{about}{self._painted(gives, _GREEN)}{self._painted(when, _DIM)}"
        if decision.differs:
            yield self._painted(f"    but {echoed(decision.differs)}", _RED)
        yield from self._code(decision.lines)
        yield from map(self._change, decision.changes)

    def _code(self, lines: Sequence[Line]) -> Iterator[str]:
        margin = max((len(str(line.number)) for line in lines), default=0)
        texts = textwrap.dedent("\n".join(line.text for line in lines)).split("\n")
        for line, text in zip(lines, map(visible, texts), strict=False):
            values = self._values(line.values, line.more)
            bar = self._painted("|", _BLUE)
            beside = values and len(text) <= CODE
            yield f"    {self._painted(f'{line.number:>{margin}}', _BLUE)} {bar} " + (
                f"{text:{CODE}}  {values}" if beside else text
            )
            if values and not beside:
                yield f"    {'':{margin}} {bar}       {values}"

    def _values(self, values: Sequence[Value], more: int) -> str:
        said = [f"{visible(v.what)} = {v.value}" for v in values]
        return self._painted(", ".join([*said, *([f"… {more} more"] if more else [])]), _DIM)

    def _change(self, change: Change) -> str:
        return f"    {visible(change.place)}: {change.before} → {self._painted(change.after, _BOLD)}"

    def _painted(self, text: str, paint: str) -> str:
        return f"{paint}{text}{_RESET}" if self.color and text else text


def _since(ns: int) -> str:
    return f"+{ns / 1e6:.3f} ms"
