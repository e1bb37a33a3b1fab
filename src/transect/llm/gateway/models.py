# SPDX-License-Identifier: Apache-2.0
"""The list of models, from the first engine that answers; and one model, from the first engine that has it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

import msgspec

from transect.llm.gateway.answers import JSON, Send, error_answer, plain_answer
from transect.llm.gateway.connections import Absent, Unreachable
from transect.llm.gateway.replica import Replica
from transect.llm.gateway.usage import NO_JSON

PATH = "/v1/models"
PATIENCE_S = 10.0  # for an engine to name its models
LARGEST = 16 << 20  # bytes of such an answer
_decode = msgspec.json.Decoder().decode


def served(path: str) -> bool:
    """Whether it is the path of all models, or of one."""
    return path == PATH or path.startswith(f"{PATH}/")


async def answer(send: Send, path: str, replicas: Sequence[Replica]) -> None:
    """All models, or the one that the path names: names may have slashes."""
    wanted = path.removeprefix(PATH).removeprefix("/")
    asked = False
    async with aclosing(_said(replicas)) as lists:
        async for body, models in lists:
            asked = True
            if not wanted:
                await plain_answer(send, 200, body, [JSON])
                return
            for model in models:
                if isinstance(model, dict) and model.get("id") == wanted:
                    await plain_answer(send, 200, msgspec.json.encode(model), [JSON])
                    return
    if asked:
        await error_answer(send, 404, "there is no model of this name")
    else:
        await error_answer(send, 503, "no engine answers", 5.0)


async def _said(replicas: Sequence[Replica]) -> AsyncGenerator[tuple[bytes, list[Any]]]:
    """What each engine says, and the models in it; of those that have something to say."""
    for replica in replicas:
        if not replica.reachable:
            continue
        try:
            async with asyncio.timeout(PATIENCE_S), replica.http.ask("GET", PATH) as answer:
                body = await answer.read(LARGEST)
        except Absent:
            replica.absent()
            continue
        except (TimeoutError, Unreachable):
            replica.failed()
            continue
        models = _models(body) if answer.status == 200 else None
        if models is not None:
            yield body, models


def _models(body: bytes) -> list[Any] | None:
    try:
        said = _decode(body)
    except NO_JSON:
        return None
    found = said.get("data") if isinstance(said, dict) else None
    return found if isinstance(found, list) else None
