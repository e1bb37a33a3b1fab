# SPDX-License-Identifier: Apache-2.0
"""The measured chain as people write it by hand: three interceptors for unary calls, with the same decisions, state and
hooks as `../rpc_python_chain/policies.py`.  A refusal is a call that failed, so that those before it see the end."""

from __future__ import annotations

import threading
import time
from typing import Any

import grpc


class Refused(grpc.RpcError):
    """What an interceptor returns in place of a call."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(details)
        self._code, self._details = code, details

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details

    def exception(self) -> Exception:
        return self

    def result(self) -> Any:
        raise self


class Acl(grpc.UnaryUnaryClientInterceptor):
    def __init__(self, allowed: dict[str, bool], secret: dict[str, bool]) -> None:
        self.allowed, self.secret = allowed, secret
        self.refused = 0
        self.lock = threading.Lock()

    def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        if self.allowed.get(request.user, False):
            call = continuation(client_call_details, request)
        else:
            call = Refused(grpc.StatusCode.PERMISSION_DENIED, f"{request.user} may not call")
        if call.exception() is None and self.secret.get(call.result().text, False):
            call = Refused(grpc.StatusCode.PERMISSION_DENIED, "not for you")
        if isinstance(call, Refused):
            with self.lock:
                self.refused += 1
        return call


class RateLimit(grpc.UnaryUnaryClientInterceptor):
    def __init__(self, per_second: int = 1_000_000_000, burst: int = 1_000_000) -> None:
        self.per_second, self.burst = per_second, burst
        self.buckets: dict[str, tuple[int, int]] = {}
        self.replied = 0
        self.busy = 0
        self.lock = threading.Lock()

    def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        start = time.monotonic_ns()
        refusal = self.take(request.user, start)
        if refusal is not None:
            call = Refused(grpc.StatusCode.RESOURCE_EXHAUSTED, refusal)
        else:
            call = continuation(client_call_details, request)
        replied = len(call.result().text.encode()) if call.exception() is None else 0
        with self.lock:
            self.replied += replied
            self.busy += time.monotonic_ns() - start
        return call

    def take(self, user: str, now: int) -> str | None:
        """Take one token; if there is none, why not."""
        with self.lock:
            tokens, filled = self.buckets.get(user, (self.burst, now))
            earned = (now - filled) * self.per_second // 1_000_000_000
            if earned > 0:
                tokens, filled = min(tokens + earned, self.burst), now
            if tokens <= 0:
                return "too many calls"
            if user not in self.buckets and len(self.buckets) >= 1024:
                return "too many users at once"
            self.buckets[user] = tokens - 1, filled
            return None


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
