# SPDX-License-Identifier: Apache-2.0
"""Words about whose a request is that nobody may believe, of every kind that comes to mind."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

from transect.identity import Keys
from transect.identity.words import Word

STRANGE = "cd" * 32  # the key of somebody else


class Forgeries:
    """Values of the header by kind; each call makes new ones."""

    def __init__(self, keys: Keys, folder: Path, heard: str) -> None:
        """`keys`: those that are believed.  `heard`: a word of theirs that has been believed once."""
        (folder / "stranger.key").touch(0o600)
        (folder / "stranger.key").write_text(STRANGE)
        self._keys, self._draw = keys, random.Random(14)
        stranger = Keys(folder / "stranger.key")
        self.kinds: dict[str, Callable[[], list[str]]] = {
            "stranger": lambda: [stranger.vouch("alice")],
            "name": lambda: [keys.vouch("bob").replace("bob", "alice", 1)],
            "plain": lambda: ["alice"],
            "empty": lambda: [""],
            "cut": lambda: [keys.vouch("alice")[: self._draw.randrange(1, 40)]],
            "expired": lambda: [self._ending(-1.0)],
            "early": lambda: [self._ending(36.0)],
            "replayed": lambda: [heard],
            "stripped": list,
            "twice": lambda: [keys.vouch("alice"), keys.vouch("alice")],
            "joined": lambda: [",".join((keys.vouch("alice"), keys.vouch("alice")))],
        }

    def _ending(self, seconds: float) -> str:
        """A word under our own key that ends so much later than now."""
        ends, nonce = int((time.time() + seconds) * 1000), f"{self._draw.getrandbits(64):016x}"
        return Word("alice", ends, 0, nonce).signed(self._keys.now()[0])
