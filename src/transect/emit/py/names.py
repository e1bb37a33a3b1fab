# SPDX-License-Identifier: Apache-2.0
"""Names in emitted Python: the policy's own, unless something that the emitted text needs has the same."""

from __future__ import annotations

import keyword
from collections.abc import Iterable

from transect.emit.py.nodes import LOCAL, OUTSIDE, SELF
from transect.emit.py.support import BUILTINS, IMPORTED

RESERVED = frozenset({SELF, OUTSIDE, LOCAL, "runtime", "types", *BUILTINS, *IMPORTED})


class Names:
    """One name space, of a module or a function; two names that the tree tells apart stay apart."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self.taken = {*RESERVED, *taken}
        self._of: dict[str, str] = {}

    def __getitem__(self, original: str) -> str:
        """How a name of the tree is written."""
        if original not in self._of:
            self._of[original] = self.fresh(original)
        return self._of[original]

    def keep(self, name: str) -> None:
        """A fresh name stands for a local of the tree that is written just so."""
        self._of[name] = name

    def fresh(self, wish: str) -> str:
        """A name that nothing else here has."""
        base = "".join(c if c == "_" or c.isalnum() else "_" for c in wish)
        if not base.isidentifier() or keyword.iskeyword(base):
            base = f"{base}_" if base[:1].isalpha() else f"_{base}"
        found, n = base, 1
        while found in self.taken:
            n += 1
            found = f"{base}_{n}"
        self.taken.add(found)
        return found
