# SPDX-License-Identifier: Apache-2.0
"""What `trace(…)` says, as lines of a log: one line each, bounded in size and in number, whatever the text holds.

The text may be a client's.  A control character, or one that changes the direction of writing, would let the client end
the line and forge the next one, or make a line look like another.  Emitted C says the same: rpc/runtime/elements.h cuts
a text, rpc/runtime/envoy_trace.c writes it down.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable

LONGEST = 1024  # bytes of a text in UTF-8
A_SECOND = 100  # lines of one policy, or of one chain of elements
A_CALL = 64  # lines of one call of a handler, in a chain
CUT = "…"

# Control characters (C0, DEL, C1), line and paragraph separators, and characters that change the direction of writing;
# also the backslash, so that every backslash in a line begins an escape.
_ESCAPED = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\\\\]")


def cut(text: str) -> str:
    """At most `LONGEST` bytes of the text, ending with an ellipsis if something was cut off."""
    data = text.encode(errors="backslashreplace")
    if len(data) <= LONGEST:
        return text
    return data[:LONGEST].decode(errors="ignore") + CUT


def line(text: str) -> str:
    """The text as a log shows it: on one line, with special characters escaped."""
    return _ESCAPED.sub(_escape, cut(text))


def _escape(found: re.Match[str]) -> str:
    number = ord(found[0])
    if found[0] == "\\":
        return "\\\\"
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"


class Traced:
    """Where the lines of one policy, or of one chain, go: to the logger `transect.NAME`, at level INFO.

    Lines beyond `A_SECOND` in a second are left out and counted; the next line that is written says how many.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.written = 0
        self.left_out = 0
        self._clock = clock
        self._lock = threading.Lock()
        self._second = -1
        self._in_second = 0
        self._untold = 0  # lines left out since the last report of them

    def say(self, name: str, text: str, more: int = 0) -> None:
        """A line of the policy of that name; `more`: how many were left out after it."""
        logger = logging.getLogger(f"transect.{name}")
        if not logger.isEnabledFor(logging.INFO):
            return
        with self._lock:
            untold, may = self._untold, self._may()
            self.written += may
            self.left_out += more + (not may)
            self._untold = more + (0 if may else untold + 1)
        if may and untold:
            logger.warning("%d lines of `trace` were left out: there were too many in a second", untold)
        if may:
            logger.info("%s", line(text))

    def _may(self) -> bool:
        second = int(self._clock())
        if second != self._second:
            self._second, self._in_second = second, 0
        self._in_second += 1
        return self._in_second <= A_SECOND


def to_stderr() -> None:
    """Lines go to stderr, for a process that has not been told where its log goes."""
    logger = logging.getLogger("transect")
    if logger.hasHandlers():
        return
    formatter = logging.Formatter("%(asctime)s %(name)s: %(message)s")
    formatter.default_msec_format = "%s.%03d"
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
