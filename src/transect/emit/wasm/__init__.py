# SPDX-License-Identifier: Apache-2.0
"""WebAssembly: the C of a policy for wasm32, without a libc.

A policy by itself becomes a WASI command which takes calls on its standard input, as emit/c/runtime/driver.h says; a
chain of rpc becomes a plugin (`rpc/wasm`).  Both are compiled by `toolchain`, with the headers of `runtime/libc`.
"""

from transect.emit.wasm.emitter import WasmEmitter

emitter = WasmEmitter()

__all__ = ["WasmEmitter", "emitter"]
