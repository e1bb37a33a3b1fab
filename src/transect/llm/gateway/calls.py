# SPDX-License-Identifier: Apache-2.0
"""A request as its client sent it: what it asks for, how large it is, and the form in which it goes upstream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

CHARACTERS = 4  # of a token, about: only until the engine says how many there were
_decode = msgspec.json.Decoder().decode
UNBOUNDED = 1 << 20  # tokens: the limit of who gives none


class BadCall(Exception):
    """A request that cannot be served; says why."""


@dataclass(slots=True)
class Call:
    """One request on its way."""

    path: str
    body: bytes  # as it goes upstream
    stream: bool
    wants_usage: bool  # the client itself asked for usage in the stream
    prompt: int  # tokens, estimated unless the prompt came as tokens
    limit: int  # `max_tokens`, times the answers that are asked for


def read(path: str, body: bytes) -> Call:
    """The request of a body.  Raises `BadCall`."""
    try:
        asked = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise BadCall("the body is no JSON") from None
    if not isinstance(asked, dict):
        raise BadCall("the body is a JSON object")
    stream = asked.get("stream", False)
    if not isinstance(stream, bool):
        raise BadCall("`stream` is true or false")
    options = asked.get("stream_options") or {}
    if not isinstance(options, dict):
        raise BadCall("`stream_options` is an object")
    if stream:
        # Exact counts while it streams; what the client did not ask for is taken out again on the way back.
        asked["stream_options"] = {**options, "include_usage": True, "continuous_usage_stats": True}
        body = msgspec.json.encode(asked)
    return Call(path, body, stream, bool(options.get("include_usage")), _prompt(asked), _limit(asked))


def _limit(asked: dict[str, Any]) -> int:
    given = asked.get("max_completion_tokens")
    given = asked.get("max_tokens") if given is None else given
    if given is None:
        return UNBOUNDED
    if not isinstance(given, int) or isinstance(given, bool) or given < 0:
        raise BadCall("`max_tokens` is a whole number, 0 or more")
    answers = asked.get("n") or 1
    if not isinstance(answers, int) or not 1 <= answers <= 1000:
        raise BadCall("`n` is a whole number from 1")
    return min(given * answers, UNBOUNDED)


def _prompt(asked: dict[str, Any]) -> int:
    """Tokens of the prompt: exact where it comes as tokens, else estimated."""
    prompt = asked.get("prompt")
    if isinstance(prompt, list) and prompt:
        match prompt[0]:  # an engine refuses what mixes them
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
