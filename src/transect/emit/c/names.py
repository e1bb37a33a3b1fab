# SPDX-License-Identifier: Apache-2.0
"""Identifiers of emitted C: a policy's own names where C allows them, told apart where it does not."""

from __future__ import annotations

import re
from collections.abc import Iterable

_WORDS = (  # of C, of C++ (whose programs include the header), and of what every C program has
    "auto break case char const continue default do double else enum extern float for goto if inline int long",
    "register restrict return short signed sizeof static struct switch typedef union unsigned void volatile while",
    "alignas alignof asm bool constexpr false noreturn nullptr true typeof thread_local",
    "catch class delete friend namespace new operator private protected public template this throw try typename",
    "using virtual linux unix i386 errno stdin stdout stderr main",
    "memcpy memmove memset memcmp malloc calloc free exit abort abs",
)
RESERVED = frozenset(" ".join(_WORDS).split())


def snake(name: str) -> str:
    """`FairShare` as `fair_share`."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return identifier(spaced.lower())


def identifier(name: str) -> str:
    """A C identifier close to the name, which is nothing else in C, its library or the runtime."""
    text = re.sub(r"[^0-9A-Za-z_]", lambda m: f"_{ord(m[0]):x}_", name)
    if not text or text[0].isdigit() or text.startswith("__"):
        text = f"n{text}"
    if text in RESERVED or text.startswith(("ts_", "TS_")) or text.endswith("_t") or text.isupper():
        text += "_"
    return text


class Names:
    """Gives each thing of one scope an identifier of its own."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)
        self._given: dict[str, str] = {}

    def fresh(self, wish: str) -> str:
        """An identifier which nothing else has."""
        text = identifier(wish)
        found, n = text, 1
        while found in self._taken:
            n += 1
            found = f"{text}_{n}"
        self._taken.add(found)
        return found

    def of(self, name: str, wish: str | None = None) -> str:
        """The identifier of a name, close to the wish: always the same one."""
        if name not in self._given:
            self._given[name] = self.fresh(wish or name)
        return self._given[name]
