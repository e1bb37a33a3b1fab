# SPDX-License-Identifier: Apache-2.0
"""The carrier in a stock Envoy: a native module made of fixed C and an emitted chain, loaded by the user's own binary.

`find` the binary, `build` the module, `check` one against the other, write the configuration, `start`, `stop`.
"""

from transect.rpc.chain.address import Endpoint
from transect.rpc.envoy.binary import Binary, check, find
from transect.rpc.envoy.config import Module, Settings, bootstrap
from transect.rpc.envoy.control import Control
from transect.rpc.envoy.process import Envoy, start
from transect.rpc.native.build import envoy_module as build

__all__ = [
    "Binary",
    "Control",
    "Endpoint",
    "Envoy",
    "Module",
    "Settings",
    "bootstrap",
    "build",
    "check",
    "find",
    "start",
]
