# SPDX-License-Identifier: Apache-2.0
"""`shop.py PORT`: a gRPC service whose callers take turns by the stack's weights."""

from __future__ import annotations

import os
import sys
import time
from concurrent import futures
from typing import Any

import grpc

from transect.examples.fair_share import FairShare
from transect.rpc import know_callers, take_turns


def serve(request: bytes, context: Any) -> bytes:
    time.sleep(0.01)
    return request


def main(port: str) -> None:
    pool = futures.ThreadPoolExecutor(64)
    server = take_turns(
        know_callers(grpc.server(pool), os.environ["TRANSECT_IDENTITY"]),
        FairShare(),
        at_once=1,
        by="x-transect-tenant",
        tenants=os.environ["TRANSECT_TENANTS"],
        name=os.environ["TRANSECT_NAME"],
    )
    buy: Any = grpc.unary_unary_rpc_method_handler(serve)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.Shop", {"Buy": buy}),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


main(sys.argv[1])
