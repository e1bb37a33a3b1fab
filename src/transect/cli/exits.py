# SPDX-License-Identifier: Apache-2.0
"""Exit codes: the same for every verb, shown in every `--help`."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """How a run of `transect` ended."""

    DONE = 0
    NO = 1
    USAGE = 2
    UNAVAILABLE = 3
    UNKNOWN = 4
    OURS = 70
    INTERRUPTED = 130
    # The reader of our output went away.  Shells report this code for any such program; the help does not list it.
    PIPE = 141


MEANING = {
    Exit.DONE: "as wanted",
    Exit.NO: "the answer is no: diagnostics, findings, a divergence, a difference, not proved",
    Exit.USAGE: "wrong usage",
    Exit.UNAVAILABLE: "something is missing on this machine",
    Exit.UNKNOWN: "inconclusive: unknown, time-out, not fully read",
    Exit.OURS: "an error of transect itself, with the text to report",
    Exit.INTERRUPTED: "interrupted",
}

HELP = "Exit codes: " + " · ".join(f"{code.value} {meaning}" for code, meaning in MEANING.items())
