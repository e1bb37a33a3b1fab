# SPDX-License-Identifier: Apache-2.0
"""Models on the interpreter, as long as the question that they answer may take."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from transect.analysis.allowance import tick
from transect.core import ir
from transect.core.interp import Frame, Run, Signal


class LimitedRun(Run):
    """One call, which raises `Spent` when its time is up: statements and rounds of loops are steps."""

    def execute(self, s: ir.Stmt, frame: Frame) -> Signal | None:
        tick()
        return super().execute(s, frame)

    def items(self, source: ir.Source, frame: Frame) -> Iterable[Any]:
        return _ticking(
            super().items(source, frame)
        )  # the source is evaluated here, whenever the rounds come


def _ticking(items: Iterable[Any]) -> Iterator[Any]:
    for item in items:
        tick()
        yield item
