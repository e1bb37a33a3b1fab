# SPDX-License-Identifier: Apache-2.0
"""gRPC's abstract classes, which are generic for type checkers and plain at run time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
from grpc import aio

if TYPE_CHECKING:
    Future = grpc.Future[Any]
    UnaryUnary = grpc.UnaryUnaryMultiCallable[Any, Any]
    UnaryStream = grpc.UnaryStreamMultiCallable[Any, Any]
    StreamUnary = grpc.StreamUnaryMultiCallable[Any, Any]
    StreamStream = grpc.StreamStreamMultiCallable[Any, Any]
    AioUnaryUnary = aio.UnaryUnaryMultiCallable[Any, Any]
    AioUnaryStream = aio.UnaryStreamMultiCallable[Any, Any]
    AioStreamUnary = aio.StreamUnaryMultiCallable[Any, Any]
    AioStreamStream = aio.StreamStreamMultiCallable[Any, Any]
    AioUnaryUnaryCall = aio.UnaryUnaryCall[Any, Any]
    AioUnaryStreamCall = aio.UnaryStreamCall[Any, Any]
    AioStreamUnaryCall = aio.StreamUnaryCall[Any, Any]
    AioStreamStreamCall = aio.StreamStreamCall[Any, Any]
    AioServicerContext = aio.ServicerContext[Any, Any]
else:
    Future = grpc.Future
    UnaryUnary = grpc.UnaryUnaryMultiCallable
    UnaryStream = grpc.UnaryStreamMultiCallable
    StreamUnary = grpc.StreamUnaryMultiCallable
    StreamStream = grpc.StreamStreamMultiCallable
    AioUnaryUnary = aio.UnaryUnaryMultiCallable
    AioUnaryStream = aio.UnaryStreamMultiCallable
    AioStreamUnary = aio.StreamUnaryMultiCallable
    AioStreamStream = aio.StreamStreamMultiCallable
    AioUnaryUnaryCall = aio.UnaryUnaryCall
    AioUnaryStreamCall = aio.UnaryStreamCall
    AioStreamUnaryCall = aio.StreamUnaryCall
    AioStreamStreamCall = aio.StreamStreamCall
    AioServicerContext = aio.ServicerContext
