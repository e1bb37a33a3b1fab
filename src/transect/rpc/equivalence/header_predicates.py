# SPDX-License-Identifier: Apache-2.0
"""Predicates on names and values of headers, for the solver; `rpc/headers.py` decides them."""

from __future__ import annotations

import string
from collections.abc import Callable
from typing import Any

from transect.analysis.text_predicates import TextPredicate
from transect.rpc.headers import PREFIXES, binary, decoded, printable, takes_name, unreadable

LETTER = "é".encode()  # a letter that is in no header
_NO_LETTERS = bytes(set(range(256)) - set(string.ascii_letters.encode() + string.digits.encode()))


def _of_text(holds: Callable[[str], bool]) -> Callable[[bytes], bool]:
    return lambda data: holds(data.decode(errors="replace"))


def _printable(data: bytes, wanted: bool) -> bytes:
    if wanted:
        return bytes(c for c in data if 0x20 <= c <= 0x7E)
    return LETTER + data[2:] if len(data) > 1 else b"\n"


def _base64(data: bytes, wanted: bool) -> bytes:
    if not wanted:
        return b"!" + data[1:]
    letters = data.translate(None, _NO_LETTERS)
    return letters + b"A" if len(letters) % 4 == 1 else letters


def _name(data: bytes, wanted: bool) -> bytes:
    return data.lower().translate(None, _NO_LETTERS) or b"x" if wanted else b"!" + data[1:]


def _binary(data: bytes, wanted: bool) -> bytes:
    return data + b"-bin" if wanted else data + b"x"


def _unreadable(data: bytes, wanted: bool) -> bytes:
    if wanted:
        return PREFIXES[1].encode() + data[4:].lower()
    lower = data.lower()
    return b"x" + lower[1:] if unreadable(lower.decode(errors="replace")) else lower


def _all_printable(z3: Any) -> Any:
    return z3.Star(z3.Range(" ", "~"))


def _all_base64(z3: Any) -> Any:
    """Padded fully, partly or not at all."""
    one = z3.Union(z3.Range("a", "z"), z3.Range("A", "Z"), z3.Range("0", "9"), z3.Re("+"), z3.Re("/"))
    two = z3.Concat(z3.Loop(one, 2, 2), z3.Loop(z3.Re("="), 0, 2))
    three = z3.Concat(z3.Loop(one, 3, 3), z3.Option(z3.Re("=")))
    return z3.Concat(z3.Star(z3.Loop(one, 4, 4)), z3.Option(z3.Union(two, three)))


def _all_binary(z3: Any) -> Any:
    return z3.Concat(z3.Full(z3.ReSort(z3.StringSort())), z3.Re("-bin"))


def _all_names(z3: Any) -> Any:
    marks = map(z3.Re, "-_.")
    return z3.Plus(z3.Union(z3.Range("a", "z"), z3.Range("0", "9"), *marks))


BINARY = TextPredicate("a name of a binary value", _of_text(binary), _binary, _all_binary)
PRINTABLE = TextPredicate("printable", _of_text(printable), _printable, _all_printable)
BASE64 = TextPredicate("base64", _of_text(lambda s: decoded(s) is not None), _base64, _all_base64)
NAME = TextPredicate("taken as a name", _of_text(takes_name), _name, _all_names)
UNREADABLE = TextPredicate("unreadable", _of_text(unreadable), _unreadable)
