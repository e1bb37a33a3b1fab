# SPDX-License-Identifier: Apache-2.0
"""Re-running a log of llm: what its records mean; `replay/queues.py` says how they are laid out."""

from __future__ import annotations

from transect.core.codec import CodecError
from transect.llm.request import FIELDS
from transect.replay import queues
from transect.replay.log import Record
from transect.replay.queues import Told


def told(record: Record) -> Told:
    """What is recorded of a call.  Raises `CodecError`."""
    found = queues.told(record, FIELDS)
    if found.request is not None and (found.request.client < 0 or found.request.group < 0):
        raise CodecError("the number of a client or group is less than 0")
    return found


class LlmDecoder(queues.QueueDecoder):
    """The decoder of logs whose stratum is `llm`."""

    def told(self, record: Record) -> Told:
        return told(record)
