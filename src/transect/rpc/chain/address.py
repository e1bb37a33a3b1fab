# SPDX-License-Identifier: Apache-2.0
"""Where servers listen, and how connections to them are encrypted; also in the form of Envoy's configuration."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
API = "type.googleapis.com/envoy."

LONGEST_PATH = 107  # bytes of a Unix socket's path, in Linux
HOST = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_][A-Za-z0-9_-]{0,62})*\.?")


def _ip(host: str) -> int | None:
    """The version of an IP address: 4 or 6; None for a name or anything else."""
    if "%" in host:  # an address with a network interface, which Envoy does not take
        return None
    try:
        return ipaddress.ip_address(host).version
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server listens: host and port (0: any free one), or the path of a Unix socket."""

    host: str = "127.0.0.1"
    port: int = 0
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """`host:port`, `:port`, `[::1]:port` or `unix:PATH`; ValueError says what is wrong."""
        wrong = f"`{text}` is no address; "
        if text.startswith("unix:"):
            path = text.removeprefix("unix:").removeprefix("//")
            if not path or len(path.encode()) > LONGEST_PATH:
                raise ValueError(f"{wrong}write unix:PATH, with at most {LONGEST_PATH} bytes of a path")
            return cls("", 0, path)
        host, colon, port = text.rpartition(":")
        if not colon or not (port.isascii() and port.isdigit()) or len(port) > 5 or int(port) > 65535:
            raise ValueError(f"{wrong}write host:port or unix:PATH")
        if host.startswith("[") and host.endswith("]") and _ip(host[1:-1]) == 6:
            return cls(host[1:-1], int(port))
        if ":" in host and "//" not in host:
            raise ValueError(f"{wrong}write [host]:port for an address of IPv6")
        digits = host.replace(".", "").isdigit()
        if host and (_ip(host) != 4 if digits else HOST.fullmatch(host) is None):
            raise ValueError(f"{wrong}write host:port or unix:PATH")
        return cls(host or "127.0.0.1", int(port))

    @property
    def numeric(self) -> bool:
        """Whether it can be used without looking up a name."""
        return bool(self.path) or _ip(self.host) is not None

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def address(self) -> Json:
        if self.path:
            return {"pipe": {"path": self.path}}
        return {"socket_address": {"address": self.host, "port_value": self.port}}


@dataclass(frozen=True, slots=True)
class Tls:
    """One end of an encrypted connection: paths of files; if all are empty, the connection is not encrypted."""

    certificate: str = ""
    key: str = ""
    clients: str = (
        ""  # the authority that signs the certificates of permitted callers; "": everybody may call
    )
    authority: str = ""  # the authority that signs the server's certificate
    name: str = ""  # the name in the server's certificate; "": its host

    def _common(self, trusted: str, names: Sequence[Json] = ()) -> Json:
        common: Json = {"alpn_protocols": ["h2"]}
        if self.certificate:
            pair = {
                "certificate_chain": {"filename": self.certificate},
                "private_key": {"filename": self.key},
            }
            common["tls_certificates"] = [pair]
        if trusted:
            common["validation_context"] = {"trusted_ca": {"filename": trusted}} | (
                {"match_typed_subject_alt_names": list(names)} if names else {}
            )
        return common

    def downstream(self) -> Json:
        """The configuration of Envoy's side towards callers; empty without encryption."""
        if not self.certificate:
            return {}
        config = {
            "@type": API + "extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": self._common(self.clients),
            "require_client_certificate": bool(self.clients),
        }
        return {"transport_socket": {"name": "tls", "typed_config": config}}

    def upstream(self, host: str) -> Json:
        """The configuration of Envoy's side towards a server; empty without encryption."""
        if not self.authority:
            return {}
        name = self.name or host
        numeric = name.replace(".", "").isdigit() or ":" in name
        names = [{"san_type": "IP_ADDRESS" if numeric else "DNS", "matcher": {"exact": name}}]
        config: Json = {
            "@type": API + "extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "common_tls_context": self._common(self.authority, names),
        }
        if not numeric:
            config["sni"] = name
        return {"transport_socket": {"name": "tls", "typed_config": config}}


PLAIN = Tls()
