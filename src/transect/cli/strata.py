# SPDX-License-Identifier: Apache-2.0
"""The four strata as the command line knows them: their names, and which of them this version has."""

from __future__ import annotations

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

BUILT = (Stratum.RPC,)
NOT_BUILT = "not part of this version yet"


def need(stratum: Stratum) -> None:
    """Raises `Unavailable` for a stratum that this version does not have."""
    if stratum not in BUILT:
        raise Unavailable(f"the {stratum} stratum", NOT_BUILT, f"there is: {', '.join(BUILT)}")
