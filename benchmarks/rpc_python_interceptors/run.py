# SPDX-License-Identifier: Apache-2.0
"""Three interceptors written by hand in Python / the same three elements as a native chain; unary, C++ server.

The baseline of the ratio is our chain, which runs twice, for the A/A control.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "rpc_python_chain"))

import grpc
from interceptors import Acl, Mutation, RateLimit
from measuring import Control, Samples, begin, claim, report, result
from peers import PAYLOAD, WITHHELD, chained, generated, round_of, serving, unary

ROUNDS, BLOCKS, SIZE = 21, 12, 100


def main() -> None:
    with serving() as port, ExitStack() as stack:
        report(measured(port, stack), __file__)


def by_hand() -> list[Any]:
    allowed, secret = {"carol": True, "dave": True}, {"secret": True}
    return [Acl(allowed, secret), RateLimit(), Mutation({"carol": "user-carol-0001"}, {PAYLOAD: WITHHELD})]


def refused(stub: Any, echo: Any) -> bool:
    """Whether a stranger is refused by the first element: then the two sides do the same work."""
    try:
        stub.Say(echo.Ask(user="mallory", text=PAYLOAD))
    except grpc.RpcError as error:
        return bool(error.code() is grpc.StatusCode.PERMISSION_DENIED)
    return False


def measured(port: int, stack: ExitStack) -> dict[str, Any]:
    echo, echo_grpc = generated()

    def channel() -> Any:
        return stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{port}"))

    channels = {
        "first": chained(channel(), echo, native=True),
        "second": chained(channel(), echo, native=True),
        "by hand": grpc.intercept_channel(channel(), *by_hand()),
        "toy": chained(channel(), echo, native=False),
    }
    calls = {name: unary(echo_grpc.EchoStub(c), echo) for name, c in channels.items()}
    for name, call in calls.items():
        assert call().text == WITHHELD
        assert refused(echo_grpc.EchoStub(channels[name]), echo), f"{name} lets a stranger through"
    toy = {name: calls.pop(name) if name == "toy" else calls[name] for name in ("toy", "by hand")}
    round_of(calls, 3, SIZE)

    samples = Samples()
    for _ in range(ROUNDS):
        got = round_of(calls, BLOCKS, SIZE)
        for key in ("p50", "cpu"):
            first, second = got["first"][key], got["second"][key]
            samples.add(key, got["by hand"][key] / ((first + second) / 2), first / second)
    slow = round_of(toy, 5, SIZE)
    ratio = slow["by hand"]["p50"] / slow["toy"]["p50"]
    the_claim = claim(__file__)
    controls = [
        Control("the chain in emitted Python in place of ours", ratio < the_claim.targets["p50"].limit)
    ]
    return result(
        the_claim,
        samples,
        controls,
        calls_a_round=BLOCKS * SIZE,
        ours_p50_us=round(got["first"]["p50"] * 1e6, 1),
        grpcio=grpc.__version__,
    )


if __name__ == "__main__":
    begin(main)
