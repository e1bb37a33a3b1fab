# SPDX-License-Identifier: Apache-2.0
"""What the middleware before vLLM's API server lets through, without the engine."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

from transect.llm import keys
from transect.llm.vllm.middleware import TenantMiddleware
from transect.llm.vllm.settings import VARIABLE

Message = MutableMapping[str, Any]


async def _engine(scope: Message, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"engine\n"})


def answered(front: TenantMiddleware, method: str, path: str, *headers: tuple[str, str]) -> tuple[int, str]:
    """The status and body of an answer."""
    said: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(message: Message) -> None:
        said.append(message)

    named = [(name.encode(), value.encode()) for name, value in headers]
    scope = {"type": "http", "method": method, "path": path, "headers": named, "client": ("192.0.2.1", 1)}
    asyncio.run(front(scope, receive, send))
    return said[0]["status"], b"".join(message["body"] for message in said[1:]).decode()


def test_keys_that_disagree_are_refused_in_words_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (ann, of_ann), (ben, of_ben) = keys.new(), keys.new()
    config = tmp_path / "llm.toml"
    config.write_text(
        f'policy = "vtc"\nname = "nobody-runs"\n'
        f'[tenants.ann]\nkeys = ["{of_ann}"]\n[tenants.ben]\nkeys = ["{of_ben}"]\n'
    )
    monkeypatch.setenv(VARIABLE, str(config))
    front = TenantMiddleware(_engine)

    def posted(*headers: tuple[str, str]) -> tuple[int, str]:
        return answered(front, "POST", "/v1/completions", *headers)

    assert posted(("authorization", f"Bearer {ann}"))[0] == 200
    assert posted(("authorization", f"Bearer {ann}"), ("x-api-key", ann))[0] == 200
    for second in (("x-api-key", ben), ("authorization", f"Bearer {ben}")):
        status, why = posted(("authorization", f"Bearer {ann}"), second)
        assert status == 401 and "keys that are not of one tenant" in why
    assert posted()[0] == 401
    assert answered(front, "GET", "/metrics")[1].splitlines()[-2:] == [
        'transect_llm_unidentified_total{why="no valid key"} 1',
        'transect_llm_unidentified_total{why="keys that disagree"} 2',
    ]
