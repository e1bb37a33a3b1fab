# SPDX-License-Identifier: Apache-2.0
"""The measured chain as people write it by hand: three interceptors for unary calls, with the same decisions, state and
hooks as `../rpc_python_chain/policies.py`."""

from __future__ import annotations

import threading
import time
from typing import Any

import grpc


class Refused(grpc.RpcError):
    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(details)
        self._code, self._details = code, details

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details


class Acl(grpc.UnaryUnaryClientInterceptor):
    def __init__(self, allowed: dict[str, bool], secret: dict[str, bool]) -> None:
        self.allowed, self.secret = allowed, secret
        self.refused = 0
        self.lock = threading.Lock()

    def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        if not self.allowed.get(request.user, False):
            self.reject(f"{request.user} may not call")
        call = continuation(client_call_details, request)
        if call.exception() is None and self.secret.get(call.result().text, False):
            self.reject("not for you")
        return call

    def reject(self, why: str) -> None:
        with self.lock:
            self.refused += 1
        raise Refused(grpc.StatusCode.PERMISSION_DENIED, why)


class RateLimit(grpc.UnaryUnaryClientInterceptor):
    def __init__(self, per_second: int = 1_000_000_000, burst: int = 1_000_000) -> None:
        self.per_second, self.burst = per_second, burst
        self.buckets: dict[str, tuple[int, int]] = {}
        self.replied = 0
        self.busy = 0
        self.lock = threading.Lock()

    def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        start = now = time.monotonic_ns()
        with self.lock:
            tokens, filled = self.buckets.get(request.user, (self.burst, now))
            earned = (now - filled) * self.per_second // 1_000_000_000
            if earned > 0:
                tokens, filled = min(tokens + earned, self.burst), now
            if tokens <= 0:
                raise Refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many calls")
            if request.user not in self.buckets and len(self.buckets) >= 1024:
                raise Refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many users at once")
            self.buckets[request.user] = tokens - 1, filled
        call = continuation(client_call_details, request)
        replied = len(call.result().text.encode()) if call.exception() is None else 0
        with self.lock:
            self.replied += replied
            self.busy += time.monotonic_ns() - start
        return call


class Mutation(grpc.UnaryUnaryClientInterceptor):
    def __init__(self, alias: dict[str, str], withheld: dict[str, str]) -> None:
        self.alias, self.withheld = alias, withheld
        self.rewritten = 0
        self.lock = threading.Lock()

    def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        changed = type(request)()  # the caller keeps its own message
        changed.CopyFrom(request)
        changed.user = self.alias.get(request.user, request.user)
        call = continuation(client_call_details, changed)
        if call.exception() is None:
            reply = call.result()
            reply.text = self.withheld.get(reply.text, reply.text)
        with self.lock:
            self.rewritten += 1
        return call
