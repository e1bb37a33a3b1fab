# SPDX-License-Identifier: Apache-2.0
"""C: for the CPython extension, the native Envoy module, and any other program that links C."""

from transect.emit.c.emitter import CEmitter, Lowered, emit, lower, one_unit
from transect.emit.c.unit import Loop, ViewLowering
from transect.emit.c.views import PlainViews

emitter = CEmitter()

__all__ = [
    "CEmitter",
    "Loop",
    "Lowered",
    "PlainViews",
    "ViewLowering",
    "emit",
    "emitter",
    "lower",
    "one_unit",
]
