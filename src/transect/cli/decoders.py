# SPDX-License-Identifier: Apache-2.0
"""The decoders of the strata's records."""

from __future__ import annotations

import importlib

from transect.replay import Log, LogError, Teller

DECODERS = {
    "rpc": ("transect.rpc.chain.replay", "RpcDecoder"),
    "llm": ("transect.llm.replay", "LlmDecoder"),
    "memory": ("transect.memory.replay", "MemoryDecoder"),
    "cpu": ("transect.cpu.replay", "CpuDecoder"),
}
"""By stratum: the module, imported when a log needs it, and the class, which is made from the log."""
QUEUE = ("transect.replay.queues", "QueueDecoder")
"""The same for the log of a queue, in a stratum that records other things, too."""


def decoder(log: Log) -> Teller:
    """The decoder of a log's records."""
    stratum = log.header.stratum
    if stratum not in DECODERS:
        raise LogError(f"the log is of {stratum!r:.40}, which is no stratum")
    module, name = QUEUE if log.header.notes.get("kind") == "queue" else DECODERS[stratum]
    made: Teller = getattr(importlib.import_module(module), name)(log)
    return made
