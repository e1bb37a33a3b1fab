# SPDX-License-Identifier: Apache-2.0
"""The carrier in any proxy-wasm host: a chain as a WASM plugin (ABI 0.2.1), tested in a stock Envoy's V8.

`build` the plugin, give it its `PluginSettings` in the host's configuration; in Envoy, a `Plugin` is an HTTP filter
like a native module.
"""

from transect.rpc.wasm.build import build
from transect.rpc.wasm.config import Plugin, PluginSettings

__all__ = ["Plugin", "PluginSettings", "build"]
