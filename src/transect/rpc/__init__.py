# SPDX-License-Identifier: Apache-2.0
"""The rpc stratum: what its policies import."""

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

__all__ = [
    "Cause",
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
]
