# SPDX-License-Identifier: Apache-2.0
"""A grpcio client of a C++ server: with the native chain of three elements / unmodified, unary and streaming.

`p50`: latency of a unary call; `cpu`: the client's processor time a call; `stream_p50`: one message there and back on
an open stream.  Clients take turns block by block within a round; the baseline is there twice, for the A/A control.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import grpc
from measuring import Control, Samples, begin, claim, report, result
from peers import PAYLOAD, WITHHELD, chained, chat, generated, round_of, serving, unary

ROUNDS, BLOCKS, SIZE = 21, 12, 100


def main() -> None:
    with serving() as port, ExitStack() as stack:
        report(measured(port, stack), __file__)


def measured(port: int, stack: ExitStack) -> dict[str, Any]:
    echo, echo_grpc = generated()

    def stub(native: bool | None) -> Any:
        """None: unmodified."""
        channel = stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{port}"))
        if native is None:
            return echo_grpc.EchoStub(channel)
        return echo_grpc.EchoStub(chained(channel, echo, native=native))

    stubs = {"first": stub(None), "second": stub(None), "ours": stub(True)}
    python = stub(False)
    unaries = {name: unary(s, echo) for name, s in stubs.items()}
    streams = {name: stack.enter_context(chat(s, echo)) for name, s in stubs.items()}
    toy = {"toy": unary(python, echo), "first": unaries["first"]}
    for name in stubs:
        wanted = WITHHELD if name == "ours" else PAYLOAD
        assert unaries[name]().text == streams[name]().text == wanted
    assert toy["toy"]().text == WITHHELD
    round_of(unaries, 3, SIZE), round_of(streams, 3, SIZE)

    samples = Samples()
    for _ in range(ROUNDS):
        one = round_of(unaries, BLOCKS, SIZE)
        many = round_of(streams, BLOCKS, SIZE)
        add(samples, "p50", "p50", one)
        add(samples, "cpu", "cpu", one)
        add(samples, "stream_p50", "p50", many)
    slow = round_of(toy, 5, SIZE)
    ratio = slow["toy"]["p50"] / slow["first"]["p50"]
    the_claim = claim(__file__)
    controls = [Control("the same chain in emitted Python", ratio > the_claim.targets["p50"].limit)]
    return result(
        the_claim,
        samples,
        controls,
        calls_a_round=BLOCKS * SIZE,
        baseline_p50_us=round(one["first"]["p50"] * 1e6, 1),
        baseline_stream_p50_us=round(many["first"]["p50"] * 1e6, 1),
        emitted_python_p50=round(ratio, 3),
        grpcio=grpc.__version__,
    )


def add(samples: Samples, key: str, of: str, got: dict[str, dict[str, float]]) -> None:
    first, second = got["first"][of], got["second"][of]
    samples.add(key, got["ours"][of] / ((first + second) / 2), first / second)


if __name__ == "__main__":
    begin(main)
