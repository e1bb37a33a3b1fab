# SPDX-License-Identifier: Apache-2.0
"""The four strata as the command line knows them: their names, and which of them this version has."""

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

BUILT = (Stratum.RPC, Stratum.LLM, Stratum.CPU, Stratum.MEMORY)
NOT_BUILT = "not part of this version yet"


def need(stratum: Stratum) -> None:
    """Raises `Unavailable` for a stratum that this version does not have."""
    if stratum not in BUILT:
        raise Unavailable(f"the {stratum} stratum", NOT_BUILT, f"there is: {', '.join(BUILT)}")


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
