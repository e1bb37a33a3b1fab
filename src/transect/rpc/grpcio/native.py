# SPDX-License-Identifier: Apache-2.0
"""The native chain: our extension and the emitted chain, compiled into one module of CPython."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc

from transect.base import cache
from transect.base.unavailable import Unavailable
from transect.emit.c.toolchain import compiler
from transect.rpc.chain.binding import Binding
from transect.rpc.native.build import RPC_RUNTIME, cache_folder, shared_object
from transect.rpc.native.chain import emit_chain

STEM = "transect_chain"
MODULE = "grpc_module.c"  # compiled with the chain's name in it


def headers() -> Path:
    """The folder of Python.h; Unavailable when it is not installed."""
    folder = Path(sysconfig.get_path("include"))
    if not (folder / "Python.h").is_file():
        raise Unavailable("Python.h", f"not in {folder}", "apt-get install python3-dev")
    return folder


def native_status() -> tuple[bool, str, str]:
    """Whether chains can be compiled here, the reason, and the command that helps (empty where none is needed)."""
    try:
        tool, folder = compiler(), headers()
    except Unavailable as lacking:
        return False, f"{lacking.what}: {lacking.why}", lacking.hint
    return True, f"{tool.version}, {folder / 'Python.h'}", ""


def emitted(binding: Binding) -> Mapping[str, bytes]:
    """The C files of a bound chain."""
    return emit_chain(binding, pass_unknown=True).files


def compiled(sources: Mapping[str, bytes], folder: Path | None = None) -> Path:
    """The extension of an emitted chain, compiled unless it is there.  Raises Unavailable or BuildError."""
    include = headers()
    carrier = {path.name: path.read_bytes() for path in RPC_RUNTIME.glob("grpc_*.c")}
    module = {MODULE: carrier.pop(MODULE)}
    return shared_object(
        STEM,
        {**sources, **module},
        folder=folder or cache_folder(),
        fixed=carrier,
        system=[include],
        flags=["-DTS_MODULE={name}"],
        suffix=importlib.machinery.EXTENSION_SUFFIXES[0],
    )


def load(path: Path) -> ModuleType:
    """Import a compiled chain; each file is loaded once.  Raises ImportError, and Unavailable as `cache.loadable`."""
    name = path.name.partition(".")[0]
    qualified = f"transect.rpc.grpcio.{name}"
    if qualified in sys.modules:
        return sys.modules[qualified]
    with cache.loadable(path) as file:
        loader = importlib.machinery.ExtensionFileLoader(name, file.name)
        spec = importlib.util.spec_from_loader(name, loader, origin=file.name)
        assert spec is not None, f"no spec for {path}"
        module = importlib.util.module_from_spec(spec)
        loader.exec_module(module)
    module.__file__ = str(path)
    grpc.UnaryUnaryMultiCallable.register(module.Unary)
    sys.modules[qualified] = module
    return module


def chain(sources: Mapping[str, bytes], folder: Path | None = None) -> Any:
    """A `Handle` of an emitted chain: its compiled code, and a fresh copy of its state."""
    return load(compiled(sources, folder)).Chain()
