# SPDX-License-Identifier: Apache-2.0
"""What an answer says that it used: from the JSON of a whole one, or event by event from a stream.

A stream is counted by the `usage` of its events where they carry one, else by one token for each event with content;
the last `usage` corrects either.  What the client did not ask for is taken out before it passes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

END = b"\n\n"
_decode = msgspec.json.Decoder().decode
LONGEST = 8 << 20  # bytes of one event
NO_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)  # the last one: nested too deeply


@dataclass(slots=True)
class Used:
    """Tokens so far; None: not said yet."""

    prompt: int | None = None
    output: int | None = None


class Garbage(Exception):
    """An upstream's answer that is none."""


def of_answer(body: bytes) -> Used:
    """What a whole answer says.  Raises `Garbage`."""
    try:
        said = _decode(body)
    except NO_JSON:
        raise Garbage("the answer is no JSON") from None
    return _used(said.get("usage")) if isinstance(said, dict) else Used()


def _used(usage: Any) -> Used:
    if not isinstance(usage, dict):
        return Used()
    return Used(_count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens")))


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 40 else None


class Events:
    """Counts the events of a stream as they pass."""

    def __init__(self, keep_usage: bool) -> None:
        self._keep = keep_usage
        self._rest = b""
        self.used = Used()
        self._counted = 0  # events with content, where none says what was used
        self.done = False

    @property
    def output(self) -> int:
        """Tokens produced so far, as far as is known."""
        return self._counted if self.used.output is None else self.used.output

    def feed(self, data: bytes) -> bytes:
        """More of the stream; what of it goes on to the client.  Raises `Garbage` for an event without an end."""
        whole = (self._rest + data).replace(b"\r\n", b"\n") if b"\r" in data else self._rest + data
        *events, self._rest = whole.split(END)
        if len(self._rest) > LONGEST:
            raise Garbage(f"an event of more than {LONGEST} bytes")
        return b"".join(passed + END for event in events if (passed := self._event(event)))

    def end(self) -> bytes:
        """What is left without an end."""
        rest, self._rest = self._rest, b""
        return rest

    def _event(self, event: bytes) -> bytes:
        """The event as it goes on; empty: not at all."""
        if not event.startswith(b"data:"):
            return event
        data = event[5:].strip()
        if data == b"[DONE]":
            self.done = True
            return event
        try:
            said = _decode(data)
        except NO_JSON:
            return event
        if not isinstance(said, dict):
            return event
        self._count(said)
        if self._keep or "usage" not in said:
            return event
        usage = said.pop("usage")
        if usage is not None and not said.get("choices"):
            return b""  # the last event, which only tells what was used
        return b"data: " + msgspec.json.encode(said)

    def _count(self, said: dict[str, Any]) -> None:
        found = _used(said.get("usage"))
        if found.output is not None:
            self.used = found
        elif _has_content(said.get("choices")):
            self._counted += 1


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
