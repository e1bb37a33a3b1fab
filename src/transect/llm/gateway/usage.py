# SPDX-License-Identifier: Apache-2.0
"""How many tokens an answer says were used: read from the JSON of a whole answer, or event by event from a stream.

A stream is counted by the `usage` of its events if they carry one, else as one token for each event with content; the
last `usage` corrects either.  A `usage` that the client did not ask for is taken out before the event goes on to it.
Whatever a client may read as an event is counted as one: lines end as the standard of event streams has it, with LF, CR
LF or CR (https://html.spec.whatwg.org/multipage/server-sent-events.html), and JSON may be what Python writes by
default.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

END = b"\n\n"
MARK = b"\xef\xbb\xbf"  # the byte order mark; a stream may begin with one
_decode = msgspec.json.Decoder().decode
LONGEST = 8 << 20  # bytes of one event
NO_JSON = (msgspec.DecodeError, ValueError, RecursionError)  # the last one: nested too deeply


@dataclass(slots=True)
class Used:
    """Tokens so far; None: not said yet."""

    prompt: int | None = None
    output: int | None = None
    odd: bool = False  # a count that was given is not a number of tokens


class Garbage(Exception):
    """An upstream's answer that cannot be read."""


def of_answer(body: bytes) -> Used:
    """The tokens that a whole answer reports.  Raises `Garbage`."""
    try:
        said, _ = _read(body)
    except NO_JSON:
        raise Garbage("the answer is no JSON") from None
    return _used(said.get("usage")) if isinstance(said, dict) else Used()


def _read(data: bytes) -> tuple[Any, Callable[[Any], bytes]]:
    """The value of a JSON text, and how to write it again.  NaN, infinities and halves of surrogate pairs, which Python
    writes and JSON does not have, are read, too.  Raises `NO_JSON`.
    """
    try:
        return _decode(data), msgspec.json.encode
    except NO_JSON:
        return json.loads(data.decode(errors="replace")), lambda said: json.dumps(said).encode()


def _used(usage: Any) -> Used:
    if not isinstance(usage, dict):
        return Used(odd=usage is not None)
    said = usage.get("prompt_tokens"), usage.get("completion_tokens")
    prompt, output = map(_count, said)
    return Used(prompt, output, odd=any(s is not None and _count(s) is None for s in said))


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 40 else None


class Events:
    """Counts the events of a stream as they pass."""

    def __init__(self, keep_usage: bool) -> None:
        self._keep = keep_usage
        self._rest = b""
        self.used = Used()
        self.odd = False  # some event gave a count that is not a number of tokens
        self._counted = 0  # events with content, as long as no event says what was used
        self.done = False

    @property
    def output(self) -> int:
        """Tokens produced so far, as far as is known."""
        return self._counted if self.used.output is None else self.used.output

    def feed(self, data: bytes) -> bytes:
        """Take more of the stream; return the part that goes on to the client.  Raises `Garbage` for an event without
        an end.
        """
        whole, later = self._rest + data, b""
        if b"\r" in whole:
            if whole.endswith(b"\r"):  # the first half of a line's end, or all of it
                whole, later = whole[:-1], b"\r"
            whole = _plain(whole)
        *events, rest = whole.split(END)
        self._rest = rest + later
        if len(self._rest) > LONGEST:
            raise Garbage(f"an event of more than {LONGEST} bytes")
        return b"".join(passed + END for event in events if (passed := self._event(event)))

    def end(self) -> bytes:
        """The rest of the stream, an event without an end: some clients read it all the same."""
        rest, self._rest = _plain(self._rest), b""
        event = rest.rstrip(b"\n")
        passed = self._event(event)
        return passed + rest[len(event) :] if passed else b""

    def _event(self, event: bytes) -> bytes:
        """The event as it goes on to the client; empty if it does not."""
        lines = event.removeprefix(MARK).split(b"\n")
        data = [line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:")]
        if not data:
            return event
        others = [line for line in lines if not line.startswith(b"data:")]
        try:
            return self._said(event, others, b"\n".join(data))
        except NO_JSON:
            for line in data:  # an event of several lines, for a client that reads line by line
                self._line(line)
            return event

    def _said(self, event: bytes, others: Sequence[bytes], data: bytes) -> bytes:
        """The same for an event with this data.  Raises `NO_JSON`."""
        if data.strip() == b"[DONE]":
            self.done = True
            return event
        said, written = _read(data)
        self._count(said)
        if self._keep or not isinstance(said, dict) or "usage" not in said:
            return event
        usage = said.pop("usage")
        if usage is not None and not said.get("choices"):
            return b""  # the last event, which only tells what was used
        return b"\n".join((*others, b"data: " + written(said)))

    def _line(self, line: bytes) -> None:
        if line.strip() == b"[DONE]":
            self.done = True
            return
        try:
            self._count(_read(line)[0])
        except NO_JSON:
            self._counted += bool(line.strip())

    def _count(self, said: Any) -> None:
        if not isinstance(said, dict):
            self._counted += 1
            return
        found = _used(said.get("usage"))
        self.odd |= found.odd
        if found.output is not None:
            self.used = found
        elif _has_content(said.get("choices")):
            self._counted += 1


def _plain(data: bytes) -> bytes:
    """All lines end with LF."""
    return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _has_content(choices: Any) -> bool:
    if not isinstance(choices, list):
        return False
    for choice in choices:
        if not isinstance(choice, dict):
            continue
        delta = choice.get("delta")
        if choice.get("text") or (isinstance(delta, dict) and any(delta.get(k) for k in _CONTENT)):
            return True
    return False


_CONTENT = ("content", "reasoning_content", "reasoning", "tool_calls")
