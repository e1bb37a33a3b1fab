# SPDX-License-Identifier: Apache-2.0
"""A request as its client sent it: what it asks for, how large it is, and the form in which it goes upstream."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import prod
from typing import Any

import msgspec

CHARACTERS = 4  # of a token, about: only until the engine says how many there were
_decode = msgspec.json.Decoder().decode
UNBOUNDED = 1 << 20  # tokens: the limit of a request that gives none


class BadCall(Exception):
    """A request that cannot be served; says why."""


class Counting(Enum):
    """What a stream is asked to say of the tokens that it used, beyond what its client asked for."""

    CONTINUOUS = "with every event"
    FINAL = "at its end"
    NONE = "only if its client asks"

    @property
    def simpler(self) -> Counting | None:
        """The next simpler form, for an engine that refuses this one."""
        return {Counting.CONTINUOUS: Counting.FINAL, Counting.FINAL: Counting.NONE}.get(self)


_OPTIONS = {
    Counting.CONTINUOUS: {"include_usage": True, "continuous_usage_stats": True},
    Counting.FINAL: {"include_usage": True},
}


@dataclass(slots=True)
class Call:
    """One request on its way."""

    path: str
    body: bytes  # as it goes upstream; a stream is asked for `Counting.CONTINUOUS`
    stream: bool
    options: dict[str, Any] | None  # the client's own `stream_options`
    prompt: int  # tokens, estimated unless the prompt came as tokens
    limit: int  # `max_tokens`, times the answers that are asked for

    @property
    def wants_usage(self) -> bool:
        """Whether the client itself asked for usage in the stream."""
        return bool((self.options or {}).get("include_usage"))

    def body_for(self, counting: Counting) -> bytes:
        """The body for an engine that accepts this form of counting."""
        if not self.stream or counting is Counting.CONTINUOUS:
            return self.body
        asked = _decode(self.body)
        del asked["stream_options"]
        if counting is Counting.FINAL or self.options is not None:
            asked["stream_options"] = {**(self.options or {}), **_OPTIONS.get(counting, {})}
        return msgspec.json.encode(asked)


def read(path: str, body: bytes) -> Call:
    """The request of a body.  Raises `BadCall`.

    The body sent upstream is written anew from what was read here, so that the engine cannot take the other value of a
    name that occurs twice.
    """
    try:
        asked = _decode(body)
        if not isinstance(asked, dict):
            raise BadCall("the body is a JSON object")
        stream, options = _streaming(asked)
        call = Call(path, b"", stream, options, _prompt(asked), _limit(asked))
        if stream:
            # Exact counts while it streams; what the client did not ask for is taken out again on the way back.
            asked["stream_options"] = {**(options or {}), **_OPTIONS[Counting.CONTINUOUS]}
        call.body = msgspec.json.encode(asked)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise BadCall("the body is no JSON") from None
    except RecursionError:
        raise BadCall("the body is nested too deeply") from None
    return call


def _streaming(asked: dict[str, Any]) -> tuple[bool, dict[str, Any] | None]:
    stream = asked.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise BadCall("`stream` is true or false")
    options = asked.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise BadCall("`stream_options` is an object")
    return bool(stream), options


def _limit(asked: dict[str, Any]) -> int:
    """Tokens of output at most, over all answers: each prompt has `n` answers, and with `best_of` all of those are
    generated.
    """
    name = "max_tokens" if asked.get("max_completion_tokens") is None else "max_completion_tokens"
    given = _whole(asked, name, least=0)
    each = max(_whole(asked, "n", least=1) or 1, _whole(asked, "best_of", least=1) or 1)
    return UNBOUNDED if given is None else min(prod((given, each, _prompts(asked))), UNBOUNDED)


def _whole(asked: dict[str, Any], name: str, least: int) -> int | None:
    value = asked.get(name)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < least):
        raise BadCall(f"`{name}` is a whole number, {least} or more")
    return value


def _prompts(asked: dict[str, Any]) -> int:
    """The number of prompts: each text, or list of tokens, of a list is one."""
    prompt = asked.get("prompt")
    several = isinstance(prompt, list) and prompt and not isinstance(prompt[0], int)
    return len(prompt) if isinstance(prompt, list) and several else 1


def _prompt(asked: dict[str, Any]) -> int:
    """Tokens of the prompt: exact where it comes as tokens, else estimated."""
    prompt = asked.get("prompt")
    if isinstance(prompt, list) and prompt:
        match prompt[0]:  # an engine refuses a mixture
            case int():
                return len(prompt)
            case list():
                return sum(len(part) for part in prompt if isinstance(part, list))
    return _tokens(asked.get("messages") if prompt is None else prompt)


def _tokens(part: Any) -> int:
    """About how many tokens the texts within a value are; at least one."""
    size, stack = 0, [part]
    while stack:
        match stack.pop():
            case str() as text:
                size += len(text)
            case list() as items:
                stack.extend(items)
            case dict() as fields:
                stack.extend(fields.values())
            case _:
                pass
    return max(1, size // CHARACTERS)
