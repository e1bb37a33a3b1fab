# SPDX-License-Identifier: Apache-2.0
"""An Envoy's configuration as data: one listener, one chain of modules, one upstream, and named routes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from transect.rpc.chain.address import API, PLAIN, Endpoint, Json, Tls

DOOR = "transect_control"  # as runtime/wasm_control.c calls it
ROUTE_HEADER = "x-transect-route"  # the module sets it, the routing table matches it, no client can
FILTER = API + "extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter"
HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
HEADERS = {
    "max_headers_count": 1000
}  # Envoy's default, 100, would reset streams; gRPC allows 16 KiB, and a header is 33 bytes or more


class HttpFilter(Protocol):
    """An entry in the list of Envoy's HTTP filters: a native module, a WASM plugin."""

    def filter(self) -> Json: ...


class Extension(HttpFilter, Protocol):
    """A filter that can be replaced by another of its type."""

    def extension(self) -> Json:
        """The filter's own configuration."""
        ...


@dataclass(frozen=True, slots=True)
class Settings:
    """What the module is given when it is loaded."""

    early: tuple[str, ...] = ()  # paths of methods whose RPCs reach the server before the first message
    # Paths of methods whose reply's headers do not wait for its first message
    streaming: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()  # names for Forward(to=…)
    # Files with the elements' first states (images), in chain order; none: as declared
    states: tuple[str, ...] = ()
    max_message: int = 4 << 20  # bytes; larger ones are rejected with RESOURCE_EXHAUSTED
    on_compressed: str = "reject"  # or "pass": the chain then does not see such messages
    replies: bool = True  # False: no element uses replies, so they pass as they come
    on_other: str = "reject"  # requests that are not gRPC; "pass" lets them bypass the chain
    control: str = ""  # path of the control socket
    parent: int = (
        0  # pid of the parent; when it dies without stopping this Envoy, Envoy ends itself; needs `control`
    )
    keys: str = ""  # path of the file with the keys of signed words (`identity`); "": none is believed here
    heard: str = (
        ""  # path of memory in which all versions record the words that they believed; "": each by itself
    )
    edge: str = ""  # which version serves an RPC: `edge_table` in runtime/envoy_edge.c
    hooks: tuple[tuple[int, int, int], ...] = ()  # of each element, for the log: recording.hook_numbers
    record: str = ""  # path of a log that is written from the start
    record_room: int = 4 << 20  # bytes that may wait for the disk; further records are dropped and counted

    def text(self) -> str:
        assert self.on_compressed in ("reject", "pass"), self.on_compressed
        assert self.on_other in ("reject", "pass"), self.on_other
        lines = [
            *(f"early {name}" for name in self.early),
            *(f"streaming {name}" for name in self.streaming),
            *(f"route {name}" for name in self.routes),
            *(f"state {path}" for path in self.states),
            *(f"hooks {a} {b} {c}" for a, b, c in self.hooks),
            f"max_message {self.max_message}",
            f"on_compressed {self.on_compressed}",
            f"on_other {self.on_other}",
            *([] if self.replies else ["replies skip"]),
            *([f"control {self.control}"] if self.control else []),
            *([f"parent {self.parent}"] if self.parent else []),
            *([f"identity {self.keys}"] if self.keys else []),
            *([f"heard {self.heard}"] if self.heard else []),
            *([f"edge {self.edge}"] if self.edge else []),
            *([f"record {self.record}", f"record_room {self.record_room}"] if self.record else []),
        ]
        assert not any("\n" in line for line in lines), lines
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Module:
    """A compiled chain and how it is to run."""

    library: Path  # libtransect_….so
    settings: Settings = field(default_factory=Settings)

    @property
    def name(self) -> str:
        """The name that Envoy uses: lib<NAME>.so."""
        return self.library.stem.removeprefix("lib")

    def extension(self) -> Json:
        """The filter's own configuration."""
        return {
            "@type": FILTER,
            # Threads and open streams may still run the code when a configuration is removed.
            "dynamic_module_config": {"name": self.name, "do_not_close": True},
            "filter_name": "transect",
            "filter_config": {
                "@type": "type.googleapis.com/google.protobuf.StringValue",
                "value": self.settings.text(),
            },
        }

    def filter(self) -> Json:
        return {"name": self.name, "typed_config": self.extension()}


@dataclass(frozen=True, slots=True)
class Slot:
    """A place in the filter chain: it holds `first`, or what a file names, which may change while RPCs pass."""

    file: Path
    first: Extension
    name: str = "transect"

    def filter(self) -> Json:
        source = {"path_config_source": {"path": str(self.file)}, "resource_api_version": "V3"}
        first = self.first.extension()
        discovery = {
            "config_source": source,
            "type_urls": [first["@type"]],
            "default_config": first,
            "apply_default_config_without_warming": True,
        }
        return {"name": self.name, "config_discovery": discovery}

    def clear(self) -> None:
        """Write a file that names no extension yet: Envoy requires the file to exist."""
        self._write("0", [])

    def put(self, module: Extension, version: str) -> None:
        """Put this extension in force as soon as Envoy has read the file."""
        resource = {
            "@type": API + "config.core.v3.TypedExtensionConfig",
            "name": self.name,
            "typed_config": module.extension(),
        }
        self._write(version, [resource])

    def _write(self, version: str, resources: list[Json]) -> None:
        written = self.file.with_suffix(".new")
        written.write_bytes(to_json({"version_info": version, "resources": resources}))
        written.replace(self.file)


def bootstrap(
    *,
    listen: Endpoint,
    upstream: Endpoint,
    modules: Sequence[HttpFilter] = (),
    routes: Mapping[str, Endpoint] = {},
    admin: Path | None = None,
    tls: Tls = PLAIN,
    upstream_tls: Tls = PLAIN,
    door: Path | None = None,
    pass_by: Sequence[str] = (),
) -> Json:
    """The whole configuration.  `admin`: the Unix socket of Envoy's own interface; `door`: the address that plugins
    call; `pass_by`: paths of methods that bypass the module.
    """
    clusters = {"upstream": upstream} | {f"route_{name}": at for name, at in routes.items()}
    whole: Json = {
        "node": {"id": "transect", "cluster": "transect"},
        "static_resources": {
            "listeners": [_listener(listen, modules, routes, tls, pass_by)],
            "clusters": [
                _cluster(name, at) | upstream_tls.upstream(at.host) for name, at in clusters.items()
            ],
        },
    }
    if door is not None:
        whole["static_resources"]["clusters"].append(
            _cluster(DOOR, Endpoint(path=str(door)), "http_protocol_options")
        )
    if admin is not None:
        whole["admin"] = {"address": {"pipe": {"path": str(admin), "mode": 0o600}}}
    return whole


def to_json(config: Json) -> bytes:
    return json.dumps(config, indent=1).encode()


REQUEST_ID = {
    "typed_config": {
        "@type": API + "extensions.request_id.uuid.v3.UuidRequestIdConfig",
        "pack_trace_reason": False,  # which would change the id
        "use_request_id_for_trace_sampling": False,
    }
}


def _listener(
    listen: Endpoint,
    modules: Iterable[HttpFilter],
    routes: Iterable[str],
    tls: Tls,
    pass_by: Iterable[str],
) -> Json:
    filters = [m.filter() for m in modules]
    names = [f["name"] for f in filters]
    manager = {
        "@type": API + "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "transect",
        "codec_type": "HTTP2",
        "common_http_protocol_options": HEADERS,
        "stream_idle_timeout": "0s",  # a stream may be silent as long as its client lets it
        # Every request has an id by which one can ask about it: its own, or a new one that its client is told.
        "generate_request_id": True,
        "preserve_external_request_id": True,
        "always_set_request_id_in_response": True,
        "request_id_extension": REQUEST_ID,
        "use_remote_address": True,
        "skip_xff_append": True,
        "server_header_transformation": "PASS_THROUGH",
        "http_filters": [*filters, _router()],
        "route_config": {
            "name": "transect",
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [
                        *(_passed_by(path, names) for path in pass_by),
                        *map(_named_route, routes),
                        _route({"prefix": "/"}, "upstream"),
                    ],
                }
            ],
        },
    }
    chain = {"filters": [{"name": "http", "typed_config": manager}]} | tls.downstream()
    return {"name": "transect", "address": listen.address(), "filter_chains": [chain]}


def _router() -> Json:
    config = {"@type": API + "extensions.filters.http.router.v3.Router", "suppress_envoy_headers": True}
    return {"name": "router", "typed_config": config}


def _named_route(name: str) -> Json:
    header = {"name": ROUTE_HEADER, "string_match": {"exact": name}}
    return _route({"prefix": "/", "headers": [header]}, f"route_{name}") | {
        "request_headers_to_remove": [ROUTE_HEADER]
    }


def whole_path(path: str) -> Json:
    """A gRPC call of just this path; Envoy's own matching of paths leaves out what follows a `?`."""
    return {"prefix": "/", "grpc": {}, "headers": [{"name": ":path", "string_match": {"exact": path}}]}


def filters_off(names: Iterable[str]) -> Json:
    """For a route on which these filters do not run."""
    off = {"@type": API + "config.route.v3.FilterConfig", "disabled": True}
    return {"typed_per_filter_config": dict.fromkeys(names, off)}


def _passed_by(path: str, filters: Sequence[str]) -> Json:
    found = _route(whole_path(path), "upstream") | {"request_headers_to_remove": [ROUTE_HEADER]}
    return found | (filters_off(filters) if filters else {})


def _route(match: Json, cluster: str) -> Json:
    action = {
        "cluster": cluster,
        # Envoy sets no time limit.  Client and server observe `grpc-timeout`, each by its own clock; Envoy's would be a
        # third, and would break off a stream (INTERNAL) whose client is about to report DEADLINE_EXCEEDED.
        "timeout": "0s",
    }
    return {"match": match, "route": action}


# This machine by name: a server may listen on only one of its two addresses, so if one refuses, the other is tried.
LOCAL = {"type": "LOGICAL_DNS", "dns_lookup_family": "ALL"}


def _cluster(name: str, at: Endpoint, protocol: str = "http2_protocol_options") -> Json:
    options = {
        "@type": "type.googleapis.com/" + HTTP_OPTIONS,
        "explicit_http_config": {protocol: {}},
        "common_http_protocol_options": HEADERS,
    }
    numeric = bool(at.path) or at.host.replace(".", "").isdigit() or ":" in at.host
    return {
        "name": name,
        **({"type": "STATIC"} if numeric else LOCAL if at.host == "localhost" else {"type": "STRICT_DNS"}),
        "connect_timeout": "5s",
        "typed_extension_protocol_options": {HTTP_OPTIONS: options},
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": at.address()}}]}],
        },
    }
