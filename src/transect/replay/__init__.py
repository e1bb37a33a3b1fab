# SPDX-License-Identifier: Apache-2.0
"""Record and replay: one log for all strata.  It knows no stratum; a stratum gives it a `Decoder` for its calls.

A log holds the policies themselves (program, sources, schema, state at the start), so that `replay LOG` needs nothing
else, and every handler call with its outside answers and result.
"""

from transect.replay.compare import Call, Comparison, Decoder, Runner, Teller, compare
from transect.replay.log import Log, LogError, Policy, Record, Trailer
from transect.replay.reader import read
from transect.replay.tape import RecordingTape, ReplayingTape, TapeMismatch
from transect.replay.writer import Writer

__all__ = [
    "Call",
    "Comparison",
    "Decoder",
    "Log",
    "LogError",
    "Policy",
    "Record",
    "RecordingTape",
    "ReplayingTape",
    "Runner",
    "TapeMismatch",
    "Teller",
    "Trailer",
    "Writer",
    "compare",
    "read",
]
