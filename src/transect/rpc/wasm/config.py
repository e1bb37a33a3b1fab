# SPDX-License-Identifier: Apache-2.0
"""The settings of a plugin, and its filter in Envoy's configuration."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from transect.rpc.chain.address import API, Json


@dataclass(frozen=True, slots=True)
class PluginSettings:
    """The plugin's configuration, in any host."""

    elements: int = 0  # how many the chain has, for what the plugin reports of each
    early: tuple[str, ...] = ()  # paths of methods whose RPCs reach the server before the first message
    # Paths of methods for which the headers of the reply do not wait for its first message
    streaming: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()  # names for Forward(to=…)
    # The elements' first states (images), in chain order; all of them, or none
    states: tuple[bytes, ...] = ()
    max_message: int = 4 << 20  # bytes; larger ones are rejected with RESOURCE_EXHAUSTED
    on_compressed: str = "reject"  # or "pass": the chain then does not see such messages
    replies: bool = True  # False: no element looks at replies, they pass as they come
    peer: bool = True  # False: no element asks who calls, and nothing is recorded
    on_other: str = "reject"  # requests that are not gRPC; "pass" lets them bypass the chain
    # The version of the chain, if the plugin can be asked for its state (runtime/wasm_control.c); 0: it cannot
    version: int = 0
    record: bool = False  # write each handler call, and the states after it, as lines of the host's log

    def text(self) -> str:
        assert self.on_compressed in ("reject", "pass"), self.on_compressed
        assert self.on_other in ("reject", "pass"), self.on_other
        lines = [
            f"elements {self.elements}",
            *(f"early {name}" for name in self.early),
            *(f"streaming {name}" for name in self.streaming),
            *(f"route {name}" for name in self.routes),
            *(f"state {image.hex()}" for image in self.states),
            f"max_message {self.max_message}",
            f"on_compressed {self.on_compressed}",
            f"on_other {self.on_other}",
            *([] if self.replies else ["replies skip"]),
            *([] if self.peer or self.record else ["peer skip"]),
            *([f"version {self.version}"] if self.version else []),
            *(["record 1"] if self.record else []),
        ]
        assert not any("\n" in line for line in lines), lines
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Plugin:
    """A compiled chain and how it is to run, as a filter of Envoy."""

    path: Path  # transect_….wasm
    settings: PluginSettings = field(default_factory=PluginSettings)
    # Several plugins of one Envoy have different names, and machines of their own
    name: str = "transect"

    def extension(self) -> Json:
        """The filter's own configuration."""
        config = {
            "name": self.name,
            "root_id": self.name,
            "vm_config": {
                # Machines with the same `vm_id` share data: those of a new version find what those of an old one left.
                # Another version in `configuration` means other machines.
                "vm_id": self.name if self.settings.version else f"{self.name}-{self.path.stem}",
                "configuration": _text(str(self.settings.version)),
                "runtime": "envoy.wasm.runtime.v8",
                "code": {"local": {"filename": str(self.path)}},
            },
            "configuration": _text(self.settings.text()),
            # A policy that fails must not let calls pass unseen.
            "failure_policy": "FAIL_CLOSED",
            # Headers wait for the first message; without this, pausing at headers stops bodies as well.
            "allow_on_headers_stop_iteration": True,
        }
        return {"@type": API + "extensions.filters.http.wasm.v3.Wasm", "config": config}

    def filter(self) -> Json:
        return {"name": self.name, "typed_config": self.extension()}


def _text(value: str) -> Json:
    return {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": value}
