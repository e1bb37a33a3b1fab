# SPDX-License-Identifier: Apache-2.0
"""How the engine's processes are configured: one environment variable names the configuration file, and all processes
inherit it.
"""

from __future__ import annotations

import os
from pathlib import Path

from transect.llm.config import Config, Identity, read

VARIABLE = "TRANSECT_LLM_CONFIG"
NAME = "vllm"  # of the instance, if the configuration gives none

TENANT = "transect_tenant"
"""The key of a request's `vllm_xargs` under which the middleware tells the scheduler whose the request is."""


REQUEST_ID, TRACEPARENT = "transect_request_id", "transect_traceparent"
"""Likewise, the key for the request's names."""


def configuration() -> tuple[Config, Path]:
    """The configuration, and the folder that its relative paths begin at.

    Without the variable: VTC, for the one tenant `anonymous`.  Raises `config.ConfigError`, OSError.
    """
    named = os.environ.get(VARIABLE)
    if not named:
        return Config(identity=Identity(unknown="share")), Path.cwd()
    path = Path(named).absolute()
    return read(path), path.parent
