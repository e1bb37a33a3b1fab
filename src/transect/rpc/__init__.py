# SPDX-License-Identifier: Apache-2.0
"""The rpc stratum: the names that its policies import.  What puts policies in force is imported on first use."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from transect.rpc.chain.spec import Chain
from transect.rpc.functions import (
    compress,
    compress_text,
    digest,
    expand,
    expand_text,
    seal,
    seal_text,
    unseal,
    unseal_text,
)
from transect.rpc.hooks import (
    Cause,
    Code,
    Element,
    Forward,
    Headers,
    Message,
    Outcome,
    Reject,
    Respond,
    Retry,
    Rpc,
    Verdict,
)

if TYPE_CHECKING:
    from transect.rpc.grpcio.attach import attach
    from transect.rpc.grpcio.knowing import know_callers
    from transect.rpc.grpcio.native import native_status
    from transect.rpc.grpcio.turns import take_turns
    from transect.rpc.placement.attach_plan import attach_plan

__all__ = [
    "Cause",
    "Chain",
    "Code",
    "Element",
    "Forward",
    "Headers",
    "Message",
    "Outcome",
    "Reject",
    "Respond",
    "Retry",
    "Rpc",
    "Verdict",
    "attach",
    "attach_plan",
    "compress",
    "compress_text",
    "digest",
    "expand",
    "expand_text",
    "know_callers",
    "native_status",
    "seal",
    "seal_text",
    "take_turns",
    "unseal",
    "unseal_text",
]

_LATER = {
    "attach": "transect.rpc.grpcio.attach",
    "attach_plan": "transect.rpc.placement.attach_plan",
    "know_callers": "transect.rpc.grpcio.knowing",
    "take_turns": "transect.rpc.grpcio.turns",
    "native_status": "transect.rpc.grpcio.native",
}  # these modules import grpc


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LATER[name]), name)
