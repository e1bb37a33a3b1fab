# SPDX-License-Identifier: Apache-2.0
"""Which words are believed: those signed under one of our keys, still valid, and not seen before."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from enum import StrEnum

from transect.identity.caller import Caller
from transect.identity.keys import LIFE_S, Keys
from transect.identity.words import parsed, signed_by

SKEW_S = 5.0  # by which another machine's clock may be ahead of ours
KEPT = 1 << 18  # words that are remembered, each until it expires


class Refused(StrEnum):
    """Why a word is not believed."""

    MALFORMED = "malformed"
    FORGED = "forged"
    EXPIRED = "expired"
    EARLY = (
        "early"  # it lives longer than words do: of a clock that is wrong, and for longer than we remember
    )
    REPLAYED = "replayed"
    FULL = "full"  # more words than can be remembered: one more could be one that came before


class Verifier:
    """Believes each word once.  A process needs one verifier for all of its threads, since two would believe a word
    twice.
    """

    def __init__(self, keys: Keys, clock: Callable[[], float] = time.time, kept: int = KEPT) -> None:
        self._keys = keys
        self._clock = clock
        self._kept = kept
        self._lock = threading.Lock()
        self._heard: set[str] = set()
        self._order: deque[tuple[int, str]] = deque()  # as they came; their ends differ by less than a life
        self._refused: Counter[Refused] = Counter()
        self._believed = 0

    def of(self, text: str | None) -> Caller | None:
        """The caller for whom the word vouches; None without a word, or if it is not believed, whose reason is
        counted.
        """
        if text is None:
            return None
        found = self._judged(text)
        with self._lock:
            if isinstance(found, Refused):
                self._refused[found] += 1
                return None
            self._believed += 1
        return found

    def status(self) -> Mapping[str, int]:
        """The number of words that were believed, and of those that were not, by reason."""
        with self._lock:
            return {"believed": self._believed, **{str(why): self._refused[why] for why in Refused}}

    def _judged(self, text: str) -> Caller | Refused:
        read = parsed(text)
        if read is None:
            return Refused.MALFORMED
        word, said, signature = read
        if not any(signed_by(key, said, signature) for key in self._keys.now()):
            return Refused.FORGED
        now = self._clock()
        at = int(now * 1000)
        if word.ends <= at:
            return Refused.EXPIRED
        if word.ends > at + (LIFE_S + SKEW_S) * 1000:
            return Refused.EARLY
        if why := self._again(word.nonce, word.ends, at):
            return why
        if not word.deadline:
            return Caller(word.tenant)
        return Caller(word.tenant, time.monotonic() + word.deadline / 1000 - now)

    def _again(self, nonce: str, ends: int, at: int) -> Refused | None:
        """Why the word may not be new, or None; from now on it is known."""
        with self._lock:
            # A word behind one that expires later is forgotten a little late, but never too early.
            while self._order and self._order[0][0] <= at:
                self._heard.discard(self._order.popleft()[1])
            if nonce in self._heard:
                return Refused.REPLAYED
            if len(self._heard) >= self._kept:
                return Refused.FULL
            self._heard.add(nonce)
            self._order.append((ends, nonce))
        return None
