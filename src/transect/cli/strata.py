# SPDX-License-Identifier: Apache-2.0
"""The four strata as the command line knows them: their names, and the packages that they need."""

from __future__ import annotations

import importlib.util
from enum import StrEnum

from transect.base.unavailable import Unavailable


class Stratum(StrEnum):
    RPC = "rpc"
    LLM = "llm"
    CPU = "cpu"
    MEMORY = "memory"


WHAT = {
    Stratum.RPC: "application networks: gRPC libraries, Envoy",
    Stratum.LLM: "fair serving by LLM engines",
    Stratum.CPU: "Linux schedulers",
    Stratum.MEMORY: "introspection of another machine's memory",
}

PACKAGES = {Stratum.RPC: ("grpc", "google.protobuf"), Stratum.LLM: ("aiohttp", "uvicorn")}


def need_packages(stratum: Stratum) -> None:
    """Raises `Unavailable` when the packages of the stratum's extra are not installed."""
    for name in PACKAGES.get(stratum, ()):
        try:
            found = importlib.util.find_spec(name) is not None
        except ModuleNotFoundError:  # not even the package around it
            found = False
        if not found:
            raise Unavailable(
                f"the {stratum} stratum", f"{name} is not installed", f"pip install 'transect[{stratum}]'"
            )
