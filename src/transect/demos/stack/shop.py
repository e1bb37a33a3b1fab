# SPDX-License-Identifier: Apache-2.0
"""A gRPC service whose callers take turns, `python -m … .shop` PORT GATEWAY BY HANDS_ON ROUNDS [WEIGHTS].

For each call it computes a little, and asks the gateway for a text in the name of its caller.  `BY`: the metadata that
names the callers who take turns.  `HANDS_ON`: `yes`, or `no` if the gateway is not told whose the request is.
`ROUNDS`: of a hash, computed for each call.  `WEIGHTS`: a file with its own weights, instead of the stack's.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import threading
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc

from transect.demos.stack.engine import compute
from transect.examples.fair_share import FairShare
from transect.identity import HEADER, Keys, current
from transect.rpc import know_callers, take_turns

THREADS = 128  # each call that waits holds one
AT_ONCE = 24  # calls in service
ROUNDS = 500  # of a hash, for a call
PROMPT = 16  # tokens of the prompt; the call says how many the answer has
PATIENCE_S = 60.0
LARGEST = 1 << 16  # bytes of an answer


def item(tokens: int) -> bytes:
    """A call's message, as in `shop.proto`; `tokens` must be below 128."""
    return b"\x08" + bytes([tokens])


def tokens_of(item: bytes) -> int:
    return item[1]


class Asking:
    """The gateway, asked by each thread over a connection of its own."""

    def __init__(self, gateway: str, keys: Keys | None) -> None:
        """`keys`: with which we tell the gateway whose a request is; None: we do not tell."""
        self._gateway, self._keys = gateway, keys
        self._own = threading.local()

    def __call__(self, tokens: int) -> None:
        """Raises OSError, `http.client.HTTPException` or RuntimeError where there is no answer."""
        kept: http.client.HTTPConnection | None = getattr(self._own, "connection", None)
        try:
            status = self._asked(kept or self._connected(), tokens)
        except (BrokenPipeError, ConnectionResetError, http.client.RemoteDisconnected):
            if kept is None:
                raise
            # The gateway was restarted after the last request.
            status = self._asked(self._connected(), tokens)
        if status != http.HTTPStatus.OK:
            raise RuntimeError(f"the gateway answers {status}")

    def _asked(self, connection: http.client.HTTPConnection, tokens: int) -> int:
        body = json.dumps({"prompt": [1] * PROMPT, "max_tokens": tokens})
        try:
            connection.request("POST", "/v1/completions", body, self._headers())
            with connection.getresponse() as answer:
                answer.read(LARGEST)
            return answer.status
        except BaseException:
            connection.close()
            self._own.connection = None
            raise

    def _connected(self) -> http.client.HTTPConnection:
        made = self._own.connection = http.client.HTTPConnection(self._gateway, timeout=PATIENCE_S)
        return made

    def _headers(self) -> dict[str, str]:
        headers = {"content-type": "application/json", **current().named.headers}
        if self._keys is not None:
            headers[HEADER] = self._keys.vouch(current().tenant, current().deadline)
        return headers


def main(port: str, gateway: str, by: str, hands_on: str, rounds: str, weights: str = "") -> None:
    identity = os.environ.get("TRANSECT_IDENTITY")
    keys = None if identity is None or hands_on == "no" else Keys(Path(identity))
    ask = Asking(gateway, keys)

    def buy(request: bytes, context: Any) -> bytes:
        compute(int(rounds))
        ask(tokens_of(request))
        return request

    server = grpc.server(futures.ThreadPoolExecutor(THREADS))
    server = take_turns(
        server if identity is None else know_callers(server, identity),
        FairShare(),
        at_once=AT_ONCE,
        by=by,
        tenants=weights or os.environ["TRANSECT_TENANTS"],
        name=os.environ["TRANSECT_NAME"],
    )
    handler: Any = grpc.unary_unary_rpc_method_handler(buy)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.Shop", {"Buy": handler}),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main(*sys.argv[1:])
