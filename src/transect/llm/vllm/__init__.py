# SPDX-License-Identifier: Apache-2.0
"""Fair admission inside vLLM, by the engine's own options; nothing of the engine is patched.

    TRANSECT_LLM_CONFIG=llm.toml vllm serve MODEL \\
        --scheduler-cls transect.llm.vllm.FairScheduler --middleware transect.llm.vllm.TenantMiddleware

The engine is the operator's own; this package imports it and never installs it.  `docs/vllm.md` is the operator's page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transect.llm.vllm.middleware import TenantMiddleware
    from transect.llm.vllm.scheduler import FairScheduler

TESTED = ("0.32",)
"""Versions of the engine whose scheduler the tests have driven."""


def __getattr__(name: str) -> Any:
    # The API server's process needs no scheduler, and whoever only reads `TESTED` needs no engine.
    if name == "FairScheduler":
        from transect.llm.vllm.scheduler import FairScheduler

        return FairScheduler
    if name == "TenantMiddleware":
        from transect.llm.vllm.middleware import TenantMiddleware

        return TenantMiddleware
    raise AttributeError(name)


__all__ = ["TESTED", "FairScheduler", "TenantMiddleware"]
